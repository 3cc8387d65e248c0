//! The lock-out guard and confirmations with a real sshd on the machine and a real ssh at its neighbour.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::confirm::with_each_store;
use super::world::{Killed, World, on_a_machine, run, until};

/// Where sshd listens: no failsafe keeps it.
const PORT: &str = "2222";
const ALL: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: all, labels: {all: x}}
spec: {node: web1, interfaceName: '*'}
";
const KEEPS_SSH: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: ssh}
spec:
  selector: all == 'x'
  types: [Ingress]
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [2222]}}]
---";

/// The way to the machine over SSH.
struct Ssh {
    place: PathBuf,
    /// The call of the program there.
    call: String,
    _server: Killed,
}

impl Ssh {
    /// Starts sshd, and waits until it lets the neighbour in.
    fn start(world: &World) -> Self {
        let place = world.place.path().to_owned();
        let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
        for key in ["host", "user"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
        }
        std::fs::create_dir_all("/run/sshd").unwrap();
        let config = format!(
            "Port {PORT}\nListenAddress 192.0.2.11\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n",
            path("host"),
            path("user.pub")
        );
        world.file("sshd_config", &config);
        let mut server = Command::new("setpriv");
        server.args(["--pdeathsig", "KILL", "/usr/sbin/sshd", "-D", "-e", "-f", &path("sshd_config")]);
        let log = std::fs::File::create(place.join("sshd.log")).unwrap();
        let server = Killed(server.stdin(Stdio::null()).stderr(log).spawn().unwrap());
        let program = world.tortie();
        let settings =
            program.get_envs().filter(|(name, _)| *name != "SSH_CONNECTION" && *name != "FELIX_FELIXHOSTNAME");
        let settings = settings.filter_map(|(name, value)| Some(format!("{}='{}'", name.to_str()?, value?.to_str()?)));
        let settings: Vec<String> = settings.collect();
        let call = format!("env {} {}", settings.join(" "), program.get_program().to_str().unwrap());
        let ssh = Self { place, call, _server: server };
        until("sshd lets the neighbour in", || ssh.lets_in(world));
        ssh
    }

    /// The client with these options before the name of the machine.
    fn client(&self, options: &[&str]) -> Command {
        let mut client = Command::new("ssh");
        client.args(["-F", "none", "-p", PORT, "-o", "BatchMode=yes", "-o", "ConnectTimeout=1"]);
        client.args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-i",
        ]);
        client.arg(self.place.join("user")).args(options).arg("root@192.0.2.11");
        client.stdin(Stdio::null());
        client
    }

    /// Whether a new connection is let in.
    fn lets_in(&self, world: &World) -> bool {
        let mut client = self.client(&[]);
        world.outside(move || client.arg("true").output().unwrap().status.success())
    }

    /// Calls the program over a connection of these options: its exit status, and what it says.
    fn call(&self, world: &World, options: &[&str], arguments: &str) -> (Option<i32>, String) {
        let mut client = self.client(options);
        client.arg(format!("{} {arguments}", self.call));
        let output = world.outside(move || client.output().unwrap());
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Opens a connection that further calls share by the options that are returned.
    fn master(&self, world: &World, name: &str) -> (Killed, [String; 2]) {
        let socket = self.place.join(name).to_str().unwrap().to_owned();
        let mut client = self.client(&["-M", "-N", "-S", &socket]);
        let master = world.outside(move || client.spawn().unwrap());
        let shared = ["-S".to_owned(), socket.clone()];
        until("the shared connection is there", || std::path::Path::new(&socket).exists());
        (Killed(master), shared)
    }
}

#[test]
fn a_lock_out_over_ssh_is_refused_and_with_confirm_is_put_back() {
    with_each_store(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        let file = world.file("all.yaml", ALL);
        let file = file.to_str().unwrap();
        let (code, said) = ssh.call(world, &[], &format!("apply -f {file}"));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("would lock out 192.0.2.99 → tcp/2222"), "{said}");
        assert!(!world.call(&["get", "hep"]).contains("all"), "nothing was written");
        assert!(ssh.lets_in(world));
        let (_master, shared) = ssh.master(world, "first");
        let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
        let (code, said) = ssh.call(world, &shared, &format!("apply -f {file} --confirm=8s"));
        assert_eq!(code, Some(0), "{said}");
        until("a new connection is denied", || !ssh.lets_in(world));
        let (code, said) = ssh.call(world, &shared, "confirm");
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains("the connection of this SSH session began before the change"), "{said}");
        until("the machine is as it was", || ssh.lets_in(world));
        assert!(!world.call(&["get", "hep"]).contains("all"));
        assert!(world.call(&["history"]).contains("was not confirmed"));
    });
}

#[test]
fn a_new_ssh_connection_confirms_and_a_shared_older_one_does_not() {
    on_a_machine(|world| {
        let agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        let (_master, shared) = ssh.master(world, "first");
        let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
        let file = world.file("kept.yaml", &(KEEPS_SSH.to_owned() + ALL));
        let (code, said) = ssh.call(world, &shared, &format!("apply -f {} --confirm=30s", file.to_str().unwrap()));
        assert_eq!(code, Some(0), "{said}");
        until("the agent notes that it is in the kernel", || {
            agent.log().contains("is put back unless it is confirmed")
        });
        // A session that is new on a connection that is not.
        let (code, said) = ssh.call(world, &shared, "confirm");
        assert!(code != Some(0) && said.contains("began before the change"), "{said}");
        let (code, said) = ssh.call(world, &[], "confirm");
        assert!(code == Some(0) && said.contains("stays"), "{said}");
        assert!(world.call(&["get", "hep"]).contains("all") && ssh.lets_in(world));
    });
}
