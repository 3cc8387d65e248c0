//! The plan as a value: cases from Calico's behaviour, and random clusters.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tortie_api::Object;
use tortie_api::kinds::host_endpoint::HostEndpointSpec;
use tortie_random::Random;

use super::*;
use crate::host_endpoints::{Node, OWNER, OWNER_LABEL};

/// The settings of a KubeControllersConfiguration with this `hostEndpoint`.
fn settings(host_endpoint: Value) -> Result<Option<Settings>, String> {
    Settings::read(serde_json::from_value(host_endpoint).unwrap())
}

fn enabled(templates: Value) -> Result<Option<Settings>, String> {
    settings(json!({ "autoCreate": "Enabled", "templates": templates }))
}

fn node(labels: Value, spec: Value) -> Result<Node, String> {
    Ok(Node { labels: serde_json::from_value(labels).unwrap(), spec: serde_json::from_value(spec).unwrap() })
}

/// A node with one address of each kind, and two interfaces.
fn full_node() -> Result<Node, String> {
    node(
        json!({ "zone": "a" }),
        json!({
            "bgp": { "ipv4Address": "192.0.2.1/24", "ipv6Address": "2001:DB8::1/64", "ipv4IPIPTunnelAddr": "10.0.1.1" },
            "ipv4VXLANTunnelAddr": "10.0.2.1", "ipv6VXLANTunnelAddr": "fd00::2",
            "wireguard": { "interfaceIPv4Address": "10.0.3.1", "interfaceIPv6Address": "fd00::3" },
            "addresses": [
                { "address": "192.0.2.1/24", "type": "CalicoNodeIP" }, { "address": "198.51.100.1", "type": "InternalIP" },
                { "address": "203.0.113.1", "type": "ExternalIP" }
            ],
            "interfaces": [
                { "name": "eth0", "addresses": ["192.0.2.1", "FE80::1"] }, { "name": "eth1", "addresses": ["198.51.100.9"] }
            ],
        }),
    )
}

fn cluster(settings: Result<Option<Settings>, String>, nodes: &[(&str, Result<Node, String>)]) -> Cluster {
    let nodes = nodes.iter().map(|(name, node)| ((*name).to_owned(), node.clone())).collect();
    Cluster { nodes, settings, ..Cluster::default() }
}

/// Does what a plan says, as a store would; the version of an object counts its writes.
fn act(cluster: &mut Cluster, action: &Action) {
    let name = action.key().name;
    let current = cluster.endpoints.get(&name).and_then(|known| known.as_ref().ok());
    let version = current.map_or_else(String::new, |known| known.metadata.resource_version.clone());
    match action {
        Action::Create(object) => {
            assert!(version.is_empty() && !cluster.endpoints.contains_key(&name), "{action:?} exists");
            put(cluster, object, "1".to_owned());
        }
        Action::Update(object) => {
            assert_eq!(object.metadata.resource_version, version, "{action:?}");
            put(cluster, object, (version.parse::<u64>().unwrap() + 1).to_string());
        }
        Action::Delete { resource_version, .. } => {
            assert_eq!(*resource_version, version, "{action:?}");
            cluster.endpoints.remove(&name);
        }
        Action::Label { .. } => panic!("{action:?}"),
    }
}

fn put(cluster: &mut Cluster, object: &Object, version: String) {
    let mut object = object.clone();
    object.metadata.resource_version = version;
    cluster.endpoints.insert(object.metadata.name.clone(), Ok(object));
}

/// Does the whole plan; its problems.
fn settle(cluster: &mut Cluster) -> Vec<String> {
    let plan = plan(cluster);
    plan.actions.iter().for_each(|action| act(cluster, action));
    plan.problems.iter().map(ToString::to_string).collect()
}

