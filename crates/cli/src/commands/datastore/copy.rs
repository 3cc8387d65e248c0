//! `datastore copy`: copies everything that both stores can hold into an empty store; between embedded stores and etcd byte
//! for byte. What the target cannot hold is listed before anything is written.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::session::Session;
use crate::store;
use crate::store::transfer::{self, Content, LeftOut, Plan};
use crate::terminal::{Exit, Usage, counted};

/// Arguments of `datastore copy`.
#[derive(Args, Debug)]
pub(super) struct CopyArgs {
    /// The store to read: the path of an embedded one, the URLs of etcd separated by commas, `kubernetes` or `kubernetes:CONTEXT`
    #[arg(value_name = "FROM")]
    from: String,
    /// The store to fill, named in the same way; it must be empty
    #[arg(value_name = "TO")]
    to: String,
    /// The file that says how to reach etcd or Kubernetes: user, certificates
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
}

/// Copies a store.
pub(super) fn run(args: &CopyArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if let Some(context) = session.global.context()
        && ![&args.from, &args.to].into_iter().any(|place| store::takes_context(place))
    {
        let text = "is for a place that is named `kubernetes`, and neither FROM nor TO is: `kubernetes:CONTEXT` names a context itself";
        return Err(Usage(format!("--context {context} {text}")).into());
    }
    let from = store::open_place(&args.from, session, &args.config)?;
    let to = store::open_place(&args.to, session, &args.config)?;
    if !from.exists() {
        anyhow::bail!("there is nothing to copy: the {} does not exist", from.describe());
    }
    let content = Content::of(&*from)?;
    for line in &content.unread {
        session.terminal.note(format_args!("warning[not-copied]: {line}"));
    }
    let plan = Plan::of(&*to, content.objects, &transfer::only_initial(&*to, "")?)?;
    for line in &plan.left_out {
        session.terminal.note(format_args!("warning[not-copied]: the {} cannot hold {line}", to.describe()));
    }
    if !plan.refused.is_empty() {
        for line in &plan.refused {
            session.terminal.error(format_args!("{line}"));
        }
        let count = counted(plan.refused.len(), "object");
        bail!("nothing was copied: the {} refuses {count}", to.describe());
    }
    transfer::fill(&*to, &plan.objects)?;
    let revision = match from.abilities().one_history {
        true => format!(" (revision {})", content.position),
        false => String::new(),
    };
    session.terminal.line(format_args!(
        "copied {} from {}{revision} to {}",
        counted(plan.objects.len(), "object"),
        from.describe(),
        to.describe()
    ));
    let is_missed = plan.left_out.iter().any(LeftOut::is_missed);
    if content.unread.is_empty() && !is_missed {
        return Ok(Exit::Done);
    }
    if !content.unread.is_empty() {
        let count = content.unread.len();
        let were = if count == 1 { "was" } else { "were" };
        session.terminal.error(format_args!("{} {were} not copied", counted(count, "key")));
    }
    if is_missed {
        session.terminal.error("not everything was copied: see the warnings");
    }
    Ok(Exit::Failed)
}
