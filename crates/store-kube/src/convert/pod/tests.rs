use serde_json::{Value, json};

use super::*;

fn pod(json: &Value) -> Pod {
    let mut whole = json!({
        "metadata": { "name": "web-1", "namespace": "shop", "uid": "30316465-6365-4463-ad63-3564622d3638",
            "resourceVersion": "77", "creationTimestamp": "2026-01-02T03:04:05Z", "managedFields": [{}] },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "c", "image": "i" }], "volumes": [{}] },
        "status": { "phase": "Running" },
    });
    merge(&mut whole, json);
    serde_json::from_value(whole).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key.clone()).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

/// The endpoint as a store would keep it.
fn converted(json: &Value) -> Value {
    let converted = workload_endpoint(&pod(json), "cali").unwrap().expect("it is an endpoint");
    assert_eq!(converted.warnings, []);
    serde_json::from_slice(&tortie_api::encode::stored(&converted.object)).unwrap()
}

fn annotated(annotations: Value) -> Value {
    json!({ "metadata": { "annotations": annotations } })
}

#[test]
fn a_whole_pod_becomes_the_endpoint_that_calico_makes_of_it() {
    let pod = json!({
        "metadata": { "generateName": "web-", "labels": { "app": "web" }, "annotations": {
            "cni.projectcalico.org/containerID": "abc", "k8s.v1.cni.cncf.io/network-status": "[]", "other": "x",
            "cni.projectcalico.org/floatingIPs": r#"["172.16.0.1","2001:db8::1"]"#,
            "cni.projectcalico.org/allowedSourcePrefixes": r#"["8.8.8.8/24"]"#,
            "kubernetes.io/ingress-bandwidth": "1M" } },
        "spec": { "serviceAccountName": "web", "containers": [{ "ports": [
            { "name": "http", "containerPort": 80 },
            { "containerPort": 81 },
            { "containerPort": 82, "hostPort": 8082, "hostIP": "10.0.0.1", "protocol": "UDP" },
            { "name": "odd", "containerPort": 83, "protocol": "XYZ" } ] }],
            "initContainers": [{ "ports": [{ "name": "init", "containerPort": 84, "protocol": "SCTP" }] }] },
        "status": { "podIP": "10.65.1.7", "podIPs": [{ "ip": "10.65.1.7" }, { "ip": "fd00::7" }] },
    });
    assert_eq!(
        converted(&pod),
        json!({
            "kind": "WorkloadEndpoint",
            "apiVersion": "projectcalico.org/v3",
            "metadata": {
                "name": "node--1-k8s-web--1-eth0", "generateName": "web-", "namespace": "shop",
                "uid": "30316465-6365-4463-ad63-3564622d3638", "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": { "app": "web", "projectcalico.org/namespace": "shop",
                    "projectcalico.org/orchestrator": "k8s", "projectcalico.org/serviceaccount": "web" },
                "annotations": { "k8s.v1.cni.cncf.io/network-status": "[]" },
            },
            "spec": {
                "orchestrator": "k8s", "node": "node-1", "containerID": "abc", "pod": "web-1", "endpoint": "eth0",
                "serviceAccountName": "web", "ipNetworks": ["10.65.1.7/32", "fd00::7/128"],
                "ipNATs": [{ "internalIP": "10.65.1.7", "externalIP": "172.16.0.1" },
                    { "internalIP": "fd00::7", "externalIP": "2001:db8::1" }],
                "profiles": ["kns.shop", "ksa.shop.web"],
                "interfaceName": interface_name("cali", "shop", "web-1"),
                "ports": [
                    { "name": "http", "protocol": "TCP", "port": 80, "hostPort": 0, "hostIP": "" },
                    { "name": "", "protocol": "UDP", "port": 82, "hostPort": 8082, "hostIP": "10.0.0.1" },
                    { "name": "init", "protocol": "SCTP", "port": 84, "hostPort": 0, "hostIP": "" } ],
                "allowSpoofedSourcePrefixes": ["8.8.8.0/24"],
                "qosControls": { "ingressBandwidth": 1_000_000, "ingressBurst": 4_294_967_296u64 },
            },
        })
    );
}

#[test]
fn names_of_interfaces_are_those_of_the_cni_plugin() {
    assert_eq!(interface_name("cali", "default", "podA"), "cali7f94ce7c295");
    assert_eq!(interface_name("cali", "default", "nginx"), "calic440f455693");
    assert_eq!(interface_name("eni", "default", "nginx"), "enic440f455693");
}

#[test]
fn pods_without_a_node_or_in_the_hosts_network_are_no_endpoints() {
    for spec in [json!({ "nodeName": "" }), json!({ "hostNetwork": true })] {
        assert_eq!(workload_endpoint(&pod(&json!({ "spec": spec })), "cali").unwrap(), None, "{spec}");
    }
}

#[test]
fn addresses_come_from_the_first_place_that_has_some() {
    let places = [
        (json!({ "status": { "podIPs": [{ "ip": "10.0.0.1" }] } }), json!(["10.0.0.1/32"])),
        (json!({ "status": { "podIP": "10.0.0.2" } }), json!(["10.0.0.2/32"])),
        (
            annotated(json!({ "cni.projectcalico.org/podIPs": "10.65.1.77/24,fd00::1/128" })),
            json!(["10.65.1.0/24", "fd00::1/128"]),
        ),
        (annotated(json!({ "cni.projectcalico.org/podIP": "10.0.0.4/32" })), json!(["10.0.0.4/32"])),
        (annotated(json!({ "vpc.amazonaws.com/pod-ips": "10.0.0.5,10.0.0.6" })), json!(["10.0.0.5/32", "10.0.0.6/32"])),
    ];
    for from in 0..places.len() {
        let mut all = json!({});
        places[from..].iter().for_each(|(place, _)| merge(&mut all, place));
        assert_eq!(converted(&all)["spec"]["ipNetworks"], places[from].1, "{all}");
    }
    assert_eq!(converted(&json!({}))["spec"].get("ipNetworks"), None);
}

