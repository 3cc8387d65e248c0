//! Which store is meant.
//!
//! As calicoctl does it: the file given with `-c`, else the environment. What differs by persona is the end of the
//! search: calicoctl means Kubernetes, tortie means what Felix on this machine would use, else the embedded store.

use std::path::{Path, PathBuf};

use tortie_store_etcd::RawSettings;
use tortie_store_kube::RawSettings as KubeSettings;

use crate::calico_api_config::Spec;
use crate::persona::Persona;
use crate::terminal::Usage;

/// Where the embedded store is unless something else is said.
pub(crate) const DEFAULT_STORE: &str = "/var/lib/tortie/tortie.db";

/// A store, and what chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The store.
    pub(crate) kind: StoreKind,
    /// What chose it, for messages: `DATASTORE_TYPE in the environment`.
    pub(crate) by: String,
}

impl Choice {
    /// Makes it the cluster of a context of the kubeconfig, whatever the configuration and the environment say. If the store is none of
    /// Kubernetes, this is an error: the user meant another store.
    pub(crate) fn use_context(&mut self, context: &str) -> Result<(), Usage> {
        let store = match &mut self.kind {
            StoreKind::Kubernetes(given) => {
                context.clone_into(&mut given.context);
                return Ok(());
            }
            // That error is said where it is opened.
            StoreKind::Unknown(_) => return Ok(()),
            StoreKind::Embedded(path) => format!("the embedded store {}", path.display()),
            StoreKind::Etcd(_) => "etcd".to_owned(),
        };
        Err(Usage(format!(
            "--context {context} names a cluster of Kubernetes, but the store is {store} (by {}): set DATASTORE_TYPE=kubernetes, or \
             leave --context out",
            self.by
        )))
    }
}

/// A kind of store, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// A file on this machine.
    Embedded(PathBuf),
    /// etcd, and the way to it.
    Etcd(Box<RawSettings>),
    /// Kubernetes, and the way to it.
    Kubernetes(Box<KubeSettings>),
    /// A word that names no store.
    Unknown(String),
}

/// What the choice depends on.
pub(crate) struct Asked<'a> {
    /// Who we are.
    pub(crate) persona: Persona,
    /// `--store`.
    pub(crate) store: Option<&'a Path>,
    /// The configuration file and what stands in it, if there is one.
    pub(crate) file: Option<(&'a Path, &'a Spec)>,
    /// The environment.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    /// Felix's file on this machine, and what stands in it, if there is one.
    pub(crate) felix: Option<(&'a Path, &'a [(String, String)])>,
}

/// The store that is meant.
pub(crate) fn choose(asked: &Asked<'_>) -> Choice {
    if let Some(path) = asked.store {
        return Choice { kind: StoreKind::Embedded(path.to_owned()), by: "--store".to_owned() };
    }
    if let Some((path, spec)) = asked.file {
        let by = format!("{}", path.display());
        let kubernetes = KubeSettings { home: home(asked.env), ..spec.kubernetes.clone() };
        let known = KnownSettings { etcd: &spec.etcd, kubernetes: &kubernetes };
        return by_type(asked, &spec.datastore_type, &known, &by)
            .unwrap_or_else(|| fallback(asked, Some(by), kubernetes));
    }
    let datastore_type = calico_env(asked.env, "DATASTORE_TYPE");
    let etcd = etcd_env(asked.env);
    let by = if datastore_type.is_some() { "DATASTORE_TYPE" } else { "ETCD_ENDPOINTS" };
    let by = format!("{by} in the environment");
    let kubernetes = kubernetes_env(asked.env);
    let known = KnownSettings { etcd: &etcd, kubernetes: &kubernetes };
    by_type(asked, &datastore_type.unwrap_or_default(), &known, &by)
        .unwrap_or_else(|| fallback(asked, None, kubernetes.clone()))
}

/// How stores of both kinds are reached, if the datastore type names one of them.
struct KnownSettings<'a> {
    etcd: &'a RawSettings,
    kubernetes: &'a KubeSettings,
}