/// The endpoints that exist: name, interface, addresses.
fn shown(cluster: &Cluster) -> Vec<(String, String, String)> {
    let spec = |object: &Object| object.spec::<HostEndpointSpec>().unwrap();
    let shown = |(name, object): (&String, &Result<Object, String>)| {
        let spec = spec(object.as_ref().ok()?);
        Some((name.clone(), spec.interface_name, spec.expected_ips.join(" ")))
    };
    cluster.endpoints.iter().filter_map(shown).collect()
}

fn endpoint(name: &str, labels: Value, spec: Value) -> (String, Result<Object, String>) {
    let mut object = Object::new(key(name));
    object.metadata.labels = serde_json::from_value(labels).unwrap();
    object.metadata.uid = "a-uid".to_owned();
    object.metadata.creation_timestamp = Some(tortie_api::scalar::Time(json!("2026-01-01T00:00:00Z")));
    object.metadata.resource_version = "7".to_owned();
    object.body.insert("spec".to_owned(), spec);
    (name.to_owned(), Ok(object))
}

const ALL: &str = "192.0.2.1 2001:db8::1 10.0.1.1 10.0.2.1 fd00::2 10.0.3.1 fd00::3 198.51.100.1 FE80::1 198.51.100.9";

#[test]
fn a_node_gets_the_endpoints_that_the_settings_name() {
    let none: &[(&str, &str, &str)] = &[];
    for (what, host_endpoint, expected) in [
        ("off", json!({}), none),
        ("off, with templates", json!({ "templates": [{ "generateName": "t", "interfacePattern": "." }] }), none),
        ("the default", json!({ "autoCreate": "Enabled" }), &[("n1-auto-hep", "*", ALL)]),
        ("none by default", json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled" }), none),
        (
            "by nets, in the shortest form",
            json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled",
                "templates": [{ "generateName": "t", "interfaceCIDRs": ["198.51.100.0/24", "fe80::/10"] }] }),
            &[("n1-t-auto-hep", "", "198.51.100.1 fe80::1 198.51.100.9")],
        ),
        (
            "by nets that no address is in",
            json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled",
                "templates": [{ "generateName": "t", "interfaceCIDRs": ["203.0.113.0/24"] }] }),
            none,
        ),
        (
            "neither nets nor a pattern",
            json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled", "templates": [{ "generateName": "t" }] }),
            none,
        ),
        (
            "by a pattern, which need not match the whole name",
            json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled",
                "templates": [{ "generateName": "t", "interfacePattern": "th" }] }),
            &[("n1-t-eth0-auto-hep", "eth0", "192.0.2.1 FE80::1"), ("n1-t-eth1-auto-hep", "eth1", "198.51.100.9")],
        ),
        (
            "by a pattern and nets: the addresses within, then those of the interface",
            json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled",
                "templates": [{ "generateName": "t", "interfacePattern": "^eth1$", "interfaceCIDRs": ["10.0.0.0/16", "198.51.100.9/32"] }] }),
            &[("n1-t-eth1-auto-hep", "eth1", "10.0.1.1 10.0.2.1 10.0.3.1 198.51.100.9")],
        ),
        (
            "a template without a name replaces the default, and the later of one name counts",
            json!({ "autoCreate": "Enabled", "templates": [
                { "interfaceCIDRs": ["10.0.1.0/24"] },
                { "generateName": "t", "interfaceCIDRs": ["10.0.1.0/24"] },
                { "generateName": "t", "interfaceCIDRs": ["10.0.2.0/24"] } ] }),
            &[("n1-auto-hep", "", "10.0.1.1"), ("n1-t-auto-hep", "", "10.0.2.1")],
        ),
        (
            "a template for other nodes, beside the default",
            json!({ "autoCreate": "Enabled", "templates": [
                { "generateName": "t", "interfaceCIDRs": ["10.0.1.0/24"], "nodeSelector": "zone == 'b'" },
                { "generateName": "u", "interfaceCIDRs": ["10.0.1.0/24"], "nodeSelector": "has(zone)" } ] }),
            &[("n1-auto-hep", "*", ALL), ("n1-u-auto-hep", "", "10.0.1.1")],
        ),
    ] {
        let mut cluster = cluster(settings(host_endpoint), &[("n1", full_node())]);
        assert_eq!(settle(&mut cluster), Vec::<String>::new(), "{what}");
        let expected: Vec<_> =
            expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
        assert_eq!(shown(&cluster), expected, "{what}");
        assert_eq!(plan(&cluster).actions, [], "{what}: nothing is left to do");
    }
}

