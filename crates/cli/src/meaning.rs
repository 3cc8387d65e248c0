//! What a change of the store means: the objects field by field, the defaults of endpoints, and the packets that are judged
//! otherwise. `diff` and `--dry-run` tell it.

mod json;
mod text;

use tortie_api::{Key, Kind};
use tortie_client::{Client, is_initial_tier};
use tortie_diff::{DefaultChange, ObjectChange, ObjectWord, Verdicts, defaults, objects, verdicts};
use tortie_store::{Listing, Selection, Stored};

use crate::ask::Agent;
use crate::in_force::{self, Sources, Wanted};
use crate::session::Session;
use crate::store::Link;

/// What a change means.
pub(crate) struct Meaning {
    /// The objects that change.
    pub(crate) objects: Vec<ObjectChange>,
    /// The defaults that change.
    pub(crate) defaults: Vec<DefaultChange>,
    /// The packets that are judged otherwise.
    pub(crate) verdicts: Verdicts,
}

impl Meaning {
    /// Of a change from one content of a store to another.
    pub(crate) fn of(sources: &Sources, before: &Listing, after: &Listing) -> Self {
        let [old, new] = [before, after].map(|listing| sources.in_force(listing).snapshot);
        let host = sources.ground.as_ref().map(tortie_agent::LocalFacts::host);
        let mut objects = objects(&before.items, &after.items);
        objects.retain(|change| !(change.word == ObjectWord::Created && is_initial(&change.key, &before.items)));
        Self { objects, defaults: defaults(&old, &new), verdicts: verdicts(&old, &new, host.as_ref()) }
    }

    /// What a dry run of this client over a store would change. None where that cannot be found out, which has been said.
    pub(crate) fn of_dry_run(link: &Link, client: &Client, agent: &Agent, session: &mut Session) -> Option<Self> {
        let find_out = || -> anyhow::Result<Self> {
            let sources = in_force::sources(link, Wanted { from_store: false, may_be_absent: true }, agent)?;
            let after = client.store().list(&Selection::default())?;
            // What the agent enforces need not be what the store says.
            match sources.in_kernel {
                Some(_) => Ok(Self::of(&sources, &link.store()?.list(&Selection::default())?, &after)),
                None => Ok(Self::of(&sources, &sources.listing, &after)),
            }
        };
        let found = find_out();
        found.inspect_err(|error| session.terminal.note(format_args!("what it means is not known: {error:#}"))).ok()
    }

    /// Whether nothing changes.
    pub(crate) fn is_nothing(&self) -> bool {
        self.objects.is_empty()
    }

    /// The fields of one object that change.
    pub(crate) fn fields(&self, key: &Key) -> impl Iterator<Item = String> {
        let of = self.objects.iter().filter(move |change| change.key == *key);
        of.flat_map(|change| &change.fields).map(|field| format!("  {field}"))
    }
}

/// Whether an object is one that a store gets before its first one.
fn is_initial(key: &Key, before: &[Stored]) -> bool {
    let is_tier = key.kind == Kind::Tier && is_initial_tier(&key.name);
    key.kind == Kind::ClusterInformation || (is_tier && before.is_empty())
}
