//! Decodes what the API server sends, one object or a page of a list, into the objects that a store hands out.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use tortie_api::{Key, Kind, encode, names};
use tortie_store::{Effect, Purpose, Revision, Stored, Value};

use crate::conversion_warnings::ConversionWarnings;
use crate::convert::{
    ConversionError, Converted, Warning, cluster_policy, endpoint_slice, network_policy, node, pod, profile,
};
use crate::custom::{self, Group};
use crate::meta::Meta;
use crate::source::Source;

/// What conversions depend on.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub(crate) group: Group,
    pub(crate) use_pod_cidr: bool,
    pub(crate) interface_prefix: String,
    pub(crate) purpose: Purpose,
    pub(crate) conversion_warnings: ConversionWarnings,
}

/// What an object of the API server is here.
#[derive(Debug)]
pub(crate) enum Item {
    /// An object.
    Object(Stored),
    /// None for this purpose: whoever knew an object with this key knows it no longer.
    Nothing(Key),
    /// None, and it never was one.
    Foreign,
}

/// One page of a list.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Stored>,
    /// The version of the whole list.
    pub(crate) version: String,
    /// Where the next page begins; empty on the last.
    pub(crate) next: String,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct List<T> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "crate::meta::null_is_empty")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

impl Decoder {
    /// Reads a page of a list of this resource.
    pub(crate) fn page(&self, source: Source, body: &[u8]) -> Result<Page, String> {
        match source {
            Source::Pods => page(source, body, |it| self.pod(it)),
            Source::Namespaces => page(source, body, |it| self.namespace(it)),
            Source::ServiceAccounts => page(source, body, |it| self.service_account(it)),
            Source::Nodes => page(source, body, |it| self.node(it)),
            Source::NetworkPolicies => page(source, body, |it| self.policy(it)),
            Source::ClusterNetworkPolicies => page(source, body, |it| self.cluster_policy(it)),
            Source::EndpointSlices => page(source, body, |it| self.endpoint_slice(it)),
            Source::Services => page(source, body, |it| as_it_is(source.kind(), it)),
            Source::Custom(kind) => page(source, body, |it| self.custom(kind, it)),
        }
    }

    /// Reads one object of this resource.
    pub(crate) fn object(&self, source: Source, body: &[u8]) -> Result<Item, String> {
        match source {
            Source::Pods => one(source, body, |it| self.pod(it)),
            Source::Namespaces => one(source, body, |it| self.namespace(it)),
            Source::ServiceAccounts => one(source, body, |it| self.service_account(it)),
            Source::Nodes => one(source, body, |it| self.node(it)),
            Source::NetworkPolicies => one(source, body, |it| self.policy(it)),
            Source::ClusterNetworkPolicies => one(source, body, |it| self.cluster_policy(it)),
            Source::EndpointSlices => one(source, body, |it| self.endpoint_slice(it)),
            Source::Services => one(source, body, |it| as_it_is(source.kind(), it)),
            Source::Custom(kind) => one(source, body, |it| self.custom(kind, it)),
        }
    }

    fn pod(&self, it: pod::Pod) -> Item {
        if !it.is_endpoint() {
            return Item::Foreign;
        }
        let mut made = pod::workload_endpoint(&it, &self.interface_prefix);
        if let (Purpose::Enforcement { node }, Ok(Some(converted))) = (&self.purpose, &mut made)
            && it.spec.node_name != *node
        {
            // Only the agent of its own node tells what it leaves out of a pod.
            converted.warnings.clear();
        }
        let key = match &made {
            Ok(Some(converted)) => converted.object.key(),
            Ok(None) => return Item::Foreign,
            Err(_) => match pod::key(&it) {
                Some(key) => key,
                None => return Item::Foreign,
            },
        };
        if let (Purpose::Enforcement { .. }, Ok(Some(converted))) = (&self.purpose, &made)
            && converted.object.body["spec"].get("ipNetworks").is_none()
        {
            self.conversion_warnings.forget(&key);
            return Item::Nothing(key);
        }
        self.converted(key, &it.metadata.resource_version, made)
    }

    fn node(&self, it: node::Node) -> Item {
        let key = Key::cluster(Kind::Node, &it.metadata.name);
        self.converted(key, &it.metadata.resource_version, node::node(&it, self.use_pod_cidr).map(Some))
    }

    fn policy(&self, it: network_policy::NetworkPolicy) -> Item {
        let key = Key::namespaced(Kind::KubernetesNetworkPolicy, &it.metadata.namespace, &it.metadata.name);
        self.converted(key, &it.metadata.resource_version, network_policy::network_policy(&it).map(Some))
    }