#[test]
fn every_endpoint_has_the_allowing_profile_and_the_label_of_its_creator() {
    let templates = json!([{ "generateName": "t", "interfacePattern": "eth0",
        "labels": { "zone": "of-the-template", OWNER_LABEL: "someone" }, "annotations": { "note": "x" } }]);
    let mut cluster = cluster(enabled(templates), &[("n1", full_node())]);
    settle(&mut cluster);
    for (name, zone, annotations) in [("n1-auto-hep", "a", 0), ("n1-t-eth0-auto-hep", "of-the-template", 1)] {
        let object = cluster.endpoints[name].as_ref().unwrap();
        assert_eq!(
            object.metadata.labels,
            BTreeMap::from([("zone".into(), zone.into()), (OWNER_LABEL.into(), OWNER.into())])
        );
        assert_eq!(object.metadata.annotations.len(), annotations);
        let spec: HostEndpointSpec = object.spec().unwrap();
        assert_eq!((spec.node.as_str(), spec.profiles), ("n1", vec!["projectcalico-default-allow".to_owned()]));
        assert_eq!(spec.ports, []);
    }
}

#[test]
fn repeated_and_invalid_addresses_are_left_out() {
    let spec = json!({
        "bgp": { "ipv4Address": "192.0.2.1", "ipv4IPIPTunnelAddr": "10.0.1.1/32" }, "ipv4VXLANTunnelAddr": "10.0.1.1",
        "addresses": [{ "address": "192.0.2.1", "type": "InternalIP" }, { "address": "", "type": "InternalIP" },
            { "address": "node.example", "type": "InternalIP" }, { "address": "fd00::1", "type": "InternalIP" }],
        "interfaces": [{ "name": "lo", "addresses": ["127.0.0.1", "FD00::0001", "192.0.2.300"] }],
    });
    let mut cluster = cluster(enabled(json!([])), &[("n1", node(json!({}), spec))]);
    settle(&mut cluster);
    assert_eq!(shown(&cluster)[0].2, "192.0.2.1 10.0.1.1 fd00::1 127.0.0.1");
}

#[test]
fn endpoints_of_others_are_never_changed_and_are_reported() {
    let mut cluster = cluster(enabled(json!([])), &[("n1", full_node()), ("n2", full_node())]);
    let spec = json!({ "node": "n1", "interfaceName": "eth0" });
    cluster.endpoints.extend([
        endpoint("n1-auto-hep", json!({}), spec.clone()),
        endpoint("n2-auto-hep", json!({ OWNER_LABEL: "me" }), spec.clone()),
        endpoint("gone-auto-hep", json!({ "zone": "a" }), json!({ "node": "gone", "interfaceName": "*" })),
        ("n3-auto-hep".to_owned(), Err("no JSON".to_owned())),
    ]);
    let plan = plan(&cluster);
    assert_eq!(plan.actions, []);
    let about: Vec<&str> = plan.problems.iter().map(|problem| problem.about.as_str()).collect();
    assert_eq!(about, ["HostEndpoint(n1-auto-hep)", "HostEndpoint(n2-auto-hep)"]);
}

