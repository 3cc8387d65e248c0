//! `controllers`: makes automatic host endpoints and copies of what Kubernetes has, in one process for all nodes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tortie_agent::daemon::Served;
use tortie_agent::{FELIX_CONFIG, LogFormat};
use tortie_api::{Kind, duration};
use tortie_controllers::{Enabled, Environment, Options};
use tortie_store::{Author, Operation, Store};

use crate::args::TextOrJson;
use crate::author::author;
use crate::commands::undo;
use crate::session::Session;
use crate::store::{self, StoreAccess};
use crate::terminal::{Exit, Usage};

/// The variable that says which controllers run, as for Calico's.
const ENABLED: &str = "ENABLED_CONTROLLERS";
/// The variable that says whether every node gets its host endpoint, as for Calico's.
const HOST_ENDPOINTS: &str = "AUTO_HOST_ENDPOINTS";
/// The variable that says whether nodes get the labels that they have in Kubernetes, as for Calico's.
const NODE_LABELS: &str = "SYNC_NODE_LABELS";

/// Arguments of `controllers`.
#[derive(Args, Debug)]
pub(crate) struct ControllersArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
    /// Copy namespaces, service accounts, NetworkPolicies and labels of pods and nodes of the cluster that this kubeconfig file names into the store, which is
    /// not Kubernetes itself; default: KUBECONFIG in the environment
    #[arg(long, value_name = "FILE", conflicts_with = "in_cluster")]
    kubeconfig: Option<PathBuf>,
    /// Copy these of the cluster that this process is a pod of
    #[arg(long)]
    in_cluster: bool,
    /// How long the lease of a leader lasts that ends without releasing it: then another process takes over
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = lease_time)]
    lease: Duration,
    /// The ADDRESS:PORT that serves /liveness, /readiness and /metrics; :PORT means all addresses of this machine
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// How to write the log: text, or json for one object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: TextOrJson,
}

/// Reads how long a lease lasts. Stores keep whole seconds.
fn lease_time(typed: &str) -> Result<Duration, String> {
    let time = duration::parse(typed).map_err(|_| format!("\"{typed}\" is not a time such as 15s or 2m"))?;
    let is_possible = (5..=3600).contains(&time.as_secs()) && time.subsec_nanos() == 0;
    is_possible.then_some(time).ok_or_else(|| format!("\"{typed}\" must be whole seconds, from 5s to 1h"))
}

/// Runs the controllers until they are told to end.
pub(crate) fn run(args: &ControllersArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let listen = args.listen.as_deref().map(served).transpose()?;
    let (opener, _) = StoreAccess::opener(session, &args.config, Path::new(FELIX_CONFIG))?;
    let store = opener()?;
    let kubernetes = kubernetes(args, &*store)?;
    let environment = environment()?;
    if let Some(history) = store.history() {
        // `undo` recognizes its changes by this command, whoever runs it: it would write them again.
        history.set_author(Author { command: undo::last::CONTROLLERS.to_owned(), ..author(session.persona, "", None) });
    }
    tortie_controllers::run(Options {
        store,
        kubernetes,
        environment,
        lease: args.lease,
        listen,
        log_format: match args.log_format {
            TextOrJson::Text => LogFormat::Text,
            TextOrJson::Json => LogFormat::Json,
        },
    })?;
    Ok(Exit::Done)
}

/// What the environment says, as for Calico's controllers.
fn environment() -> Result<Environment, Usage> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let only = set(ENABLED).map(|text| Enabled::named(&text)).transpose().map_err(|word| {
        Usage(format!(
            "{ENABLED}: there is no controller `{word}`; they are node, namespace, serviceaccount, policy and workloadendpoint"
        ))
    })?;
    let switch = |name: &str, read: fn(&str) -> Option<bool>, values: &str| {
        let one = |text: String| read(&text).ok_or_else(|| Usage(format!("{name}: `{text}` is neither {values}")));
        set(name).map(one).transpose()
    };
    Ok(Environment {
        only,
        host_endpoints: switch(HOST_ENDPOINTS, Environment::host_endpoints, "enabled nor disabled")?,
        sync_labels: switch(NODE_LABELS, Environment::sync_labels, "true nor false")?,
    })
}

/// The Kubernetes that is copied into the store: none if the store is Kubernetes itself, or none is named.
fn kubernetes(args: &ControllersArgs, store: &dyn Store) -> anyhow::Result<Option<Arc<dyn Store>>> {
    let is_asked_for = args.in_cluster || args.kubeconfig.is_some();
    // Kubernetes makes profiles of namespaces itself.
    if store.supports(Kind::Profile, Operation::Create).is_err() {
        if is_asked_for {
            let flag = if args.in_cluster { "--in-cluster" } else { "--kubeconfig" };
            let text = "is for a store that gets copies, etcd or the embedded store; this one is the";
            return Err(Usage(format!("{flag} {text} {}", store.describe())).into());
        }
        return Ok(None);
    }
    store::kubernetes_to_copy(args.kubeconfig.as_deref(), args.in_cluster)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_whole_seconds_from_five_to_an_hour() {
        for (typed, seconds) in [("5s", 5), ("1m30s", 90), ("1h", 3600)] {
            assert_eq!(lease_time(typed), Ok(Duration::from_secs(seconds)));
        }
        for typed in ["15", "4s", "5500ms", "1h1s", "-15s", ""] {
            let error = lease_time(typed).unwrap_err();
            assert!(error.contains(&format!("{typed:?}")) && error.contains("5s"), "{error}");
        }
    }
}
