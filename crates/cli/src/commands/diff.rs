//! `diff`: what would change if manifests were applied, or objects deleted, and what that means. Nothing is written.
//!
//! Exit status 0: nothing changes, 1: something does, 2: that could not be found out.

use std::sync::Arc;

use clap::Args;
use tortie_api::Key;
use tortie_client::{Change, Client};
use tortie_store::memory::MemoryStore;
use tortie_store::{Listing, Selection};

use crate::args::{Files, Format, Place};
use crate::commands::{apply, delete};
use crate::diagnose::name_of;
use crate::guard;
use crate::in_force::{self, Wanted};
use crate::meaning::Meaning;
use crate::report::{Exit, Usage};
use crate::session::Session;
use crate::store::Link;

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// With --delete: the kind and the names of objects, or KIND/NAME...
    #[arg(value_name = "KIND NAME", requires = "delete")]
    targets: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    place: Place,
    /// As if the objects were deleted, not applied
    #[arg(long)]
    delete: bool,
    /// Only the store: the agent of this machine is not asked what is in force
    #[arg(long)]
    from_store: bool,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Tells what would change. What keeps it from an answer must not pass for a change, which is exit status 1.
pub(crate) fn run(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    diff(args, session).or_else(|error| {
        session.terminal.fail(&error);
        Ok(Exit::Unanswered)
    })
}

fn diff(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.files.filename.is_empty() && args.targets.is_empty() {
        return Err(Usage("diff needs manifests with -f, or --delete KIND NAME".to_owned()).into());
    }
    if !args.files.filename.is_empty() && !args.targets.is_empty() {
        return Err(Usage("diff takes KIND NAME or -f, not both".to_owned()).into());
    }
    let wanted = Wanted { from_store: args.from_store, may_be_absent: !args.delete };
    let link = Link::find(session, &args.place)?;
    let sources = in_force::load(&link, wanted, session)?;
    let client = Client::new(Arc::new(MemoryStore::holding(sources.listing.clone())));
    let Some((after, unchanged)) = after(args, &client, session)? else { return Ok(Exit::Unanswered) };
    let meaning = Meaning::of(&sources, &sources.listing, &after);
    let losses = guard::losses(&link, &sources, &after, session);
    match args.output {
        Format::Json => {
            let mut json = meaning.json(&unchanged);
            json["lockOut"] = losses.into();
            session.terminal.line(format_args!("{json:#}"));
        }
        Format::Text => {
            for change in &meaning.objects {
                session.terminal.line(format_args!("{} {}", name_of(&change.key), change.word));
                meaning.fields(&change.key).for_each(|field| session.terminal.line(field));
            }
            unchanged.iter().for_each(|key| session.terminal.line(format_args!("{} unchanged", name_of(key))));
            meaning.show(session);
            losses.iter().for_each(|loss| session.terminal.line(format_args!("\nthis would {loss}")));
        }
    }
    Ok(if meaning.is_nothing() { Exit::Done } else { Exit::Failed })
}

/// The content of the store after the change, and the given objects that stay as they are. None when the change would be
/// refused: that has been said.
fn after(args: &DiffArgs, client: &Client, session: &mut Session) -> anyhow::Result<Option<(Listing, Vec<Key>)>> {
    if args.delete {
        let is_done = delete::preview(&args.targets, &args.files, &args.place, client, session)?;
        return Ok(if is_done { Some((client.store().list(&Selection::default())?, Vec::new())) } else { None });
    }
    let Some(preview) = apply::preview("diff", &args.files, &args.place, client, session)? else { return Ok(None) };
    let unchanged = preview.outcomes.into_iter().filter(|(_, change)| *change == Change::Unchanged);
    Ok(Some((preview.stored, unchanged.map(|(key, _)| key).collect())))
}
