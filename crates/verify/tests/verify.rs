//! Random worlds in the kernel are found to be as the store says; a table that differs is found out.
//!
//! `TORTIE_WORLDS` says how many worlds.

#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../../dataplane-nft/tests/common/follow.rs"]
mod follow;

use std::collections::BTreeSet;

use follow::Followed;
use serde_json::json;
use tortie_dataplane::Dataplane;
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_nft::dump::TableDump;
use tortie_nft::inventory::{self, Inventory};
use tortie_nft::{Data, Element, Key, Socket, TableId, Verdict};
use tortie_policy::packet::Transport;
use tortie_random::Random;
use tortie_testkit::namespace::{in_namespace, run, run_with_input};
use tortie_testkit::worlds::{Case, NODE, Step};
use tortie_verify::{Answer, Difference, Report, verify};

/// A world, and its table as the kernel has it.
fn world(kernel: &mut Kernel, case: &Case) -> (Followed, TableDump) {
    let mut followed = Followed::new();
    for step in &case.steps {
        if let Some(delta) = followed.step(step) {
            followed.state.apply(&delta).unwrap();
        }
    }
    kernel.replace(followed.state.clone()).unwrap();
    let table = kernel.read().unwrap().unwrap();
    (followed, table)
}

/// Compares what was read with what the store of a world asks for.
fn compare(followed: &Followed, inventory: &Inventory) -> Report {
    verify(&followed.world.snapshot, &followed.world.host, &TableOptions::default(), inventory, None, 100).unwrap()
}

/// The packets that a table judges otherwise than the store says.
fn misjudged(followed: &Followed, table: TableDump) -> Vec<tortie_verify::Misjudged> {
    let report = compare(followed, &Inventory { table: Some(table), foreign: Vec::new(), namesakes: Vec::new() });
    let packets = report.differences.into_iter().filter_map(|difference| match difference {
        Difference::Probe(misjudged) => Some(misjudged),
        Difference::Table(_) => None,
    });
    packets.collect()
}

/// What is in the kernel of the calling thread's namespace.
fn read() -> Inventory {
    inventory::read(&mut Socket::open().unwrap(), &TableId::inet("tortie")).unwrap()
}

/// The sentences about the table.
fn sentences(report: &Report) -> Vec<&str> {
    let sentences = report.differences.iter().filter_map(|difference| match difference {
        Difference::Table(table) => Some(table.sentence.as_str()),
        Difference::Probe(_) => None,
    });
    sentences.collect()
}

#[test]
fn the_rendered_table_enforces_the_content_of_the_store() {
    let worlds = std::env::var("TORTIE_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (probes, steps) = in_namespace(|| {
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (mut probes, mut steps) = (0, 0);
        for seed in 0..worlds {
            let case = Case::random(seed);
            let mut followed = Followed::new();
            let mut flushed = false;
            for step in &case.steps {
                let Some(delta) = followed.step(step) else { continue };
                followed.state.apply(&delta).unwrap();
                // The history of one world goes into the kernel change by change.
                match std::mem::replace(&mut flushed, true) {
                    false => kernel.replace(followed.state.clone()).unwrap(),
                    true => kernel.apply(&delta).unwrap(),
                }
                steps += 1;
            }
            let report = compare(&followed, &read());
            assert_eq!(report.wrong, 0, "seed {seed}: {:#?}", report.differences[0]);
            assert!(report.table && report.compared.chains > 0 && report.compared.rules > 0);
            probes += report.probes;
        }
        (probes, steps)
    });
    assert!(probes > 100 * worlds as usize, "{probes} probe packets are too few to mean anything");
    assert!(steps > 2 * worlds, "{steps} changes are too few to mean anything");
}

