//! The store of this call: which one is meant, and a client of it.

mod choice;
mod opener;
pub(crate) mod transfer;

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::fs::Access;
use tortie_agent::FELIX_CONFIG;
use tortie_agent::config::felix_cfg;
use tortie_agent::status::{StoreState, is_same_store};
use tortie_api::{Key, Kind};
use tortie_client::Client;
use tortie_store::{Definitions, History, Store};
use tortie_store_etcd::{EtcdStore, RawSettings, Settings};
use tortie_store_kube::{KubeStore, RawSettings as RawKubernetes, SettingsError};
use tortie_store_sqlite::SqliteStore;

use crate::args::StoreArgs;
use crate::ask::Agent;
use crate::author::author;
use crate::calico_api_config;
use crate::session::Session;
use crate::terminal::NoStore;
use choice::{Asked, Choice, StoreKind};

/// The version of Calico whose data we speak.
pub(crate) const CALICO_VERSION: &str = "v3.32.0";

/// The store of this call, opened if it can be.
pub(crate) struct StoreAccess {
    choice: Choice,
    opened: Result<Opened, NoStore>,
    /// The definitions of the store, once it was asked for them.
    definitions: OnceCell<Definitions>,
}

/// A store that is open.
#[derive(Clone)]
enum Opened {
    Embedded(Arc<SqliteStore>),
    Etcd(Arc<EtcdStore>),
    Kubernetes(Arc<KubeStore>),
}

impl Opened {
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Etcd(store) => store.clone(),
            Self::Kubernetes(store) => store.clone(),
        }
    }

    /// The path of an embedded store that does not exist yet.
    fn missing(&self) -> Option<&Path> {
        match self {
            Self::Embedded(store) => Some(store.path()).filter(|path| !path.exists()),
            Self::Etcd(_) | Self::Kubernetes(_) => None,
        }
    }
}

/// How long a command goes on trying to reach etcd.
const ETCD_RETRY_TIME: Duration = Duration::from_secs(5);

impl StoreAccess {
    /// Finds out which store is meant, and opens it. A configuration that cannot be read is an error at once; a store
    /// that cannot be used is one only when it is needed.
    pub(crate) fn find(session: &mut Session, store: &StoreArgs) -> anyhow::Result<StoreAccess> {
        Self::find_by(session, &store.config)
    }

    /// Finds the store for commands without a namespace.
    pub(crate) fn find_by(session: &mut Session, config: &Path) -> anyhow::Result<StoreAccess> {
        Self::find_as(session, config, Path::new(FELIX_CONFIG))
    }

    /// Finds the store that an agent with these files follows.
    pub(crate) fn find_as(session: &mut Session, config: &Path, felix: &Path) -> anyhow::Result<StoreAccess> {
        let choice = choose(session, config, felix)?;
        let access = StoreAccess { opened: open(choice.clone()), choice, definitions: OnceCell::new() };
        if let Ok(opened) = &access.opened
            && let Some(history) = opened.store().history()
        {
            history.set_author(author(session.persona, "", None));
        }
        Ok(access)
    }

    /// The URLs of the servers of this store: none of an embedded one. The error says why they are not known.
    pub(crate) fn urls(&self) -> Result<Vec<String>, String> {
        match &self.choice.kind {
            StoreKind::Embedded(_) | StoreKind::Unknown(_) => Ok(Vec::new()),
            StoreKind::Etcd(given) => {
                let settings = Settings::try_from((**given).clone()).map_err(|error| error.to_string())?;
                match settings.discovery {
                    Some((domain, _)) => Err(format!("SRV records of {domain} name them")),
                    None => Ok(settings.endpoints),
                }
            }
            StoreKind::Kubernetes(given) => Ok(vec![kubernetes(given).map_err(|error| error.to_string())?.server]),
        }
    }