/// The way to Kubernetes that the environment knows.
pub(crate) fn kubernetes_env(env: &dyn Fn(&str) -> Option<String>) -> KubeSettings {
    let set = |name: &str| calico_env(env, name).unwrap_or_default();
    let is_set = |name: &str| matches!(set(name).to_ascii_lowercase().as_str(), "true" | "1" | "t" | "yes" | "on");
    KubeSettings {
        kubeconfig: set("KUBECONFIG"),
        context: set("K8S_CURRENT_CONTEXT"),
        endpoint: set("K8S_API_ENDPOINT"),
        key_file: set("K8S_KEY_FILE"),
        cert_file: set("K8S_CERT_FILE"),
        ca_file: set("K8S_CA_FILE"),
        token: set("K8SAPITOKEN"),
        insecure: is_set("K8S_INSECURE_SKIP_TLS_VERIFY"),
        use_pod_cidr: is_set("USE_POD_CIDR"),
        api_group: set("CALICO_API_GROUP"),
        home: home(env),
        ..KubeSettings::default()
    }
}

fn home(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    env("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// The way to etcd that the environment knows.
pub(crate) fn etcd_env(env: &dyn Fn(&str) -> Option<String>) -> RawSettings {
    let set = |name: &str| calico_env(env, name).unwrap_or_default();
    RawSettings {
        endpoints: set("ETCD_ENDPOINTS"),
        discovery_srv: set("ETCD_DISCOVERY_SRV"),
        username: set("ETCD_USERNAME"),
        password: set("ETCD_PASSWORD"),
        key_file: set("ETCD_KEY_FILE"),
        cert_file: set("ETCD_CERT_FILE"),
        ca_file: set("ETCD_CA_CERT_FILE"),
        ..RawSettings::default()
    }
}

/// `CALICO_<NAME>`, else `<NAME>`; an empty value is none.
fn calico_env(env: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    env(&format!("CALICO_{name}")).or_else(|| env(name)).filter(|value| !value.is_empty())
}

fn by_type(asked: &Asked<'_>, datastore_type: &str, known: &KnownSettings<'_>, by: &str) -> Option<Choice> {
    let etcd = known.etcd;
    let kind = match datastore_type {
        "embedded" => StoreKind::Embedded(embedded_path(asked)),
        "etcdv3" => StoreKind::Etcd(Box::new(etcd.clone())),
        "kubernetes" => StoreKind::Kubernetes(Box::new(known.kubernetes.clone())),
        "" if !etcd.endpoints.is_empty() || !etcd.discovery_srv.is_empty() => StoreKind::Etcd(Box::new(etcd.clone())),
        "" => return None,
        other => StoreKind::Unknown(other.to_owned()),
    };
    Some(Choice { kind, by: by.to_owned() })
}

fn embedded_path(asked: &Asked<'_>) -> PathBuf {
    let path = (asked.env)("TORTIE_STORE").filter(|path| !path.is_empty());
    path.map_or_else(|| PathBuf::from(DEFAULT_STORE), PathBuf::from)
}

/// Nothing names a store.
fn fallback(asked: &Asked<'_>, file: Option<String>, kubernetes: KubeSettings) -> Choice {
    if asked.persona.is_calicoctl() {
        let by = file.unwrap_or_else(|| "default of calicoctl".to_owned());
        return Choice { kind: StoreKind::Kubernetes(Box::new(kubernetes)), by };
    }
    if let Some(path) = (asked.env)("TORTIE_STORE").filter(|path| !path.is_empty()) {
        return Choice { kind: StoreKind::Embedded(path.into()), by: "TORTIE_STORE in the environment".to_owned() };
    }
    if let Some(choice) = felix(asked) {
        return choice;
    }
    Choice { kind: StoreKind::Embedded(DEFAULT_STORE.into()), by: "default".to_owned() }
}

/// What Felix on this machine uses, if anything here speaks of Felix.
fn felix(asked: &Asked<'_>) -> Option<Choice> {
    let env = |name: &str| {
        let value = (asked.env)(&format!("FELIX_{}", name.to_ascii_uppercase()));
        value.filter(|value| !value.is_empty()).map(|value| (value, "the environment's FELIX settings".to_owned()))
    };
    let file = |name: &str| {
        let (path, settings) = asked.felix?;
        let set = |(key, value): &&(String, String)| key.eq_ignore_ascii_case(name) && !value.is_empty();
        settings.iter().rfind(set).map(|(_, value)| (value.clone(), path.display().to_string()))
    };
    let find = |name: &str| env(name).or_else(|| file(name));
    let value = |name: &str| find(name).map(|(value, _)| value);
    let (datastore_type, endpoints, address) = (find("datastoretype"), find("etcdendpoints"), find("etcdaddr"));
    let said = datastore_type.as_ref().or(endpoints.as_ref()).or(address.as_ref());
    let by = match (said, asked.felix) {
        (Some((_, by)), _) => by.clone(),
        (None, Some((path, _))) => path.display().to_string(),
        (None, None) => return None,
    };
    // Felix's settings stand over those of the environment that every component of Calico reads.
    let mut etcd = etcd_env(asked.env);
    let scheme = value("etcdscheme").unwrap_or_else(|| "http".to_owned());
    for (field, found) in [
        (
            &mut etcd.endpoints,
            endpoints.map(|(text, _)| text).or(address.map(|(text, _)| format!("{scheme}://{text}"))),
        ),
        (&mut etcd.key_file, value("etcdkeyfile")),
        (&mut etcd.cert_file, value("etcdcertfile")),
        (&mut etcd.ca_file, value("etcdcafile")),
    ] {
        if let Some(found) = found {
            *field = found;
        }
    }
    // Felix's own default.
    let datastore_type = datastore_type.map_or_else(|| "etcdv3".to_owned(), |(value, _)| value);
    let kubernetes = kubernetes_env(asked.env);
    by_type(asked, &datastore_type, &KnownSettings { etcd: &etcd, kubernetes: &kubernetes }, &by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(persona: Persona, env: &[(&str, &str)], felix: Option<&str>) -> StoreKind {
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let settings = felix.map(|text| tortie_agent::config::felix_cfg(text).unwrap());
        let felix = settings.as_deref().map(|settings| (Path::new("felix.cfg"), settings));
        choose(&Asked { persona, store: None, file: None, env: &env, felix }).kind
    }

    fn embedded(path: &str) -> StoreKind {
        StoreKind::Embedded(path.into())
    }

    fn kubernetes() -> StoreKind {
        StoreKind::Kubernetes(Box::default())
    }

    fn etcd(endpoints: &str) -> StoreKind {
        StoreKind::Etcd(Box::new(RawSettings { endpoints: endpoints.into(), ..RawSettings::default() }))
    }

    #[test]
    fn with_nothing_said_tortie_means_its_own_file_and_calicoctl_kubernetes() {
        assert_eq!(chosen(Persona::Tortie, &[], None), embedded(DEFAULT_STORE));
        assert_eq!(chosen(Persona::Calicoctl, &[], None), kubernetes());
        assert_eq!(chosen(Persona::KubectlPlugin, &[("TORTIE_STORE", "/x")], None), kubernetes());
        assert_eq!(chosen(Persona::Tortie, &[("TORTIE_STORE", "/x")], None), embedded("/x"));
    }

    #[test]
    fn the_environment_chooses_for_both() {
        for persona in [Persona::Tortie, Persona::Calicoctl] {
            let etcd = etcd("http://e:2379");
            assert_eq!(chosen(persona, &[("ETCD_ENDPOINTS", "http://e:2379")], None), etcd);
            assert_eq!(chosen(persona, &[("CALICO_ETCD_ENDPOINTS", "http://e:2379")], None), etcd);
            assert_eq!(chosen(persona, &[("DATASTORE_TYPE", "kubernetes")], None), kubernetes());
            assert_eq!(chosen(persona, &[("DATASTORE_TYPE", "embedded")], None), embedded(DEFAULT_STORE));
            let both = [("DATASTORE_TYPE", "embedded"), ("TORTIE_STORE", "/x"), ("ETCD_ENDPOINTS", "http://e")];
            assert_eq!(chosen(persona, &both, None), embedded("/x"));
            let calico_first = [("DATASTORE_TYPE", "embedded"), ("CALICO_DATASTORE_TYPE", "kubernetes")];
            assert_eq!(chosen(persona, &calico_first, None), kubernetes());
            assert_eq!(chosen(persona, &[("DATASTORE_TYPE", "redis")], None), StoreKind::Unknown("redis".into()));
        }
    }

    #[test]
    fn a_felix_on_this_machine_chooses_for_tortie_only() {
        let felix = "# a comment\n[global]\nDatastoreType = kubernetes\n";
        assert_eq!(chosen(Persona::Tortie, &[], Some(felix)), kubernetes());
        assert_eq!(chosen(Persona::Tortie, &[], Some("LogSeverity = info\n")), etcd(""));
        let endpoints = "EtcdEndpoints = https://a:2379\n";
        assert_eq!(chosen(Persona::Tortie, &[], Some(endpoints)), etcd("https://a:2379"));
        let env = [("FELIX_DATASTORETYPE", "embedded")];
        assert_eq!(chosen(Persona::Tortie, &env, Some(felix)), embedded(DEFAULT_STORE));
        assert_eq!(chosen(Persona::Tortie, &[("TORTIE_STORE", "/x")], Some(felix)), embedded("/x"));
        assert_eq!(chosen(Persona::Calicoctl, &env, Some(felix)), kubernetes());
    }

    #[test]
    fn the_way_to_etcd_is_taken_from_the_environment_and_felix() {
        let env = [
            ("ETCD_ENDPOINTS", "http://e"),
            ("ETCD_USERNAME", "u"),
            ("CALICO_ETCD_CA_CERT_FILE", "/ca"),
            ("ETCD_CA_CERT_FILE", "/other"),
        ];
        let StoreKind::Etcd(given) = chosen(Persona::Calicoctl, &env, None) else { panic!("etcd is meant") };
        assert_eq!((given.username.as_str(), given.ca_file.as_str()), ("u", "/ca"));
        let felix = "EtcdAddr = h:2379\nEtcdScheme = https\nEtcdCaFile = /felix\n";
        let env = [("FELIX_ETCDKEYFILE", "/key"), ("ETCD_USERNAME", "u")];
        let StoreKind::Etcd(given) = chosen(Persona::Tortie, &env, Some(felix)) else { panic!("etcd is meant") };
        assert_eq!(given.endpoints, "https://h:2379");
        assert_eq!([&given.username, &given.ca_file, &given.key_file], ["u", "/felix", "/key"]);
    }

    #[test]
    fn the_way_to_kubernetes_is_taken_from_the_environment() {
        let env = [
            ("DATASTORE_TYPE", "kubernetes"),
            ("KUBECONFIG", "/k"),
            ("K8S_API_ENDPOINT", "https://a"),
            ("CALICO_K8SAPITOKEN", "t"),
            ("K8S_INSECURE_SKIP_TLS_VERIFY", "true"),
            ("CALICO_API_GROUP", "projectcalico.org/v3"),
            ("K8S_CURRENT_CONTEXT", "c"),
            ("HOME", "/h"),
        ];
        let StoreKind::Kubernetes(given) = chosen(Persona::Calicoctl, &env, None) else {
            panic!("Kubernetes is meant")
        };
        assert_eq!([&given.kubeconfig, &given.endpoint, &given.token, &given.context], ["/k", "https://a", "t", "c"]);
        assert_eq!((given.insecure, given.api_group.as_str()), (true, "projectcalico.org/v3"));
        assert_eq!(given.home.as_deref(), Some(Path::new("/h")));
    }

    #[test]
    fn a_configuration_file_hides_the_environment() {
        let env = |name: &str| (name == "DATASTORE_TYPE").then(|| "embedded".to_owned());
        let ask = |persona, spec: &Spec| {
            let file = Some((Path::new("c.cfg"), spec));
            choose(&Asked { persona, store: None, file, env: &env, felix: None })
        };
        let given = RawSettings { endpoints: "http://e".into(), ca: "PEM".into(), ..RawSettings::default() };
        let spec = Spec { datastore_type: "etcdv3".into(), etcd: given.clone(), ..Spec::default() };
        let expected = Choice { kind: StoreKind::Etcd(Box::new(given)), by: "c.cfg".into() };
        assert_eq!(ask(Persona::Tortie, &spec), expected);
        assert_eq!(ask(Persona::Calicoctl, &Spec::default()).kind, kubernetes());
        assert_eq!(ask(Persona::Tortie, &Spec::default()).kind, embedded(DEFAULT_STORE));
    }

    #[test]
    fn a_context_replaces_what_file_and_environment_say_and_is_refused_where_the_store_has_none() {
        let given = KubeSettings { context: "a".into(), kubeconfig: "/k".into(), ..KubeSettings::default() };
        let mut choice = Choice { kind: StoreKind::Kubernetes(Box::new(given.clone())), by: "c.cfg".into() };
        choice.use_context("b").unwrap();
        assert_eq!(choice.kind, StoreKind::Kubernetes(Box::new(KubeSettings { context: "b".into(), ..given })));
        for (kind, store) in [(embedded("/x"), "the embedded store /x"), (etcd("http://e"), "etcd")] {
            let Usage(said) = Choice { kind, by: "default".into() }.use_context("b").unwrap_err();
            let expected = format!("--context b names a cluster of Kubernetes, but the store is {store} (by default)");
            assert!(said.starts_with(&expected), "{said}");
        }
    }

    #[test]
    fn the_flag_comes_before_everything() {
        let env = |_: &str| Some("kubernetes".to_owned());
        let store = Some(Path::new("/y"));
        let asked = Asked { persona: Persona::Calicoctl, store, file: None, env: &env, felix: None };
        assert_eq!(choose(&asked), Choice { kind: embedded("/y"), by: "--store".into() });
    }
}
