//! `apply --prune`: of the kinds in the files, only the objects in the files stay.
//!
//! A stored object of such a kind (and, for namespaced kinds, in a namespace of the files) that is in no file is
//! deleted with the same batch that writes the files. Objects that programs manage, and the initial objects of a store, stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tortie_api::{Key, Kind, Object};
use tortie_client::{Client, Extent, Outcome, Target, is_built_in, is_initial_tier};
use tortie_store::Selection;

use crate::args::Files;
use crate::input;
use crate::managed_by::owner;
use crate::problem_text;
use crate::session::Session;
use crate::terminal::counted;

/// The stored objects that the files leave out.
pub(super) struct LeftOut {
    /// The objects to delete, each only if it is unchanged until then.
    pub(super) targets: Vec<Target>,
    /// The objects that stay, by the reason.
    kept: BTreeMap<&'static str, Vec<Key>>,
}

/// Finds the stored objects that the files leave out.
pub(super) fn left_out(client: &Client, objects: &[Object]) -> anyhow::Result<LeftOut> {
    let given: BTreeSet<Key> = objects.iter().map(|one| client.key_of(one).unwrap_or_else(|_| one.key())).collect();
    let places: BTreeSet<(Kind, &str)> =
        objects.iter().map(|one| (one.kind, one.metadata.namespace.as_str())).collect();
    let mut found = LeftOut { targets: Vec::new(), kept: BTreeMap::new() };
    for (kind, namespace) in places {
        let namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        let stored = client.list(&Selection { kind: Some(kind), namespace, ..Selection::default() })?;
        for object in stored.objects {
            let key = object.key();
            if given.contains(&key) {
                continue;
            }
            match reason_to_stay(&object) {
                Some(reason) => found.kept.entry(reason).or_default().push(key),
                None => found.targets.push(Target { key, resource_version: object.metadata.resource_version }),
            }
        }
        for error in &stored.unreadable {
            if let tortie_client::ClientError::Unreadable { key, .. } = error
                && !given.contains(key)
            {
                found.kept.entry("they cannot be read").or_default().push(key.clone());
            }
        }
    }
    Ok(found)
}

/// Why an object is not deleted although the files leave it out.
fn reason_to_stay(object: &Object) -> Option<&'static str> {
    match object.kind {
        Kind::ClusterInformation | Kind::Node | Kind::CalicoNodeStatus => {
            Some("they are about the machines themselves")
        }
        Kind::IPPool | Kind::BlockAffinity | Kind::IPAMConfiguration => Some("addresses may be in use"),
        Kind::Tier if is_initial_tier(&object.metadata.name) => Some("every store has them"),
        Kind::Profile if is_built_in(&object.key()) => Some("they are built in"),
        Kind::WorkloadEndpoint => Some("an orchestrator manages workload endpoints"),
        _ => owner(object).map(|_| "a program manages them"),
    }
}

impl LeftOut {
    /// Prints which objects stay although no file has them, except those that every store has.
    pub(super) fn show_kept(&self, session: &mut Session) {
        let own = ["every store has them", "they are built in"];
        for (reason, keys) in self.kept.iter().filter(|(reason, _)| !own.contains(reason)) {
            let names = tortie_explain::shortened(keys.iter().map(Key::as_argument), 5);
            session.terminal.note(format_args!("not deleted, because {reason}: {names}"));
        }
    }

    /// Prints what would be deleted, and how to confirm that.
    pub(super) fn ask(&self, session: &mut Session) {
        for target in &self.targets {
            session.terminal.line(format_args!("{} would be deleted: it is in no file", target.key.as_argument()));
        }
        if self.targets.is_empty() {
            session.terminal.error(
                "nothing was written: no stored object would be deleted; --yes writes the files, and so does apply without --prune",
            );
            return;
        }
        let count = counted(self.targets.len(), "stored object");
        session.terminal.error(format_args!(
            "nothing was written: {count} of the kinds in the files would be deleted; --dry-run shows what that means, --yes does it"
        ));
    }
}

/// A subdirectory with manifests that are not read.
pub(super) fn unread_folder(files: &Files) -> Option<String> {
    if files.recursive {
        return None;
    }
    let below = |folder: &String| {
        let read: BTreeSet<String> = input::manifests_in(folder, false).into_iter().collect();
        let unread = input::manifests_in(folder, true).into_iter().find(|path| !read.contains(path))?;
        Some(Path::new(&unread).parent()?.display().to_string())
    };
    files.filename.iter().find_map(below)
}

/// Prints the outcome for the objects that the files leave out. Returns whether one could not be deleted.
pub(super) fn report(removed: &[Outcome], extent: Extent, dry_run: bool, session: &mut Session) -> bool {
    let would = if dry_run { " (dry run)" } else { "" };
    for outcome in removed.iter().filter(|_| extent != Extent::Nothing) {
        let Ok(done) = &outcome.result else { continue };
        session.terminal.line(format_args!("{} {}{would}", outcome.key.as_argument(), super::super::word(done.change)));
        for key in &done.along {
            session.terminal.line(format_args!("{} deleted with it{would}", key.as_argument()));
        }
    }
    let failed = show_errors(removed, session);
    if failed {
        let was = if dry_run { "would be" } else { "was" };
        session.terminal.error(format_args!("nothing {was} written"));
    }
    failed
}

/// Prints which of the objects that the files leave out could not be deleted. Returns whether there is one.
pub(super) fn show_errors(removed: &[Outcome], session: &mut Session) -> bool {
    let mut failed = false;
    for outcome in removed {
        match &outcome.result {
            // The object that prevented it is reported with its file.
            Ok(_) | Err(tortie_client::ClientError::Unfinished { .. }) => {}
            Err(error) => {
                failed = true;
                session.terminal.error(problem_text::line(error, &outcome.key));
            }
        }
    }
    failed
}
