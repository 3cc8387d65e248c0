//! How to reach etcd: the settings under Calico's names, and which of them are valid together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings as they are in the environment and in files, under Calico's names. Empty means not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSettings {
    /// `etcdEndpoints`: a list separated by commas.
    pub endpoints: String,
    /// `etcdDiscoverySrv`: the domain whose SRV records name the members.
    pub discovery_srv: String,
    /// `etcdUsername`.
    pub username: String,
    /// `etcdPassword`.
    pub password: String,
    /// `etcdKeyFile`.
    pub key_file: String,
    /// `etcdCertFile`.
    pub cert_file: String,
    /// `etcdCACertFile`.
    pub ca_file: String,
    /// `etcdKey`, in PEM.
    pub key: String,
    /// `etcdCert`, in PEM.
    pub cert: String,
    /// `etcdCACert`, in PEM.
    pub ca: String,
}

/// How to reach etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The members to ask, each a URL.
    pub endpoints: Vec<String>,
    /// In their place: the domain whose SRV records name them, and the name servers to ask; the system's if none.
    pub discovery: Option<(String, Vec<SocketAddr>)>,
    /// Who we are to etcd.
    pub user: Option<User>,
    /// Keys and certificates.
    pub tls: TlsFiles,
    /// How long a call goes on trying before it fails.
    pub call_timeout: Duration,
    /// How often a member is asked whether it is still there, and how long it may take to say so.
    pub keepalive: (Duration, Duration),
}

impl Settings {
    /// Plain members without users, as in tests.
    pub fn plain<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            discovery: None,
            user: None,
            tls: TlsFiles::default(),
            call_timeout: CALL_TIMEOUT,
            keepalive: KEEPALIVE,
        }
    }

    /// Where etcd is, for people.
    pub(crate) fn place(&self) -> String {
        match &self.discovery {
            Some((domain, _)) => format!("the SRV records of {domain}"),
            None => self.endpoints.iter().map(|one| shown(one)).collect::<Vec<_>>().join(","),
        }
    }
}

/// An endpoint as it may be shown: a user or password in the URL, which the client ignores, is left out.
pub(crate) fn shown(endpoint: &str) -> String {
    let Some((scheme, rest)) = endpoint.split_once("://") else { return endpoint.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((secret, _)) => format!("{scheme}://{}", &rest[secret.len() + 1..]),
        None => endpoint.to_owned(),
    }
}

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// A user of etcd.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Keys and certificates. Files are read again for each connection, so that they can be replaced while we run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that must have signed the members' certificates; the system's where it is not given.
    pub ca: Option<Pem>,
    /// Our certificate and its key.
    pub identity: Option<(Pem, Pem)>,
}

impl TlsFiles {
    /// Whether anything is given.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none()
    }
}

/// The file of a certificate or a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// Here.
    Inline(String),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Inline(_) => write!(f, "given inline"),
        }
    }
}

/// Settings that cannot be meant. The first two and the mix are in Calico's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nothing says where etcd is.
    #[error("no etcd endpoints specified")]
    NoEndpoints,
    /// Two ways to find etcd.
    #[error("multiple discovery or bootstrap options specified, use either \"etcdEndpoints\" or \"etcdDiscoverySrv\"")]
    Both,
    /// Files and inline texts.
    #[error("Cannot mix inline certificate-key and certificate / key files")]
    Mixed,
    /// One of two that belong together.
    #[error("an etcd client certificate needs its key, and a key its certificate: {0} is missing")]
    Half(&'static str),
}

impl TryFrom<RawSettings> for Settings {
    type Error = SettingsError;

