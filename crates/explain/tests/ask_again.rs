//! The packet for which a claim does not hold can be asked about again: the words that are given with it lead to the same verdict.

#![allow(clippy::unwrap_used)]

use tortie_explain::claim::{Counterexample, check, parse};
use tortie_explain::{AskError, EndSpec, Question, Topology, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::packet::Host;
use tortie_random::Random;
use tortie_testkit::machine::link;
use tortie_testkit::manifests;
use tortie_testkit::worlds::World;

/// The question of the words, as the command line reads them.
fn question(words: &[String]) -> Question {
    let [from, to, what, options @ ..] = words else { panic!("{words:?}") };
    let mut question = Question::new(from.parse().unwrap(), to.parse().unwrap(), what.parse().unwrap());
    for pair in options.chunks(2) {
        let value = Some(pair[1].clone());
        match pair[0].as_str() {
            "--node" => question.node = value,
            "--in-interface" => question.in_interface = value,
            "--out-interface" => question.out_interface = value,
            "--source-port" => question.source_port = Some(pair[1].parse().unwrap()),
            other => panic!("{other}"),
        }
    }
    question
}

/// Asks again, and compares.
fn assert_same(topology: &Topology<'_>, found: &Counterexample, context: &str) {
    let answer = trace(topology, &question(&found.ask));
    let answer = answer.unwrap_or_else(|AskError(why)| panic!("{context}: {:?}: {why}", found.ask));
    assert_eq!(answer.hops[0].packet.protocol, found.packet.protocol, "{context}");
    assert_eq!(answer.hops[0].packet.transport, found.packet.transport, "{context}");
    assert_eq!(
        (answer.hops[0].packet.source, answer.hops[0].packet.destination),
        (found.packet.source, found.packet.destination),
        "{context}: {:?}",
        found.ask
    );
    let (word, reason) = found.verdict.split_once([' ', ':']).unwrap();
    let shown = text::render(topology.snapshot(), &answer);
    match &found.when {
        None if answer.paths.is_empty() => {
            let decided = text::decided_by(topology.snapshot(), &answer);
            assert_eq!(decided, found.verdict, "{context}: {:?}", found.ask);
        }
        // With all reasons more paths are told apart than with the one that decides.
        None => assert!(shown.contains(reason), "{context}: {shown}"),
        // The command names the interfaces of the path.
        Some(_) if answer.paths.is_empty() => {
            let decided = text::decided_by(topology.snapshot(), &answer);
            assert_eq!(decided, found.verdict, "{context}: {:?}", found.ask);
        }
        Some(when) => {
            assert!(shown.contains(when) && shown.contains(reason), "{context}: {when}: {shown}");
            let allowed = word == "ALLOWED";
            assert!(answer.paths.iter().any(|path| path.allowed() == allowed), "{context}");
        }
    }
}

fn counterexample(topology: &Topology<'_>, line: &str) -> Result<Option<Counterexample>, AskError> {
    let claim = parse(topology, line).remove(0).claim?;
    Ok(check(topology, &claim)?.counterexample)
}

#[test]
fn a_counterexample_of_a_random_claim_can_be_asked_again() {
    let mut random = Random::new(23);
    let (mut asked, mut at) = (0, 0);
    for seed in 0..150 {
        let mut world = World::random(seed);
        let nodes = world.spread(&mut random);
        let snapshot = &world.snapshot;
        // The machine of one node tells its addresses in one half of the cases.
        let topology = match seed % 2 {
            0 => Topology::new(snapshot),
            _ => Topology::new(snapshot).with_host(world.host.clone()),
        };
        let mut ends: Vec<String> = ["any", "198.51.100.9", "2001:db8::9", "labels:a=x,ns=a"].map(str::to_owned).into();
        ends.extend(snapshot.host_endpoints.keys().map(|name| format!("hep/{name}")));
        ends.extend(topology.node_names().into_iter().map(|name| format!("node/{name}")));
        ends.extend(snapshot.workload_endpoints.keys().map(|id| format!("wep/{}/{}", id.namespace, id.name)));
        for _ in 0..12 {
            let (from, to) = (random.pick(&ends).clone(), random.pick(&ends).clone());
            let verb = if random.once_in(2) { "permits" } else { "forbids" };
            let what = random.pick(&["", "tcp", "udp/53,68", "icmp icmpv6", "gre"]);
            let node = match random.below(3) {
                0 => format!(" --node {}", random.pick(&nodes)),
                1 => format!(" --node {} --in-interface eth0", random.pick(&nodes)),
                _ => String::new(),
            };
            let line = format!("{verb} {from} -> {to} {what}{node}");
            let Ok(Some(found)) = counterexample(&topology, &line) else { continue };
            assert_same(&topology, &found, &format!("{seed}: {line}: {}", found.text()));
            asked += 1;
            at += usize::from(found.ask.iter().any(|word| word.contains('@')));
        }
    }
    assert!(asked > 300 && at > 150, "{asked} {at}");
}

fn world() -> Snapshot {
    manifests::snapshot(
        r"{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: db, labels: {role: db}},
 spec: {node: db1, interfaceName: eth0, expectedIPs: [192.0.2.11, 192.0.2.12]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: other},
 spec: {node: db1, interfaceName: eth1, expectedIPs: ['2001:db8:1::1']}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: db},
 spec: {selector: role == 'db', types: [Ingress],
        ingress: [{action: Allow, protocol: TCP, destination: {nets: [192.0.2.12/32, '2001:db8::5/128'], ports: [5432]}}]}}",
    )
}