    fn cluster_policy(&self, it: cluster_policy::ClusterNetworkPolicy) -> Item {
        let key = Key::cluster(Kind::KubernetesClusterNetworkPolicy, &it.metadata.name);
        if let Some(why) = cluster_policy::why_ignored(&it) {
            self.conversion_warnings.log(&key, &[Warning { text: why, effect: Effect::NotEnforced }]);
        }
        self.converted(key, &it.metadata.resource_version, cluster_policy::global_network_policy(&it))
    }

    fn endpoint_slice(&self, mut it: endpoint_slice::EndpointSlice) -> Item {
        it.is_for_rules = matches!(self.purpose, Purpose::Enforcement { .. });
        let key = Key::namespaced(Kind::KubernetesEndpointSlice, &it.metadata.namespace, &it.metadata.name);
        self.converted(key, &it.metadata.resource_version, endpoint_slice::endpoint_slice(&it).map(Some))
    }

    fn namespace(&self, it: profile::Labelled) -> Item {
        let key = Key::cluster(Kind::Profile, names::kubernetes::namespace_profile(&it.metadata.name));
        let version = format!("{}/", it.metadata.resource_version);
        self.converted(key, &version, profile::of_namespace(&it).map(Some))
    }

    fn service_account(&self, it: profile::Labelled) -> Item {
        let key = Key::cluster(Kind::Profile, profile::account_name(&it.metadata.namespace, &it.metadata.name));
        let version = format!("/{}", it.metadata.resource_version);
        self.converted(key, &version, profile::of_service_account(&it).map(Some))
    }

    /// What was made of an object. What of it could not be taken over is logged.
    fn converted(&self, key: Key, version: &str, made: Result<Option<Converted>, ConversionError>) -> Item {
        let value = match made {
            Ok(Some(Converted { object, warnings })) => {
                self.conversion_warnings.log(&key, &warnings);
                Value::from(encode::stored(&object))
            }
            Ok(None) => return Item::Nothing(key),
            Err(error) => {
                self.conversion_warnings.forget(&key);
                let correct = how_to_correct(&key, &error).map(|how| format!("; {how}")).unwrap_or_default();
                Value::cannot_be_read(format!("{error}{correct}"))
            }
        };
        Item::Object(Stored { key, revision: Revision::from(version), value })
    }

    fn custom(&self, kind: Kind, it: Json) -> Item {
        match custom::from_custom(self.group, kind, it) {
            Ok(read) => Item::Object(Stored {
                key: read.key,
                revision: Revision::from(read.resource_version.as_str()),
                value: read.value.into(),
            }),
            // Only an object without a name.
            Err(_) => Item::Foreign,
        }
    }
}

/// How somebody corrects an object that tortie cannot write as a whole; none for others.
fn how_to_correct(key: &Key, error: &ConversionError) -> Option<String> {
    let pod = key.pod()?;
    let status = if error.0.starts_with("status.") { " --subresource=status" } else { "" };
    Some(format!("correct it with `kubectl -n {} edit pod {pod}{status}`", key.namespace))
}

/// A service: it is read in Kubernetes' own form, of which only some fields are kept.
fn as_it_is(kind: Kind, mut it: Json) -> Item {
    let meta = Meta::deserialize(&it["metadata"]).unwrap_or_default();
    let key = Key::namespaced(kind, &meta.namespace, &meta.name);
    it["metadata"] = json!({ "name": meta.name, "namespace": meta.namespace, "labels": meta.labels });
    let balancer = it.pointer_mut("/status/loadBalancer").map(Json::take);
    if let Some(fields) = it.as_object_mut() {
        // A list does not have them for each object.
        fields.retain(|name, _| !matches!(name.as_str(), "status" | "kind" | "apiVersion"));
        if let Some(balancer) = balancer.filter(|balancer| balancer.get("ingress").is_some()) {
            fields.insert("status".to_owned(), json!({ "loadBalancer": balancer }));
        }
    }
    let value = serde_json::to_vec(&it).unwrap_or_default();
    Item::Object(Stored { key, revision: Revision::from(meta.resource_version.as_str()), value: value.into() })
}

