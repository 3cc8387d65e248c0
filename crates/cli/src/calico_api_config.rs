//! The file that says how to reach a store (`-c`, `/etc/calico/calicoctl.cfg`): calicoctl's `CalicoAPIConfig`, read as strictly as
//! manifests.
//!
//! The settings that choose the store and connect to it are used; the others are known, so that a file written for calicoctl is
//! accepted and a misspelt one is not.

use std::path::Path as FilePath;

use tortie_api::{API_VERSION, Path};
use tortie_manifest::Problem;
use tortie_manifest::read::{self, Located, Node, Source, Value};
use tortie_store_etcd::RawSettings;

use crate::calicoctl_messages;
use crate::problem_text;
use crate::session::Session;
use crate::terminal::reported;

/// The file that is read by default, if it exists.
pub(crate) const DEFAULT_PATH: &str = "/etc/calico/calicoctl.cfg";

const KIND: &str = "CalicoAPIConfig";

const SETTINGS: &[&str] = &[
    "datastoreType",
    "etcdEndpoints",
    "etcdDiscoverySrv",
    "etcdUsername",
    "etcdPassword",
    "etcdKeyFile",
    "etcdCertFile",
    "etcdCACertFile",
    "etcdKey",
    "etcdCert",
    "etcdCACert",
    "kubeconfig",
    "k8sAPIEndpoint",
    "k8sKeyFile",
    "k8sCertFile",
    "k8sCAFile",
    "k8sAPIToken",
    "k8sInsecureSkipTLSVerify",
    "k8sDisableNodePoll",
    "usePodCIDR",
    "kubeconfigInline",
    "k8sClientQPS",
    "k8sClientBurst",
    "k8sCurrentContext",
    "calicoAPIGroup",
];

/// The settings of the file that are used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Spec {
    /// `datastoreType`.
    pub(crate) datastore_type: String,
    /// How to connect to etcd.
    pub(crate) etcd: RawSettings,
    /// How to connect to Kubernetes.
    pub(crate) kubernetes: tortie_store_kube::RawSettings,
}

/// The configuration at a path; none when the default path has no file.
pub(crate) fn load(path: &FilePath, session: &mut Session) -> anyhow::Result<Option<Spec>> {
    let is_default = path == FilePath::new(DEFAULT_PATH);
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(_) if is_default => return Ok(None),
        Err(_) if session.persona.is_calicoctl() => {
            session.terminal.line(format_args!("Error reading config file: {}", path.display()));
            return Err(reported());
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            return Err(error.context(format!("cannot read the configuration file {}", path.display())));
        }
    };
    let source = Source::new(path.display().to_string(), bytes);
    let (spec, located, problems) = understand(&source);
    let Some(first) = problems.first() else { return Ok(Some(spec)) };
    if session.persona.is_calicoctl() {
        let said = match first.reason.strip_prefix("field in document is not recognized or is in the wrong location: ")
        {
            Some(field) => format!("error unmarshaling JSON: while decoding JSON: json: unknown field {field:?}"),
            None if first.reason.starts_with("invalid config file") => String::new(),
            None => calicoctl_messages::unread(first, &located, &source),
        };
        let said = match said.as_str() {
            "" => first.reason.clone(),
            said => format!("failed to parse config as YAML/JSON: {said}"),
        };
        let text = format!("syntax error in {}: {said}", path.display());
        session.terminal.line(format_args!("Failed to create Calico API client: {text}"));
    }
    for problem in &problems {
        let text =
            tortie_manifest::diagnostic::render(problem, &located, &source, problem_text::style(&session.terminal));
        session.terminal.note(text.trim_end());
    }
    Err(reported())
}

fn understand(source: &Source) -> (Spec, Located, Vec<Problem>) {
    let mut documents = read::read(source);
    let mut problems = Vec::new();
    if documents.is_empty() {
        let reason = "invalid config file: unknown APIVersion ''";
        let message = format!("there is no {KIND} in this configuration file");
        problems.push(Problem::read(Path::root(), reason).message(message));
    } else if documents.len() != 1 {
        let text = format!("a configuration file holds one {KIND}; this one holds {}", documents.len());
        problems.push(Problem::read(Path::root(), text));
    }
    let mut located = if documents.is_empty() {
        let tree = Node { value: Value::Null, span: 0..0 };
        Located { object: None, partial: None, about: String::new(), problems: Vec::new(), tree }
    } else {
        documents.swap_remove(0)
    };
    // A file that is not YAML has no tree; the reader's errors about it are kept, but not those about the kind.
    if located.tree.entries().is_empty() {
        problems.append(&mut located.problems);
    } else {
        check(&mut located.tree, &mut problems);
    }
    located.about.clear();
    let setting = |name: &str| {
        let spec = located.tree.get("spec").map(|entry| &entry.value);
        spec.and_then(|spec| spec.get(name)).and_then(|entry| entry.value.text()).unwrap_or_default().to_owned()
    };
    let etcd = RawSettings {
        endpoints: setting("etcdEndpoints"),
        discovery_srv: setting("etcdDiscoverySrv"),
        username: setting("etcdUsername"),
        password: setting("etcdPassword"),
        key_file: setting("etcdKeyFile"),
        cert_file: setting("etcdCertFile"),
        ca_file: setting("etcdCACertFile"),
        key: setting("etcdKey"),
        cert: setting("etcdCert"),
        ca: setting("etcdCACert"),
    };
    let is_set = |name: &str| matches!(setting(name).to_ascii_lowercase().as_str(), "true" | "yes" | "on");
    let kubernetes = tortie_store_kube::RawSettings {
        kubeconfig: setting("kubeconfig"),
        kubeconfig_inline: setting("kubeconfigInline"),
        context: setting("k8sCurrentContext"),
        endpoint: setting("k8sAPIEndpoint"),
        key_file: setting("k8sKeyFile"),
        cert_file: setting("k8sCertFile"),
        ca_file: setting("k8sCAFile"),
        token: setting("k8sAPIToken"),
        insecure: is_set("k8sInsecureSkipTLSVerify"),
        use_pod_cidr: is_set("usePodCIDR"),
        api_group: setting("calicoAPIGroup"),
        home: None,
    };
    (Spec { datastore_type: setting("datastoreType"), etcd, kubernetes }, located, problems)
}