    fn try_from(given: RawSettings) -> Result<Self, SettingsError> {
        let endpoints: Vec<&str> =
            given.endpoints.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty()).collect();
        match (endpoints.is_empty(), given.discovery_srv.is_empty()) {
            (false, false) => return Err(SettingsError::Both),
            (true, true) => return Err(SettingsError::NoEndpoints),
            _ => {}
        }
        let discovery = (!given.discovery_srv.is_empty()).then(|| (given.discovery_srv.clone(), Vec::new()));
        let tls = tls(&given)?;
        let scheme = if tls.is_empty() { "http://" } else { "https://" };
        let with_scheme = |endpoint: &str| match endpoint.contains("://") {
            true => endpoint.trim_end_matches('/').to_owned(),
            false => format!("{scheme}{endpoint}"),
        };
        // As in Calico, one of the two alone is nothing.
        let user = (!given.username.is_empty() && !given.password.is_empty())
            .then_some(User { name: given.username, password: given.password });
        let endpoints = endpoints.into_iter().map(with_scheme).collect();
        Ok(Self { endpoints, discovery, user, tls, call_timeout: CALL_TIMEOUT, keepalive: KEEPALIVE })
    }
}

fn tls(given: &RawSettings) -> Result<TlsFiles, SettingsError> {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let inline = [&given.ca, &given.cert, &given.key].map(|text| some(text).map(Pem::Inline));
    let files = [&given.ca_file, &given.cert_file, &given.key_file]
        .map(|text| some(text).map(|text| Pem::File(PathBuf::from(text))));
    let [ca, cert, key] = match (inline.iter().any(Option::is_some), files.iter().any(Option::is_some)) {
        (true, true) => return Err(SettingsError::Mixed),
        (true, false) => inline,
        _ => files,
    };
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(SettingsError::Half("the key")),
        (None, Some(_)) => return Err(SettingsError::Half("the certificate")),
    };
    Ok(TlsFiles { ca, identity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(change: impl FnOnce(&mut RawSettings)) -> Result<Settings, SettingsError> {
        let mut given =
            RawSettings { endpoints: "http://a:2379, https://b:2379/,c:1".into(), ..RawSettings::default() };
        change(&mut given);
        Settings::try_from(given)
    }

    #[test]
    fn credentials_in_the_url_of_an_endpoint_are_not_shown() {
        for (given, expected) in [
            ("http://user:p@ss@etcd:2379/x@y", "http://etcd:2379/x@y"),
            ("https://user@[::1]:2379", "https://[::1]:2379"),
            ("http://etcd:2379", "http://etcd:2379"),
        ] {
            assert_eq!(shown(given), expected);
        }
        assert_eq!(Settings::plain(["http://u:secret@a:1", "http://b:2"]).place(), "http://a:1,http://b:2");
    }

    #[test]
    fn endpoints_are_a_list_and_plain_ones_get_a_scheme() {
        let settings = given(|_| {}).unwrap();
        assert_eq!(settings.endpoints, ["http://a:2379", "https://b:2379", "http://c:1"]);
        let settings = given(|given| given.ca_file = "/ca".into()).unwrap();
        assert_eq!(settings.endpoints[2], "https://c:1");
        assert_eq!(settings.tls.ca, Some(Pem::File("/ca".into())));
    }

    #[test]
    fn a_user_has_a_name_and_a_password() {
        assert_eq!(given(|given| given.username = "u".into()).unwrap().user, None);
        let settings = given(|given| (given.username, given.password) = ("u".into(), "secret".into())).unwrap();
        assert_eq!(settings.user.as_ref().map(|user| user.name.as_str()), Some("u"));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn invalid_settings_are_refused() {
        let text = |change: fn(&mut RawSettings)| given(change).unwrap_err().to_string();
        assert_eq!(text(|given| given.endpoints = " ,".into()), "no etcd endpoints specified");
        assert!(text(|given| given.discovery_srv = "d".into()).starts_with("multiple discovery"));
        assert!(text(|given| (given.ca, given.cert_file) = ("x".into(), "y".into())).starts_with("Cannot mix"));
        assert!(text(|given| given.cert = "x".into()).contains("the key is missing"));
        assert!(text(|given| given.key_file = "x".into()).contains("the certificate is missing"));
    }

    #[test]
    fn a_domain_stands_for_the_members_that_it_names() {
        let settings = given(|given| (given.endpoints, given.discovery_srv) = (String::new(), "example.org".into()));
        assert_eq!(settings.unwrap().place(), "the SRV records of example.org");
    }
}
