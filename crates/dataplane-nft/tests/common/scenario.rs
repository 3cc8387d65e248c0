//! Scenarios as text: resources, steps, packets and what must become of them, played with real packets and answered by the
//! evaluator.
//!
//! ```text
//!   put HostEndpoint h role=web {node: n1, interfaceName: eth0}     resources in short, namespaced ones as ns/name
//!   delete HostEndpoint h
//!   links eth0=192.0.2.11 eth1=                                     interfaces with their addresses
//!   deny in eth0 tcp A>H:80                                         or pass; in LINK, out LINK, fwd LINK>LINK
//! ```
//!
//! A packet's protocol is `tcp`, `udp`, `sctp`, `icmp TYPE/CODE` or `proto N`; behind it may stand `inv`, `untracked`, `torn`
//! (in two fragments), `nat=ADDRESS:PORT` (a foreign translation), `via=LINK` (where a local one leaves then), `hops=N`, `spoofed`
//! (the routes do not lead back). Names stand for addresses, see [`NAMES`].

use serde_json::{Value, json};
use tortie_dataplane::Dataplane;
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_manifest::read::{Source, read};
use tortie_policy::packet::Packet;
use tortie_testkit::namespace::in_namespace;
use tortie_testkit::packet_text;
use tortie_testkit::worlds::Step;

use super::bed::{LINKS, SentPacket, TestBed};
use super::follow::Followed;
use super::real::{compare, shot};

/// Who is who: outside hosts, the host itself on eth0 and eth1, its workloads on cali1 and cali2, a remote workload, another
/// node; the same for IPv6.
pub const NAMES: [(&str, &str); 15] = [
    ("A", "203.0.113.9"),
    ("B", "203.0.113.77"),
    ("H", "192.0.2.11"),
    ("H1", "198.51.100.11"),
    ("W1", "10.0.0.1"),
    ("W2", "10.0.0.2"),
    ("W3", "10.0.0.3"),
    ("R", "10.1.0.1"),
    ("N", "192.0.2.12"),
    ("S", "10.96.0.10"),
    ("A6", "2001:db8:f::9"),
    ("H6", "2001:db8::11"),
    ("W16", "fd00::1"),
    ("W26", "fd00::2"),
    ("N6", "2001:db8::12"),
];

/// Plays a scenario in a namespace of its own.
pub fn play(name: &str, text: &str) {
    in_namespace(|| {
        let mut bed = TestBed::new(&LINKS);
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let mut followed = Followed::new();
        followed.step(&links("eth0=192.0.2.11,2001:db8::11 eth1=198.51.100.11"));
        let mut fresh = true;
        let mut waiting: Vec<(usize, &str, bool)> = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)).chain([(0, "end {}")]) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (verb, rest) = line.split_once(' ').unwrap();
            if matches!(verb, "pass" | "deny") {
                waiting.push((number, rest, verb == "pass"));
                continue;
            }
            if !waiting.is_empty() {
                apply(&mut kernel, &mut followed, std::mem::take(&mut fresh));
                judge(name, &mut bed, &mut kernel, &followed, &std::mem::take(&mut waiting));
            }
            match verb {
                "put" => drop(followed.step(&Step::Put(resource(rest)))),
                "delete" => {
                    let (kind, name) = rest.split_once(' ').unwrap();
                    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
                    followed.step(&Step::Delete(json!({"kind": kind, "namespace": namespace, "name": name})));
                }
                "links" => drop(followed.step(&links(rest))),
                "end" => {}
                other => panic!("{name}:{number}: {other}"),
            }
        }
    });
}

fn apply(kernel: &mut Kernel, followed: &mut Followed, fresh: bool) {
    let delta = followed.step(&Step::Flush).unwrap();
    followed.state.apply(&delta).unwrap();
    if fresh {
        kernel.replace(followed.state.clone()).unwrap();
    } else {
        kernel.apply(&delta).unwrap();
    }
    assert!(kernel.refused().is_empty(), "{:?}", kernel.refused());
}

fn judge(name: &str, bed: &mut TestBed, kernel: &mut Kernel, followed: &Followed, lines: &[(usize, &str, bool)]) {
    let shots: Vec<SentPacket> = lines
        .iter()
        .map(|(number, text, _)| {
            let (packet, torn, spoofed) = packet(text);
            let mut shot = shot(&packet, &followed.state, torn)
                .unwrap_or_else(|| panic!("{name}:{number}: no wire carries {packet:?}"));
            if spoofed {
                (shot.route_ok, shot.packet.source_route_ok) = (false, Some(false));
            }
            shot
        })
        .collect();
    let compared = compare(bed, kernel, &followed.world.snapshot, &followed.world.host, &shots);
    let mut wrong = compared.wrong;
    for ((number, text, pass), seen) in lines.iter().zip(&compared.seen) {
        if seen.allowed != *pass {
            wrong.push(format!("line {number}: {text}: must {}", if *pass { "pass" } else { "not pass" }));
        }
    }
    assert!(wrong.is_empty(), "{name}: {}", wrong.join("\n"));
}

/// `Kind name label=value ... {spec}`
pub fn resource(line: &str) -> Value {
    let (head, spec) = line.split_once('{').map_or((line, "{}".to_owned()), |(head, rest)| (head, format!("{{{rest}")));
    let words: Vec<&str> = head.split_whitespace().collect();
    let (namespace, name) = words[1].split_once('/').unwrap_or(("", words[1]));
    let text = format!("{{apiVersion: projectcalico.org/v3, kind: {}, metadata: {{name: x}}, spec: {spec}}}", words[0]);
    let mut located = read(&Source::new(line, text)).into_iter();
    let one = located.next().unwrap();
    assert!(one.problems.is_empty(), "{line}: {:?}", one.problems);
    let mut labels: serde_json::Map<String, Value> =
        words[2..].iter().map(|word| word.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), json!(v))).collect();
    if words[0] == "WorkloadEndpoint" {
        labels.insert("projectcalico.org/namespace".to_owned(), json!(namespace));
    }
    let spec = one.object.unwrap().body.remove("spec").unwrap();
    json!({"kind": words[0], "namespace": namespace, "name": name, "labels": labels, "spec": spec})
}

fn links(text: &str) -> Step {
    let link = |word: &str| {
        let (name, addresses) = word.split_once('=').unwrap();
        let addresses = addresses.split(',').filter(|one| !one.is_empty()).map(|one| one.parse().unwrap());
        (name.to_owned(), addresses.collect())
    };
    Step::Links(text.split_whitespace().map(link).collect())
}

/// A packet, whether it is torn, and whether its source is spoofed.
fn packet(text: &str) -> (Packet, bool, bool) {
    let (packet, words) = packet_text::packet(text, &NAMES);
    let (mut torn, mut spoofed) = (false, false);
    for word in words {
        match word {
            "torn" => torn = true,
            "spoofed" => spoofed = true,
            other => panic!("{text}: {other:?}"),
        }
    }
    (packet, torn, spoofed)
}
