//! The agent under a service manager: what it reports and when, and that the unit leaves it what it needs.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::world::{Agent, World, move_store, on_a_machine, run, until};
use super::{ENDPOINT, allow};

/// A service manager, as far as its agent can tell.
struct Manager {
    socket: UnixDatagram,
    place: PathBuf,
}

impl Manager {
    fn new(world: &World) -> Self {
        let place = world.place.path().join("notify");
        let socket = UnixDatagram::bind(&place).unwrap();
        socket.set_read_timeout(Some(super::world::deadline())).unwrap();
        Self { socket, place }
    }

    /// Starts an agent that reports here.
    fn start(&self, world: &World, watchdog: Option<Duration>) -> Agent {
        let mut command = world.tortie();
        command.arg("agent").arg("--felix-config").arg("none").env("NOTIFY_SOCKET", &self.place);
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        world.start(command)
    }

    /// Everything that is reported up to and with this line.
    fn until(&self, line: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut bytes = [0; 4096];
        while !lines.iter().any(|one| one == line) {
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no {line} in {lines:?}: {error}"));
            lines.extend(String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned));
        }
        lines
    }
}

#[test]
fn a_start_is_reported_as_done_once_policy_is_in_force_also_from_the_copy_on_disk() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let manager = Manager::new(world);
        let manifests = world.file("m.yaml", &(ENDPOINT.to_owned() + &allow(80)));
        world.call(&["apply", "-f", manifests.to_str().unwrap()]);
        let agent = manager.start(world, None);
        let lines = manager.until("READY=1");
        assert!(world.reaches(80) && !world.reaches(81));
        assert!(lines.iter().any(|line| line.starts_with("STATUS=ready")), "{lines:?}");
        agent.signal(Signal::TERM);
        manager.until("STOPPING=1");
        assert!(agent.ended());
        // The machine boots without its store.
        world.call(&["agent", "--uninstall"]);
        assert!(world.reaches(81));
        let store = world.place.path().join("tortie.db");
        move_store(&store, &world.place.path().join("away"));
        let _agent = manager.start(world, None);
        manager.until("READY=1");
        assert!(world.reaches(80) && !world.reaches(81));
    });
}

#[test]
fn an_agent_with_neither_store_nor_copy_does_not_delay_the_boot() {
    on_a_machine(|world| {
        let manager = Manager::new(world);
        let mut command = world.tortie();
        command.env("DATASTORE_TYPE", "etcdv3").env("ETCD_ENDPOINTS", "http://127.0.0.1:1").env_remove("TORTIE_STORE");
        command.arg("agent").arg("--felix-config").arg("none").env("NOTIFY_SOCKET", &manager.place);
        let _agent = world.start(command);
        let lines = manager.until("READY=1");
        assert!(lines.iter().any(|line| line.starts_with("STATUS=not ready: nothing is enforced yet")), "{lines:?}");
    });
}

#[test]
fn the_watchdog_is_answered_again_and_again() {
    on_a_machine(|world| {
        let manager = Manager::new(world);
        let _agent = manager.start(world, Some(Duration::from_millis(200)));
        for _ in 0..3 {
            manager.until("WATCHDOG=1");
        }
    });
}

/// The unit as packaged.
const UNIT: &str = include_str!("../../../../packaging/tortie.service");

#[test]
fn the_capabilities_of_the_unit_suffice() {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let kept: Vec<String> = line.split_whitespace().map(|one| one.to_lowercase().replace("cap_", "+")).collect();
    let set = format!("-all,{}", kept.join(","));
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        run("ip", &["link", "add", "cali1", "type", "veth", "peer", "name", "pod1"]);
        run("ip", &["link", "set", "cali1", "up"]);
        run("ip", &["link", "set", "pod1", "up"]);
        let tortie = world.tortie();
        let mut command = Command::new("setpriv");
        command.args(["--no-new-privs", "--bounding-set", &set, "--inh-caps", &set]).arg(tortie.get_program());
        command.arg("agent").arg("--felix-config").arg("none").env_clear();
        command.envs(tortie.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let manager = Manager::new(world);
        command.env("NOTIFY_SOCKET", &manager.place);
        let agent = world.start(command);
        manager.until("READY=1");
        world.apply(&(super::workloads::ENDPOINT.to_owned() + ENDPOINT + &allow(80)));
        assert!(world.reaches(80) && !world.reaches(81));
        // Routes and settings of the workload's interface as well.
        let route = || run("ip", &["route", "show", "dev", "cali1"]).contains("10.65.0.2");
        until("the workload has its route", route);
        let status = world.status();
        let none = serde_json::json!([]);
        assert!(status["troubles"] == none && status["problems"] == none, "{status}: {}", agent.log());
        world.call(&["verify"]);
    });
}
