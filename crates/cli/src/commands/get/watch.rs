//! `get --watch`: what is stored now, and then a line for each change, until nobody reads any more or the store is lost.
//!
//! The store's own watch gives the changes: nothing is missed and nothing told twice. Where its history is no longer kept,
//! the objects are listed again and what differs is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tortie_api::{Key, Kind, Object, encode};
use tortie_client::{Client, ClientError};
use tortie_manifest::write;
use tortie_store::memory::MemoryStore;
use tortie_store::{Event, Listing, Position, Selection, Store, StoreError, Stored};

use super::Request;
use crate::label_filter::LabelFilter;
use crate::output::{GetFormat, Printing, Rows};
use crate::session::Session;
use crate::terminal::{Exit, reported};

/// How long a reader that went away may go unnoticed.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// What is watched, and how it is printed.
pub(super) struct Watched<'a> {
    pub(super) requests: Vec<Request>,
    pub(super) filter: Option<LabelFilter>,
    pub(super) format: &'a GetFormat,
    pub(super) printing: &'a Printing,
    pub(super) rows: Rows,
    /// What was told, under the key in the store.
    pub(super) known: BTreeMap<Key, Object>,
}

impl Watched<'_> {
    /// Tells everything that is there, then every change.
    pub(super) fn run(&mut self, store: &dyn Store, session: &mut Session) -> anyhow::Result<Exit> {
        let selection = self.selection();
        let listing = store.list(&selection)?;
        let mut from = listing.position.clone();
        self.take_all(listing, None, session)?;
        let mut watch = store.watch(&selection, &from)?;
        loop {
            session.terminal.flush();
            if session.terminal.is_broken() {
                return Ok(Exit::Done);
            }
            match watch.next(CHECK_INTERVAL) {
                Ok(None) => {}
                Ok(Some(event)) => self.take(event, session)?,
                Err(StoreError::Compacted { .. }) => {
                    let listing = store.list(&selection).map_err(|error| lost(&error, &from, session))?;
                    from = listing.position.clone();
                    self.take_all(listing, None, session)?;
                    watch = store.watch(&selection, &from)?;
                }
                Err(StoreError::Expired { kind }) => {
                    let again = selection.of_kind(kind);
                    let listing = store.list(&again).map_err(|error| lost(&error, &from, session))?;
                    let position = listing.position.clone();
                    self.take_all(listing, Some(kind), session)?;
                    watch.resume(kind, &position)?;
                }
                Err(error @ StoreError::Failed(_)) => return Err(lost(&error, &watch.position(), session)),
            }
            from = watch.position();
        }
    }

    /// The smallest selection that has all that is asked for.
    fn selection(&self) -> Selection {
        let one = |mut all: Vec<String>| {
            all.sort_unstable();
            all.dedup();
            if all.len() == 1 { all.pop() } else { None }
        };
        let kinds: Vec<Kind> = self.requests.iter().map(|request| request.kind).collect();
        let kind = kinds.first().copied().filter(|first| kinds.iter().all(|kind| kind == first));
        let namespace = one(self.requests.iter().map(|request| request.namespace.clone()).collect());
        Selection { kind, namespace: namespace.filter(|name| !name.is_empty()), ..Selection::default() }
    }

    /// Tells how what is listed differs from what was told, of a kind or of all.
    fn take_all(&mut self, listing: Listing, kind: Option<Kind>, session: &mut Session) -> anyhow::Result<()> {
        let of_kind = |key: &&Key| kind.is_none_or(|kind| kind == key.kind);
        let gone: Vec<Key> =
            self.known.keys().filter(of_kind).filter(|key| listing.get(key).is_none()).cloned().collect();
        for key in gone {
            self.deleted(&key, session)?;
        }
        let objects: Vec<(Key, Result<Object, ClientError>)> =
            listing.items.into_iter().map(|stored| (stored.key.clone(), decoded(stored))).collect();
        if matches!(self.format, GetFormat::Table { .. } | GetFormat::Columns(_)) {
            let asked = objects.iter().filter_map(|(_, object)| object.as_ref().ok()).filter(|one| self.asks(one));
            for object in asked.collect::<Vec<_>>() {
                self.rows.widen(object, self.format, self.printing)?;
            }
        }
        objects.into_iter().try_for_each(|(key, object)| self.put(key, object, session))
    }

    fn take(&mut self, event: Event, session: &mut Session) -> anyhow::Result<()> {
        match event {
            Event::Put(stored) => self.put(stored.key.clone(), decoded(stored), session),
            Event::Deleted(key, _) => self.deleted(&key, session),
        }
    }

    /// Whether an object is asked for.
    fn asks(&self, object: &Object) -> bool {
        self.requests.iter().any(|request| request.names(&object.key()))
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&object.metadata.labels))
    }

    fn put(&mut self, key: Key, object: Result<Object, ClientError>, session: &mut Session) -> anyhow::Result<()> {
        let object = match object {
            Ok(object) => object,
            Err(error) => {
                if self.requests.iter().any(|request| request.names(&key)) {
                    session.terminal.note(format_args!("warning[unreadable]: {error}"));
                }
                return Ok(());
            }
        };
        if !self.asks(&object) {
            return self.deleted(&key, session);
        }
        let word = match self.known.get(&key) {
            Some(known) if *known == object => return Ok(()),
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        self.tell(word, &object, session)?;
        self.known.insert(key, object);
        Ok(())
    }

    fn deleted(&mut self, key: &Key, session: &mut Session) -> anyhow::Result<()> {
        match self.known.remove(key) {
            Some(object) => self.tell("DELETED", &object, session),
            None => Ok(()),
        }
    }

    fn tell(&mut self, word: &'static str, object: &Object, session: &mut Session) -> anyhow::Result<()> {
        let event = || json!({ "type": word, "object": encode::shown(object) });
        match self.format {
            GetFormat::Yaml => session.terminal.print(&format!("---\n{}", write::yaml(&event()))),
            GetFormat::Json => session.terminal.print(&(encode::go_json(&event(), false) + "\n")),
            GetFormat::JsonPath(template) => session.terminal.print(&template.render(&encode::shown(object))),
            GetFormat::Name => session.terminal.line(format_args!("{word} {}", object.key().as_argument())),
            GetFormat::Table { .. } | GetFormat::Columns(_) => {
                let text = self.rows.event(word, object, self.format, self.printing)?;
                session.terminal.print(&text);
            }
        }
        Ok(())
    }
}

/// The object as users see it.
fn decoded(stored: Stored) -> Result<Object, ClientError> {
    let key = stored.key.clone();
    let listing = Listing { position: Position::default(), items: vec![stored] };
    let mut all = Client::new(Arc::new(MemoryStore::holding(listing))).list(&Selection::default())?;
    match (all.objects.pop(), all.unreadable.pop()) {
        (Some(object), _) => Ok(object),
        (None, Some(error)) => Err(error),
        (None, None) => Err(ClientError::Missing { key, at: None }),
    }
}

/// Prints that the store is lost, and up to which revision changes were shown.
fn lost(error: &StoreError, told: &Position, session: &mut Session) -> anyhow::Error {
    session.terminal.error(format_args!("the store is lost: {error}; changes after revision {told} are not shown"));
    reported()
}
