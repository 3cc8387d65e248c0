//! `version`: of this program, and of the store it talks to.

use clap::Args;
use tortie_api::{Key, Kind, Object, duration};
use tortie_client::Client;

use crate::session::Session;
use crate::store::{CALICO_VERSION, StoreAccess};
use crate::terminal::{Exit, Usage};

/// The commit that this program was built from; `unknown` where the build could not tell.
const COMMIT: &str = env!("TORTIE_COMMIT");

/// Arguments of `version`.
#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: std::path::PathBuf,
    /// Ask the store again and again, this far apart: 5s, 1m
    #[arg(long, value_name = "TIME")]
    poll: Option<String>,
    /// Do not ask the store
    #[arg(long)]
    client: bool,
}

/// Prints the versions.
pub(crate) fn run(args: &VersionArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let invalid = |text| Usage(format!("invalid poll duration specified: {text}"));
    let parse = if session.persona.is_calicoctl() { duration::parse } else { duration::positive };
    let poll = args.poll.as_deref().map(|text| parse(text).map_err(|_| invalid(text))).transpose()?;
    if session.persona.is_calicoctl() {
        let version = format!("{CALICO_VERSION}-tortie-{}", env!("CARGO_PKG_VERSION"));
        session.terminal.line(format_args!("Client Version:    {version}"));
        session.terminal.line(format_args!("Git commit:        {COMMIT}"));
    } else {
        session.terminal.line(format_args!("tortie {}, commit {COMMIT}", env!("CARGO_PKG_VERSION")));
        session.terminal.line(format_args!("speaks projectcalico.org/v3 as Calico {CALICO_VERSION} does"));
    }
    if args.client {
        return Ok(Exit::Done);
    }
    let access = StoreAccess::find_by(session, &args.config)?;
    let client = access.reader()?;
    if !session.persona.is_calicoctl() {
        let store = access.describe()?;
        session.terminal.line(format_args!("store: {store}"));
    }
    let mut seen = (String::new(), String::new());
    loop {
        let result = look(&client, &mut seen, session);
        let Some(pause) = poll else { return result };
        if let Err(error) = result {
            session.terminal.error(format_args!("{error:#}"));
            seen = Default::default();
        }
        session.terminal.flush();
        std::thread::sleep(pause);
    }
}

fn look(client: &Client, seen: &mut (String, String), session: &mut Session) -> anyhow::Result<Exit> {
    let key = Key::cluster(Kind::ClusterInformation, "default");
    let calico = session.persona.is_calicoctl();
    let information = match client.get(&key) {
        Ok(found) => found.object,
        Err(error) if error.is_missing() && !calico => return Ok(Exit::Done),
        Err(error) => anyhow::bail!("unable to retrieve Cluster Version or Type: {error}"),
    };
    if !calico {
        let ready = information.body.get("spec").and_then(|spec| spec.get("datastoreReady"));
        let locked = ready.and_then(serde_json::Value::as_bool) == Some(false);
        session.terminal.line(format_args!("state: {}", if locked { "locked" } else { "ready" }));
        return Ok(Exit::Done);
    }
    let version = field(&information, "calicoVersion");
    let cluster_type = field(&information, "clusterType");
    if seen.0 != version {
        session.terminal.line(format_args!("Cluster Version:   {version}"));
    }
    if seen.1 != cluster_type {
        session.terminal.line(format_args!("Cluster Type:      {cluster_type}"));
    }
    *seen = (version, cluster_type);
    Ok(Exit::Done)
}

fn field(information: &Object, name: &str) -> String {
    let value = information.body.get("spec").and_then(|spec| spec.get(name)).and_then(serde_json::Value::as_str);
    value.filter(|text| !text.is_empty()).unwrap_or("unknown").to_owned()
}
