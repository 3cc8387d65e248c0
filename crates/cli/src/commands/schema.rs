//! `schema`: the JSON schema of a kind, from the same types that read manifests.

use clap::Args;

use crate::session::Session;
use crate::target;
use crate::terminal::Exit;

/// Arguments of `schema`.
#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {
    /// The kind, in any spelling
    #[arg(value_name = "KIND")]
    kind: String,
}

/// Prints the schema.
pub(crate) fn run(args: &SchemaArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let kind = target::kind(&args.kind, session.persona)?;
    let schema = tortie_manifest::schema::json_schema(kind);
    session.terminal.line(serde_json::to_string_pretty(&schema)?);
    Ok(Exit::Done)
}
