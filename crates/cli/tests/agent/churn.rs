//! Workloads that come and go in random order, interfaces before their endpoints and after them: what is left is what an
//! agent makes that finds it so, and when all are gone nothing is left.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tortie_api::{Key, Kind};
use tortie_random::Random;
use tortie_store::{Op, Revision, Store, Write};
use tortie_store_sqlite::SqliteStore;

use crate::world::{World, deadline, on_a_machine, run, until};

const WORKLOADS: usize = 500;
/// Of so many, the first two stay; the second then wants the address of the first.
const GROUP: usize = 10;
/// How many change at once.
const TOGETHER: usize = 25;

const POLICIES: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec: {selector: app == 'a0', types: [Ingress], ingress: [{action: Allow, source: {selector: app == 'a1'}, protocol: TCP, destination: {ports: [80]}}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {selector: app == 'a1', types: [Ingress, Egress], ingress: [{action: Allow, source: {selector: app == 'a2'}}], egress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: rest}
spec: {selector: app == 'a2', order: 7, types: [Egress], egress: [{action: Deny, destination: {selector: app == 'a0'}}, {action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: web1-cni-pattern-eth0, namespace: shop, labels: {app: a0}}
spec: {node: web1, orchestrator: cni, containerID: pattern, endpoint: eth0, interfaceName: calipattern, ipNetworks: [10.65.255.255/32], mac: '02:00:00:00:00:02'}
";

/// What happens to a workload next.
#[derive(Clone, Copy)]
enum Event {
    Link(bool),
    /// Its endpoint as it is first, or as it is later; or none any more.
    Endpoint(Option<bool>),
}

/// Everything that is to happen, piece by piece: numbers of workloads, and what happens to each.
fn story(random: &mut Random) -> Vec<Vec<(usize, Event)>> {
    let mut lives: Vec<(usize, Vec<Event>)> = (0..WORKLOADS)
        .map(|number| {
            let mut life = vec![Event::Link(true), Event::Endpoint(Some(false))];
            random.shuffle(&mut life);
            if number % GROUP == 1 || random.chance(30) {
                life.push(Event::Endpoint(Some(true)));
            }
            if number % GROUP > 1 {
                let mut end = [Event::Link(false), Event::Endpoint(None)];
                random.shuffle(&mut end);
                life.extend(end);
            }
            life.reverse();
            (number, life)
        })
        .collect();
    let mut story = Vec::new();
    while !lives.is_empty() {
        random.shuffle(&mut lives);
        let next = lives.iter_mut().take(TOGETHER).filter_map(|(number, life)| Some((*number, life.pop()?)));
        story.push(next.collect());
        lives.retain(|(_, life)| !life.is_empty());
    }
    story
}

/// The interfaces and endpoints of a machine.
struct Crowd<'a> {
    world: &'a World,
    store: SqliteStore,
    pattern: String,
    revisions: Vec<Option<Revision>>,
}

impl<'a> Crowd<'a> {
    fn new(world: &'a World) -> Self {
        let file = world.file("policies.yaml", POLICIES);
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let store = SqliteStore::open(world.place.path().join("tortie.db")).unwrap();
        let key = key("pattern");
        let pattern = String::from_utf8(store.get(&key).unwrap().unwrap().value.to_vec()).unwrap();
        store.write(&[Write { key, op: Op::Delete(None) }]).unwrap().remove(0).unwrap();
        Self { world, store, pattern, revisions: vec![None; WORKLOADS] }
    }

    fn happen(&mut self, events: &[(usize, Event)], links_first: bool) {
        for links in [links_first, !links_first] {
            if links { self.links(events) } else { self.endpoints(events) }
        }
    }

    fn links(&self, events: &[(usize, Event)]) {
        let lines = events.iter().filter_map(|(number, event)| match event {
            Event::Link(true) => Some(format!(
                "link add cali{number} type veth peer name x{number}\nlink set x{number} up\nlink set cali{number} up\n"
            )),
            Event::Link(false) => Some(format!("link del cali{number}\n")),
            Event::Endpoint(_) => None,
        });
        let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        ip.stdin.take().unwrap().write_all(lines.collect::<String>().as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success());
    }

    fn endpoints(&mut self, events: &[(usize, Event)]) {
        let (mut numbers, mut writes) = (Vec::new(), Vec::new());
        for (number, event) in events {
            let Event::Endpoint(endpoint) = event else { continue };
            let op = match (endpoint, self.revisions[*number].clone()) {
                (None, _) => Op::Delete(None),
                (Some(later), None) => Op::Create(self.endpoint(*number, *later)),
                (Some(later), Some(revision)) => Op::Update(self.endpoint(*number, *later), revision),
            };
            numbers.push((*number, endpoint.is_some()));
            writes.push(Write { key: key(&format!("w{number}")), op });
        }
        for ((number, stays), written) in numbers.into_iter().zip(self.store.write(&writes).unwrap()) {
            self.revisions[number] = stays.then_some(written.unwrap().revision);
        }
    }

    /// Later it has other labels, and every other has the address of the one before it.
    fn endpoint(&self, number: usize, later: bool) -> Arc<[u8]> {
        let (app, shared) = ((number + usize::from(later)) % 3, number - usize::from(later && number % 2 == 1));
        let v4 = format!("10.65.{}.{}/32", shared / 250, shared % 250 + 1);
        let all = if number.is_multiple_of(3) { format!("{v4}\",\"fd00:65::{number:x}/128") } else { v4 };
        let value = self.pattern.replace("calipattern", &format!("cali{number}"));
        let value = value.replace("pattern", &format!("w{number}")).replace("\"a0\"", &format!("\"a{app}\""));
        value.replace("10.65.255.255/32", &all).into_bytes().into()
    }

    /// Everything on this machine that is there for workloads, a line each.
    fn look(&self) -> BTreeSet<String> {
        let mut seen = table();
        for route in [["-4", "route"], ["-6", "route"]] {
            let all = run("ip", &[&route[..], &["show", "table", "main"]].concat());
            seen.extend(all.lines().filter(|line| line.contains("dev cali") && line.contains("65")).map(str::to_owned));
        }
        seen.extend(run("ip", &["neigh", "show", "nud", "permanent"]).lines().map(str::to_owned));
        for interface in std::fs::read_dir("/proc/thread-self/net/dev_snmp6").unwrap() {
            let name = interface.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("cali") {
                continue;
            }
            for file in ["ipv4/conf/NAME/proxy_arp", "ipv4/conf/NAME/route_localnet", "ipv4/conf/NAME/forwarding"]
                .into_iter()
                .chain(["ipv4/conf/NAME/rp_filter", "ipv4/neigh/NAME/proxy_delay", "ipv6/conf/NAME/accept_ra"])
                .chain(["ipv6/conf/NAME/proxy_ndp", "ipv6/conf/NAME/forwarding"])
            {
                let file = file.replace("NAME", &name);
                let value = std::fs::read_to_string(format!("/proc/sys/net/{file}")).unwrap_or_default();
                seen.insert(format!("{file} = {value}"));
            }
        }
        let files = std::fs::read_dir(self.world.place.path().join("calico/endpoint-status"));
        for file in files.into_iter().flatten().map(Result::unwrap) {
            // It may go while it is looked at.
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            seen.insert(format!("{}: {text}", file.file_name().display()));
        }
        seen
    }
}

fn key(name: &str) -> Key {
    Key::namespaced(Kind::WorkloadEndpoint, "shop", format!("web1-cni-{name}-eth0"))
}

/// Our table without handles and counts: each rule with its place in its chain, each element with its set.
fn table() -> BTreeSet<String> {
    let text = run("nft", &["-j", "list", "table", "inet", "tortie"]);
    let mut listing: Value = serde_json::from_str(&text).unwrap();
    forget_counts(&mut listing);
    let (mut seen, mut places) = (BTreeSet::new(), std::collections::BTreeMap::<String, usize>::new());
    for object in listing["nftables"].as_array().unwrap() {
        if let Some(rule) = object.get("rule") {
            let place = places.entry(rule["chain"].to_string()).or_default();
            *place += 1;
            seen.insert(format!("{place}. {rule}"));
        } else if let Some(set) = object.get("set").or(object.get("map")) {
            let name = &set["name"];
            seen.insert(format!("set {name}"));
            let elements = set.get("elem").and_then(Value::as_array).into_iter().flatten();
            seen.extend(elements.map(|element| format!("in {name}: {element}")));
        } else if object.get("metainfo").is_none() {
            seen.insert(object.to_string());
        }
    }
    seen
}

fn forget_counts(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "handle");
            if let Some(counter) = fields.get_mut("counter") {
                *counter = Value::Null;
            }
            fields.values_mut().for_each(forget_counts);
        }
        Value::Array(all) => all.iter_mut().for_each(forget_counts),
        _ => (),
    }
}