/// A small store whose rules all decide something.
fn small() -> Case {
    let put = |object: serde_json::Value| Step::Put(object);
    let steps = vec![
        Step::Links(vec![("eth0".to_owned(), vec!["192.0.2.11".parse().unwrap()])]),
        put(json!({"kind": "HostEndpoint", "name": "web1", "labels": {"role": "web"},
            "spec": {"node": NODE, "interfaceName": "eth0", "expectedIPs": ["192.0.2.11"]}})),
        put(
            json!({"kind": "WorkloadEndpoint", "namespace": "default", "name": "n1-k8s-pod-eth0", "labels": {"app": "db", "projectcalico.org/namespace": "default"},
            "spec": {"node": NODE, "orchestrator": "k8s", "pod": "pod", "endpoint": "eth0",
                "interfaceName": "cali1", "ipNetworks": ["10.65.0.2/32"]}}),
        ),
        put(json!({"kind": "GlobalNetworkPolicy", "name": "web", "spec": {
            "selector": "role == 'web'", "types": ["Ingress", "Egress"],
            "ingress": [
                {"action": "Deny", "protocol": "TCP", "source": {"nets": ["198.51.100.0/24"]}},
                {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}],
            "egress": [{"action": "Allow", "protocol": "UDP", "destination": {"ports": [123]}}]}})),
        put(json!({"kind": "NetworkPolicy", "namespace": "default", "name": "db", "spec": {
            "selector": "app == 'db'", "types": ["Ingress"],
            "ingress": [{"action": "Allow", "protocol": "TCP", "source": {"selector": "app == 'db'"},
                "destination": {"ports": [5432]}}]}})),
        Step::Flush,
    ];
    Case { seed: 0, steps, probes: Vec::new() }
}

#[test]
fn a_table_that_lacks_any_rule_of_a_policy_is_noticed() {
    in_namespace(|| {
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (followed, table) = world(&mut kernel, &small());
        assert!(misjudged(&followed, table.clone()).is_empty());
        let lines = table.rules.iter().filter(|rule| !rule.chain.ends_with("/fragments"));
        let of_policies: BTreeSet<String> =
            lines.filter_map(|rule| rule.comment.clone()).filter(|comment| comment.starts_with("rule ")).collect();
        assert!(of_policies.len() >= 4, "{of_policies:?}");
        for gone in of_policies {
            let mut lacking = table.clone();
            lacking.rules.retain(|rule| rule.comment.as_ref() != Some(&gone));
            assert!(!misjudged(&followed, lacking).is_empty(), "without {gone}");
        }
    });
}

#[test]
fn a_range_of_ports_for_outgoing_nat_is_verified() {
    in_namespace(|| {
        let mut case = small();
        let put = |object: serde_json::Value| Step::Put(object);
        let pool =
            put(json!({"kind": "IPPool", "name": "pool", "spec": {"cidr": "10.65.0.0/24", "natOutgoing": true}}));
        let ports =
            put(json!({"kind": "FelixConfiguration", "name": "default", "spec": {"natPortRange": "32768:65535"}}));
        // Its packets leave the pool.
        let workload = put(
            json!({"kind": "WorkloadEndpoint", "namespace": "default", "name": "n1-k8s-open-eth0", "labels": {"projectcalico.org/namespace": "default"},
            "spec": {"node": NODE, "orchestrator": "k8s", "pod": "open", "endpoint": "eth0", "interfaceName": "cali2",
                "ipNetworks": ["10.65.0.3/32"], "profiles": ["projectcalico-default-allow"]}}),
        );
        case.steps.splice(0..0, [pool, ports, workload]);
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (followed, _) = world(&mut kernel, &case);
        let report = compare(&followed, &read());
        assert!(report.wrong == 0 && report.probes > 0, "{:#?}", report.differences);
    });
}