#[test]
fn an_endpoint_that_was_edited_is_corrected_and_keeps_its_identity() {
    let mut cluster = cluster(enabled(json!([])), &[("n1", full_node())]);
    let labels = json!({ OWNER_LABEL: OWNER, "edited": "yes" });
    let spec =
        json!({ "node": "n1", "interfaceName": "eth0", "ports": [{ "name": "a", "protocol": "TCP", "port": 1 }] });
    cluster.endpoints.extend([endpoint("n1-auto-hep", labels, spec)]);
    let plan = plan(&cluster);
    let [Action::Update(object)] = &plan.actions[..] else { panic!("{plan:?}") };
    assert_eq!((object.metadata.uid.as_str(), object.metadata.resource_version.as_str()), ("a-uid", "7"));
    assert!(!object.metadata.labels.contains_key("edited"));
    let spec: HostEndpointSpec = object.spec().unwrap();
    assert_eq!((spec.interface_name.as_str(), spec.ports.len()), ("*", 0));
}

#[test]
fn endpoints_are_deleted_with_their_node_their_template_and_the_setting() {
    let template = json!([{ "generateName": "t", "interfacePattern": "eth0" }]);
    let full = || cluster(enabled(template.clone()), &[("n1", full_node()), ("n2", full_node())]);
    let all = ["n1-auto-hep", "n1-t-eth0-auto-hep", "n2-auto-hep", "n2-t-eth0-auto-hep"];
    for (what, change, left) in [
        ("nothing", Box::new(|_: &mut Cluster| ()) as Box<dyn Fn(&mut Cluster)>, &all[..]),
        ("a node", Box::new(|it| drop(it.nodes.remove("n2"))), &all[..2]),
        ("the template", Box::new(|it| it.settings = enabled(json!([]))), &["n1-auto-hep", "n2-auto-hep"]),
        (
            "an interface",
            Box::new(|it| it.nodes.get_mut("n1").unwrap().as_mut().unwrap().spec.interfaces.clear()),
            &["n1-auto-hep", "n2-auto-hep", "n2-t-eth0-auto-hep"],
        ),
        ("the setting", Box::new(|it| it.settings = settings(json!({ "autoCreate": "Disabled" }))), &[]),
        ("all settings", Box::new(|it| it.settings = Ok(None)), &[]),
    ] {
        let mut cluster = full();
        settle(&mut cluster);
        change(&mut cluster);
        settle(&mut cluster);
        assert_eq!(cluster.endpoints.keys().collect::<Vec<_>>(), left, "without {what}");
    }
}

#[test]
fn unreadable_objects_change_no_existing_endpoint() {
    let template = json!([{ "generateName": "t", "interfacePattern": "eth0" }]);
    let broken = json!([{ "generateName": "t", "interfacePattern": "eth0", "nodeSelector": "zone ==" },
        { "generateName": "u", "interfaceCIDRs": ["198.51.100.0/24"] }]);
    for (what, change, expected) in [
        (
            "the settings",
            Box::new(|it: &mut Cluster| it.settings = Err("no JSON".to_owned())) as Box<dyn Fn(&mut Cluster)>,
            vec![],
        ),
        ("autoCreate", Box::new(|it| it.settings = settings(json!({ "autoCreate": "enabled" }))), vec![]),
        ("a node", Box::new(|it| drop(it.nodes.insert("n1".to_owned(), Err("no JSON".to_owned())))), vec![]),
        (
            "a template, and the others count",
            Box::new(move |it| it.settings = enabled(broken.clone())),
            vec!["n1-u-auto-hep"],
        ),
        (
            "whether the store may be written",
            Box::new(|it| {
                it.locked = true;
                it.settings = Ok(None)
            }),
            vec![],
        ),
    ] {
        let mut cluster = cluster(enabled(template.clone()), &[("n1", full_node())]);
        settle(&mut cluster);
        change(&mut cluster);
        let plan = plan(&cluster);
        assert_eq!(plan.actions.iter().map(|action| action.key().name).collect::<Vec<_>>(), expected, "{what}");
        assert_eq!(plan.problems.len(), 1, "{what}: {:?}", plan.problems);
    }
}

