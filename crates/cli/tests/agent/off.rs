//! Enforcement that is switched off and on, with real packets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;
use tortie_testkit::limit::limit;

use rustix::process::Signal;

use super::world::{World, move_store, on_a_machine, on_each_machine, run, served, until};
use super::{ENDPOINT, allow};

/// Port 80 is allowed, 81 is denied.
fn closed(world: &World) -> bool {
    !world.reaches(81) && world.reaches(80)
}

fn open(world: &World) -> bool {
    world.reaches(81) && world.reaches(80)
}

/// What a call prints, whatever becomes of it.
fn all(world: &World, arguments: &[&str]) -> String {
    let output = world.tortie().args(arguments).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn kernel_arguments(world: &World, content: &str) -> PathBuf {
    world.file("kernel-arguments", content)
}

fn off_file(world: &World) -> PathBuf {
    world.place.path().join("etc/off")
}

/// How long enforcement is off by `--for`.
const TIME: &str = "10s";

#[test]
fn off_opens_at_once_and_on_enforces_the_present_store_in_one_step() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        world.file("felix.cfg", "PrometheusMetricsEnabled = yes\n");
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert!(closed(world));
        assert!(served(9091, "/metrics").contains("tortie_off 0\n"));
        let said = world.call(&["off"]);
        assert!(said.starts_with("enforcement is OFF since 20") && said.ends_with(", until `tortie on`\n"), "{said}");
        assert!(open(world));
        // It is loud.
        world.fails(&["status"]);
        let status = world.said(&["status"]);
        assert!(status.starts_with("enforcement is OFF since 20"), "{status}");
        assert!(status.lines().next().unwrap().contains("by root"), "{status}");
        let status = world.status();
        assert_eq!((&status["ready"], status["off"]["by"].is_string()), (&false.into(), true), "{status}");
        let metrics = served(9091, "/metrics");
        assert!(metrics.contains("tortie_off 1\n") && metrics.contains("tortie_ready 0\n"), "{metrics}");
        assert!(agent.log().contains("enforcement is OFF since"), "{}", agent.log());
        let said = all(world, &["explain", "192.0.2.99", "node/web1", "tcp/81"]);
        assert!(said.contains("nothing is enforced on this machine"), "{said}");
        let said = world.fails(&["verify"]);
        assert!(said.starts_with("enforcement is OFF since") && said.contains("once enforcement is on:"), "{said}");
        assert!(world.said(&["status"]).contains("endpoints, once enforcement is on:"));
        let said = world.fails(&["status", "--wait"]);
        assert!(said.contains("enforcement is OFF since"), "{said}");
        // Where others can change the table, what they do to it is put back, and no more than that.
        if world.unowned {
            run("nft", &["add", "chain", "inet", "tortie", "theirs"]);
            run("nft", &["delete", "chain", "inet", "tortie", "conntrack"]);
            until("it is put back", || agent.log().contains("it was restored"));
            assert!(open(world));
        }
        // The store is followed, and nothing of it is enforced.
        let file = world.file("later.yaml", &allow(81));
        let said = all(world, &["apply", "-f", file.to_str().unwrap()]);
        assert!(said.contains("warning[not-enforced]: enforcement is OFF since"), "{said}");
        until("it was received", || world.status()["wanted"] == world.status()["inKernel"]);
        assert!(open(world));
        assert_eq!(world.call(&["on"]), "enforcement is on\n");
        assert!(world.reaches(81) && !world.reaches(80));
        world.call(&["status"]);
        world.call(&["verify"]);
        assert!(served(9091, "/metrics").contains("tortie_off 0\n"));
        assert!(agent.log().contains("enforcement is on again"));
    });
}

#[test]
fn an_agent_that_is_killed_while_enforcement_is_off_starts_off_and_on_closes() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        world.call(&["off"]);
        agent.kill();
        assert!(open(world));
        // Also after a start of the machine.
        run("nft", &["delete", "table", "inet", "tortie"]);
        let agent = world.started(&[]);
        until("the store was read", || world.status()["store"]["state"] == "in-sync");
        assert!(open(world) && agent.log().contains("enforcement is OFF since"));
        assert_eq!(world.call(&["on"]), "enforcement is on\n");
        assert!(closed(world));
    });
}

#[test]
fn without_an_agent_off_removes_the_rules_of_the_last_one_and_the_next_one_stays_off() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        agent.kill();
        assert!(closed(world));
        // Nor is the store needed.
        let (store, aside) = (world.place.path().join("tortie.db"), world.place.path().join("aside.db"));
        move_store(&store, &aside);
        let said = world.call(&["off"]);
        assert!(said.contains("what the last one left decides about no packet any more"), "{said}");
        assert!(open(world));
        world.fails(&["status"]);
        let status = world.said(&["status"]);
        assert!(status.starts_with("enforcement is OFF since"), "{status}");
        let said = world.fails(&["on"]);
        assert!(said.contains("it is on once `tortie agent` runs"), "{said}");
        world.call(&["off"]);
        move_store(&aside, &store);
        let _agent = world.started(&[]);
        until("the store was read", || world.status()["store"]["state"] == "in-sync");
        assert!(open(world));
        world.call(&["on"]);
        assert!(closed(world));
    });
}

