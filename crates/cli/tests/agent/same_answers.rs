//! The agent, `explain` and `verify` tell the same: while an object is unreadable, while the store is lost, and after a
//! restart on the cached copy.

use tortie_api::{Key, Kind};
use tortie_store::{Op, Store, Write};
use tortie_store_sqlite::SqliteStore;

use super::allow;
use super::world::{World, move_store, on_a_machine, until};

/// With an address, so that the store alone knows where a packet goes.
const ENDPOINT: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth0, labels: {role: web}}
spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}
---
";

/// Another program changes a policy's stored text as this one would refuse to. The revisions before and after.
fn damage(world: &World, from: &str, to: &str) -> (u64, u64) {
    damage_object(world, Key::cluster(Kind::GlobalNetworkPolicy, "web"), from, to)
}

/// The same of any object.
fn damage_object(world: &World, key: Key, from: &str, to: &str) -> (u64, u64) {
    let store = SqliteStore::open(world.place.path().join("tortie.db")).unwrap();
    let stored = store.get(&key).unwrap().unwrap();
    let text = String::from_utf8(stored.value.to_vec()).unwrap();
    let bad = text.replace(from, to);
    assert_ne!(text, bad);
    let op = Op::Update(bad.into_bytes().into(), stored.revision.clone());
    let written = store.write(&[Write { key, op }]).unwrap().remove(0).unwrap();
    (stored.revision.number().unwrap(), written.revision.number().unwrap())
}

/// Whether `explain` says that a port is reached, and what it notes; none when it has no answer.
fn explain(world: &World, port: u16, more: &[&str]) -> (Option<bool>, String) {
    let what = format!("tcp/{port}");
    let arguments = [&["explain", "192.0.2.99", "192.0.2.11", &what, "--in-interface", "eth0"], more].concat();
    let output = world.tortie().args(&arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let answer = match output.status.code() {
        Some(0) => Some(true),
        Some(1) => Some(false),
        _ => None,
    };
    (answer, said)
}

/// The same where what is in force is not what the store says: `verify` then says so, and for which reason.
fn agree_on_more(world: &World, allowed: &[u16], denied: &[u16], reason: &str) -> String {
    let noted = packets_agree(world, allowed, denied);
    let output = world.tortie().arg("verify").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("what is in force is not what the store says:\n"), "{said}");
    assert!(said.contains(reason), "{reason}: {said}");
    assert!(
        said.contains(
            ": the kernel enforces what the agent keeps in force, and nothing else in the tables of tortie\n"
        ),
        "{said}"
    );
    noted
}

/// The kernel allows these ports and denies those, and `explain` and `verify` say the same. What `explain` noted.
fn agree(world: &World, allowed: &[u16], denied: &[u16]) -> String {
    let noted = packets_agree(world, allowed, denied);
    let said = world.call(&["verify"]);
    assert!(said.contains("what the agent keeps in force, which is what the store says, and nothing else"), "{said}");
    noted
}

fn packets_agree(world: &World, allowed: &[u16], denied: &[u16]) -> String {
    let mut noted = String::new();
    for (ports, open) in [(allowed, true), (denied, false)] {
        for port in ports {
            assert_eq!(world.reaches(*port), open, "packets to port {port}");
            let (said, notes) = explain(world, *port, &[]);
            assert_eq!(said, Some(open), "explain of port {port}: {notes}");
            noted = notes;
        }
    }
    noted
}