#[test]
fn a_difference_names_the_endpoint_the_packet_and_both_answers() {
    in_namespace(|| {
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (followed, mut table) = world(&mut kernel, &small());
        table
            .rules
            .retain(|rule| !rule.comment.as_ref().is_some_and(|comment| comment.starts_with("rule 2 of gnp web")));
        let misjudged = misjudged(&followed, table);
        let difference = &misjudged[0];
        assert_eq!(difference.endpoint, "hep/web1 at eth0");
        assert_eq!((difference.in_force, difference.kernel), (Answer::Allowed, Answer::Dropped));
        assert!(matches!(difference.packet.transport, Transport::Ports { destination: 443, .. }));
        // The last rule that matched it is told in words: what drops it now.
        let last = difference.trace.last().unwrap();
        let is_told = last.starts_with("input: inet tortie host-in/") && last.ends_with(" \"end of tier default\"");
        assert!(is_told, "{last}");
    });
}

/// One way to damage a table, and what is said of it.
struct Damage {
    name: &'static str,
    /// Commands of `nft`; `{text}` stands for the chain and handle of the first rule with this in its comment.
    script: &'static str,
    says: &'static str,
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "an element of a map is added",
        script: "add element inet tortie host-in { \"eth9\" comment \"hep/gone\" : drop }",
        says: "interface eth9 is still governed by hep/gone, which does not exist (host-in)",
    },
    Damage {
        name: "an element of a map is removed",
        script: "delete element inet tortie host-in { \"eth0\" }",
        says: "interface eth0 is not governed by hep/web1 (host-in)",
    },
    Damage {
        name: "an element of a map leads elsewhere",
        script: "delete element inet tortie host-in { \"eth0\" }
                 add element inet tortie host-in { \"eth0\" comment \"hep/web2\" : goto host-in/early }",
        says: "interface eth0 is governed by hep/web2 instead of hep/web1 (host-in)",
    },
    Damage {
        name: "an element of a map without the name of an endpoint is added",
        script: "add element inet tortie host-in { \"eth9\" : drop }
                 add element inet tortie host-out { \"eth9\" : drop }",
        says: "interface eth9 has an element that names no endpoint, and nothing in force asks for it (host-in, host-out)",
    },
    Damage {
        name: "an element of a map with another comment is added",
        script: "add element inet tortie host-in { \"eth9\" comment \"mine\" : drop }",
        says: "interface eth9 has an element that names no endpoint, and nothing in force asks for it (host-in)",
    },
    Damage {
        name: "an element of a map loses its name",
        script: "delete element inet tortie host-in { \"eth0\" }
                 add element inet tortie host-in { \"eth0\" : drop }",
        says: "the element of interface eth0 in host-in does not name hep/web1, and ends in `drop` instead of `goto host-in/",
    },
    Damage {
        name: "an element of a map gets another verdict",
        script: "delete element inet tortie host-in { \"eth0\" }
                 add element inet tortie host-in { \"eth0\" comment \"hep/web1\" : drop }",
        says: "the element of interface eth0 in host-in for hep/web1 ends in `drop` instead of `goto host-in/",
    },
    Damage {
        name: "a member of a set gets a comment",
        script: "delete element inet tortie @set { 10.65.0.2 }
                 add element inet tortie @set { 10.65.0.2 comment \"mine\" }",
        says: "set member 10.65.0.2 of selector app == 'db' (source of rule 1 of np default/db ingress) has the comment \"mine\", and nothing in force asks for it",
    },
    Damage {
        name: "a member of a set is added",
        script: "add element inet tortie @set { 192.0.2.77 }",
        says: "set member 192.0.2.77 of selector app == 'db' (source of rule 1 of np default/db ingress) is in the kernel",
    },
    Damage {
        name: "a member of a set is removed",
        script: "delete element inet tortie @set { 10.65.0.2 }",
        says: "set member 10.65.0.2 of selector app == 'db' (source of rule 1 of np default/db ingress) is missing",
    },
    Damage {
        name: "a rule is added",
        script: "add rule inet tortie input accept",
        says: "a rule that ends in `accept` is in the kernel, and nothing in force asks for it (chain `input`)",
    },
    Damage {
        name: "a rule is removed",
        script: "delete rule inet tortie {rule 1 of gnp web ingress}",
        says: "rule 1 of gnp web ingress: Deny is missing (chain `policy-in/gnp/web`, used by hep/web1 at eth0)",
    },
    Damage {
        name: "a rule has another verdict",
        script: "replace rule inet tortie {rule 1 of gnp web ingress} ip saddr 198.51.100.0/24 accept \
                 comment \"rule 1 of gnp web ingress: Deny\"",
        says: "rule 1 of gnp web ingress: Deny ends in `accept` instead of `drop`",
    },
    Damage {
        name: "a rule has other conditions",
        script: "replace rule inet tortie {rule 1 of gnp web ingress} ip saddr 198.51.0.0/24 counter drop \
                 comment \"rule 1 of gnp web ingress: Deny\"",
        says: "rule 1 of gnp web ingress: Deny has other conditions",
    },
    Damage {
        name: "rules are swapped",
        script: "delete rule inet tortie {rule 1 of gnp web ingress}
                 add rule inet tortie policy-in/gnp/web meta nfproto ipv4 meta l4proto tcp ip saddr 198.51.100.0/24 \
                 counter drop comment \"rule 1 of gnp web ingress: Deny\"",
        says: "rule 2 of gnp web ingress: Allow comes before rule 1 of gnp web ingress: Deny instead of after it",
    },
    Damage {
        name: "the label of a rule names another rule",
        script: "replace rule inet tortie {rule 1 of gnp web ingress} meta nfproto ipv4 meta l4proto tcp \
                 ip saddr 198.51.100.0/24 counter drop comment \"rule 9 of gnp other ingress: Deny\"",
        says: "rule 9 of gnp other ingress: Deny is in the kernel, and nothing in force asks for it",
    },
    Damage {
        name: "the policy of a base chain is changed",
        script: "chain inet tortie input { policy drop; }",
        says: "base chain `input` (hook input) has policy drop instead of accept",
    },
    Damage {
        name: "a base chain has another priority",
        script: "@rehook input type filter hook input priority 10",
        says: "base chain `input` (hook input) has priority 10 instead of 1",
    },
    Damage {
        name: "a base chain has another hook",
        script: "@rehook input type filter hook forward priority 1",
        says: "base chain `input` (hook forward) has hook forward instead of input",
    },
    Damage {
        name: "a base chain has another type",
        script: "@rehook output type route hook output priority 0",
        says: "base chain `output` (hook output) has type route instead of filter",
    },
    Damage {
        name: "a base chain is missing",
        script: "flush chain inet tortie input\n delete chain inet tortie input",
        says: "base chain `input` (hook input, priority 1, type filter, policy accept) is missing",
    },
    Damage {
        name: "a base chain is added",
        script: "add chain inet tortie more { type filter hook input priority -5; }",
        says: "base chain `more` (hook input, priority -5, type filter, policy accept) is in the table, and nothing in force asks for it: every packet of its hook meets it",
    },
    Damage { name: "a chain is added", script: "add chain inet tortie more", says: "chain `more` is unused" },
    Damage {
        name: "a set is added",
        script: "add set inet tortie more { type ipv4_addr; }",
        says: "set `more` is unused",
    },
    Damage {
        name: "a set that no type here describes is added",
        script: "add set inet tortie more { type ipv4_addr; flags timeout; }",
        says: "set `more` in the table cannot be decoded",
    },
    Damage {
        name: "a rule that no type here describes is added",
        script: "add rule inet tortie input numgen random mod 2 0 accept",
        says: "a rule that ends in `accept` is in the kernel, and nothing in force asks for it (chain `input`)",
    },
    Damage {
        name: "a chain that no type here describes is added",
        script: "add chain inet tortie more { type filter hook ingress device lo priority 0; }",
        says: "chain `more` in the table cannot be decoded",
    },
    Damage {
        name: "a stateful object is added",
        script: "add counter inet tortie more",
        says: "stateful object `more` is in the table, and nothing in force asks for it",
    },
    Damage {
        name: "a table with a similar name is added",
        script: "add table ip tortie-old",
        says: "table ip tortie-old exists, and nothing in force asks for it",
    },
    Damage {
        name: "the table is dormant",
        script: "add table inet tortie { flags dormant; }",
        says: "the table is dormant: nothing is enforced",
    },
    Damage {
        name: "the table is deleted",
        script: "delete table inet tortie",
        says: "hep/web1 at eth0 is not enforced: table inet tortie does not exist",
    },
];

/// The commands of a damage, with the names that the table has.
fn script(damage: &Damage, table: &TableDump) -> String {
    let members = table.sets.iter().find(|set| set.set.comment.as_deref().is_some_and(|id| id.starts_with("s:")));
    let mut script = damage.script.replace("@set", &members.unwrap().set.name);
    if let Some((before, rest)) = script.clone().split_once('{')
        && let Some((text, after)) = rest.split_once('}')
        && text.starts_with("rule ")
    {
        let is_it = |comment: &String| comment.starts_with(text);
        let rule = table
            .rules
            .iter()
            .find(|rule| !rule.chain.ends_with("/fragments") && rule.comment.as_ref().is_some_and(is_it));
        let rule = rule.unwrap();
        script = format!("{before}{} handle {}{after}", rule.chain, rule.handle.unwrap());
    }
    // A base chain is moved by making it anew with the rules that it has.
    if let Some((name, base)) = script.clone().strip_prefix("@rehook ").and_then(|rest| rest.split_once(' ')) {
        let listed = run("nft", &["list", "chain", "inet", "tortie", name]);
        let rules = listed.lines().filter(|line| !line.contains("type filter hook"));
        let rules: String = rules.skip(2).map(|line| line.to_owned() + "\n").collect();
        script = format!(
            "flush chain inet tortie {name}\ndelete chain inet tortie {name}\n\
             table inet tortie {{\nchain {name} {{\n{base}; policy accept;\n{rules}"
        );
    }
    script
}

#[test]
fn every_damage_of_the_table_is_found_and_named() {
    let only = std::env::var("TORTIE_DAMAGE").unwrap_or_default();
    in_namespace(|| {
        let mut kernel = Kernel::open_unowned(TableOptions::default()).unwrap();
        let (followed, _) = world(&mut kernel, &small());
        for damage in DAMAGES.iter().filter(|damage| damage.name.contains(&only)) {
            kernel.repair().unwrap();
            let intact = read();
            assert_eq!(sentences(&compare(&followed, &intact)), [] as [&str; 0], "before {}", damage.name);
            run_with_input("nft", &["-f", "-"], &script(damage, intact.table.as_ref().unwrap()));
            let report = compare(&followed, &read());
            let said = sentences(&report);
            if !only.is_empty() || std::env::var_os("SHOW").is_some() {
                eprintln!("{}: {said:#?}", damage.name);
            }
            assert!(said.iter().any(|sentence| sentence.contains(damage.says)), "{}: {said:#?}", damage.name);
            assert!(said.iter().all(|sentence| is_whole(sentence)), "{}: {said:#?}", damage.name);
            // What follows from one damage is not told as more.
            assert!(said.len() <= 2, "{}: {said:#?}", damage.name);
            let _ = std::process::Command::new("nft").args(["delete", "table", "ip", "tortie-old"]).output();
        }
    });
}

#[test]
fn an_endpoint_whose_long_name_the_kernel_cuts_is_known_by_it() {
    in_namespace(|| {
        let mut case = small();
        let name = "web1".repeat(50);
        for step in &mut case.steps {
            if let Step::Put(object) = step
                && object["kind"] == "HostEndpoint"
            {
                object["name"] = json!(name);
            }
        }
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (followed, mut table) = world(&mut kernel, &case);
        let map = table.sets.iter_mut().find(|set| set.set.name == "host-in").unwrap();
        let mut more = map.elements[0].clone();
        more.key = Key::One(tortie_nft::interface_name("eth9").unwrap().to_vec());
        map.elements.push(more);
        let report = compare(&followed, &Inventory { table: Some(table), foreign: Vec::new(), namesakes: Vec::new() });
        let said = sentences(&report);
        let is_known = |sentence: &&&str| sentence.ends_with(", which should not govern it (host-in)");
        assert_eq!(said.iter().filter(is_known).count(), said.len(), "{said:#?}");
        assert_eq!(said.len(), 1, "{said:#?}");
    });
}

/// Whether no part of a sentence is empty.
fn is_whole(sentence: &str) -> bool {
    let holes = ["  ", " :", " ,", " )", "( ", "()", "``", "\"\""];
    !holes.iter().any(|hole| sentence.contains(hole)) && sentence.trim() == sentence && !sentence.ends_with([':', ','])
}

/// Changes something in a table, as another program may.
fn damage(random: &mut Random, table: &mut TableDump) {
    let comment = |random: &mut Random| {
        random.pick(&[None, Some(""), Some("mine"), Some("hep/gone"), Some("hep/web1")]).map(str::to_owned)
    };
    let verdict = |random: &mut Random| {
        let to = Verdict::Goto("host-in/early".to_owned());
        random.pick(&[Verdict::Drop, Verdict::Accept, Verdict::Return, Verdict::Continue, to]).clone()
    };
    let (rule, set) = (random.below(table.rules.len()), random.below(table.sets.len()));
    let elements = &mut table.sets[set].elements;
    let element = random.below(elements.len().max(1));
    match (random.below(10), elements.is_empty()) {
        (0, false) => elements[element].comment = comment(random),
        (1, false) => {
            let data = &mut elements[element].data;
            *data = data.take().map(|_| Data::Verdict(verdict(random)));
        }
        (2, false) => drop(elements.remove(element)),
        (3, false) => {
            let mut more = Element { comment: comment(random), ..elements[element].clone() };
            match &mut more.key {
                Key::One(value) if random.once_in(8) => value.fill(0),
                Key::One(value) | Key::Range(value, _) => {
                    let at = value.len().min(4) - 1;
                    value[at] ^= 1;
                }
                Key::CatchAll => {}
            }
            elements.push(more);
        }
        (4, _) => drop(table.rules.remove(rule)),
        (5, _) => table.rules[rule].comment = comment(random),
        (6, _) => table.rules[rule].exprs.push(verdict(random).into()),
        (7, _) => {
            let more = table.rules[rule].clone();
            table.rules.push(more);
        }
        (8, _) => {
            let name = table.rules[rule].chain.clone();
            table.chains.retain(|chain| chain.name != name);
            table.rules.retain(|rule| rule.chain != name);
        }
        _ => drop(table.sets.remove(set)),
    }
}

#[test]
fn no_part_of_what_is_said_of_a_damaged_table_is_empty() {
    in_namespace(|| {
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (followed, table) = world(&mut kernel, &small());
        let mut all = BTreeSet::new();
        for seed in 0..400 {
            let random = &mut Random::new(seed);
            let mut damaged = table.clone();
            for _ in 0..1 + random.below(3) {
                damage(random, &mut damaged);
            }
            let inventory = Inventory { table: Some(damaged), foreign: Vec::new(), namesakes: Vec::new() };
            // What cannot be followed at all is told as an error.
            let verified =
                verify(&followed.world.snapshot, &followed.world.host, &TableOptions::default(), &inventory, None, 100);
            let Ok(report) = verified else { continue };
            for difference in &report.differences {
                let Difference::Table(told) = difference else { continue };
                assert!(is_whole(&told.sentence), "seed {seed}: {told:?}");
                assert!(!["  ", "``"].iter().any(|hole| told.kernel.contains(hole)), "seed {seed}: {told:?}");
                all.insert(told.sentence.clone());
            }
        }
        if std::env::var_os("SHOW").is_some() {
            eprintln!("{all:#?}");
        }
        assert!(all.len() > 100, "{} sentences are too few to mean anything", all.len());
    });
}
