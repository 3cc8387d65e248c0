//! Namespaces and service accounts as profiles.
//!
//! A namespace's profile allows everything both ways and passes its labels on under `pcns.`; a service account's has no
//! rules and passes its labels on under `pcsa.`. Both are found by selectors of namespaces and service accounts.

use serde::Deserialize;
use tortie_api::kinds::profile::ProfileSpec;
use tortie_api::kinds::rule::Rule;
use tortie_api::names::kubernetes;
use tortie_api::{Kind, Object};

use super::{ConversionError, Converted, object};
use crate::custom::uid;
use crate::meta::Meta;

const NAME_LABEL: &str = "projectcalico.org/name";

/// A namespace or a service account: its metadata is all that is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Labelled {
    /// Its metadata.
    pub metadata: Meta,
}

/// The name of a service account's profile.
pub fn account_name(namespace: &str, account: &str) -> String {
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    kubernetes::account_profile(namespace, account)
}

/// What a profile is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The namespace of this name.
    Namespace(String),
    /// The service account of this namespace and name.
    ServiceAccount(String, String),
}

/// What the profile of this name is made of; the message is the reference's.
pub fn source(name: &str) -> Result<Source, ConversionError> {
    if let Some(namespace) = name.strip_prefix(kubernetes::NAMESPACE_PROFILE) {
        return Ok(Source::Namespace(namespace.to_owned()));
    }
    let Some(rest) = name.strip_prefix(kubernetes::ACCOUNT_PROFILE) else {
        return Err(ConversionError(format!("Invalid name {name}")));
    };
    match rest.split_once('.') {
        Some((namespace, account)) => Ok(Source::ServiceAccount(namespace.to_owned(), account.to_owned())),
        None => Err(ConversionError(format!("Profile {name} is not formatted correctly"))),
    }
}

/// The profile of a namespace. Its version has the form `<namespace's>/`.
pub fn of_namespace(namespace: &Labelled) -> Result<Converted, ConversionError> {
    let allow = Rule { action: "Allow".to_owned(), ..Rule::default() };
    let name = kubernetes::namespace_profile(&namespace.metadata.name);
    let mut object = profile(namespace, name, "pcns.", &[allow])?;
    object.metadata.resource_version = format!("{}/", namespace.metadata.resource_version);
    Ok(Converted { object, warnings: Vec::new() })
}

/// The profile of a service account. Its version has the form `/<account's>`.
pub fn of_service_account(account: &Labelled) -> Result<Converted, ConversionError> {
    let name = account_name(&account.metadata.namespace, &account.metadata.name);
    let mut object = profile(account, name, "pcsa.", &[])?;
    object.metadata.resource_version = format!("/{}", account.metadata.resource_version);
    Ok(Converted { object, warnings: Vec::new() })
}

fn profile(source: &Labelled, name: String, prefix: &str, rules: &[Rule]) -> Result<Object, ConversionError> {
    let meta = &source.metadata;
    let mut metadata = meta.as_calico(name, String::new());
    metadata.uid = uid::transform(&meta.uid).map_err(|error| ConversionError(error.to_string()))?;
    let mut labels_to_apply: std::collections::BTreeMap<String, String> =
        meta.labels.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())).collect();
    labels_to_apply.insert(format!("{prefix}{NAME_LABEL}"), meta.name.clone());
    let spec = ProfileSpec { ingress: rules.to_vec(), egress: rules.to_vec(), labels_to_apply };
    Ok(object(Kind::Profile, metadata, spec))
}

#[cfg(test)]
mod tests;