/// The manifests of this file are in the store, and not in force: they allow port 81.
fn planned_on_the_store(world: &World, file: &str, reason: &str) {
    let warned = |warning: &str| {
        assert!(warning.starts_with("warning[not-enforced]: ") && warning.contains(reason), "{warning}");
    };
    for arguments in [&["diff", "-f", file][..], &["apply", "-f", file, "--dry-run"], &["apply", "-f", file]] {
        let output = world.tortie().args(arguments).output().unwrap();
        let (said, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(said.contains("globalnetworkpolicy/web unchanged"), "{arguments:?}: {said}{stderr}");
        assert!(output.status.success(), "{arguments:?}: {said}{stderr}");
        warned(&stderr);
    }
    let (open, stderr) = explain(world, 81, &["-f", file]);
    assert_eq!(open, Some(true), "{stderr}");
    warned(&stderr);
}

#[test]
fn the_agent_explain_and_verify_agree_on_an_object_that_cannot_be_read() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert_eq!(agree(world, &[80], &[81]), "");
        let (good, bad) = damage(world, "\"ports\":[80]", "\"ports\":[{}]");
        // What was written is not in force.
        let said = world.fails(&["status", "--wait"]);
        assert!(said.contains("not everything that was written is in force"), "{said}");
        assert!(!said.contains("the rule never matches"), "that is not so while the last valid version is: {said}");
        let expected = format!("its last valid version, revision {good}, is in force");
        assert!(said.contains(&expected), "{said}");
        let said = agree_on_more(world, &[80], &[81], &expected);
        assert!(said.contains("GlobalNetworkPolicy(web): ") && said.contains(&expected), "{said}");
        assert!(said.contains(&format!("revision {bad} cannot be read")), "{said}");
        // The store alone knows no last valid version.
        let (open, said) = explain(world, 80, &["--from-store"]);
        assert!(open == Some(false) && said.contains("its deny-by-default replacement is in force"), "{said}");
        // Without a last valid version everyone uses the same replacement.
        agent.kill();
        std::fs::remove_dir_all(world.place.path().join("state")).unwrap();
        let _agent = world.agent();
        until("the replacement is in the kernel", || !world.reaches(80));
        let said = agree_on_more(world, &[], &[80, 81], "its deny-by-default replacement is in force");
        assert!(said.contains("its deny-by-default replacement is in force"), "{said}");
    });
}

#[test]
fn an_invalid_setting_or_text_is_reported_by_status_verify_and_config() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let settings = "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {defaultEndpointToHostAction: Accept, vxlanPort: 4000}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: sec}
spec: {defaultAction: Pass, order: 5}
---
";
        world.apply(&(settings.to_owned() + ENDPOINT + &allow(80)));
        world.call(&["verify"]);
        let felix = || Key::cluster(Kind::FelixConfiguration, "default");
        for (key, from, to, reason) in [
            (felix(), "\"Accept\"", "\"Akzept\"", "spec.defaultEndpointToHostAction: \"Akzept\" is none of Drop"),
            (felix(), "\"Akzept\"", "\"Accept\"", ""),
            (felix(), "4000", "99999999", "spec.vxlanPort: 99999999 is not a port"),
            (felix(), "99999999", "4000", ""),
            (Key::cluster(Kind::Tier, "sec"), "\"Pass\"", "\"pass!\"", "spec.defaultAction: \"pass!\" is none of Deny"),
        ] {
            damage_object(world, key.clone(), from, to);
            if reason.is_empty() {
                world.call(&["status", "--wait"]);
                world.call(&["status"]);
                world.call(&["verify"]);
                continue;
            }
            for arguments in [&["status", "--wait"][..], &["status"], &["verify"]] {
                let said = world.fails(arguments);
                assert!(said.contains(&key.to_string()) && said.contains(reason), "{arguments:?}: {said}");
            }
            let config = world.call(&["config"]);
            let row = config.lines().find(|line| line.starts_with("vxlanPort")).unwrap();
            assert!(!row.contains("99999999"), "{config}");
        }
        // A manifest repairs it.
        world.apply(settings);
        world.call(&["status"]);
        world.call(&["verify"]);
    });
}

