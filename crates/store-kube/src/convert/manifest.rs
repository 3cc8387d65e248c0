//! Manifests of Kubernetes' own kinds, as the objects that they would be in the store: for previews.

use serde::Deserialize;
use serde_json::{Value, json};
use tortie_api::{Kind, Object, kube_labels};
use tortie_manifest::read::{self, Located, Source};

mod reference;
mod shapes;
mod values;

pub use reference::{KubernetesKind, Reference};

use super::{ConversionError, Converted, cluster_policy, endpoint_slice, network_policy, node, pod, profile};

/// The kinds that previews understand.
pub const KINDS: &str =
    "Pod, Namespace, ServiceAccount, Node, NetworkPolicy, ClusterNetworkPolicy, Service and EndpointSlice";

/// Reads a manifest of a kind that previews understand as strictly as kubectl has it read; none of another kind. Problems are left in
/// `located`, and then what is given is only what could be read.
pub fn strictly(located: &mut Located, source: &Source) -> Option<Value> {
    let kind = kind(&located.tree.to_json())?;
    let object = read::of_kubernetes(located, source, shapes::shape(kind));
    if !located.problems.iter().any(tortie_manifest::Problem::is_error) {
        located.problems.extend(values::check(kind, &object));
    }
    Some(Value::Object(object))
}

/// What a manifest of such a kind names.
pub fn reference(manifest: &Value, namespace: &str) -> Option<Reference> {
    let name = text(&manifest["metadata"]["name"]);
    Some(Reference::new(kind(manifest)?, own_namespace(manifest, namespace), name))
}

/// The object that a manifest would be in the store. `namespace` is that of a manifest that names none; `existing` says
/// which workload endpoint there is of a pod (namespace, name), whose node and addresses count where the manifest has none, and which
/// Node of a node (no namespace, name).
pub fn convert(
    manifest: &Value,
    namespace: &str,
    interface_prefix: &str,
    existing: impl Fn(&str, &str) -> Option<Object>,
) -> Result<Converted, ConversionError> {
    let mut manifest = manifest.clone();
    let metadata = &mut manifest["metadata"];
    if text(&metadata["name"]).is_empty() {
        return Err(ConversionError::new("metadata.name is missing"));
    }
    if text(&metadata["uid"]).is_empty() {
        // A server gives it one.
        metadata["uid"] = json!(uuid::Uuid::nil().to_string());
    }
    let kind = kind(&manifest).ok_or_else(|| ConversionError(format!("previews understand {KINDS}")))?;
    if kind.has_namespace() {
        manifest["metadata"]["namespace"] = json!(own_namespace(&manifest, namespace));
    }
    defaults(kind, &mut manifest);
    if let Value::Object(fields) = &mut manifest {
        fields.retain(|_, value| !value.is_null());
    }
    let none = || ConversionError::new("nothing follows from it for packets");
    match kind {
        KubernetesKind::Pod => {
            let mut made: pod::Pod = typed(manifest)?;
            let existing = existing(&made.metadata.namespace, &made.metadata.name);
            fill_in(&mut made, existing);
            let converted = pod::workload_endpoint(&made, interface_prefix)?.ok_or_else(|| {
                ConversionError::new(
                    "a pod is a workload endpoint once it has a node and a network of its own; the pod does not exist in the \
                     store, so write spec.nodeName and status.podIP",
                )
            })?;
            if converted.object.body["spec"].get("ipNetworks").is_none() {
                let text = "the pod has no address, and does not exist in the store; write status.podIP";
                return Err(ConversionError::new(text));
            }
            Ok(converted)
        }
        KubernetesKind::Namespace => profile::of_namespace(&typed(manifest)?),
        KubernetesKind::ServiceAccount => profile::of_service_account(&typed(manifest)?),
        KubernetesKind::Node => {
            let mut converted = node::node(&typed(manifest)?, false)?;
            if let Some(existing) = existing("", &converted.object.metadata.name) {
                merge_node(&mut converted.object, existing);
            }
            Ok(converted)
        }
        KubernetesKind::NetworkPolicy => network_policy::network_policy(&typed(manifest)?),
        KubernetesKind::ClusterNetworkPolicy => {
            let policy = typed(manifest)?;
            let ignored = || ConversionError(cluster_policy::why_ignored(&policy).unwrap_or_default());
            cluster_policy::global_network_policy(&policy)?.ok_or_else(ignored)
        }
        KubernetesKind::EndpointSlice => endpoint_slice::endpoint_slice(&typed(manifest)?),
        KubernetesKind::Service => Err(none()),
    }
}

