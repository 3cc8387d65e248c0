//! The metadata of a Kubernetes object, as far as conversions use it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use tortie_api::Metadata;
use tortie_api::scalar::Time;
use tortie_store::Revision;

/// Metadata of a Kubernetes object. Everything else in it is passed over while it is decoded.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The name.
    pub name: String,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The prefix that the name was made of, if a server made it.
    pub generate_name: String,
    /// The server's uid.
    pub uid: String,
    /// The server's version of the object.
    pub resource_version: String,
    /// When it was made.
    pub creation_timestamp: Option<Time>,
    /// When its deletion was asked for.
    pub deletion_timestamp: Option<Time>,
    /// Labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An object or a list of which only the version is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Versioned {
    metadata: Version,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Version {
    resource_version: String,
}

/// The server's version of an object or a list, without a look at the rest of it.
pub(crate) fn version_in(json: &[u8]) -> Result<Revision, serde_json::Error> {
    let found: Versioned = serde_json::from_slice(json)?;
    Ok(Revision::from(found.metadata.resource_version.as_str()))
}

impl Meta {
    /// An annotation that is present and not empty.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Metadata of another name that takes over uid, version and time, and nothing else.
    pub(crate) fn as_calico(&self, name: String, namespace: String) -> Metadata {
        Metadata {
            name,
            namespace,
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            creation_timestamp: self.creation_timestamp.clone(),
            ..Metadata::default()
        }
    }
}

/// Go writes `null` for lists and maps that were never made.
pub(crate) fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    source: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(source)?.unwrap_or_default())
}