#[test]
fn the_agent_explain_and_verify_agree_while_the_store_is_lost_and_after_a_restart_on_the_copy() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let (good, _) = damage(world, "\"ports\":[80]", "\"ports\":[{}]");
        world.fails(&["status", "--wait"]);
        let (store, aside) = (world.place.path().join("tortie.db"), world.place.path().join("aside.db"));
        move_store(&store, &aside);
        until("the loss is noticed", || explain(world, 80, &[]).1.starts_with("the store is lost since "));
        let said = agree_on_more(world, &[80], &[81], "the store is lost since ");
        // An apply would make a new store, so that is what a preview plans on.
        let file = world.file("again.yaml", &allow(81));
        let output = world.tortie().args(["diff", "-f", file.to_str().unwrap()]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("warning[not-enforced]: the agent of this machine cannot reach the "), "{stderr}");
        assert!(stderr.contains("there is no store at "), "{stderr}");
        // Nor does a preview say that the store is still to come, and it says what it looked at.
        let previews = ["diff", "explain 192.0.2.99 192.0.2.11 tcp/81", "lint"].map(|call| {
            let call = call.split(' ').chain(["-f", file.to_str().unwrap()]);
            let output = world.tortie().args(call).output().unwrap();
            String::from_utf8(output.stderr).unwrap()
        });
        for stderr in previews {
            let looked_at = "any more: only these manifests were looked at, not what the agent of this machine keeps";
            let is_told = stderr.contains("tortie.db any more: ") && !stderr.contains(" yet");
            assert!(is_told && (!stderr.contains("only these") || stderr.contains(looked_at)), "{stderr}");
        }
        assert!(String::from_utf8(output.stdout).unwrap().contains("globalnetworkpolicy/web created"), "{stderr}");
        assert!(said.contains(&format!("last valid version, revision {good}")), "{said}");
        agent.kill();
        let _agent = world.agent();
        until("the copy is in force", || {
            explain(world, 80, &[]).1.starts_with("the store is lost since before the agent")
        });
        let said = world.fails(&["status", "--wait"]);
        assert!(said.contains("tortie.db any more: the agent of this machine follows it"), "{said}");
        let said = agree_on_more(world, &[80], &[81], "the store is lost since before the agent started");
        assert!(said.contains(&format!("last valid version, revision {good}")), "{said}");
    });
}

#[test]
fn an_agent_of_another_store_is_named_and_not_asked() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let other = world.place.path().join("other.db");
        let other = other.to_str().unwrap();
        let file = world.file("other.yaml", &(ENDPOINT.to_owned() + &allow(81)));
        world.call(&["--store", other, "apply", "-f", file.to_str().unwrap()]);
        let (open, said) = explain(world, 81, &["--store", other]);
        assert!(open == Some(true) && said.contains("the agent of this machine follows another store"), "{said}");
        let file = file.to_str().unwrap();
        let output = world.tortie().args(["--store", other, "diff", "-f", file]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && stderr.starts_with("warning[not-enforced]: the agent"), "{stderr}");
        let output = world.tortie().args(["--store", other, "delete", "gnp", "web"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let own = world.place.path().join("tortie.db");
        for store in [own.to_str().unwrap(), other] {
            assert!(stderr.starts_with("warning[not-enforced]: ") && stderr.contains(store), "{stderr}");
        }
    });
}

