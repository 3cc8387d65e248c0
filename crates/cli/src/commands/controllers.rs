//! `controllers`: makes automatic host endpoints, in one process for all nodes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tortie_agent::service::Served;
use tortie_agent::{FELIX_CONFIG, LogFormat};
use tortie_controllers::Options;
use tortie_store::Author;

use crate::args::TextOrJson;
use crate::author::author;
use crate::commands::undo;
use crate::report::{Exit, Usage};
use crate::session::Session;
use crate::store::Link;

/// Arguments of `controllers`.
#[derive(Args, Debug)]
pub(crate) struct ControllersArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
    /// How long the lease of a leader lasts that ends without releasing it, in seconds: then another process takes over
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=3600))]
    lease: u64,
    /// The ADDRESS:PORT that serves /liveness, /readiness and /metrics; :PORT means all addresses of this machine
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// How to write the log: text, or json for one object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: TextOrJson,
}

/// Runs the controllers until they are told to end.
pub(crate) fn run(args: &ControllersArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let listen = args.listen.as_deref().map(served).transpose()?;
    let (opener, _) = Link::opener(session, &args.config, Path::new(FELIX_CONFIG))?;
    let store = opener()?;
    if let Some(history) = store.history() {
        // `undo` recognizes its changes by this command, whoever runs it: it would write them again.
        history.set_author(Author { command: undo::last::CONTROLLERS.to_owned(), ..author(session.persona, "", None) });
    }
    tortie_controllers::run(Options {
        store,
        lease: Duration::from_secs(args.lease),
        listen,
        log_format: match args.log_format {
            TextOrJson::Text => LogFormat::Text,
            TextOrJson::Json => LogFormat::Json,
        },
    })?;
    Ok(Exit::Done)
}

/// Reads ADDRESS:PORT: an IPv6 address is in brackets, and no address means all.
fn served(text: &str) -> Result<Served, Usage> {
    let invalid = || Usage(format!("--listen {text}: not an address and a port, such as 127.0.0.1:9094 or :9094"));
    let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
    let port = port.parse().map_err(|_| invalid())?;
    let host = match host {
        // The unspecified IPv6 address includes IPv4, if the kernel has IPv6.
        "" if Path::new("/proc/net/if_inet6").exists() => "::",
        "" => "0.0.0.0",
        host if host.contains(':') && !host.starts_with('[') => return Err(invalid()),
        host => host,
    };
    Ok(Served { host: host.to_owned(), port, tls: None })
}
