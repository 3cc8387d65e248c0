//! How to reach an API server: the settings under Calico's names, and which of them are valid together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::custom::Group;
use crate::kubeconfig;

/// The settings as they stand in the environment and in files, under Calico's names. Empty means not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSettings {
    /// `kubeconfig`: a list of files separated by colons.
    pub kubeconfig: String,
    /// `kubeconfigInline`, which is stronger.
    pub kubeconfig_inline: String,
    /// `k8sCurrentContext`.
    pub context: String,
    /// `k8sAPIEndpoint`.
    pub endpoint: String,
    /// `k8sKeyFile`.
    pub key_file: String,
    /// `k8sCertFile`.
    pub cert_file: String,
    /// `k8sCAFile`.
    pub ca_file: String,
    /// `k8sAPIToken`.
    pub token: String,
    /// `k8sInsecureSkipTLSVerify`.
    pub insecure: bool,
    /// `usePodCIDR`.
    pub use_pod_cidr: bool,
    /// `calicoAPIGroup`.
    pub api_group: String,
    /// The home directory, whose `.kube/config` is read where nothing else is given.
    pub home: Option<PathBuf>,
}

/// How to reach an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its URL.
    pub server: String,
    /// The name that its certificate must have, where that is not the URL's host.
    pub server_name: Option<String>,
    /// The authority that must have signed its certificate; the system's where it is not given.
    pub ca: Option<Pem>,
    /// Whether its certificate is not checked.
    pub insecure: bool,
    /// Our certificate and its key.
    pub identity: Option<(Pem, Pem)>,
    /// Who we are, beside the certificate.
    pub credentials: Credentials,
    /// The group of custom resources, where it is not to be found out.
    pub group: Option<Group>,
    /// Whether tunnel addresses follow from the nodes' nets for pods.
    pub use_pod_cidr: bool,
    /// What names of pods' interfaces on their hosts begin with.
    pub interface_prefix: String,
    /// How long a call goes on trying before it fails.
    pub patience: Duration,
    /// After which silence the server is asked whether it answers, and how long it may take to do so.
    pub keepalive: (Duration, Duration),
}

/// How we say who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or by a certificate.
    None,
    /// By a token.
    Token(String),
    /// By a token in a file, which somebody replaces from time to time.
    TokenFile(PathBuf),
    /// By what a program prints.
    Program(Program),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Without the token itself.
impl std::fmt::Display for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Token(_) => f.write_str("a token"),
            Self::TokenFile(path) => write!(f, "the token in {}", path.display()),
            Self::Program(program) => write!(f, "the token that {} prints", program.command),
        }
    }
}

/// A program that prints credentials (`ExecCredential` of `client.authentication.k8s.io`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name or path.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is set in its environment.
    pub environment: Vec<(String, String)>,
    /// The version of the answer that it is asked for.
    pub api_version: String,
}

/// A certificate or a key, in a file or here.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file, read again for each connection.
    File(PathBuf),
    /// Here.
    Inline(Vec<u8>),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Inline(_) => write!(f, "given inline"),
        }
    }
}

/// Settings that lead to no API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// Where Kubernetes puts what a pod needs to reach the API server.
const IN_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