fn page<T: DeserializeOwned>(source: Source, body: &[u8], to_item: impl Fn(T) -> Item) -> Result<Page, String> {
    let list = match serde_json::from_slice::<List<T>>(body) {
        Ok(list) => List { metadata: list.metadata, items: list.items.into_iter().map(to_item).collect() },
        // One of them does not fit: each by itself then.
        Err(error) => {
            let list: List<Json> = serde_json::from_slice(body).map_err(|_| error.to_string())?;
            let items = list.items.into_iter().map(|it| single(source, it, &to_item));
            List { metadata: list.metadata, items: items.collect() }
        }
    };
    let objects = list.items.into_iter().filter_map(|item| match item {
        Item::Object(stored) => Some(stored),
        Item::Nothing(_) | Item::Foreign => None,
    });
    Ok(Page { items: objects.collect(), version: list.metadata.resource_version, next: list.metadata.r#continue })
}

fn one<T: DeserializeOwned>(source: Source, body: &[u8], to_item: impl Fn(T) -> Item) -> Result<Item, String> {
    match serde_json::from_slice::<T>(body) {
        Ok(it) => Ok(to_item(it)),
        Err(error) => Ok(single(source, serde_json::from_slice(body).map_err(|_| error.to_string())?, &to_item)),
    }
}

/// An object that may not fit its type: then what names it says which object cannot be read.
fn single<T: DeserializeOwned>(source: Source, it: Json, to_item: &impl Fn(T) -> Item) -> Item {
    let named = named(source, &it);
    let version = Revision::from(it["metadata"]["resourceVersion"].as_str().unwrap_or_default());
    match T::deserialize(it) {
        Ok(it) => to_item(it),
        Err(error) => {
            let value = Value::cannot_be_read(error.to_string());
            match T::deserialize(named).map(to_item) {
                Ok(Item::Object(stored)) => Item::Object(Stored { value, ..stored }),
                // What has no place for this purpose as far as it can be read may have one.
                Ok(Item::Nothing(key)) => Item::Object(Stored { key, revision: version, value }),
                Ok(Item::Foreign) | Err(_) => Item::Foreign,
            }
        }
    }
}

/// An object with the names of this one, and only what is needed to be an object of its kind.
fn named(source: Source, it: &Json) -> Json {
    let fields = ["name", "namespace", "uid", "resourceVersion"].into_iter();
    let metadata: Map<String, Json> = fields
        .filter(|field| it["metadata"][*field].is_string())
        .map(|field| (field.to_owned(), it["metadata"][field].clone()))
        .collect();
    let spec = match source {
        // A pod is an endpoint only by its node.
        Source::Pods => json!({ "nodeName": it["spec"]["nodeName"] }),
        Source::ClusterNetworkPolicies => json!({ "tier": "Admin", "subject": { "namespaces": {} } }),
        _ => json!({}),
    };
    json!({ "metadata": metadata, "spec": spec })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversion_warnings::Change;

    fn decoder() -> Decoder {
        Decoder {
            group: Group::Packed,
            use_pod_cidr: false,
            interface_prefix: String::new(),
            purpose: Purpose::Anything,
            conversion_warnings: ConversionWarnings::default(),
        }
    }

    #[test]
    fn no_object_with_a_name_is_absent_because_a_field_has_a_wrong_type() {
        for source in [
            Source::Pods,
            Source::Namespaces,
            Source::ServiceAccounts,
            Source::Nodes,
            Source::NetworkPolicies,
            Source::ClusterNetworkPolicies,
            Source::EndpointSlices,
        ] {
            let mut object = json!({ "metadata": { "name": "a", "uid": "30316465-6365-4463-ad63-3564622d3638", "labels": 1 },
                "spec": { "nodeName": "n1" } });
            if source.namespaced() {
                object["metadata"]["namespace"] = json!("shop");
            }
            let Ok(Item::Object(stored)) = decoder().object(source, object.to_string().as_bytes()) else {
                panic!("{source:?} is left out")
            };
            assert!(
                stored.value.unreadable().is_some_and(|why| why.contains("expected a map")),
                "{source:?}: {stored:?}"
            );
            let list = json!({ "metadata": { "resourceVersion": "1" }, "items": [object] }).to_string();
            assert_eq!(decoder().page(source, list.as_bytes()).unwrap().items.len(), 1, "{source:?}");
        }
    }

    #[test]
    fn parts_that_are_left_out_of_a_policy_are_logged_once() {
        let decoder = decoder();
        let policy = json!({ "metadata": { "name": "db", "namespace": "shop" },
            "spec": { "ingress": [{ "from": [{ "ipBlock": { "cidr": "nowhere" } }] }] } });
        let Ok(Item::Object(stored)) = decoder.object(Source::NetworkPolicies, policy.to_string().as_bytes()) else {
            panic!("a policy is an object")
        };
        let text =
            "ingress rule 1 is left out, and so allows nothing: `nowhere` in `ipBlock.cidr` is not a CIDR".to_owned();
        let warning = Warning { text, effect: Effect::Unreadable };
        let change = decoder.conversion_warnings.change(&stored.key, &[warning]);
        assert_eq!(change, Change::None, "it was logged when the policy was read");
    }
}
