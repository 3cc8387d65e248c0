//! Validation, case by case: what is written, what Calico says of it word for word, and what we say and where.
//!
//! The cases stand in `tests/cases.rs`; the answers are reviewed text in `snapshots/`. Calico's lines in them were
//! compared with the real client's.

mod cases;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tortie_api::shape::{Form, Shape};
use tortie_api::{Key, Kind, Step, defaults, kinds};

use super::*;
use cases::CASES;

/// An object of a kind; the name is text or the whole metadata, the spec is JSON.
fn object(kind: &str, name: &str, spec: &str) -> Object {
    let kind = Kind::from_name(kind).unwrap();
    let mut object = Object::new(Key { kind, namespace: String::new(), name: name.to_owned() });
    if name.starts_with('{') {
        object.metadata = serde_json::from_str(name).unwrap();
    }
    if kind.namespaced() && object.metadata.namespace.is_empty() {
        object.metadata.namespace = "ns".to_owned();
    }
    object.body.insert("spec".to_owned(), serde_json::from_str(spec).unwrap());
    object
}

fn answer(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        out += &format!("    {}\n", calico_field(problem).trim_end_matches('\n').replace('\n', "\n    "));
        let span = problem.span.as_ref().map_or_else(String::new, |span| format!(" {span:?}"));
        out += &format!("      {}{span}: {}\n", problem.path, problem.text());
        out.extend(problem.help.iter().map(|help| format!("      help: {help}\n")));
        out.extend(problem.also.iter().map(|(path, word)| format!("      also {path}: {word}\n")));
    }
    if out.is_empty() { "    accepted\n".to_owned() } else { out }
}