impl Settings {
    /// An API server, and nothing else.
    pub fn plain(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            server_name: None,
            ca: None,
            insecure: false,
            identity: None,
            credentials: Credentials::None,
            group: None,
            use_pod_cidr: false,
            interface_prefix: crate::convert::pod::DEFAULT_INTERFACE_PREFIX.to_owned(),
            patience: CALL_TIMEOUT,
            keepalive: KEEPALIVE,
        }
    }

    /// What the server knows us by, for messages.
    pub(crate) fn identification(&self) -> String {
        let certificate = self.identity.as_ref().map(|(certificate, _)| match certificate {
            Pem::File(path) => format!("the client certificate {}", path.display()),
            Pem::Inline(_) => "the client certificate of the kubeconfig".to_owned(),
        });
        let token = match &self.credentials {
            Credentials::None => None,
            Credentials::Token(_) => Some("the token that the kubeconfig or CALICO_K8SAPITOKEN gives".to_owned()),
            other => Some(other.to_string()),
        };
        match (token, certificate) {
            (None, None) => "a request without a token and a client certificate, and none is set".to_owned(),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(token), Some(certificate)) => format!("{token} and {certificate}"),
        }
    }

    /// What is meant by these settings; `env` is the environment, for where a pod finds its cluster.
    pub fn new(given: &RawSettings, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = base(given, env)?;
        if !given.endpoint.is_empty() {
            settings.server.clone_from(&given.endpoint);
        }
        let file = |path: &str| (!path.is_empty()).then(|| Pem::File(path.into()));
        if let Some(ca) = file(&given.ca_file) {
            settings.ca = Some(ca);
        }
        match (file(&given.cert_file), file(&given.key_file)) {
            (Some(cert), Some(key)) => settings.identity = Some((cert, key)),
            (None, None) => {}
            _ => {
                let text = "a client certificate needs its key and the other way round: K8S_CERT_FILE and K8S_KEY_FILE";
                return Err(SettingsError(text.to_owned()));
            }
        }
        if !given.token.is_empty() {
            settings.credentials = Credentials::Token(given.token.clone());
        }
        settings.insecure |= given.insecure;
        settings.use_pod_cidr = given.use_pod_cidr;
        settings.group = (!given.api_group.is_empty()).then(|| Group::named(&given.api_group));
        if let Some(prefixes) = env("FELIX_INTERFACEPREFIX").filter(|text| !text.is_empty())
            && let Some(first) = tortie_net::interface_prefixes(&prefixes).0.first()
        {
            settings.interface_prefix = (*first).to_owned();
        }
        if settings.server.is_empty() {
            return Err(SettingsError("no API server is named: set KUBECONFIG or K8S_API_ENDPOINT".to_owned()));
        }
        if !settings.server.contains("://") {
            settings.server.insert_str(0, "https://");
        }
        Ok(settings)
    }
}

/// The kubeconfig that is given, else `~/.kube/config`, else the cluster that this is a pod of.
fn base(given: &RawSettings, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
    if !given.kubeconfig_inline.is_empty() {
        return kubeconfig::read_inline(&given.kubeconfig_inline, &given.context);
    }
    if !given.kubeconfig.is_empty() {
        let paths: Vec<&Path> = given.kubeconfig.split(':').filter(|path| !path.is_empty()).map(Path::new).collect();
        return kubeconfig::read_files(&paths, &given.context);
    }
    let no_context = |reason: &str| {
        let text = format!("context \"{}\" does not exist: {reason}, so no kubeconfig is read", given.context);
        if given.context.is_empty() { Ok(()) } else { Err(SettingsError(text)) }
    };
    if !given.endpoint.is_empty() {
        no_context("K8S_API_ENDPOINT names the API server")?;
        return Ok(Settings::plain(""));
    }
    if let Some(path) = given.home.as_ref().map(|home| home.join(".kube/config")).filter(|path| path.exists()) {
        return kubeconfig::read_files(&[&path], &given.context);
    }
    let (Some(host), Some(port)) = (env("KUBERNETES_SERVICE_HOST"), env("KUBERNETES_SERVICE_PORT")) else {
        return Err(SettingsError(
            "no API server is named: set KUBECONFIG or K8S_API_ENDPOINT; there is no ~/.kube/config, and this is not a pod of \
             a cluster, where KUBERNETES_SERVICE_HOST is set"
                .to_owned(),
        ));
    };
    no_context("the API server is that of the cluster that this is a pod of")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(Settings {
        ca: Some(Pem::File(Path::new(IN_CLUSTER).join("ca.crt"))),
        credentials: Credentials::TokenFile(Path::new(IN_CLUSTER).join("token")),
        ..Settings::plain(format!("https://{host}:{port}"))
    })
}

#[cfg(test)]
mod tests;