    /// The history of a store that keeps one.
    pub(crate) fn history<'a>(&self, store: &'a dyn Store) -> anyhow::Result<&'a dyn History> {
        store.history().ok_or_else(|| {
            anyhow::anyhow!(
                "{} keeps no history of who changed what, and nothing to take back: only the embedded store and etcd do. \
                 `tortie backup` before a change keeps what was there",
                store.describe()
            )
        })
    }

    /// A client that writes, or in a dry run only says what it would.
    pub(crate) fn writer(&self, dry_run: bool) -> anyhow::Result<Client> {
        let client = self.reader()?;
        Ok(if dry_run { client.dry_run() } else { client })
    }

    /// A client to read with.
    pub(crate) fn reader(&self) -> anyhow::Result<Client> {
        Ok(Client::new(self.opened()?.store()))
    }

    /// The store itself, for who moves its bytes.
    pub(crate) fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.opened()?.store())
    }

    /// The store itself, which must exist: a question about one that does not must not be answered as of an empty one.
    pub(crate) fn existing(&self) -> anyhow::Result<Arc<dyn Store>> {
        match self.absent() {
            Some(absent) => Err(NoStore(absent).into()),
            None => Ok(self.opened()?.store()),
        }
    }

    /// What the store is, for messages.
    pub(crate) fn describe(&self) -> anyhow::Result<String> {
        let opened = self.opened()?;
        Ok(match opened {
            Opened::Embedded(store) => {
                let absent = match opened.missing() {
                    Some(_) if self.is_gone() => ", which does not exist any more",
                    Some(_) => ", not made yet",
                    None => "",
                };
                format!("embedded, {}{absent}", store.path().display())
            }
            Opened::Etcd(store) => store.describe(),
            Opened::Kubernetes(store) => store.describe(),
        })
    }

    /// Notes that this call created the store, if it did.
    pub(crate) fn announce(&self, session: &mut Session) {
        if let Ok(Opened::Embedded(store)) = &self.opened
            && store.created()
        {
            session.terminal.note(format_args!("created a new store: {}", store.path().display()));
        }
    }

    /// What is to be said when there is no store and manifests are answered as if they were applied.
    pub(crate) fn empty(&self) -> Option<String> {
        if let Some(undefined) = self.undefined() {
            return Some(undefined);
        }
        let path = self.opened.as_ref().ok()?.missing()?.display();
        let beside = match self.is_gone() {
            true => " any more: only these manifests were looked at, not what the agent of this machine keeps in force",
            false => " yet: only these manifests were looked at",
        };
        Some(format!("there is no store at {path}{beside}"))
    }

    /// What is to be said when there is no store.
    pub(crate) fn absent(&self) -> Option<String> {
        if let Some(undefined) = self.undefined() {
            return Some(undefined);
        }
        let path = self.opened.as_ref().ok()?.missing()?;
        Some(if self.is_gone() { gone(path) } else { absent(path) })
    }

    /// The definitions of what people write, which a store is asked for once. None of one that cannot be reached.
    fn definitions(&self) -> Option<&Definitions> {
        if let Some(known) = self.definitions.get() {
            return Some(known);
        }
        let found = self.opened.as_ref().ok()?.store().definitions().ok()?;
        Some(self.definitions.get_or_init(|| found))
    }

    /// What is to be said of a store without the definitions of what people write.
    fn undefined(&self) -> Option<String> {
        match self.definitions()? {
            Definitions::Missing(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// What is to be said of a store where objects are not read because they are defined twice.
    pub(crate) fn defined_twice(&self) -> Option<String> {
        match self.definitions()? {
            Definitions::Twice { text, has_unread: true } => Some(text.clone()),
            _ => None,
        }
    }

    /// Whether the agent of this machine follows this store and has read it.
    fn is_gone(&self) -> bool {
        let followed = Agent::soon().store().ok().flatten();
        let followed = followed.filter(|status| self.name().is_ok_and(|name| is_same_store(&name, &status.name)));
        followed.is_some_and(|status| !matches!(status.state, StoreState::Missing | StoreState::Waiting))
    }

    /// Notes that the store does not exist, after a command that found nothing.
    pub(crate) fn mention_absent(&self, session: &mut Session) {
        let absent = self.absent().filter(|_| !session.persona.is_calicoctl());
        absent.into_iter().for_each(|text| session.terminal.note(text));
    }

    /// Notes what the store holds under keys that tortie does not know.
    pub(crate) fn mention_unread(&self, session: &mut Session) {
        if let Ok(opened) = &self.opened {
            for line in opened.store().unread() {
                session.terminal.note(format_args!("warning[unreadable]: {line}"));
            }
        }
    }

    /// The store, if it is the Kubernetes API.
    pub(crate) fn kubernetes(&self) -> Option<Arc<KubeStore>> {
        match &self.opened {
            Ok(Opened::Kubernetes(store)) => Some(store.clone()),
            _ => None,
        }
    }

    /// The kind of store, as `DATASTORE_TYPE` names it.
    pub(crate) fn kind(&self) -> anyhow::Result<&'static str> {
        Ok(match self.opened()? {
            Opened::Embedded(_) => "embedded",
            Opened::Etcd(_) => "etcdv3",
            Opened::Kubernetes(_) => "kubernetes",
        })
    }

    /// As calicoctl: a cluster of another version is left alone.
    pub(crate) fn check_version(&self, session: &Session) -> anyhow::Result<()> {
        let Ok(client) = self.reader() else { return Ok(()) };
        if !session.persona.is_calicoctl() || session.global.allow_version_mismatch {
            return Ok(());
        }
        let key = Key::cluster(Kind::ClusterInformation, "default");
        let information = match client.get(&key) {
            Ok(found) => found.object,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => anyhow::bail!(
                "unable to get Cluster Information to verify version mismatch: {error}\n\
                 Use --allow-version-mismatch to override"
            ),
        };
        let cluster = information.body.get("spec").and_then(|spec| spec.get("calicoVersion"));
        let cluster = plain(cluster.and_then(|version| version.as_str()).unwrap_or_default());
        if cluster.is_empty() || cluster == plain(CALICO_VERSION) {
            return Ok(());
        }
        anyhow::bail!(
            "version mismatch.\nClient Version:   {CALICO_VERSION}\nCluster Version:  {cluster}\n\
             Use --allow-version-mismatch to override"
        )
    }

    fn opened(&self) -> anyhow::Result<&Opened> {
        self.opened.as_ref().map_err(|error| NoStore(error.0.clone()).into())
    }
}

/// Finds out which store is meant; `felix` is the file of Calico's agent, which may not exist.
fn choose(session: &mut Session, config: &Path, felix: &Path) -> anyhow::Result<Choice> {
    let file = calico_api_config::load(config, session)?;
    let settings = if session.persona.is_calicoctl() { None } else { felix_settings(felix)? };
    let mut choice = choice::choose(&Asked {
        persona: session.persona,
        store: session.global.store.as_deref(),
        file: file.as_ref().map(|spec| (config, spec)),
        env: &|name| std::env::var(name).ok(),
        felix: settings.as_deref().map(|settings| (felix, settings)),
    });
    if let Some(context) = session.global.context() {
        choice.use_context(context)?;
    }
    Ok(choice)
}

/// What stands in Felix's file. One that this user may not read is no reason to stop: it then chooses no store.
fn felix_settings(path: &Path) -> anyhow::Result<Option<Vec<(String, String)>>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let settings = felix_cfg(&text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(settings))
}