#[test]
fn an_endpoint_that_would_be_invalid_is_reported_and_not_written() {
    let spec = json!({ "interfaces": [{ "name": "Eth_0", "addresses": [] }, { "name": "eth1", "addresses": [] }] });
    let settings = enabled(json!([{ "generateName": "t", "interfacePattern": "." }]));
    let mut cluster = cluster(settings, &[("n1", node(json!({}), spec))]);
    let problems = settle(&mut cluster);
    assert_eq!(cluster.endpoints.keys().collect::<Vec<_>>(), ["n1-auto-hep", "n1-t-eth1-auto-hep"]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("HostEndpoint(n1-t-Eth_0-auto-hep): it would be invalid"), "{problems:?}");
}

#[test]
fn two_nodes_never_replace_each_others_endpoint_of_one_name() {
    let settings = enabled(json!([{ "generateName": "b", "interfaceCIDRs": ["0.0.0.0/0"] }]));
    let mut cluster = cluster(settings, &[("a", full_node()), ("a-b", full_node())]);
    let problems = settle(&mut cluster);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(plan(&cluster).actions, []);
    assert_eq!(shown(&cluster)[0].1, "*", "the template's");
}

#[test]
fn a_node_is_never_without_an_endpoint_while_its_name_changes() {
    let mut cluster = cluster(enabled(json!([])), &[("n1", full_node())]);
    settle(&mut cluster);
    cluster.settings = settings(json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled",
        "templates": [{ "generateName": "t", "interfacePattern": "eth0" }] }));
    let plan = plan(&cluster);
    assert!(matches!(&plan.actions[..], [Action::Create(_), Action::Delete { .. }]), "{plan:?}");
}

#[test]
fn without_the_controller_of_nodes_all_endpoints_stay_as_they_are() {
    let mut cluster = cluster(Ok(None), &[("n1", full_node())]);
    let (name, object) =
        endpoint("n1-auto-hep", json!({ OWNER_LABEL: OWNER }), json!({ "node": "n1", "interfaceName": "*" }));
    cluster.endpoints.insert(name, object);
    assert!(matches!(plan(&cluster).actions[..], [Action::Delete { .. }]), "it runs, and host endpoints are off");
    cluster.left = true;
    assert_eq!(plan(&cluster), Plan::default());
}

/// A random cluster of few names, so that endpoints of all sorts meet.
fn random_cluster(random: &mut Random) -> Cluster {
    let mut cluster = Cluster { settings: random_settings(random), ..Cluster::default() };
    for _ in 0..random.below(4) {
        let (name, node) = random_node(random);
        cluster.nodes.insert(name, node);
    }
    for _ in 0..random.below(4) {
        let name = format!("{}-auto-hep", random.pick(&["a", "b", "a-t", "a-t-eth0", "gone"]));
        let labels = if random.chance(50) { json!({ OWNER_LABEL: OWNER }) } else { json!({ "mine": "yes" }) };
        let spec = json!({ "node": random.pick(&["a", "b", "gone"]), "interfaceName": random.pick(&["*", "eth0"]) });
        let (name, object) = endpoint(&name, labels, spec);
        cluster.endpoints.insert(name, if random.once_in(8) { Err("no JSON".to_owned()) } else { object });
    }
    cluster
}

fn random_settings(random: &mut Random) -> Result<Option<Settings>, String> {
    let mut templates = Vec::new();
    for _ in 0..random.below(3) {
        templates.push(json!({
            "generateName": random.pick(&["", "t", "u"]),
            "interfaceCIDRs": random.some(&["10.0.0.0/8", "192.0.2.0/24", "fd00::/8"], 2),
            "interfacePattern": random.pick(&["", "", "eth", "0$"]),
            "nodeSelector": random.pick(&["", "zone == 'a'", "has(zone)", "!has(zone)"]),
            "labels": if random.chance(30) { json!({ "zone": "t" }) } else { json!({}) },
        }));
    }
    settings(json!({
        "autoCreate": if random.chance(80) { "Enabled" } else { "Disabled" },
        "createDefaultHostEndpoint": random.pick(&["", "Enabled", "Disabled"]),
        "templates": templates,
    }))
}

