//! Streams of packets over many restarts: what is allowed loses none, what is denied never gets through, also when the agent is
//! killed in the middle of a change. And an agent that makes changes for long does not grow.
//!
//! `TORTIE_RESTARTS` and `TORTIE_CHANGES` say how many; `make soak` asks for more of them than `make test`.

use std::io::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use super::ENDPOINT;
use super::world::{World, on_a_machine, on_each_machine, until};

const ALLOWED: u16 = 7000;
const DENIED: u16 = 7001;

/// How many, unless the environment says otherwise.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A policy, and a set of which each change moves every member.
fn manifests(turn: usize, members: usize) -> String {
    let nets: Vec<String> = (0..members).map(|n| format!("10.{}.{}.{}/32", turn % 250, n / 250, n % 250)).collect();
    format!(
        "
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {{name: many, labels: {{many: here}}}}, spec: {{nets: [{}]}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: web}}, spec: {{
  selector: role == 'web', order: {turn}, types: [Ingress, Egress], egress: [{{action: Allow}}], ingress: [
    {{action: Deny, source: {{selector: many == 'here'}}}},
    {{action: Allow, protocol: UDP, destination: {{ports: [{ALLOWED}]}}}}]}}}}
---
",
        nets.join(", ")
    )
}

/// What the neighbour counts.
#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    lost: AtomicU64,
    sent_to_denied: AtomicU64,
    /// What reached the denied port.
    got_through: AtomicU64,
    end: AtomicBool,
}

/// Answers what comes to the allowed port, and counts what comes to the denied one.
fn serve(counts: &Arc<Counts>) {
    for (port, answers) in [(ALLOWED, true), (DENIED, false)] {
        let (socket, counts) = (UdpSocket::bind(("0.0.0.0", port)).unwrap(), counts.clone());
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        std::thread::spawn(move || {
            let mut room = [0; 64];
            while !counts.end.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut room) else { continue };
                if answers {
                    drop(socket.send_to(&room[..length], from));
                } else {
                    counts.got_through.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
}

/// Sends one packet after the other, each of a new flow, so that policy is asked about each.
fn send(world: &World, counts: &Arc<Counts>) {
    let counts = counts.clone();
    world.outside(move || {
        std::thread::spawn(move || {
            let mut room = [0; 64];
            while !counts.end.load(Ordering::SeqCst) {
                let allowed = UdpSocket::bind("0.0.0.0:0").unwrap();
                allowed.set_read_timeout(Some(limit(Duration::from_secs(10)))).unwrap();
                allowed.send_to(b"x", ("192.0.2.11", ALLOWED)).unwrap();
                let denied = UdpSocket::bind("0.0.0.0:0").unwrap();
                denied.send_to(b"x", ("192.0.2.11", DENIED)).unwrap();
                counts.sent_to_denied.fetch_add(1, Ordering::SeqCst);
                let answer = if allowed.recv(&mut room).is_ok() { &counts.answered } else { &counts.lost };
                answer.fetch_add(1, Ordering::SeqCst);
            }
        });
    });
}

impl Counts {
    /// Waits until the neighbour has got on.
    fn go_on(&self, why: &str) {
        let so_far = self.answered.load(Ordering::SeqCst);
        until(why, || self.answered.load(Ordering::SeqCst) > so_far + 3);
    }

    fn hold(&self, when: &str) {
        let [lost, through] = [&self.lost, &self.got_through].map(|one| one.load(Ordering::SeqCst));
        assert_eq!((lost, through), (0, 0), "{when}: packets that were lost, and that got through");
    }
}

#[test]
fn over_restarts_and_kills_in_the_middle_of_a_change_no_allowed_packet_is_lost_and_no_denied_one_gets_through() {
    let restarts = number("TORTIE_RESTARTS", 4);
    on_each_machine(|world| {
        let counts = Arc::new(Counts::default());
        serve(&counts);
        let mut agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &manifests(0, 2_000)));
        send(world, &counts);
        counts.go_on("the neighbour sends");
        for turn in 1..=restarts {
            let file = world.file("next.yaml", &manifests(turn, 2_000));
            world.call(&["apply", "-f", file.to_str().unwrap()]);
            // Somewhere between the write and its being in force, a little later each time.
            let moment = Instant::now() + Duration::from_millis((turn as u64 * 7) % 60);
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            agent.kill();
            counts.go_on("the neighbour sends while no agent runs");
            counts.hold(&format!("restart {turn}, without an agent"));
            agent = world.agent();
            world.call(&["status", "--wait"]);
            counts.go_on("the neighbour sends while the next agent runs");
            counts.hold(&format!("restart {turn}"));
        }
        world.call(&["verify"]);
        counts.end.store(true, Ordering::SeqCst);
        assert!(counts.sent_to_denied.load(Ordering::SeqCst) > restarts as u64, "{}", agent.log());
    });
}

/// The resident memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn an_agent_that_makes_changes_for_long_does_not_grow() {
    let changes = number("TORTIE_CHANGES", 30);
    on_a_machine(|world| {
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &manifests(0, 500)));
        let mut record = std::env::var_os("TORTIE_MEMORY_RECORD")
            .map(|path| std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap());
        let (mut warm, mut most) = (0, 0);
        for turn in 1..=changes {
            world.apply(&manifests(turn, 500));
            let now = resident(agent.pid());
            // The first third fills caches and the log of the copy.
            if turn * 3 <= changes {
                warm = warm.max(now);
            }
            most = most.max(now);
            if let Some(record) = record.as_mut().filter(|_| turn % 10 == 0) {
                writeln!(record, "{turn} {now}").unwrap();
            }
        }
        assert!(most <= warm + warm / 4 + 4096, "{warm} KiB after a third of {changes} changes, {most} KiB at most");
    });
}