#[test]
fn on_a_read_only_mount_off_is_noted_elsewhere_and_on_takes_that_back() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let etc = world.place.path().join("etc");
        std::fs::create_dir_all(&etc).unwrap();
        let call = |word: &str| {
            let given = world.tortie();
            let mut command = std::process::Command::new("unshare");
            let script = format!("mount -t tmpfs -o ro none {} && exec \"$0\" {word} 2>&1", etc.display());
            command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
            command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let ended = command.args(["-m", "sh", "-c", &script]).arg(given.get_program()).output().unwrap();
            (String::from_utf8_lossy(&ended.stdout).into_owned(), ended.status.code())
        };
        let (said, code) = call("off");
        let file = etc.join("off");
        assert!(said.contains(&format!("({}: Read-only file system", file.display())) && code == Some(0), "{said}");
        assert!(!said.contains("/etc/tortie/off"), "{said}");
        assert!(open(world));
        let (said, code) = call("on");
        assert_eq!((said.as_str(), code), ("enforcement is on\n", Some(0)));
        assert!(closed(world));
    });
}

#[test]
fn the_time_of_off_ends_it_with_the_same_agent_and_with_the_next_one() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        for killed in [false, true] {
            let mut agent = world.agent();
            world.apply(&(ENDPOINT.to_owned() + &allow(80)));
            let said = world.call(&["off", "--for", TIME]);
            assert!(said.contains(", until 20"), "{said}");
            assert!(open(world));
            if killed {
                agent.kill();
                agent = world.started(&[]);
            }
            // The ports are not asked meanwhile: nobody accepts, and the queue of a listener is short.
            until("the time has passed", || agent.log().contains("enforcement is on again"));
            world.call(&["status", "--wait"]);
            assert!(closed(world));
            world.call(&["status"]);
            agent.kill();
        }
    });
}

#[test]
fn a_file_made_by_hand_and_the_kernel_argument_keep_enforcement_off() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        std::fs::create_dir_all(off_file(world).parent().unwrap()).unwrap();
        std::fs::write(off_file(world), "").unwrap();
        until("a running agent sees it", || open(world));
        let status = world.said(&["status"]);
        assert!(status.contains("by the file "), "{status}");
        world.call(&["on"]);
        assert!(closed(world) && !off_file(world).exists());
        agent.kill();
        kernel_arguments(world, "ro quiet tortie.off\n");
        let agent = world.started(&[]);
        until("it takes out what the last one left", || open(world));
        let status = world.said(&["status"]);
        assert!(status.contains("since the start of this machine by the kernel argument tortie.off"), "{status}");
        world.call(&["on"]);
        assert!(closed(world));
        // On lasts until the machine starts anew.
        agent.kill();
        let agent = world.agent();
        assert!(closed(world));
        agent.kill();
        // An agent that can read no policy takes out what the last one left.
        move_store(&world.place.path().join("tortie.db"), &world.place.path().join("aside.db"));
        std::fs::remove_dir_all(world.place.path().join("state")).unwrap();
        std::fs::remove_dir_all(world.place.path().join("run")).unwrap();
        assert!(closed(world));
        let _agent = world.started(&[]);
        until("it is open without any policy", || open(world));
    });
}

#[test]
fn an_agent_that_hangs_is_named_and_off_counts_once_it_was_killed() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        agent.signal(Signal::STOP);
        let said = world.fails(&["off"]);
        assert!(said.contains(&format!("does not answer, process {}", agent.pid())), "{said}");
        assert!(closed(world));
        agent.kill();
        world.call(&["off"]);
        assert!(open(world));
    });
}

#[test]
fn off_and_on_say_that_the_agent_does_not_see_their_file() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        // As with an agent in a container that does not share the folder.
        let elsewhere = world.place.path().join("elsewhere/off");
        let call = |word: &str| {
            let ended = world.tortie().env("TORTIE_OFF", &elsewhere).arg(word).output().unwrap();
            (String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap(), ended.status.code())
        };
        let (said, code) = call("off");
        let expected = format!("although {} says that it is off", elsewhere.display());
        assert!(said.contains(&expected) && code == Some(1), "{code:?} {said}");
        assert!(closed(world));
        world.call(&["off"]);
        let (said, code) = call("on");
        assert!(said.contains("no file that this command sees says so") && code == Some(1), "{code:?} {said}");
        assert!(open(world));
        world.call(&["on"]);
        assert!(closed(world));
    });
}

#[test]
fn connections_that_began_while_enforcement_was_off_stay_open() {
    on_each_machine(|world| {
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        world.call(&["off"]);
        assert!(run("nft", &["list", "table", "inet", "tortie"]).contains("ct state"), "they are tracked");
        let mut call = world.outside(|| TcpStream::connect(("192.0.2.11", 81)).unwrap());
        let (mut server, _) = world.listeners[0].accept().unwrap();
        world.call(&["on"]);
        assert!(!world.reaches(81));
        server.set_read_timeout(Some(limit(Duration::from_secs(20)))).unwrap();
        call.write_all(b"?").unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"?");
    });
}

/// README, "the worst day".
#[test]
fn the_documented_commands_open_the_machine_without_the_program() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert!(closed(world));
        // As `systemctl stop tortie` ends it.
        agent.signal(Signal::TERM);
        assert!(agent.ended());
        assert!(closed(world), "ending leaves policy in place");
        run("nft", &["delete", "table", "inet", "tortie"]);
        assert!(open(world));
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn no_time_at_all_is_refused_where_a_time_is_expected() {
    on_a_machine(|world| {
        let file = world.file("endpoint.yaml", ENDPOINT);
        let file = file.to_str().unwrap();
        for arguments in [&["off", "--for", "0s"][..], &["off", "--for=0"], &["verify", "--timeout", "0s"]] {
            assert!(world.fails(arguments).contains("it must be longer than 0s"), "{arguments:?}");
        }
        assert!(world.fails(&["apply", "--confirm=0s", "-f", file]).contains("it is shorter than 1s"));
        assert!(world.fails(&["top", "--interval", "0s"]).contains("it must be 100ms or longer"));
        assert!(!off_file(world).exists());
    });
}
