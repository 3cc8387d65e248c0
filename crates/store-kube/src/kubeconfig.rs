//! kubeconfig files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tortie_manifest::read::{self, Source};

use crate::meta::null_is_empty;
use crate::settings::{Credentials, Pem, Program, Settings, SettingsError};

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Config {
    current_context: String,
    #[serde(deserialize_with = "null_is_empty")]
    clusters: Vec<NamedCluster>,
    #[serde(deserialize_with = "null_is_empty")]
    users: Vec<NamedUser>,
    #[serde(deserialize_with = "null_is_empty")]
    contexts: Vec<NamedContext>,
    /// Where its relative paths begin.
    #[serde(skip)]
    directory: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    tls_server_name: String,
    certificate_authority: String,
    certificate_authority_data: String,
    insecure_skip_tls_verify: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    username: String,
    exec: Option<Exec>,
    #[serde(rename = "auth-provider")]
    auth_provider: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Exec {
    command: String,
    #[serde(deserialize_with = "null_is_empty")]
    args: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    env: Vec<Variable>,
    api_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

/// The way to the cluster of a context, the files' current one if none is named. Of several files that name the same
/// thing the first counts; files that do not exist are passed over, unless none does.
pub(crate) fn read_files(paths: &[&Path], context: &str) -> Result<Settings, SettingsError> {
    let mut configs = Vec::new();
    let mut missing = None;
    for path in paths {
        match std::fs::read(path) {
            Ok(bytes) => {
                let mut config = parse(&path.display().to_string(), bytes)?;
                config.directory = path.parent().map(Path::to_owned).unwrap_or_default();
                configs.push(config);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing = Some(format!("the kubeconfig {} does not exist", path.display()));
            }
            Err(error) => {
                return Err(SettingsError(format!("the kubeconfig {} cannot be read: {error}", path.display())));
            }
        }
    }
    match missing {
        Some(missing) if configs.is_empty() => Err(SettingsError(missing)),
        _ => settings(&configs, context),
    }
}

/// Reads a kubeconfig that is given as text.
pub(crate) fn read_inline(text: &str, context: &str) -> Result<Settings, SettingsError> {
    settings(&[parse("the kubeconfig given inline", text.as_bytes().to_vec())?], context)
}

fn parse(name: &str, bytes: Vec<u8>) -> Result<Config, SettingsError> {
    let source = Source::new(name, bytes);
    let wrong = |reason: String| SettingsError(format!("{name} is not a kubeconfig: {reason}"));
    match read::trees(&source).into_iter().next() {
        Some(Ok(tree)) => serde_json::from_value(tree.to_json()).map_err(|error| wrong(error.to_string())),
        Some(Err(located)) => {
            Err(wrong(located.problems.first().map_or("it cannot be read".to_owned(), |it| it.reason.clone())))
        }
        None => Err(wrong("it is empty".to_owned())),
    }
}

fn settings(configs: &[Config], context: &str) -> Result<Settings, SettingsError> {
    let context = if context.is_empty() {
        configs.iter().map(|it| it.current_context.as_str()).find(|it| !it.is_empty()).unwrap_or_default()
    } else {
        context
    };
    let all = |pick: fn(&Config) -> usize| configs.iter().map(pick).sum::<usize>();
    let missing = |what: &str, name: &str| SettingsError(format!("{what} \"{name}\" does not exist"));
    if context.is_empty() && all(|it| it.contexts.len()) == 0 && all(|it| it.clusters.len()) == 0 {
        return Err(SettingsError("the kubeconfig names no cluster".to_owned()));
    }
    let contexts = || configs.iter().flat_map(|config| &config.contexts);
    let found = contexts().find(|it| it.name == context).ok_or_else(|| {
        let names: BTreeSet<String> = contexts().map(|it| format!("\"{}\"", it.name)).collect();
        let existing = match names.len() {
            0 => "no context".to_owned(),
            _ => names.into_iter().collect::<Vec<_>>().join(", "),
        };
        match context {
            "" => SettingsError(format!("the kubeconfig has no current context; it names {existing}: choose one")),
            _ => SettingsError(format!("context \"{context}\" does not exist: the kubeconfig names {existing}")),
        }
    })?;
    let clusters = configs.iter().flat_map(|config| config.clusters.iter().map(move |it| (config, it)));
    let (config, cluster) = clusters
        .into_iter()
        .find(|(_, it)| it.name == found.context.cluster)
        .ok_or_else(|| missing("cluster", &found.context.cluster))?;
    let cluster_ca = pem(config, &cluster.cluster.certificate_authority, &cluster.cluster.certificate_authority_data)?;
    let mut settings = Settings {
        server_name: Some(cluster.cluster.tls_server_name.clone()).filter(|name| !name.is_empty()),
        ca: cluster_ca,
        insecure: cluster.cluster.insecure_skip_tls_verify,
        ..Settings::plain(cluster.cluster.server.trim_end_matches('/'))
    };
    if found.context.user.is_empty() {
        return Ok(settings);
    }
    let users = configs.iter().flat_map(|config| config.users.iter().map(move |it| (config, it)));
    let (config, user) = users
        .into_iter()
        .find(|(_, it)| it.name == found.context.user)
        .ok_or_else(|| missing("user", &found.context.user))?;
    let user = &user.user;
    let cert = pem(config, &user.client_certificate, &user.client_certificate_data)?;
    let key = pem(config, &user.client_key, &user.client_key_data)?;
    settings.identity = cert.zip(key);
    settings.credentials = if !user.token.is_empty() {
        Credentials::Token(user.token.clone())
    } else if !user.token_file.is_empty() {
        Credentials::TokenFile(config.directory.join(&user.token_file))
    } else if let Some(exec) = &user.exec {
        Credentials::Program(Program {
            // As in client-go: a bare name is looked up in PATH, and a relative path begins where the kubeconfig is.
            command: match exec.command.contains('/') {
                true => config.directory.join(&exec.command).display().to_string(),
                false => exec.command.clone(),
            },
            arguments: exec.args.clone(),
            environment: exec.env.iter().map(|it| (it.name.clone(), it.value.clone())).collect(),
            api_version: exec.api_version.clone(),
        })
    } else if user.auth_provider.is_some() || !user.username.is_empty() {
        return Err(SettingsError(format!(
            "user {:?} of the kubeconfig has an auth-provider or a password, which are not supported: give it a token, \
             a certificate or an exec section",
            found.context.user
        )));
    } else {
        Credentials::None
    };
    Ok(settings)
}

/// What stands in a file, or here in base64, which is stronger.
fn pem(config: &Config, file: &str, data: &str) -> Result<Option<Pem>, SettingsError> {
    if !data.is_empty() {
        let bytes = BASE64_STANDARD.decode(data.trim());
        let bytes = bytes.map_err(|error| SettingsError(format!("data of the kubeconfig is no base64: {error}")))?;
        return Ok(Some(Pem::Inline(bytes)));
    }
    Ok((!file.is_empty()).then(|| Pem::File(config.directory.join(file))))
}