fn check(tree: &mut Node, problems: &mut Vec<Problem>) {
    let text = |name: &str| tree.get(name).and_then(|entry| entry.value.text()).unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version != API_VERSION {
        let reason = format!("invalid config file: unknown APIVersion '{version}'");
        problems
            .push(Problem::read(Path::from("apiVersion"), reason).help(format!("write `apiVersion: {API_VERSION}`")));
    }
    if kind != KIND {
        let reason = format!("invalid config file: expected kind '{KIND}', got '{kind}'");
        problems.push(Problem::read(Path::from("kind"), reason).help(format!("write `kind: {KIND}`")));
    }
    fields(tree, &Path::root(), &["apiVersion", "kind", "metadata", "spec"], problems);
    if let Value::Map(entries) = &mut tree.value
        && let Some(spec) = entries.iter_mut().find(|entry| entry.key == "spec")
    {
        fields(&mut spec.value, &Path::from("spec"), SETTINGS, problems);
    }
}

/// Every key of a record must be known and occur once. Names ignore case, as in manifests.
fn fields(record: &mut Node, at: &Path, known: &[&str], problems: &mut Vec<Problem>) {
    let entries = match &mut record.value {
        Value::Map(entries) => entries,
        Value::Null => return,
        _ => {
            problems.push(Problem::read(at.clone(), format!("{at} is a record of settings")));
            return;
        }
    };
    let mut seen: Vec<String> = Vec::new();
    for entry in entries {
        let field = known.iter().find(|name| name.eq_ignore_ascii_case(&entry.key));
        if let Some(field) = field {
            entry.key = (*field).to_owned();
        }
        let path = at.key(&entry.key);
        if field.is_none() {
            entry.faulty = true;
            let reason = format!("field in document is not recognized or is in the wrong location: {}", entry.key);
            let problem = Problem::read(path, reason).message(format!("there is no setting '{}'", entry.key));
            let near = known.iter().map(|name| (strsim::damerau_levenshtein(name, &entry.key), name)).min();
            problems.push(match near.filter(|(distance, name)| distance * 3 <= name.len()) {
                Some((_, near)) => problem.help(format!("did you mean '{near}'?")),
                None => problem,
            });
        } else if seen.contains(&entry.key) {
            entry.faulty = true;
            problems.push(Problem::read(path, format!("key \"{}\" already set in map", entry.key)));
        }
        seen.push(entry.key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(text: &str) -> Result<Spec, Vec<String>> {
        let (spec, _, problems) = understand(&Source::new("c.cfg", text));
        if problems.is_empty() { Ok(spec) } else { Err(problems.iter().map(|p| p.text().to_owned()).collect()) }
    }

    #[test]
    fn a_configuration_for_calicoctl_is_read() {
        let text = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  \
                    datastoreType: etcdv3\n  etcdEndpoints: http://a:2379\n  ETCDUSERNAME: u\n";
        let etcd = RawSettings { endpoints: "http://a:2379".into(), username: "u".into(), ..RawSettings::default() };
        let spec = Spec { datastore_type: "etcdv3".into(), etcd, ..Spec::default() };
        assert_eq!(understood(text), Ok(spec));
        assert_eq!(understood("apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\n"), Ok(Spec::default()));
    }

    #[test]
    fn mistakes_in_a_configuration_are_reported() {
        let head = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\n";
        for (text, said) in [
            ("spec: {}".to_owned(), "invalid config file: unknown APIVersion ''"),
            (format!("{head}spec: {{datastoretpye: x}}"), "there is no setting 'datastoretpye'"),
            (format!("{head}spec: {{kubeconfig: a, Kubeconfig: b}}"), "key \"kubeconfig\" already set in map"),
            (format!("{head}spec: [a]"), "spec is a record of settings"),
            (String::new(), "there is no CalicoAPIConfig in this configuration file"),
        ] {
            let problems = understood(&text).unwrap_err();
            assert_eq!(problems[0], said, "{text}");
        }
    }
}