/// A claim was seen to fail at one interface, with a command whose answer began with DENIED for the sake of another one.
#[test]
fn the_interface_at_which_a_claim_fails_is_asked_about() {
    let snapshot = manifests::snapshot(
        "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: closed0}, spec: {node: web1, interfaceName: docker0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: closed1}, spec: {node: web1, interfaceName: eth1}}",
    );
    let links = [("eth0", "2001:db8:2::11"), ("docker0", "fd00:17::1"), ("eth1", "2001:db8:5::11")];
    let links = links.iter().map(|(name, address)| link(name, &[address])).collect();
    let topology = Topology::new(&snapshot).with_host(Host { node: "web1".into(), links });
    let lines = [
        ("forbids any -> 2001:db8:2::11 udp/81 --node web1", ["--in-interface", "eth0"]),
        ("forbids 2001:db8:2::11 -> 2001:db8::9 udp/81 --node web1", ["--out-interface", "eth0"]),
        ("permits 2001:db8:2::11 -> 2001:db8::9 udp/81 --node web1", ["--out-interface", "docker0"]),
    ];
    for (line, named) in lines {
        let found = counterexample(&topology, line).unwrap().unwrap();
        assert!(found.when.is_some(), "{line}");
        assert!(found.ask.windows(2).any(|words| words == named), "{line}: {:?}", found.ask);
        assert_same(&topology, &found, line);
    }
}

#[test]
fn an_end_is_asked_about_with_one_of_its_addresses() {
    let snapshot = world();
    let topology = Topology::new(&snapshot);
    let line = |from: &str, to: &str| {
        let ends = [from, to].map(|end| end.parse::<EndSpec>().unwrap());
        assert_eq!(ends[1].to_string(), to);
        let [from, to] = ends;
        match trace(&topology, &Question::new(from, to, "tcp/5432".parse().unwrap())) {
            Ok(answer) => text::verdict_line(&snapshot, &answer),
            Err(AskError(why)) => why,
        }
    };
    assert!(line("198.51.100.9", "hep/db@192.0.2.11").starts_with("DENIED by end of tier default"));
    assert!(line("198.51.100.9", "hep/db@192.0.2.12").starts_with("ALLOWED by gnp db rule 1"));
    let assumed = "(assumed: hep/db has the address 2001:db8::5, which nobody told)";
    let said = line("2001:db8:7::7", "hep/db@2001:db8::5");
    assert!(said.starts_with("ALLOWED by gnp db rule 1") && said.ends_with(assumed), "{said}");
    assert!(line("2001:db8:7::7", "hep/db@2001:db8::6").starts_with("DENIED"));
    // Of the IP version of which its addresses are known it has no others, nor is the address of another node its own.
    assert_eq!(
        line("198.51.100.9", "hep/db@192.0.2.13"),
        "hep/db has no address 192.0.2.13; its addresses: 192.0.2.11, 192.0.2.12, 2001:db8:1::1"
    );
    for wrong in ["any@192.0.2.1", "192.0.2.1@192.0.2.1", "hep/db@", "set/a@192.0.2.1", "10.0.0.0/8@10.0.0.1"] {
        assert!(wrong.parse::<EndSpec>().unwrap_err().0.contains("is not an end of a packet"), "{wrong}");
    }
    // The packet that shows that a claim fails names the address that is assumed.
    let found = counterexample(&topology, "forbids 2001:db8:7::7 -> hep/db tcp/5432").unwrap().unwrap();
    assert_eq!(found.ask, ["2001:db8:7::7", "hep/db@2001:db8::5", "tcp/5432", "--source-port", "49152"]);
    assert_same(&topology, &found, "assumed");
}