/// What is said of a store that the agent of this machine follows, and that does not exist any more.
fn gone(path: &Path) -> String {
    format!(
        "there is no store at {} any more: the agent of this machine follows it and keeps in force what it held last; \
         `tortie restore FILE` makes it anew from a backup",
        path.display()
    )
}

/// The message that no embedded store exists at a path, and whether an apply would create it.
fn absent(path: &Path) -> String {
    let shown = path.display();
    let here = || path.ancestors().skip(1).map(|one| if one == Path::new("") { Path::new(".") } else { one });
    let Some(existing) = here().find(|one| one.exists()) else { return format!("there is no store at {shown}") };
    let directory = existing.display();
    if !existing.is_dir() {
        return format!("there is no store at {shown}, and none can be made: {directory} is not a directory");
    }
    if rustix::fs::access(existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return format!("there is no store at {shown}, and this user cannot make one: {directory} is not writable");
    }
    let missing = here().take_while(|one| *one != existing).last();
    let with = missing.map_or_else(String::new, |one| format!(", with the directory {}", one.display()));
    format!("there is no store at {shown} yet; the first apply creates it{with}")
}

/// `v3.32.0-1-gabc` is `3.32.0`.
fn plain(version: &str) -> &str {
    version.trim_start_matches('v').split('-').next().unwrap_or_default()
}

/// What names the cluster that the configuration or the environment leads to, and what one of another context begins with.
const KUBERNETES: &str = "kubernetes";

