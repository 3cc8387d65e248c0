//! Hostile objects of the size that etcd takes: each is read in memory in proportion to its bytes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use tortie_api::{Key, Kind};
use tortie_policy::Item;

/// What etcd takes.
const SIZE: usize = 1_500_000;

/// An object of about that size: `part` again and again, with commas.
fn object(before: &str, part: &str, after: &str) -> Vec<u8> {
    let count = SIZE / (part.len() + 1);
    format!("{before}{}{after}", vec![part; count].join(",")).into_bytes()
}

#[test]
fn hostile_objects_take_at_most_twenty_times_their_size_in_memory() {
    use Kind::{GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint, Profile};
    let rules = |part: &str| object(r#"{"spec":{"ingress":["#, part, "]}}");
    let field = |name: &str, part: &str| object(&format!(r#"{{"spec":{{"{name}":["#), part, "]}}");
    let ports: Vec<String> =
        (0..2_000).map(|port| format!(r#"{{"name":"p{port}","protocol":"TCP","port":{port}}}"#)).collect();
    let addresses: Vec<String> = (0..2_000).map(|at| format!(r#""10.0.{}.{}""#, at / 256, at % 256)).collect();
    let many_ports = format!(
        r#"{{"spec":{{"node":"n","interfaceName":"eth0","expectedIPs":[{}],"ports":[{}]}}}}"#,
        addresses.join(","),
        ports.join(",")
    );
    let deep = format!(r#"{{"spec":{{"order":{}{}}}}}"#, "[".repeat(SIZE / 2), "]".repeat(SIZE / 2));
    let selector = |text: &str| format!(r#"{{"spec":{{"selector":"{text}"}}}}"#).into_bytes();
    let nested = format!("{}a == 'b'{}", "(".repeat(SIZE / 2 - 10), ")".repeat(SIZE / 2 - 10));
    for (name, kind, bytes) in [
        ("rules without anything", GlobalNetworkPolicy, rules("{}")),
        ("numbers for rules", GlobalNetworkPolicy, rules("7")),
        ("100,000 rules", GlobalNetworkPolicy, rules(r#"{"action":"Deny"}"#)),
        ("unreadable rules", GlobalNetworkPolicy, rules(r#"{"action":"Allow","ipVersion":"4"}"#)),
        ("unreadable denies of a profile", Profile, rules(r#"{"action":"Deny","protocol":[]}"#)),
        ("rules with selectors", GlobalNetworkPolicy, rules(r#"{"action":"Deny","source":{"selector":"a=='b'"}}"#)),
        (
            "a rule of nets",
            GlobalNetworkPolicy,
            object(r#"{"spec":{"egress":[{"action":"Deny","source":{"nets":["#, r#""::/0""#, "]}}]}}"),
        ),
        ("nets", GlobalNetworkSet, field("nets", r#""::/0""#)),
        ("no nets", GlobalNetworkSet, field("nets", "1")),
        ("addresses", HostEndpoint, field("expectedIPs", r#""::""#)),
        ("no ports", HostEndpoint, field("ports", "{}")),
        ("types", GlobalNetworkPolicy, field("types", "0")),
        ("unknown lists", GlobalNetworkPolicy, field("more", "[]")),
        ("unknown fields", GlobalNetworkPolicy, object(r#"{"spec":{"#, r#""a":1"#, "}}")),
        ("labels", HostEndpoint, object(r#"{"metadata":{"labels":{"#, r#""a":"""#, "}}}")),
        ("deep nesting", GlobalNetworkPolicy, deep.into_bytes()),
        ("a selector of a megabyte", GlobalNetworkPolicy, selector(&vec!["a==b"; SIZE / 6].join("||"))),
        ("a selector of parentheses", GlobalNetworkPolicy, selector(&nested)),
        ("2,000 addresses with 2,000 ports", HostEndpoint, many_ports.into_bytes()),
    ] {
        let key = Key { kind, namespace: String::new(), name: "x".to_owned() };
        // Shapes of kinds are compiled once.
        Item::read_stored(&key, b"{}");
        let begin = Instant::now();
        let info = allocation_counter::measure(|| drop(Item::read_stored(&key, &bytes)));
        let times = info.bytes_max as f64 / bytes.len() as f64;
        println!("{name}: {} bytes, {times:.1} times, {:?}", bytes.len(), begin.elapsed());
        // What is noted of mistakes does not grow with the object.
        assert!(info.bytes_max as usize <= 20 * bytes.len().max(1 << 16), "{name}: {times:.1} times {}", bytes.len());
    }
}
