use serde_json::{Value, json};

fn converted(node: &Value, use_pod_cidr: bool) -> (Value, Vec<String>) {
    let mut node = node.clone();
    for (field, value) in [("name", json!("n1")), ("uid", json!("30316465-6365-4463-ad63-3564622d3638"))] {
        node["metadata"][field] = value;
    }
    let converted = super::node(&serde_json::from_value(node).unwrap(), use_pod_cidr).unwrap();
    (
        serde_json::from_slice(&tortie_api::encode::stored(&converted.object)).unwrap(),
        converted.warnings.into_iter().map(|one| one.text).collect(),
    )
}

#[test]
fn a_bare_node_is_a_node() {
    assert_eq!(
        converted(&json!({}), false),
        (
            json!({ "kind": "Node", "apiVersion": "projectcalico.org/v3",
                "metadata": { "name": "n1", "uid": "30316465-6365-4463-ad63-3564622d3638",
                    "annotations": { "projectcalico.org/kube-labels": "null" } },
                "spec": { "orchRefs": [{ "nodeName": "n1", "orchestrator": "k8s" }] },
                "status": {} }),
            Vec::new()
        )
    );
}

#[test]
fn annotations_fields_and_addresses_are_converted() {
    let annotations = json!({
        "projectcalico.org/IPv4Address": "192.168.0.1/24", "projectcalico.org/IPv6Address": "fd00::1/64",
        "projectcalico.org/IPv4IPIPTunnelAddr": "10.65.0.1", "projectcalico.org/IPv4VXLANTunnelAddr": "10.65.0.2",
        "projectcalico.org/VXLANTunnelMACAddr": "66:00:00:00:00:01", "projectcalico.org/IPv6VXLANTunnelAddr": "fd00::2",
        "projectcalico.org/VXLANTunnelMACAddrV6": "66:00:00:00:00:02", "projectcalico.org/ASNumber": "1.10",
        "projectcalico.org/RouteReflectorClusterID": "1.2.3.4",
        "projectcalico.org/IPv4WireguardInterfaceAddr": "10.65.0.3",
        "projectcalico.org/IPv6WireguardInterfaceAddr": "fd00::3",
        "projectcalico.org/WireguardPublicKey": "no key", "projectcalico.org/WireguardPublicKeyV6": "none",
        "projectcalico.org/Interfaces": r#"[{"name":"eth0","addresses":["192.168.0.1"]}]"#,
        "projectcalico.org/labels": r#"{"a":"calico","b":"calico"}"#,
        "projectcalico.org/annotations": r#"{"note":"x"}"#, "not": "taken over" });
    let node = json!({ "metadata": { "annotations": annotations, "labels": { "a": "<kubernetes>" } },
        "spec": { "podCIDRs": ["10.244.0.0/24"] },
        "status": { "addresses": [{ "type": "Hostname", "address": "n1" }, { "type": "InternalIP", "address": "192.168.0.1" },
            { "type": "ExternalIP", "address": "1.2.3.4" }] } });
    let (node, warnings) = converted(&node, false);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        node,
        json!({ "kind": "Node", "apiVersion": "projectcalico.org/v3",
            "metadata": { "name": "n1", "uid": "30316465-6365-4463-ad63-3564622d3638",
                "labels": { "a": "<kubernetes>", "b": "calico" },
                "annotations": { "note": "x", "projectcalico.org/kube-labels": "{\"a\":\"\\u003ckubernetes\\u003e\"}" } },
            "spec": {
                "bgp": { "asNumber": 65546, "ipv4Address": "192.168.0.1/24", "ipv6Address": "fd00::1/64",
                    "ipv4IPIPTunnelAddr": "10.65.0.1", "routeReflectorClusterID": "1.2.3.4" },
                "ipv4VXLANTunnelAddr": "10.65.0.2", "vxlanTunnelMACAddr": "66:00:00:00:00:01",
                "ipv6VXLANTunnelAddr": "fd00::2", "vxlanTunnelMACAddrV6": "66:00:00:00:00:02",
                "orchRefs": [{ "nodeName": "n1", "orchestrator": "k8s" }],
                "wireguard": { "interfaceIPv4Address": "10.65.0.3", "interfaceIPv6Address": "fd00::3" },
                "addresses": [{ "address": "192.168.0.1/24", "type": "CalicoNodeIP" },
                    { "address": "fd00::1/64", "type": "CalicoNodeIP" },
                    { "address": "192.168.0.1", "type": "InternalIP" }, { "address": "1.2.3.4", "type": "ExternalIP" }],
                "interfaces": [{ "name": "eth0", "addresses": ["192.168.0.1"] }] },
            "status": { "wireguardPublicKey": "no key", "wireguardPublicKeyV6": "none", "podCIDRs": ["10.244.0.0/24"] } })
    );
}

#[test]
fn invalid_annotations_are_left_out_with_a_warning() {
    for (name, value) in [
        ("IPv4Address", "fd00::1/64"),
        ("IPv6Address", "192.168.0.1/24"),
        ("IPv4IPIPTunnelAddr", "10.65.0.1/32"),
        ("VXLANTunnelMACAddr", "nope"),
        ("ASNumber", "4294967296"),
        ("ASNumber", "1.65536"),
        ("RouteReflectorClusterID", "x"),
        ("Interfaces", "{"),
        ("labels", "[]"),
    ] {
        let annotations = json!({ format!("projectcalico.org/{name}"): value });
        let (node, warnings) = converted(&json!({ "metadata": { "annotations": annotations } }), false);
        assert_eq!(node, converted(&json!({}), false).0, "{name}");
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(warning.starts_with(&format!("projectcalico.org/{name}: ")), "{warning}");
    }
}

#[test]
fn the_net_for_pods_gives_the_tunnels_address_if_that_is_asked_for() {
    let node = json!({ "metadata": { "annotations": { "projectcalico.org/IPv4IPIPTunnelAddr": "10.9.9.9",
        "projectcalico.org/WireguardPublicKey": "k" } }, "spec": { "podCIDR": "10.244.3.0/24" } });
    let spec = converted(&node, true).0["spec"].clone();
    assert_eq!(spec["bgp"], json!({ "ipv4IPIPTunnelAddr": "10.244.3.1" }));
    assert_eq!(spec["wireguard"], json!({ "interfaceIPv4Address": "10.244.3.1" }));
    assert_eq!(converted(&node, false).0["spec"]["bgp"], json!({ "ipv4IPIPTunnelAddr": "10.9.9.9" }));
}