/// Why the pod of a manifest has no endpoint, whatever else is known of it: it uses the network of its node, or has finished.
pub fn why_no_endpoint(manifest: &Value, namespace: &str) -> Option<String> {
    if kind(manifest) != Some(KubernetesKind::Pod) {
        return None;
    }
    let mut manifest = manifest.clone();
    manifest["metadata"]["namespace"] = json!(own_namespace(&manifest, namespace));
    let pod: pod::Pod = typed(manifest).ok()?;
    let is_without = pod.spec.host_network || (!pod.spec.node_name.is_empty() && pod.is_finished());
    is_without.then(|| pod::why_no_endpoint(&pod)).flatten()
}

/// What the API server fills in where a manifest is silent.
fn defaults(kind: KubernetesKind, manifest: &mut Value) {
    match kind {
        KubernetesKind::Namespace => {
            let name = manifest["metadata"]["name"].clone();
            if let Value::Null = manifest["metadata"]["labels"] {
                manifest["metadata"]["labels"] = json!({});
            }
            if let Value::Object(labels) = &mut manifest["metadata"]["labels"] {
                labels.insert("kubernetes.io/metadata.name".to_owned(), name);
            }
        }
        KubernetesKind::NetworkPolicy => {
            let spec = &mut manifest["spec"];
            if spec.is_null() {
                // It selects every pod of its namespace and allows nothing.
                *spec = json!({ "podSelector": {} });
            }
            let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
            if spec.is_object() && is_empty(&spec["policyTypes"]) {
                let egress = (!is_empty(&spec["egress"])).then_some("Egress");
                spec["policyTypes"] = ["Ingress"].into_iter().chain(egress).collect();
            }
        }
        _ => {}
    }
}

fn kind(manifest: &Value) -> Option<KubernetesKind> {
    match (text(&manifest["apiVersion"]), text(&manifest["kind"])) {
        ("v1", "Pod") => Some(KubernetesKind::Pod),
        ("v1", "Namespace") => Some(KubernetesKind::Namespace),
        ("v1", "Node") => Some(KubernetesKind::Node),
        ("v1", "ServiceAccount") => Some(KubernetesKind::ServiceAccount),
        ("networking.k8s.io/v1", "NetworkPolicy") => Some(KubernetesKind::NetworkPolicy),
        ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy") => Some(KubernetesKind::ClusterNetworkPolicy),
        ("discovery.k8s.io/v1", "EndpointSlice") => Some(KubernetesKind::EndpointSlice),
        ("v1", "Service") => Some(KubernetesKind::Service),
        _ => None,
    }
}