/// Opens the embedded store at this path, etcd at these URLs or, for `kubernetes` and `kubernetes:CONTEXT`, the API of
/// Kubernetes, in the way that the configuration knows.
pub(crate) fn open_place(place: &str, session: &mut Session, config: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let kind = if place.starts_with("http://") || place.starts_with("https://") {
        let file = calico_api_config::load(config, session)?;
        let known = file.map_or_else(|| choice::etcd_env(&|name| std::env::var(name).ok()), |spec| spec.etcd);
        StoreKind::Etcd(Box::new(RawSettings { endpoints: place.to_owned(), discovery_srv: String::new(), ..known }))
    } else if let Some(context) = kubernetes_context(place) {
        let file = calico_api_config::load(config, session)?;
        let env = choice::kubernetes_env(&|name| std::env::var(name).ok());
        let known = file.map_or(env.clone(), |spec| RawKubernetes { home: env.home, ..spec.kubernetes });
        let context = match (context, session.global.context()) {
            ("", Some(context)) => context.to_owned(),
            ("", None) => known.context,
            (context, _) => context.to_owned(),
        };
        StoreKind::Kubernetes(Box::new(RawKubernetes { context, ..known }))
    } else {
        StoreKind::Embedded(place.into())
    };
    Ok(open(Choice { kind, by: "the command line".to_owned() })?.store())
}

/// The context that a place in Kubernetes names, empty for the one that is set; none for another place.
fn kubernetes_context(place: &str) -> Option<&str> {
    let rest = place.strip_prefix(KUBERNETES)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(':') }
}

/// Whether `--context` is used in this place.
pub(crate) fn takes_context(place: &str) -> bool {
    kubernetes_context(place).is_some_and(str::is_empty)
}

/// The Kubernetes whose objects are copied into another store: that of this kubeconfig file, that of the cluster that this process is
/// a pod of, or that of `KUBECONFIG` in the environment.
pub(crate) fn kubernetes_to_copy(
    kubeconfig: Option<&Path>,
    in_cluster: bool,
) -> anyhow::Result<Option<Arc<dyn Store>>> {
    let env = choice::kubernetes_env(&|name| std::env::var(name).ok());
    let given = match kubeconfig {
        _ if in_cluster => RawKubernetes::default(),
        Some(file) => RawKubernetes { kubeconfig: file.display().to_string(), ..env },
        None if env.kubeconfig.is_empty() => return Ok(None),
        None => env,
    };
    let error = |error: SettingsError| NoStore(format!("cannot copy from Kubernetes: {error}"));
    let settings = tortie_store_kube::Settings { patience: ETCD_RETRY_TIME, ..kubernetes(&given).map_err(error)? };
    Ok(Some(Arc::new(KubeStore::new(settings).map_err(error)?)))
}

fn open(choice: Choice) -> Result<Opened, NoStore> {
    let Choice { kind, by } = choice;
    match kind {
        StoreKind::Embedded(path) => SqliteStore::open(path)
            .map(|store| Opened::Embedded(store.into()))
            .map_err(|error| NoStore(error.to_string())),
        StoreKind::Etcd(given) => {
            let settings = Settings::try_from(*given).map_err(|error| NoStore(error.to_string()))?;
            let store = EtcdStore::connect(Settings { call_timeout: ETCD_RETRY_TIME, ..settings });
            store
                .map(|store| Opened::Etcd(store.into()))
                .map_err(|error| NoStore(format!("{error} (the store is etcd by {by})")))
        }
        StoreKind::Kubernetes(given) => {
            let error = |error: SettingsError| NoStore(format!("{error} (the store is Kubernetes by {by})"));
            let settings = kubernetes(&given).map_err(error)?;
            let store = KubeStore::new(tortie_store_kube::Settings { patience: ETCD_RETRY_TIME, ..settings });
            store.map(|store| Opened::Kubernetes(store.into())).map_err(error)
        }
        StoreKind::Unknown(word) => Err(NoStore(format!(
            "there is no kind of store named '{word}' ({by}); it is embedded, etcdv3 or kubernetes"
        ))),
    }
}

/// The way to Kubernetes, as it is meant.
fn kubernetes(given: &tortie_store_kube::RawSettings) -> Result<tortie_store_kube::Settings, SettingsError> {
    tortie_store_kube::Settings::new(given, &|name| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_creation_of_a_store_is_announced_only_where_it_can_be_created() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| absent(&place.path().join(name));
        assert!(at("t.db").ends_with("t.db yet; the first apply creates it"), "{}", at("t.db"));
        let said = at("a/b/t.db");
        assert!(
            said.ends_with(&format!("creates it, with the directory {}", place.path().join("a").display())),
            "{said}"
        );
        std::fs::write(place.path().join("file"), "").unwrap();
        assert!(at("file/t.db").ends_with("/file is not a directory"), "{}", at("file/t.db"));
        assert!(absent(Path::new("t.db")).contains("the first apply"), "a bare name is in this directory");
    }
}