#[test]
fn every_case_gives_the_reviewed_problems() {
    let mut out = String::new();
    for (subject, cases) in CASES {
        out += &format!("== {subject}\n");
        for (kind, name, spec) in *cases {
            let (kind, create) = kind.strip_prefix("create ").map_or((*kind, false), |kind| (kind, true));
            let mut object = object(kind, name, spec);
            let problems = if create {
                defaults::apply(&mut object);
                super::create(&object)
            } else {
                validate(&object)
            };
            let verb = if create { "create " } else { "" };
            out += &format!("{verb}{kind} {name} {spec}\n{}", answer(&problems));
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn one_field_and_many_fields_read_as_calicos() {
    let one = object("HostEndpoint", "h", r#"{"interfaceName": "eth0"}"#);
    assert_eq!(calico_text(&validate(&one)), "error with field spec (node must be specified)");
    let two = object("HostEndpoint", "h", r#"{"node": "n", "interfaceName": "wibblywobblyeth0"}"#);
    assert_eq!(
        calico_text(&validate(&two)),
        "error with the following fields:\n-  InterfaceName = 'wibblywobblyeth0' (Reason: failed to validate Field: \
         InterfaceName because of Tag: interface )\n-  spec.interfaceName (may not be more than 15 bytes)\n"
    );
    let bare = object("IPAMConfiguration", "x", "{}");
    let text = calico_text(&create(&bare));
    assert_eq!(text, "Cannot create an IPAMConfiguration resource with a name other than \"default\"");
}

#[test]
fn selectors_are_counted_in_characters() {
    let letters = |count: usize| format!(r#"{{"selector": "a == '{}'"}}"#, "é".repeat(count));
    assert!(validate(&object("GlobalNetworkPolicy", "p", &letters(1024 - 7))).is_empty());
    let problems = validate(&object("GlobalNetworkPolicy", "p", &letters(1024 - 6)));
    assert_eq!(calico_text(&problems), "error with field spec.selector (may not be more than 1024 bytes)");
}

#[test]
fn lists_end_at_their_limits() {
    let many = |field: &str, count: usize, item: Value| json!({ field: vec![item; count] });
    let policy = |spec: Value| validate(&object("NetworkPolicy", "p", &spec.to_string()));
    let rule = |entity: Value| json!({"ingress": [{"action": "Allow", "protocol": "TCP", "source": entity}]});
    for (fits, exceeds, most) in [
        (many("ingress", 1024, json!({"action": "Allow"})), many("ingress", 1025, json!({"action": "Allow"})), 1024),
        (rule(many("ports", 50, json!(1))), rule(many("ports", 51, json!(1))), 50),
        (rule(many("notPorts", 50, json!(1))), rule(many("notPorts", 51, json!(1))), 50),
        (rule(many("nets", 256, json!("10.0.0.0/8"))), rule(many("nets", 257, json!("10.0.0.0/8"))), 256),
        (rule(many("notNets", 256, json!("10.0.0.0/8"))), rule(many("notNets", 257, json!("10.0.0.0/8"))), 256),
    ] {
        assert_eq!(answer(&policy(fits)), "    accepted\n");
        let problems = policy(exceeds);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].reason, format!("must have at most {most} items"));
    }
    let annotated = |size: usize| {
        let mut object = object("Profile", "p", "{}");
        object.metadata.annotations.insert("a".to_owned(), "x".repeat(size));
        validate(&object)
    };
    assert!(annotated(256 * 1024 - 1).is_empty());
    assert_eq!(annotated(256 * 1024)[0].reason, "total size of annotations is too large by 1 bytes");
}

#[test]
fn an_update_cannot_change_the_net_the_block_size_and_the_uses_of_a_pool() {
    let pool = |spec: Value| {
        let mut pool = object("IPPool", "p", &spec.to_string());
        defaults::apply(&mut pool);
        pool
    };
    let old = pool(json!({"cidr": "10.0.0.0/16"}));
    let said = |new: Value| calico_text(&update(&old, &pool(new)));
    assert!(update(&old, &pool(json!({"cidr": "10.0.0.0/16", "natOutgoing": true}))).is_empty());
    assert_eq!(
        said(json!({"cidr": "10.1.0.0/16"})),
        "error with field IPPool.Spec.CIDR = '10.1.0.0/16' (IPPool CIDR cannot be modified)"
    );
    assert_eq!(
        said(json!({"cidr": "10.0.0.0/16", "blockSize": 28})),
        "error with field IPPool.Spec.BlockSize = '28' (IPPool BlockSize cannot be modified)"
    );
    let balancer = pool(json!({"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer"]}));
    assert_eq!(
        calico_text(&update(&balancer, &old)),
        "error with field IPPool.Spec.AllowedUses = '[Workload Tunnel]' (IPPool allowed use cannot be changed from \
         LoadBalacer to Workload or Tunnel)"
    );
    let other = object("IPPool", "q", r#"{"cidr": "10.0.128.0/17"}"#);
    assert_eq!(
        calico_text(&overlaps(&old, [&other, &old])),
        "error with field IPPool.Spec.CIDR = '10.0.0.0/16' (IPPool(p) CIDR overlaps with IPPool(q) CIDR 10.0.128.0/17)"
    );
}

#[test]
fn every_pattern_compiles_and_every_tag_is_known() {
    fn visit(shape: &Shape, tags: &mut Vec<String>) {
        if let Some(pattern) = &shape.rules.pattern {
            assert!(regex_lite::Regex::new(pattern).is_ok(), "{pattern}");
        }
        tags.extend(shape.rules.tag.clone());
        match &shape.form {
            Form::Record(record) => record.fields.iter().for_each(|field| visit(&field.shape, tags)),
            Form::List(item) | Form::Map(item) => visit(item, tags),
            _ => {}
        }
    }
    const KNOWN: &str = " required gt gte lt lte name selector interface bgpFilterInterface ignoredInterface ifaceFilter \
        prometheusHost containerID portName mac ip ipv4 ipv6 reachableBy net netv4 netv6 cidr cidrv4 cidrv6 \
        bgpFilterPrefixLengthV4 bgpFilterPrefixLengthV6 IP:port keyValueList regexp wireguardPublicKey ipType \
        createDefaultHostEndpoint oneof unique cidrs interfaceSlice ifaceFilterSlice labels bpfLogFilters dscp ";
    let mut tags = Vec::new();
    Kind::ALL.iter().for_each(|kind| visit(kinds::shape(*kind), &mut tags));
    for tag in tags.iter().flat_map(|tags| tags.trim_start_matches('!').split(',')) {
        let name = tag.split('=').next().unwrap();
        assert!(KNOWN.contains(&format!(" {name} ")), "{tag}");
    }
}

/// Every place of a kind, in the words of the tables of rules.
fn places(kind: Kind) -> BTreeSet<String> {
    fn visit(shape: &Shape, path: String, places: &mut BTreeSet<String>) {
        match &shape.form {
            Form::Record(record) => {
                for field in &record.fields {
                    let inner = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
                    visit(&field.shape, inner, places);
                }
            }
            Form::List(item) => visit(item, format!("{path}[]"), places),
            Form::Map(value) => visit(value, format!("{path}{{}}"), places),
            _ => {}
        }
        places.insert(path);
    }
    let mut found = BTreeSet::new();
    visit(kinds::shape(kind), String::new(), &mut found);
    found
}

#[test]
fn every_place_that_a_rule_names_exists_in_its_kind() {
    for kind in Kind::ALL {
        let (places, rules) = (places(*kind), rules::of(*kind));
        let records = rules.records.iter().chain(rules.schema).map(|(place, _)| *place);
        let others = rules.unvisited.iter().copied().chain(rules.formats.iter().map(|(place, _)| *place));
        for place in records.chain(others) {
            assert!(places.contains(place), "{kind} has no {place}");
        }
    }
}

#[test]
fn every_place_of_a_problem_exists_in_its_kind() {
    let mut seen = 0;
    for (_, cases) in CASES {
        for (kind, name, spec) in *cases {
            let (kind, create) = kind.strip_prefix("create ").map_or((*kind, false), |kind| (kind, true));
            let object = object(kind, name, spec);
            let problems = if create { super::create(&object) } else { validate(&object) };
            let places = places(object.kind);
            for problem in &problems {
                // Keys of maps are the users'.
                let exists = |path: &str| {
                    path.starts_with("metadata.")
                        || places.iter().any(|place| match place.split_once('{') {
                            Some((before, _)) => path.starts_with(before),
                            None => place == path,
                        })
                };
                let path = problem.path.0.iter().fold(String::new(), |path, step| match step {
                    Step::Index(_) => path + "[]",
                    Step::Key(key) if path.is_empty() => key.clone(),
                    Step::Key(key) => format!("{path}.{key}"),
                });
                assert!(exists(&path), "{kind} has no {path}: {}", problem.text());
                seen += 1;
            }
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn each_mistake_is_shown_once() {
    let paths = |kind: &str, name: &str, spec: &str| {
        let problems = distinct(validate(&object(kind, name, spec)));
        problems.iter().map(|problem| problem.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        paths("HostEndpoint", "h", r#"{"node": "n", "interfaceName": "wibblywobblyeth0"}"#),
        ["spec.interfaceName"]
    );
    assert_eq!(paths("HostEndpoint", "h", "{}"), ["spec", "spec"], "two mistakes at one place are two");
    assert_eq!(paths("NetworkPolicy", "Deny_All", "{}"), ["metadata.name"]);
    let nets = r#"{"ingress": [{"action": "Deny", "source": {"nets": ["x"]}}]}"#;
    assert_eq!(paths("NetworkPolicy", "p", nets), ["spec.ingress[0].source.nets[0]"]);
    let networks = r#"{"node": "n", "orchestrator": "k8s", "pod": "p", "endpoint": "e", "interfaceName": "i", "ipNetworks": ["x"]}"#;
    assert_eq!(paths("WorkloadEndpoint", "n-k8s-p-e", networks), ["spec.ipNetworks[0]"]);
}

#[test]
fn a_selector_problem_points_into_the_selector() {
    let spec = r#"{"ingress": [{"action": "Allow", "source": {"selector": "role = 'db'"}}]}"#;
    let problems = validate(&object("GlobalNetworkPolicy", "p", spec));
    assert_eq!(problems[0].path.to_string(), "spec.ingress[0].source.selector");
    let span = problems[0].span.clone().unwrap();
    assert!("role = 'db'"[span].starts_with('='));
}