fn random_node(random: &mut Random) -> (String, Result<Node, String>) {
    let name = (*random.pick(&["a", "b", "a-t"])).to_owned();
    if random.once_in(10) {
        return (name, Err("no JSON".to_owned()));
    }
    let addresses = ["10.0.0.1", "192.0.2.1", "192.0.2.1/24", "fd00::1", "nothing"];
    let interface = |random: &mut Random, name: &str| json!({ "name": name, "addresses": random.some(&addresses, 3) });
    let interfaces: Vec<Value> =
        random.some(&["eth0", "eth1", "Eth_2"], 3).iter().map(|it| interface(random, it)).collect();
    let labels = if random.chance(60) { json!({ "zone": random.pick(&["a", "b"]) }) } else { json!({}) };
    let spec = json!({ "bgp": { "ipv4Address": random.pick(&addresses) }, "interfaces": interfaces });
    (name, node(labels, spec))
}

#[test]
fn any_history_needs_one_plan_and_endpoints_of_others_never_change() {
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let mut cluster = random_cluster(&mut random);
        for step in 0..6 {
            let others: Vec<_> = foreign(&cluster);
            let actions = plan(&cluster).actions;
            // A crash, or the end of the leader, between two writes; the next plan is made of what is there.
            let until = if random.chance(50) { random.below(actions.len() + 1) } else { actions.len() };
            actions[..until].iter().for_each(|action| act(&mut cluster, action));
            settle(&mut cluster);
            assert_eq!(foreign(&cluster), others, "seed {seed}, step {step}");
            assert_eq!(plan(&cluster).actions, [], "seed {seed}, step {step}: a second plan writes nothing");
            for (name, endpoint) in automatic(&cluster) {
                let spec: HostEndpointSpec = endpoint.spec().unwrap();
                let unread = matches!(cluster.nodes.get(&spec.node), Some(Err(_)));
                let kept =
                    matches!(&cluster.settings, Ok(Some(settings)) if settings.templates.iter().any(Result::is_err));
                assert!(
                    unread || kept || spec.profiles == ["projectcalico-default-allow"],
                    "seed {seed}: {name} has no profile"
                );
                assert!(cluster.nodes.contains_key(&spec.node), "seed {seed}: {name} has no node");
            }
            change(&mut random, &mut cluster);
        }
    }
}

/// A change by somebody else: of a node, of the settings, of an endpoint.
fn change(random: &mut Random, cluster: &mut Cluster) {
    match random.below(4) {
        0 => cluster.settings = random_settings(random),
        1 => {
            let (name, node) = random_node(random);
            cluster.nodes.insert(name, node);
        }
        2 => drop(cluster.nodes.pop_first()),
        _ => {
            let names: Vec<String> = cluster.endpoints.keys().cloned().collect();
            let Some(name) = names.get(random.below(names.len())) else { return };
            match (random.below(3), cluster.endpoints.get_mut(name)) {
                (0, _) => drop(cluster.endpoints.remove(name)),
                (1, Some(Ok(object))) => drop(object.metadata.labels.remove(OWNER_LABEL)),
                (_, Some(Ok(object))) => drop(object.metadata.labels.insert("edited".to_owned(), "yes".to_owned())),
                _ => {}
            }
        }
    }
}

/// The endpoints that are not automatic.
fn foreign(cluster: &Cluster) -> Vec<(String, Result<Object, String>)> {
    let is_foreign = |object: &Result<Object, String>| !object.as_ref().is_ok_and(is_automatic);
    cluster
        .endpoints
        .iter()
        .filter(|(_, object)| is_foreign(object))
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect()
}

fn automatic(cluster: &Cluster) -> impl Iterator<Item = (&String, &Object)> {
    cluster
        .endpoints
        .iter()
        .filter_map(|(name, object)| Some((name, object.as_ref().ok()?)))
        .filter(|(_, it)| is_automatic(it))
}
