//! Uninstalling: what is restored, and what an agent that hangs keeps from being removed.

use rustix::process::Signal;

use super::workloads::ENDPOINT;
use super::world::{on_a_machine, run, until};

/// Of the namespace of the thread that opens it.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

fn forwarding() -> String {
    std::fs::read_to_string(FORWARDING).unwrap().trim().to_owned()
}

#[test]
fn settings_that_were_changed_for_workloads_are_logged_shown_and_restored() {
    on_a_machine(|world| {
        std::fs::write(FORWARDING, "0").unwrap();
        for with in [true, false] {
            let agent = world.agent();
            world.apply(ENDPOINT);
            until("the machine forwards", || forwarding() == "1");
            let changed = "net.ipv4.ip_forward = 1 (was 0)";
            until("status shows it", || world.said(&["status"]).contains(changed));
            assert!(agent.log().contains(&format!("changed for the workloads of this machine: {changed}")));
            if !with {
                agent.kill();
            }
            let said = world.call(&["agent", "--uninstall"]);
            assert!(said.contains("restored: net.ipv4.ip_forward = 0 (was 1)"), "{said}");
            assert_eq!(forwarding(), "0");
        }
        assert_eq!(world.call(&["agent", "--uninstall"]), "nothing of tortie is in the kernel\n");
    });
}

#[test]
fn an_agent_that_hangs_is_named_and_nothing_is_removed_under_it() {
    on_a_machine(|world| {
        let agent = world.agent();
        world.apply(ENDPOINT);
        let before = run("nft", &["list", "tables"]);
        agent.signal(Signal::STOP);
        let said = world.fails(&["agent", "--uninstall"]);
        assert!(said.contains(&format!("does not answer, process {}", agent.pid())), "{said}");
        assert_eq!(run("nft", &["list", "tables"]), before);
        agent.signal(Signal::CONT);
        world.call(&["agent", "--uninstall"]);
        assert_eq!(run("nft", &["list", "tables"]), "");
        assert!(agent.ended());
    });
}