/// Waits until a machine looks as expected.
#[track_caller]
fn becomes(crowd: &Crowd<'_>, expected: &BTreeSet<String>) {
    let deadline = Instant::now() + deadline();
    loop {
        let seen = crowd.look();
        if seen == *expected {
            return;
        }
        let late = Instant::now() > deadline;
        let (missing, wrong) = (expected.difference(&seen), seen.difference(expected));
        assert!(!late, "missing: {:#?}\nwrong: {:#?}", missing.collect::<Vec<_>>(), wrong.collect::<Vec<_>>());
    }
}

#[test]
fn workloads_that_are_added_and_removed_leave_what_a_fresh_agent_makes_and_in_the_end_nothing() {
    let mut random = Random::new(6);
    let story = story(&mut random);
    // What is there in the end: interfaces in the order in which they came, and endpoints.
    let (mut links, mut endpoints) = (Vec::new(), Vec::new());
    for (number, event) in story.iter().flatten() {
        match event {
            Event::Link(true) => links.push((*number, *event)),
            Event::Link(false) => links.retain(|(other, _)| other != number),
            Event::Endpoint(_) => {
                endpoints.retain(|(other, _)| other != number);
                endpoints.push((*number, *event));
            }
        }
    }
    endpoints.retain(|(_, event)| matches!(event, Event::Endpoint(Some(_))));
    assert_eq!([links.len(), endpoints.len()], [WORKLOADS / GROUP * 2; 2]);

    let (mut fresh, mut empty) = (BTreeSet::new(), BTreeSet::new());
    on_a_machine(|world| {
        let mut crowd = Crowd::new(world);
        let agent = world.agent();
        world.call(&["status", "--wait"]);
        empty = crowd.look();
        agent.kill();
        run("nft", &["delete", "table", "inet", "tortie"]);
        crowd.happen(&links, true);
        crowd.happen(&endpoints, true);
        let _agent = world.agent();
        let files = || std::fs::read_dir(world.place.path().join("calico/endpoint-status")).unwrap().count();
        until("all workloads are up", || files() == endpoints.len());
        fresh = crowd.look();
        let routes = fresh.iter().filter(|line| line.starts_with("10.65.") && line.contains("scope link"));
        assert_eq!(routes.count(), WORKLOADS / GROUP, "two want each address, one has it");
    });
    on_a_machine(|world| {
        let mut crowd = Crowd::new(world);
        let _agent = world.agent();
        for events in &story {
            crowd.happen(events, random.chance(50));
        }
        becomes(&crowd, &fresh);
        let last = |all: &[(usize, Event)], event| all.iter().map(|(number, _)| (*number, event)).collect::<Vec<_>>();
        crowd.happen(&last(&endpoints, Event::Endpoint(None)), false);
        crowd.happen(&last(&links, Event::Link(false)), true);
        becomes(&crowd, &empty);
    });
}
