//! Other programs commit to nf_tables all the time, and sometimes to our table: on kernels where tables have no owner the
//! agent puts back what they change, and nothing of that holds up its own changes.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::world::{on_a_machine, on_an_older_machine, on_each_machine, until};
use crate::{ENDPOINT, allow};

/// Commands for `nft`; whether it took them.
fn nft(commands: &str) -> bool {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn changes_of_others_to_the_table_are_refused_or_put_back_and_counted() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let owned = world.status()["dataplane"]["name"].as_str().unwrap().ends_with("owned");
        for (times, command) in [
            "flush chain inet tortie input",
            "insert rule inet tortie input accept",
            "delete element inet tortie host-in { \"eth0\" }",
            "add table inet tortie { flags dormant; }",
            "delete table inet tortie",
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(nft(command), !owned, "{command}");
            if !owned {
                until(command, || world.status()["dataplane"]["repairs"].as_u64().unwrap() > times as u64);
            }
            assert!(!world.reaches(81) && world.reaches(80), "{command}: {}", agent.log());
            world.call(&["verify"]);
        }
        // Twice in a row ours come in between, and nothing is forgotten.
        assert_eq!(nft("delete element inet tortie host-in { \"eth0\" }"), !owned);
        world.apply(&allow(81));
        world.apply(&allow(80));
        until("closed again", || !world.reaches(81));
        let log = agent.log();
        assert_eq!(log.contains("another program had changed the table of tortie"), !owned, "{log}");
        assert!(!log.contains("ERROR"), "{log}");
    });
}

#[test]
fn changes_are_made_while_others_commit_without_pause() {
    on_an_older_machine(|world| {
        let nets: Vec<String> = (0..20_000).map(|n| format!("10.{}.{}.1/32", n / 250, n % 250)).collect();
        let set = format!(
            "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {{name: many, labels: {{many: here}}}}, spec: {{nets: [{}]}}}}\n---\n
              {{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: many}},
                spec: {{selector: role == 'web', types: [Ingress], ingress: [{{action: Allow, source: {{selector: many == 'here'}}}}]}}}}\n---\n",
            nets.join(", ")
        );
        let agent = world.agent();
        world.apply(&(set + ENDPOINT + &allow(80)));
        nft("add table inet theirs; add set inet theirs s { type ipv4_addr; }");
        let (end, commits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        std::thread::scope(|scope| {
            let (end, commits) = (end.clone(), commits.clone());
            let others = {
                let (end, commits) = (end.clone(), commits.clone());
                scope.spawn(move || {
                    while !end.load(Ordering::SeqCst) {
                        let address = commits.fetch_add(1, Ordering::SeqCst) % 250;
                        nft(&format!("flush set inet theirs s; add element inet theirs s {{ 192.0.2.{address} }}"));
                        std::thread::sleep(Duration::from_millis(50));
                    }
                })
            };
            for port in 1000..1010 {
                let so_far = commits.load(Ordering::SeqCst);
                world.apply(&allow(port));
                until("others commit on", || commits.load(Ordering::SeqCst) > so_far + 2);
            }
            end.store(true, Ordering::SeqCst);
            others.join().unwrap();
        });
        assert_eq!(world.status()["dataplane"]["repairs"], 0, "{}", agent.log());
        world.call(&["verify"]);
    });
}

#[test]
fn status_names_chains_of_others_that_can_change_the_route_of_a_packet_after_it_was_judged() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply(ENDPOINT);
        nft("add table ip theirs; add chain ip theirs empty { type route hook output priority mangle; }");
        nft(
            "add table inet more; add chain inet more filter { type filter hook output priority 0; }; add rule inet more filter counter",
        );
        assert_eq!(world.status()["routeChains"], serde_json::json!([]));
        nft(
            "add chain ip theirs out { type route hook output priority mangle; }; add rule ip theirs out meta mark set 7",
        );
        let said = world.call(&["status"]);
        assert!(said.contains("table ip theirs has chain out of type route: "), "{said}");
        assert_eq!(said.matches("of type route").count(), 1, "{said}");
    });
}