#[test]
fn a_store_that_was_replaced_is_not_followed_until_it_is_accepted() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let remove = || {
            for suffix in ["", "-wal", "-shm"] {
                drop(std::fs::remove_file(world.place.path().join(format!("tortie.db{suffix}"))));
            }
        };
        let state = || world.status()["store"]["state"].clone();
        remove();
        let file = world.file("other.yaml", &(ENDPOINT.to_owned() + &allow(81)));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        until("it is noticed", || state() == "replaced");
        let said = world.fails(&["status"]);
        assert!(said.contains("REPLACED by another") && said.contains("is another store: its GUID is"), "{said}");
        let said = agree_on_more(world, &[80], &[81], "the store was replaced: the agent keeps revision ");
        assert!(said.starts_with("the store was replaced: the agent keeps revision "), "{said}");
        // Every preview plans on the store, as apply does, and says first of all that the change is not in force here.
        planned_on_the_store(world, file.to_str().unwrap(), " does not follow the embedded store ");
        // The next agent remembers.
        agent.kill();
        let agent = world.started(&[]);
        until("it is noticed again", || world.said(&["status"]).contains("REPLACED"));
        agree_on_more(world, &[80], &[81], "is another store: its GUID is");
        let said = world.fails(&["status", "--wait", "--timeout", "50ms"]);
        assert!(said.contains("--accept-store") && said.contains(" of the store is not in force: "), "{said}");
        // Who writes to it is told.
        let output = world.tortie().args(["label", "hep", "web1-eth0", "a=b"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains("warning[not-enforced]: the agent of this machine does not follow the embedded"),
            "{stderr}"
        );
        let said = world.call(&["agent", "--accept-store"]);
        assert!(said.starts_with("the agent follows the embedded store"), "{said}");
        let status = world.status();
        assert_eq!(status["received"], status["inKernel"]["revision"], "nothing of the store before counts: {status}");
        assert_eq!(agree(world, &[81], &[80]), "");
        assert_eq!(state(), "in-sync");
        // A start can be told so as well, and so can a restored backup.
        agent.kill();
        remove();
        world.call(&["apply", "-f", world.file("other.yaml", &(ENDPOINT.to_owned() + &allow(80))).to_str().unwrap()]);
        let _agent = world.agent_with(&["--accept-store"]);
        world.call(&["status", "--wait"]);
        assert_eq!(agree(world, &[80], &[81]), "");
        let backup = world.place.path().join("backup");
        let backup = backup.to_str().unwrap();
        world.call(&["backup", backup]);
        remove();
        until("the loss is noticed", || state() != "in-sync");
        let said = world.call(&["restore", backup]);
        assert!(said.contains("the agent of this machine follows it"), "{said}");
        assert_eq!(agree(world, &[80], &[81]), "");
    });
}

#[test]
fn a_backup_that_was_written_past_the_last_seen_revision_is_not_followed_until_it_is_accepted() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let file = |name: &str, suffix: &str| world.place.path().join(format!("{name}.db{suffix}"));
        // Nobody writes, so the file and its log are a whole copy.
        for suffix in ["", "-wal"] {
            std::fs::copy(file("tortie", suffix), file("backup", suffix)).unwrap();
        }
        let label = |value: &str| {
            world.call(&["label", "hep", "web1-eth0", "--overwrite", &format!("n={value}")]);
        };
        // The agent sees two changes that the backup does not have.
        label("1");
        label("2");
        world.call(&["status", "--wait"]);
        let put_back = || {
            for suffix in ["", "-wal", "-shm"] {
                drop(std::fs::remove_file(file("tortie", suffix)));
            }
            for suffix in ["-wal", ""] {
                std::fs::copy(file("backup", suffix), file("tortie", suffix)).unwrap();
            }
            // A policy that the agent must not follow, and as many changes as there were.
            let file = world.file("open.yaml", &allow(81));
            world.call(&["apply", "-f", file.to_str().unwrap()]);
            (1..4).for_each(|n| label(&format!("other-{n}")));
        };
        put_back();
        let state = || world.status()["store"]["state"].clone();
        until("it is noticed", || state() == "replaced");
        let said = world.fails(&["status"]);
        // It may be noticed before as much was written as there was.
        assert!(said.contains("has another history: "), "{said}");
        agree_on_more(world, &[80], &[81], "has another history: ");
        // The next agent notices it as well.
        agent.kill();
        let agent = world.started(&[]);
        until("it is noticed again", || world.said(&["status"]).contains("REPLACED"));
        agree_on_more(world, &[80], &[81], "has another history: ");
        world.call(&["agent", "--accept-store"]);
        agree(world, &[81], &[80]);
        assert_eq!(state(), "in-sync");
        // It is the store from then on.
        agent.kill();
        let _agent = world.agent();
        world.call(&["status"]);
    });
}
