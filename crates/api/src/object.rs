//! An object as a whole: kind, metadata and body, whatever its kind.
//!
//! The body is a JSON tree, so fields of other programs are kept; the typed view is
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
    /// The name of the object, unique among the objects of its kind and namespace.
    pub name: String,
    /// The prefix of a name that the server generates; kept, without effect here.
    pub generate_name: String,
    /// The namespace of the object, where its kind has namespaces.
    pub namespace: String,
    /// Obsolete; not stored.
    pub self_link: String,
    /// A unique identifier, set when the object is created.
    #[schemars(extend("x-go" = "UID"))]
    pub uid: String,
    /// The revision of the object, by which concurrent changes are noticed; not part of what is stored.
    pub resource_version: String,
    /// How often the spec was changed, where a server counts that.
    pub generation: i64,
    /// When the object was created.
    pub creation_timestamp: Option<Time>,
    /// When the deletion of the object was requested.
    pub deletion_timestamp: Option<Time>,
    /// How long the deletion of the object may take, in seconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Key and value pairs that selectors match.
    pub labels: BTreeMap<String, String>,
    /// Key and value pairs for people and programs; they have no effect on packets.
    pub annotations: BTreeMap<String, String>,
    /// The objects that this object belongs to.
    pub owner_references: Vec<OwnerReference>,
    /// The programs that must act before the object can be deleted.
    pub finalizers: Vec<String>,
    /// Which program manages which fields, where a server tracks that.
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
