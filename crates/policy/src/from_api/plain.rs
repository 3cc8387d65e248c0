//! Workload endpoints straight from the bytes that a store keeps, without a tree in between: they are most of what is
//! in a large store.
//!
//! Only the plain form is read: every field known, spelt as we spell it, once, of its type, and with a meaning. Of
//! any other this says nothing, and the long way decides; so nothing is read here otherwise than there.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::{Key, Kind, Metadata};

use super::{Item, endpoint};
use crate::WorkloadId;

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Whole {
    kind: String,
    #[allow(dead_code, reason = "it must be a text, and no reader looks at it")]
    api_version: String,
    metadata: Map<Metadata>,
    spec: Map<WorkloadEndpointSpec>,
}

/// A record that is written as one: serde would take a list of its fields too.
#[derive(Default)]
struct Map<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Map<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Map<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Map)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

impl Item {
    /// What a store keeps under a key, if that is a workload endpoint in its plain form. None says nothing.
    pub fn plain(key: &Key, bytes: &[u8]) -> Option<Item> {
        if key.kind != Kind::WorkloadEndpoint {
            return None;
        }
        let mut known = true;
        let mut text = serde_json::Deserializer::from_slice(bytes);
        let Map(whole): Map<Whole> = serde_ignored::deserialize(&mut text, |_| known = false).ok()?;
        text.end().ok()?;
        if !known || !(whole.kind.is_empty() || whole.kind == key.kind.name()) {
            return None;
        }
        let id = WorkloadId { namespace: key.namespace.clone(), name: key.name.clone() };
        let item = endpoint::workload_of(id, whole.metadata.0.labels, whole.spec.0).ok()?;
        Some(item.map_or(Item::Nothing, |endpoint| Item::WorkloadEndpoint(Box::new(endpoint))))
    }
}

#[cfg(test)]
mod tests;
