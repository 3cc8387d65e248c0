//! An object as a whole: kind, metadata and body, whatever its kind.
//!
//! The body is a JSON tree, so nothing that another program wrote is lost on the way through; the typed view is
//! [`Object::spec`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kind::{Key, Kind};
use crate::scalar::Time;

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Name, labels and the rest.
    pub metadata: Metadata,
    /// Everything beside kind, apiVersion and metadata: `spec`, `status` and what we do not know.
    pub body: Map<String, Value>,
}

impl Object {
    /// An empty object of this name.
    pub fn new(key: Key) -> Self {
        let metadata = Metadata { name: key.name, namespace: key.namespace, ..Metadata::default() };
        Self { kind: key.kind, metadata, body: Map::new() }
    }

    /// What names it.
    pub fn key(&self) -> Key {
        Key { kind: self.kind, namespace: self.metadata.namespace.clone(), name: self.metadata.name.clone() }
    }

    /// The spec as its type; unknown fields are passed over.
    pub fn spec<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match self.body.get("spec") {
            Some(spec) => T::deserialize(spec),
            None => serde_json::from_value(Value::Object(Map::new())),
        }
    }
}

/// What every object has beside its spec. The order is that of Kubernetes' ObjectMeta.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Unique among the objects of its kind (and namespace).
    pub name: String,
    /// A prefix for a name made by the server; kept, not used.
    pub generate_name: String,
    /// The namespace of namespaced kinds.
    pub namespace: String,
    /// Not used any more; kept out of stores.
    pub self_link: String,
    /// Set once, when the object is made.
    #[schemars(extend("x-go" = "UID"))]
    pub uid: String,
    /// The revision; kept out of stores.
    pub resource_version: String,
    /// Counts changes of the spec, where a server does that.
    pub generation: i64,
    /// When it was made.
    pub creation_timestamp: Option<Time>,
    /// When its deletion was asked for.
    pub deletion_timestamp: Option<Time>,
    /// How long its deletion may take, in seconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Notes of people and programs.
    pub annotations: BTreeMap<String, String>,
    /// Objects that this one belongs to.
    pub owner_references: Vec<OwnerReference>,
    /// What must happen before it may go.
    pub finalizers: Vec<String>,
    /// Who manages which fields, where a server tracks that.
    pub managed_fields: Vec<Value>,
    /// What other programs wrote beside these, and what of these does not fit its type; kept.
    #[serde(skip)]
    pub other: Map<String, Value>,
}

/// An object that owns another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// The owner's API version.
    #[schemars(extend("x-go" = "APIVersion", "x-always" = true))]
    pub api_version: String,
    /// The owner's kind.
    #[schemars(extend("x-always" = true))]
    pub kind: String,
    /// The owner's name.
    #[schemars(extend("x-always" = true))]
    pub name: String,
    /// The owner's uid.
    #[schemars(extend("x-go" = "UID", "x-always" = true))]
    pub uid: String,
    /// Whether it is the managing controller.
    pub controller: Option<bool>,
    /// Whether the owner's deletion waits for this object's.
    pub block_owner_deletion: Option<bool>,
}