fn own_namespace<'a>(manifest: &'a Value, given: &'a str) -> &'a str {
    let own = text(&manifest["metadata"]["namespace"]);
    match (own, given) {
        ("", "") => "default",
        ("", given) => given,
        (own, _) => own,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn typed<T: for<'de> Deserialize<'de>>(manifest: Value) -> Result<T, ConversionError> {
    T::deserialize(manifest).map_err(|error| ConversionError(error.to_string()))
}

/// What kubectl leaves of a node that exists: what its manifest does not have, and its status.
fn merge_node(made: &mut Object, mut existing: Object) {
    let is_calico = |address: &Value| address["type"] == "CalicoNodeIP";
    let list = |object: &Object| object.body["spec"]["addresses"].as_array().cloned().unwrap_or_default();
    let (written, own): (Vec<Value>, Vec<Value>) = (list(made), list(&existing));
    let calico = if written.iter().any(is_calico) { &written } else { &own };
    let calico = calico.iter().filter(|address| is_calico(address));
    let addresses: Vec<Value> = calico.chain(own.iter().filter(|address| !is_calico(address))).cloned().collect();
    for part in ["spec", "status"] {
        let own = existing.body.get_mut(part).map(Value::take).unwrap_or_default();
        fill(made.body.entry(part).or_insert_with(|| json!({})), own);
    }
    if !addresses.is_empty() {
        made.body["spec"]["addresses"] = Value::from(addresses);
    }
    let of_kubernetes = |metadata: &tortie_api::Metadata| {
        let labels = metadata.annotations.get(kube_labels::ANNOTATION).map(|text| kube_labels::read(text));
        labels.and_then(Result::ok).unwrap_or_default()
    };
    let mut labels = of_kubernetes(&existing.metadata);
    labels.extend(of_kubernetes(&made.metadata));
    existing.metadata.labels.append(&mut made.metadata.labels);
    existing.metadata.annotations.append(&mut made.metadata.annotations);
    existing.metadata.annotations.insert(kube_labels::ANNOTATION.to_owned(), kube_labels::write(&labels));
    made.metadata = existing.metadata;
}

/// Adds the fields that a record does not have.
fn fill(made: &mut Value, existing: Value) {
    let (Value::Object(made), Value::Object(existing)) = (made, existing) else { return };
    for (name, value) in existing {
        match made.get_mut(&name) {
            // An annotation that is not there is an empty text in the spec.
            Some(own) if *own == "" => *own = value,
            Some(own) => fill(own, value),
            None => drop(made.insert(name, value)),
        }
    }
}

/// What a scheduler and a node write, from the endpoint of the pod that there is.
fn fill_in(made: &mut pod::Pod, existing: Option<Object>) {
    let Some(existing) = existing.filter(|object| object.kind == Kind::WorkloadEndpoint) else {
        if made.spec.service_account_name.is_empty() {
            made.spec.service_account_name = "default".to_owned();
        }
        return;
    };
    let spec = &existing.body["spec"];
    if made.spec.node_name.is_empty() {
        made.spec.node_name = text(&spec["node"]).to_owned();
    }
    if made.spec.service_account_name.is_empty() {
        made.spec.service_account_name = text(&spec["serviceAccountName"]).to_owned();
    }
    if let Some(id) = spec["containerID"].as_str() {
        made.metadata.annotations.entry(pod::CONTAINER_ID.to_owned()).or_insert_with(|| id.to_owned());
    }
    for (name, value) in &existing.metadata.annotations {
        made.metadata.annotations.entry(name.clone()).or_insert_with(|| value.clone());
    }
    if made.status.pod_ip.is_empty() && made.status.pod_ips.is_empty() {
        let nets = spec["ipNetworks"].as_array().into_iter().flatten();
        made.status.pod_ips = nets.map(|net| pod::PodIp { ip: text(net).to_owned() }).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str, _: &str) -> Option<Object> {
        None
    }

    #[test]
    fn each_kind_becomes_what_it_would_be_in_the_store() {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "labels": { "app": "web" } },
            "spec": { "nodeName": "n1" }, "status": { "podIP": "10.0.0.1" } });
        for (manifest, key) in [
            (pod.clone(), "WorkloadEndpoint(shop/n1-k8s-web-eth0)"),
            (json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }), "Profile(kns.shop)"),
            (
                json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "a" } }),
                "Profile(ksa.shop.a)",
            ),
            (
                json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "db", "namespace": "data" },
                    "spec": { "podSelector": {} } }),
                "NetworkPolicy.networking.k8s.io(data/db)",
            ),
        ] {
            assert!(kind(&manifest).is_some());
            let converted = convert(&manifest, "shop", "cali", none).unwrap();
            assert_eq!(converted.object.key().to_string(), key);
        }
        // A pod that is not in the store needs a node and an address; of one that is, these are taken.
        let mut new = pod.clone();
        new["spec"] = json!({});
        new.as_object_mut().unwrap().shift_remove("status");
        let error = convert(&new, "shop", "cali", none).unwrap_err().to_string();
        assert!(error.contains("write spec.nodeName and status.podIP"), "{error}");
        let existing = convert(&pod, "shop", "cali", none).unwrap().object;
        let again = convert(&new, "shop", "cali", |namespace, name| {
            assert_eq!((namespace, name), ("shop", "web"));
            Some(existing.clone())
        });
        assert_eq!(again.unwrap().object.body, existing.body);
        assert!(kind(&json!({ "apiVersion": "v1", "kind": "ConfigMap" })).is_none());
    }

    #[test]
    fn a_node_keeps_what_its_manifest_does_not_have_and_its_status() {
        let manifest = |labels: Value, annotations: Value, addresses: Value| {
            json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1", "labels": labels, "annotations": annotations },
                "status": { "addresses": addresses } })
        };
        let address = |kind: &str, address: &str| json!({ "type": kind, "address": address });
        let there = manifest(
            json!({ "zone": "a", "disk": "ssd" }),
            json!({ "projectcalico.org/IPv4Address": "192.0.2.1/24", "projectcalico.org/ASNumber": "64512" }),
            json!([address("InternalIP", "198.51.100.1")]),
        );
        let there = convert(&there, "", "cali", none).unwrap().object;
        let change = manifest(
            json!({ "zone": "b" }),
            json!({ "projectcalico.org/ASNumber": "64513" }),
            json!([address("InternalIP", "203.0.113.9")]),
        );
        let new = convert(&change, "", "cali", |namespace, name| {
            assert_eq!((namespace, name), ("", "n1"));
            Some(there.clone())
        });
        let new = new.unwrap().object;
        assert_eq!(json!(new.metadata.labels), json!({ "zone": "b", "disk": "ssd" }));
        assert_eq!(
            kube_labels::read(&new.metadata.annotations[kube_labels::ANNOTATION]).unwrap(),
            new.metadata.labels,
            "those labels are of Kubernetes"
        );
        let bgp = &new.body["spec"]["bgp"];
        assert_eq!((&bgp["asNumber"], &bgp["ipv4Address"]), (&json!(64513), &json!("192.0.2.1/24")));
        let addresses = json!([address("CalicoNodeIP", "192.0.2.1/24"), address("InternalIP", "198.51.100.1")]);
        assert_eq!(new.body["spec"]["addresses"], addresses, "kubectl apply does not change a node's status");
        // One that is new has what its manifest says.
        let new = convert(&change, "", "cali", none).unwrap().object;
        assert_eq!(new.body["spec"]["addresses"], json!([address("InternalIP", "203.0.113.9")]));
    }

    #[test]
    fn what_the_server_fills_in_is_filled_in() {
        let spec = |egress: Value, types: Value| {
            let manifest = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "db" },
                "spec": { "podSelector": {}, "egress": egress, "policyTypes": types } });
            convert(&manifest, "shop", "cali", none).unwrap().object.body["spec"]["types"].clone()
        };
        assert_eq!(spec(json!(null), json!(null)), json!(["Ingress"]));
        // So does a spec that is missing, or null: the policy selects all pods of its namespace.
        let without =
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "db" } });
        let mut null = without.clone();
        null["spec"] = json!(null);
        for manifest in [without, null] {
            let made = convert(&manifest, "shop", "cali", none).unwrap().object.body["spec"].clone();
            assert_eq!(
                (&made["types"], &made["selector"]),
                (&json!(["Ingress"]), &json!("projectcalico.org/orchestrator == 'k8s'"))
            );
            assert!(made.get("ingress").is_none());
        }
        let service_account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "a" }, "status": null });
        assert!(convert(&service_account, "shop", "cali", none).is_ok());
        assert_eq!(spec(json!([{}]), json!([])), json!(["Ingress", "Egress"]));
        assert_eq!(spec(json!([{}]), json!(["Ingress"])), json!(["Ingress"]));
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
        let labels = convert(&namespace, "", "cali", none).unwrap().object.body["spec"]["labelsToApply"].clone();
        assert_eq!(labels["pcns.kubernetes.io/metadata.name"], "shop");
    }

    #[test]
    fn an_object_is_named_as_kubectl_names_it_and_found_by_the_words_that_kubectl_takes() {
        let manifest =
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "db" } });
        let policy = reference(&manifest, "shop").unwrap();
        assert_eq!(policy.to_string(), "networkpolicy.networking.k8s.io/shop/db");
        assert_eq!(Reference::of_key(&policy.key().unwrap()), Some(policy));
        for (word, kind) in [
            ("NetPol", Some(KubernetesKind::NetworkPolicy)),
            ("networkpolicies.networking.k8s.io", Some(KubernetesKind::NetworkPolicy)),
            ("networkpolicy", None),
            ("svc", Some(KubernetesKind::Service)),
            ("ns", Some(KubernetesKind::Namespace)),
        ] {
            assert_eq!(KubernetesKind::from_word(word), kind, "{word}");
        }
    }
}
