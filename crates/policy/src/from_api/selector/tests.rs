//! Joined trees have the canonical text that Calico's joined texts have.

use serde_json::json;
use tortie_api::{Key, Kind};
use tortie_selector::Selector;

use crate::{Item, Policy};

const WRITTEN: [&str; 10] = [
    "",
    "all()",
    " all( ) && global()",
    "!(!has(a))",
    "!(!(!has(a)))",
    "!global() || !all()",
    "role == 'all()'",
    "a in {'y', 'x', 'y'} && b == '\"' || !has(c)",
    "!a == 'x'",
    "has(a) && (has(b) && has(c))",
];

/// Reads a policy with this spec as stores have it. All of it can be read.
fn policy(namespace: &str, spec: serde_json::Value) -> Policy {
    let kind = if namespace.is_empty() { Kind::GlobalNetworkPolicy } else { Kind::NetworkPolicy };
    let key = Key { kind, namespace: namespace.to_owned(), name: "p".to_owned() };
    let (item, invalid) = Item::read_stored(&key, json!({"spec": spec}).to_string().as_bytes());
    match item {
        Item::Policy(policy) if invalid.is_empty() => *policy,
        other => panic!("{spec}: {invalid:?} {other:?}"),
    }
}

fn under(prefix: &str, text: &str) -> String {
    Selector::parse(text).unwrap().with_prefix(prefix).to_string()
}

/// A policy's selector as Calico makes it: of texts.
fn of_policy(namespace: &str, own: &str, namespaces: &str, accounts: &str) -> String {
    let mut text = own.trim().to_owned();
    let mut add = |scope: String, all: Option<&str>| {
        text = if text.is_empty() { scope } else { format!("({text}) && {scope}") };
        text = all.map_or_else(|| text.clone(), |all| text.replace("all()", all));
    };
    if !namespace.is_empty() {
        add(format!("projectcalico.org/namespace == '{namespace}'"), None);
    }
    let rewritten = namespace.is_empty();
    if rewritten && !namespaces.is_empty() {
        add(under("pcns.", namespaces), Some("has(projectcalico.org/namespace)"));
    }
    if !accounts.is_empty() {
        add(under("pcsa.", accounts), rewritten.then_some("has(projectcalico.org/serviceaccount)"));
    }
    text
}

/// The same of one end of a rule, and whether it is negated.
fn of_rule(namespace: &str, own: &str, not: &str, namespaces: &str, accounts: &str, names: &[&str]) -> (String, bool) {
    let mut parts = Vec::new();
    if !namespaces.is_empty() {
        let narrow = "has(projectcalico.org/namespace)";
        parts.push(under("pcns.", namespaces).replace("all()", narrow).replace("global()", &format!("!{narrow}")));
    } else if !namespace.is_empty() {
        parts.push(format!("projectcalico.org/namespace == '{namespace}'"));
    }
    if !accounts.is_empty() {
        parts.push(under("pcsa.", accounts));
    }
    if !names.is_empty() {
        parts.push(format!("projectcalico.org/serviceaccount in {{ '{}' }}", names.join("', '")));
    }
    if !own.is_empty() {
        parts.push(own.to_owned());
    }
    let negated = parts.is_empty();
    if !not.is_empty() {
        parts.push(if negated { not.to_owned() } else { format!("!({not})") });
    }
    (parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" && "), negated)
}

#[test]
fn the_selector_of_a_policy_has_calicos_text() {
    for (namespace, own) in ["", "ns"].iter().flat_map(|namespace| WRITTEN.map(|own| (*namespace, own))) {
        for (namespaces, accounts) in WRITTEN.iter().flat_map(|one| WRITTEN.map(|other| (*one, other))) {
            let mut spec = json!({"selector": own, "serviceAccountSelector": accounts});
            if namespace.is_empty() {
                spec["namespaceSelector"] = json!(namespaces);
            }
            let expected = Selector::parse(&of_policy(namespace, own, namespaces, accounts)).unwrap();
            let policy = policy(namespace, spec.clone());
            assert_eq!(policy.selector, expected, "{namespace:?} {spec}");
            assert_eq!(policy.written_selector, own);
        }
    }
}

#[test]
fn the_selector_of_a_rule_has_calicos_text() {
    let names: [&[&str]; 3] = [&[], &["one"], &["two", "one", "two"]];
    for (at, own) in WRITTEN.iter().enumerate() {
        for (further, not) in WRITTEN.iter().enumerate() {
            for (third, namespaces) in WRITTEN.iter().enumerate() {
                let accounts = WRITTEN[(3 * at + 7 * further + third) % WRITTEN.len()];
                let names = names[(at + further) % 3];
                let namespace = if at % 2 == 0 { "" } else { "ns" };
                let accounts_of = json!({"names": names, "selector": accounts});
                let source = json!({"selector": own, "notSelector": not, "namespaceSelector": namespaces,
                    "serviceAccounts": accounts_of});
                let policy = policy(namespace, json!({"ingress": [{"action": "Allow", "source": source}]}));
                let (text, negated) = of_rule(namespace, own, not, namespaces, accounts, names);
                let peers = policy.ingress[0].source.peers.as_deref();
                if text.is_empty() {
                    assert_eq!(peers, None, "{source}");
                    continue;
                }
                let peers = peers.unwrap_or_else(|| panic!("{source} has no peers"));
                assert_eq!(peers.selector, Selector::parse(&text).unwrap(), "{namespace:?} {source}");
                assert_eq!(peers.negated, negated, "{source}");
            }
        }
    }
}

#[test]
fn a_namespace_is_a_value_whatever_is_in_its_name() {
    let hostile = "x' || all() || a == 'x";
    let policy = policy(hostile, json!({"selector": "has(b)"}));
    assert_eq!(policy.selector.as_str(), format!("(has(b) && projectcalico.org/namespace == \"{hostile}\")"));
    assert!(!policy.selector.matches(&[("b", "")]));
}
