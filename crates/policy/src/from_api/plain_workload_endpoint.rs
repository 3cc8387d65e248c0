//! Workload endpoints straight from the bytes that a store keeps, without a tree in between: they are most of what is
//! in a large store.
//!
//! Only the plain form is read: the usual fields, spelt as we spell them, once, of their types, without escapes, and with
//! a meaning. It returns none for any other, which the full reader then reads. So both read the same.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use tortie_api::{Key, Kind};
use tortie_net::Protocol;

use super::Item;
use super::endpoint::{Workload, own_address_of};
use super::read::{is_interface, is_profile_name, port_name};
use crate::{HostPort, Labels, NamedPort, WorkloadId};

impl Item {
    /// What a store keeps under a key, if that is a workload endpoint in its plain form. None says nothing.
    pub fn plain(key: &Key, bytes: &[u8]) -> Option<Item> {
        if key.kind != Kind::WorkloadEndpoint {
            return None;
        }
        let Map(whole): Map<Whole<'_>> = serde_json::from_slice(bytes).ok()?;
        if !whole.kind.is_empty() && whole.kind != key.kind.name() {
            return None;
        }
        // Without a name the metadata is damaged, and there may have been labels.
        if whole.metadata.0.name.is_empty() {
            return None;
        }
        let id = WorkloadId { namespace: key.namespace.clone(), name: key.name.clone() };
        let spec = whole.spec?.0;
        if spec.ip_networks.is_empty() {
            return Some(Item::Nothing);
        }
        if spec.node.is_empty() || spec.interface_name.is_empty() || !is_interface(spec.interface_name) {
            return None;
        }
        if !spec.profiles.iter().all(|name| is_profile_name(name)) {
            return None;
        }
        let workload = Workload { labels: whole.metadata.0.labels.0, ..spec.parts()? };
        Some(Item::WorkloadEndpoint(Box::new(workload.build(id))))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Whole<'a> {
    kind: &'a str,
    #[serde(rename = "apiVersion")]
    _api_version: &'a str,
    #[serde(borrow)]
    metadata: Map<Meta<'a>>,
    spec: Option<Map<Spec<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Meta<'a> {
    labels: LabelsOnce,
    name: &'a str,
    #[serde(rename = "generateName")]
    _generate_name: &'a str,
    #[serde(rename = "namespace")]
    _namespace: &'a str,
    #[serde(rename = "uid")]
    _uid: &'a str,
    #[serde(rename = "resourceVersion")]
    _resource_version: &'a str,
    #[serde(rename = "creationTimestamp")]
    _creation_timestamp: Option<&'a str>,
    #[serde(rename = "annotations")]
    _annotations: Texts,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Spec<'a> {
    orchestrator: &'a str,
    workload: &'a str,
    node: &'a str,
    #[serde(rename = "containerID")]
    container_id: &'a str,
    pod: &'a str,
    endpoint: &'a str,
    service_account_name: &'a str,
    #[serde(borrow)]
    ip_networks: Vec<&'a str>,
    profiles: Vec<&'a str>,
    interface_name: &'a str,
    mac: &'a str,
    ports: Vec<Port<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Port<'a> {
    name: &'a str,
    protocol: &'a str,
    port: u16,
    host_port: u16,
    #[serde(rename = "hostIP")]
    host_ip: &'a str,
}

impl Spec<'_> {
    fn parts(self) -> Option<Workload> {
        let port = |port: &Port<'_>| {
            let protocol = Protocol::parse_any_case(port.protocol).ok()?;
            if port.port == 0 || !protocol.has_ports() {
                return None;
            }
            Some(NamedPort { name: port_name(port.name)?, protocol, port: port.port })
        };
        if self.ports.len().saturating_mul(self.ip_networks.len()) > NamedPort::LIMIT {
            return None;
        }
        let host_port = |port: &Port<'_>| {
            HostPort::new(Protocol::parse_any_case(port.protocol).ok()?, port.port, port.host_port, port.host_ip)
        };
        let named = self.ports.iter().filter(|port| !port.name.is_empty());
        Some(Workload {
            orchestrator: self.orchestrator.to_owned(),
            workload: self.workload.to_owned(),
            node: self.node.to_owned(),
            container_id: self.container_id.to_owned(),
            pod: self.pod.to_owned(),
            endpoint: self.endpoint.to_owned(),
            service_account: self.service_account_name.to_owned(),
            addresses: self.ip_networks.into_iter().map(|text| own_address_of(text).ok()).collect::<Option<_>>()?,
            profiles: self.profiles.into_iter().map(str::to_owned).collect(),
            interface: self.interface_name.to_owned(),
            mac: self.mac.to_owned(),
            ports: named.map(port).collect::<Option<_>>()?,
            host_ports: self.ports.iter().filter_map(host_port).collect(),
            ..Workload::default()
        })
    }
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

/// Labels, of which none appears twice.
#[derive(Default)]
struct LabelsOnce(Labels);

impl<'de> Deserialize<'de> for LabelsOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = LabelsOnce;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelsOnce, A::Error> {
                let mut labels = Labels::new();
                while let Some((name, value)) = map.next_entry()? {
                    if labels.insert(name, value).is_some() {
                        return Err(A::Error::custom("a label appears twice"));
                    }
                }
                Ok(LabelsOnce(labels))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// Texts by name, whose values are not used.
#[derive(Default)]
struct Texts;

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                while map.next_entry::<Text, Text>()?.is_some() {}
                Ok(Texts)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// A text, with escapes or without.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }

        deserializer.deserialize_str(Any)
    }
}

#[cfg(test)]
mod tests;
