//! `datastore copy`: everything from one store into another that is empty, byte for byte.

use std::path::PathBuf;

use clap::Args;

use crate::commands::transfer::{self, Content};
use crate::report::{Exit, counted};
use crate::session::Session;
use crate::store;

/// Arguments of `datastore copy`.
#[derive(Args, Debug)]
pub(super) struct CopyArgs {
    /// The store to read: the path of an embedded one, or the URLs of etcd separated by commas
    #[arg(value_name = "FROM")]
    from: String,
    /// The store to fill, named in the same way; it must be empty
    #[arg(value_name = "TO")]
    to: String,
    /// The file that says how to reach etcd: user, certificates
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
}

/// Copies.
pub(super) fn run(args: &CopyArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let from = store::open_place(&args.from, session, &args.config)?;
    let to = store::open_place(&args.to, session, &args.config)?;
    if !from.exists() {
        anyhow::bail!("there is nothing to copy: the {} does not exist", from.describe());
    }
    let content = Content::of(&*from)?;
    for line in &content.unread {
        session.terminal.note(format_args!("warning[not-copied]: {line}"));
    }
    transfer::fill(&*to, &content.objects)?;
    session.terminal.line(format_args!(
        "copied {} from {} (revision {}) to {}",
        counted(content.objects.len(), "object"),
        from.describe(),
        content.position,
        to.describe()
    ));
    if content.unread.is_empty() {
        return Ok(Exit::Done);
    }
    let count = content.unread.len();
    let were = if count == 1 { "was" } else { "were" };
    session.terminal.error(format_args!("{} {were} not copied", counted(count, "key")));
    Ok(Exit::Failed)
}