#[test]
fn finished_pods_have_no_addresses() {
    let deleted = "2026-01-02T03:04:05Z";
    for (json, finished) in [
        (json!({ "status": { "phase": "Failed" } }), true),
        (json!({ "status": { "phase": "Succeeded" } }), true),
        (json!({ "status": { "phase": "Completed" } }), true),
        (json!({ "status": { "phase": "Pending" } }), false),
        (json!({ "metadata": { "deletionTimestamp": deleted } }), false),
        (json!({ "metadata": { "deletionTimestamp": deleted, "annotations": { POD_IP: "" } } }), true),
        (json!({ "metadata": { "deletionTimestamp": deleted, "annotations": { AWS_POD_IPS: "" } } }), true),
        (json!({ "metadata": { "deletionTimestamp": deleted, "annotations": { POD_IP: "10.0.0.1" } } }), false),
        (json!({ "metadata": { "annotations": { POD_IP: "" } } }), false),
    ] {
        let mut pod = json!({ "metadata": { "annotations": { FLOATING_IPS: r#"["1.2.3.4"]"# } },
            "status": { "podIP": "10.0.0.1" } });
        merge(&mut pod, &json);
        let spec = &converted(&pod)["spec"];
        assert_eq!(spec.get("ipNetworks").is_none(), finished, "{json}");
        assert_eq!(spec.get("ipNATs").is_none(), finished, "{json}");
    }
}

#[test]
fn labels_of_the_system_are_stronger_than_the_pods_own() {
    let own = json!({ "metadata": { "labels": { "projectcalico.org/namespace": "other",
        "projectcalico.org/orchestrator": "x", "projectcalico.org/serviceaccount": "mine" } } });
    let labels = |json: &Value| converted(json)["metadata"]["labels"].clone();
    assert_eq!(
        labels(&own),
        json!({ "projectcalico.org/namespace": "shop", "projectcalico.org/orchestrator": "k8s",
            "projectcalico.org/serviceaccount": "mine" })
    );
    for (length, labelled) in [(62, true), (63, false)] {
        let account = "a".repeat(length);
        let labels = labels(&json!({ "spec": { "serviceAccountName": account } }));
        assert_eq!(labels.get("projectcalico.org/serviceaccount").is_some(), labelled, "{length}");
    }
}

#[test]
fn floating_addresses_need_an_address_of_their_family() {
    let nats = |floating: &str, ips: &str| {
        let pod = annotated(json!({ FLOATING_IPS: floating, "cni.projectcalico.org/podIPs": ips }));
        converted(&pod)["spec"].get("ipNATs").cloned()
    };
    let one = |internal: &str, external: &str| Some(json!([{ "internalIP": internal, "externalIP": external }]));
    assert_eq!(nats(r#"["1.2.3.4","2001:db8::1"]"#, "10.0.0.1"), one("10.0.0.1", "1.2.3.4"));
    assert_eq!(nats(r#"["1.2.3.4","2001:db8::1"]"#, "fd00::1"), one("fd00::1", "2001:db8::1"));
    assert_eq!(nats(r#"["nope"]"#, "10.0.0.1,10.0.0.2"), one("10.0.0.2", "nope"));
    assert_eq!(nats("not read without addresses", ""), None);
}

#[test]
fn an_unreadable_annotation_is_an_error_that_names_it() {
    for (json, error) in [
        (json!({ "status": { "podIP": "nope" } }), "status.podIP: `nope` is not a CIDR or an IP address"),
        (
            annotated(json!({ POD_IP: "10.0.0.1,10.0.0.2" })),
            "cni.projectcalico.org/podIP: `10.0.0.1,10.0.0.2` is not a CIDR or an IP address",
        ),
        (
            annotated(json!({ AWS_POD_IPS: "10.0.0.1, 10.0.0.2" })),
            "vpc.amazonaws.com/pod-ips: ` 10.0.0.2` is not a CIDR or an IP address",
        ),
        (
            annotated(json!({ FLOATING_IPS: "[]", POD_IP: "10.65.1.77/24" })),
            "cni.projectcalico.org/podIP: 10.65.1.0/24 is not a single address, and cni.projectcalico.org/floatingIPs needs one",
        ),
        (
            annotated(json!({ SOURCE_PREFIXES: r#"["8.8.8.8"]"# })),
            "cni.projectcalico.org/allowedSourcePrefixes: `8.8.8.8` is not a CIDR",
        ),
    ] {
        assert_eq!(workload_endpoint(&pod(&json), "cali").unwrap_err().to_string(), error, "{json}");
    }
    for (name, text) in
        [(FLOATING_IPS, ""), (FLOATING_IPS, "{}"), (SOURCE_PREFIXES, "8.8.8.8/24"), (SOURCE_PREFIXES, "[1]")]
    {
        let json = annotated(json!({ name: text, POD_IP: "10.0.0.1" }));
        let error = workload_endpoint(&pod(&json), "cali").unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}: `{text}` is not a JSON list of texts")), "{error}");
    }
    assert_eq!(converted(&annotated(json!({ SOURCE_PREFIXES: "" })))["spec"].get("allowSpoofedSourcePrefixes"), None);
}
