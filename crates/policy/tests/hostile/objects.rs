//! Objects of the size that etcd takes, made so that reading them costs as much as it can.

use tortie_api::{Key, Kind};

/// What etcd takes.
const SIZE: usize = 1_500_000;

/// One object.
pub(crate) struct Hostile {
    /// What is hostile about it.
    pub(crate) name: &'static str,
    /// Under which key it stands.
    pub(crate) key: Key,
    /// What stands there.
    pub(crate) bytes: Vec<u8>,
}

/// All of them.
pub(crate) fn all() -> Vec<Hostile> {
    use Kind::{
        FelixConfiguration, GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint, Node, Profile, WorkloadEndpoint,
    };
    let rules = |part: &str| fill(r#"{"spec":{"ingress":["#, part, "]}}");
    let some_rules = |count, part: &str| repeat(r#"{"spec":{"ingress":["#, part, count, "]}}");
    let field = |name: &str, part: &str| fill(&format!(r#"{{"spec":{{"{name}":["#), part, "]}}");
    let selector = |text: &str| format!(r#"{{"spec":{{"selector":"{text}"}}}}"#).into_bytes();
    let nested = format!("{}a == 'b'{}", "(".repeat(SIZE / 2 - 10), ")".repeat(SIZE / 2 - 10));
    let deep = format!(r#"{{"spec":{{"order":{}{}}}}}"#, "[".repeat(SIZE / 2), "]".repeat(SIZE / 2));
    let numbered = |before: &str, part: &dyn Fn(usize) -> String, after: &str| {
        let mut text = before.to_owned();
        for number in 0.. {
            let next = part(number);
            if text.len() + next.len() + 1 > SIZE {
                break;
            }
            text += if number == 0 { "" } else { "," };
            text += &next;
        }
        (text + after).into_bytes()
    };
    [
        ("rules without anything", GlobalNetworkPolicy, rules("{}")),
        ("numbers for rules", GlobalNetworkPolicy, rules("7")),
        ("100,000 rules", GlobalNetworkPolicy, some_rules(100_000, r#"{"action":"A"}"#)),
        ("rules that deny", GlobalNetworkPolicy, rules(r#"{"action":"Deny"}"#)),
        ("1,000 rules with the text \"4\" for a version", GlobalNetworkPolicy, {
            some_rules(1_000, r#"{"action":"Allow","ipVersion":"4"}"#)
        }),
        ("unreadable rules", GlobalNetworkPolicy, rules(r#"{"action":"Allow","ipVersion":"4"}"#)),
        ("12,000 unreadable denies", GlobalNetworkPolicy, some_rules(12_000, r#"{"action":"Deny","protocol":[]}"#)),
        ("unreadable denies of a profile", Profile, rules(r#"{"action":"Deny","protocol":[]}"#)),
        ("rules whose action appears twice", GlobalNetworkPolicy, rules(r#"{"action":"Deny","action":"Allow"}"#)),
        ("rules with selectors", GlobalNetworkPolicy, rules(r#"{"action":"Deny","source":{"selector":"a=='b'"}}"#)),
        ("rules with selectors of their own", GlobalNetworkPolicy, {
            let rule = |number| format!(r#"{{"action":"Deny","source":{{"selector":"a=='{number}'"}}}}"#);
            numbered(r#"{"spec":{"ingress":["#, &rule, "]}}")
        }),
        ("a rule of nets", GlobalNetworkPolicy, {
            fill(r#"{"spec":{"egress":[{"action":"Deny","source":{"nets":["#, r#""::/0""#, "]}}]}}")
        }),
        ("a rule of ports", GlobalNetworkPolicy, {
            fill(r#"{"spec":{"egress":[{"action":"Deny","protocol":6,"source":{"ports":["#, "1", "]}}]}}")
        }),
        ("a rule of unknown fields", GlobalNetworkPolicy, {
            let field = |number| format!(r#""f{number}":0"#);
            numbered(r#"{"spec":{"egress":[{"action":"Deny","#, &field, "}]}}")
        }),
        ("nets", GlobalNetworkSet, field("nets", r#""::/0""#)),
        ("no nets", GlobalNetworkSet, field("nets", "1")),
        ("addresses", HostEndpoint, field("expectedIPs", r#""::""#)),
        ("addresses of a workload", WorkloadEndpoint, field("ipNetworks", r#""::/128""#)),
        ("no ports", HostEndpoint, field("ports", "{}")),
        ("2,000 addresses with 2,000 ports", HostEndpoint, {
            let address = |number: usize| format!(r#""10.0.{}.{}""#, number / 256, number % 256);
            let port = |number: usize| format!(r#"{{"name":"p{number}","protocol":"TCP","port":{number}}}"#);
            let list = |one: &dyn Fn(usize) -> String| (0..2_000).map(one).collect::<Vec<_>>().join(",");
            let (addresses, ports) = (list(&address), list(&port));
            format!(r#"{{"spec":{{"node":"n","interfaceName":"eth0","expectedIPs":[{addresses}],"ports":[{ports}]}}}}"#)
                .into_bytes()
        }),
        ("types", GlobalNetworkPolicy, field("types", "0")),
        ("unknown lists", GlobalNetworkPolicy, field("more", "[]")),
        ("an unknown field again and again", GlobalNetworkPolicy, fill(r#"{"spec":{"#, r#""a":1"#, "}}")),
        ("a known field again and again", GlobalNetworkPolicy, fill(r#"{"spec":{"#, r#""order":1"#, "}}")),
        ("a label again and again", HostEndpoint, fill(r#"{"metadata":{"labels":{"#, r#""a":"""#, "}}}")),
        ("labels", HostEndpoint, {
            numbered(r#"{"metadata":{"labels":{"#, &|number| format!(r#""a{number}":"""#), "}}}")
        }),
        ("labels of a workload", WorkloadEndpoint, {
            numbered(r#"{"metadata":{"labels":{"#, &|number| format!(r#""a{number}":"""#), "}}}")
        }),
        ("addresses of a node", Node, field("addresses", r#"{"address":"::"}"#)),
        ("addresses of a node, each its own", Node, {
            numbered(r#"{"spec":{"addresses":["#, &|number| format!(r#"{{"address":"::{number:x}"}}"#), "]}}")
        }),
        ("failsafe ports", FelixConfiguration, field("failsafeInboundHostPorts", r#"{"port":1}"#)),
        ("unknown settings", FelixConfiguration, {
            numbered(r#"{"spec":{"#, &|number| format!(r#""f{number}":0"#), "}}")
        }),
        ("numbers that no double holds", GlobalNetworkPolicy, field("types", "1e999")),
        ("deep nesting", GlobalNetworkPolicy, deep.into_bytes()),
        ("a selector of a megabyte", GlobalNetworkPolicy, selector(&vec!["a==b"; SIZE / 6].join("||"))),
        ("a selector of parentheses", GlobalNetworkPolicy, selector(&nested)),
    ]
    .map(|(name, kind, bytes)| {
        let namespace = if kind.namespaced() { "ns" } else { "" };
        Hostile { name, key: Key { kind, namespace: namespace.to_owned(), name: "x".to_owned() }, bytes }
    })
    .into()
}

/// `part` again and again, with commas, to the full size.
fn fill(before: &str, part: &str, after: &str) -> Vec<u8> {
    repeat(before, part, SIZE / (part.len() + 1), after)
}

fn repeat(before: &str, part: &str, count: usize, after: &str) -> Vec<u8> {
    format!("{before}{}{after}", vec![part; count].join(",")).into_bytes()
}
