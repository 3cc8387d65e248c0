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
pub(crate) struct Ssh {
    place: PathBuf,
    /// The call of the program there.
    call: String,
    _server: Killed,
}

impl Ssh {
    /// Starts sshd, and waits until it lets the neighbour in.
    pub(crate) fn start(world: &World) -> Self {
        let place = world.place.path().to_owned();
        let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
        for key in ["host", "user"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
        }
        std::fs::create_dir_all("/run/sshd").unwrap();
        let config = format!(
            "Port {PORT}\nListenAddress 0.0.0.0\nListenAddress ::\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n",
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
    pub(crate) fn call(&self, world: &World, options: &[&str], arguments: &str) -> (Option<i32>, String) {
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

/// What a script that writes to this file says when it is started over SSH in this way.
fn said_by(world: &World, ssh: &Ssh, out: &str, way: &str) -> String {
    drop(std::fs::remove_file(out));
    let mut client = ssh.client(&[]);
    client.arg(way);
    let output = world.outside(move || client.output().unwrap());
    let said = || std::fs::read_to_string(out).unwrap_or_default();
    until(&format!("{way} has ended: {output:?}"), || said().contains("status "));
    said()
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

#[test]
fn however_a_command_is_started_over_ssh_the_guard_finds_the_client() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        let file = world.file("all.yaml", ALL);
        let out = world.place.path().join("out");
        let out = out.to_str().unwrap();
        let script = format!("{} apply -f {} >{out} 2>&1; echo status $? >>{out}\n", ssh.call, file.to_str().unwrap());
        let script = world.file("script", &script);
        let script = format!("sh {}", script.to_str().unwrap());
        let tmux = format!("TMUX_TMPDIR={} tmux -f /dev/null", world.place.path().to_str().unwrap());
        for way in [
            script.clone(),
            format!("env -u SSH_CONNECTION {script}"),
            format!("env -i PATH=/usr/bin:/bin {script}"),
            format!("su root -c '{script}'"),
            format!("su - root -c '{script}'"),
            format!("runuser -l root -c '{script}'"),
            format!("script -qec '{script}' /dev/null"),
            format!("setsid -w {script}"),
            // Its parent is the first process of the machine.
            format!("{tmux} new-session -d '{script}'"),
            format!("{tmux} new-session -d 'su - root -c \"{script}\"'"),
            format!("(setsid {script} &)"),
        ] {
            let said = said_by(world, &ssh, out, &way);
            assert!(
                said.contains("would lock out 192.0.2.99 → tcp/2222") && said.contains("status 2"),
                "{way}: {said}"
            );
        }
        assert!(!world.call(&["get", "hep"]).contains("all"), "nothing was written");
    });
}

#[test]
fn over_ipv6_a_lock_out_is_refused_and_with_confirm_is_put_back() {
    on_a_machine(|world| {
        let add = |address: &str, device: &str| run("ip", &["addr", "add", address, "dev", device, "nodad"]);
        add("2001:db8::11/64", "eth0");
        world.outside(move || run("ip", &["addr", "add", "2001:db8::99/64", "dev", "out", "nodad"]));
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        let six = ["-o", "HostName=2001:db8::11"];
        let file = world.file("all.yaml", ALL);
        let apply = format!("apply -f {}", file.to_str().unwrap());
        let (code, said) = ssh.call(world, &six, &apply);
        assert!(code == Some(2) && said.contains("would lock out 2001:db8::99 → tcp/2222"), "{said}");
        let (code, said) = ssh.call(world, &six, &format!("{apply} --confirm=3s"));
        assert_eq!(code, Some(0), "{said}");
        until("a new connection is denied", || ssh.call(world, &six, "version").0 == Some(255));
        until("the machine is as it was", || ssh.call(world, &six, "version").0 == Some(0));
        let status = world.call(&["status"]);
        let names_it = |line: &str| line.contains("put back: ") && line.contains("hostendpoint/all");
        assert!(status.contains("not confirmed: revision") && status.lines().any(names_it), "{status}");
    });
}

#[test]
fn an_edit_over_ssh_that_takes_its_way_is_refused() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply(&(KEEPS_SSH.to_owned() + ALL));
        let ssh = Ssh::start(world);
        for change in ["s/2222/2223/", "s/Allow/Deny/", "s/all == /all != /"] {
            let editor = world.file("editor", &format!("#!/bin/sh\nsed -i '{change}' \"$1\"\n"));
            let mut client = ssh.client(&[]);
            let settings = format!("TORTIE_EDITOR='sh {}' TMPDIR={}", editor.display(), world.place.path().display());
            client.arg(format!("{settings} {} edit gnp ssh", ssh.call));
            let output = world.outside(move || client.output().unwrap());
            let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
            assert!(output.status.code() == Some(2) && said.contains("would lock out 192.0.2.99"), "{change}: {said}");
        }
        assert!(ssh.lets_in(world));
    });
}

#[test]
fn over_a_jump_through_this_machine_the_outer_connection_counts_too() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        let client = ssh.client(&["-W", "192.0.2.11:2222"]);
        let words: Vec<String> = client.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
        let jump = format!("ProxyCommand=ssh {}", words.join(" "));
        let file = world.file("eth0.yaml", &ALL.replace("'*'", "eth0"));
        let (code, said) = ssh.call(world, &["-o", &jump], &format!("apply -f {}", file.to_str().unwrap()));
        assert!(code == Some(2) && said.contains("would lock out 192.0.2.99 → tcp/2222"), "{said}");
        assert!(!world.call(&["get", "hep"]).contains("all"));
    });
}

#[test]
fn a_session_through_this_machine_is_as_old_as_the_one_that_carries_it() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        let (_master, shared) = ssh.master(world, "first");
        let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
        let file = world.file("eth0.yaml", &(KEEPS_SSH.to_owned() + &ALL.replace("'*'", "eth0")));
        let (code, said) = ssh.call(world, &shared, &format!("apply -f {} --confirm=60s", file.to_str().unwrap()));
        assert_eq!(code, Some(0), "{said}");
        world.call(&["status", "--wait"]);
        let words = |client: Command| -> String {
            client.get_args().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        // In the old session, a new one to the machine itself.
        let inner = words(ssh.client(&["-o", "HostName=127.0.0.1"]));
        let mut client = ssh.client(&shared);
        client.arg(format!("ssh {inner} '{} confirm'", ssh.call.replace('\'', "\"")));
        let output = world.outside(move || client.output().unwrap());
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
        assert!(!output.status.success() && said.contains("began before the change was in the kernel"), "{said}");
        // A new one that the old connection carries, and one that a new connection carries.
        let through = |options: &[&str]| {
            let outer = words(ssh.client(&[options, &["-W", "127.0.0.1:2222"]].concat()));
            ssh.call(world, &["-o", &format!("ProxyCommand=ssh {outer}")], "confirm")
        };
        let (code, said) = through(&shared);
        assert!(code != Some(0) && said.contains("began before the change was in the kernel"), "{said}");
        let (code, said) = through(&[]);
        assert!(code == Some(0) && said.contains("stays"), "{said}");
    });
}

#[test]
fn from_a_process_that_is_of_no_session_a_connection_to_this_machine_does_not_confirm() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        world.call(&["label", "gnetsets", "before", "a=b", "--confirm=60s"]);
        world.call(&["status", "--wait"]);
        let mut client = ssh.client(&["-o", "HostName=127.0.0.1"]);
        let output = client.arg(format!("{} confirm", ssh.call)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success()
                && said.contains("comes from this machine itself (127.0.0.1), from process")
                && said.contains("(ssh), which is not of an SSH session"),
            "{said}"
        );
        assert!(world.call(&["confirm", "--force"]).contains("stays"));
    });
}

#[test]
fn a_session_that_begins_once_status_wait_has_answered_confirms() {
    with_each_store(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        for turn in 0..5 {
            let change = format!("label gnetsets before a={turn} --overwrite --confirm=60s");
            let (code, said) = ssh.call(world, &[], &format!("{change} && {} status --wait", ssh.call));
            assert_eq!(code, Some(0), "{said}");
            let (code, said) = ssh.call(world, &[], "confirm");
            assert!(code == Some(0) && said.contains("stays"), "{said}");
        }
    });
}

#[test]
fn while_enforcement_is_off_nothing_is_confirmed_and_a_session_of_that_time_proves_nothing() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        for (turn, off_first) in [("before", true), ("after", false)] {
            let change = || {
                world.call(&["label", "gnetsets", "before", &format!("a={turn}"), "--overwrite", "--confirm=60s"]);
            };
            if off_first {
                world.call(&["off"]);
                change();
            } else {
                change();
                world.call(&["status", "--wait"]);
                world.call(&["off"]);
            }
            let (_master, shared) = ssh.master(world, turn);
            let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
            for said in [ssh.call(world, &shared, "confirm").1, world.fails(&["confirm"])] {
                assert!(said.contains("enforcement is OFF") && said.contains("is not in force"), "{turn}: {said}");
            }
            world.call(&["on"]);
            world.call(&["status", "--wait"]);
            let (code, said) = ssh.call(world, &shared, "confirm");
            assert!(
                code != Some(0) && said.contains("began before enforcement was switched on again"),
                "{turn}: {said}"
            );
            let (code, said) = ssh.call(world, &[], "confirm");
            assert!(code == Some(0) && said.contains("stays"), "{turn}: {said}");
        }
    });
}

#[test]
fn a_shell_that_has_left_its_session_is_no_console_and_does_not_confirm() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        world.call(&["label", "gnetsets", "before", "a=b", "--confirm=60s"]);
        world.call(&["status", "--wait"]);
        let out = world.place.path().join("out");
        let out = out.to_str().unwrap();
        let script = world.file("script", &format!("{} confirm >{out} 2>&1; echo status $? >>{out}\n", ssh.call));
        let script = format!("sh {}", script.to_str().unwrap());
        let tmux = format!("TMUX_TMPDIR={} tmux -f /dev/null", world.place.path().to_str().unwrap());
        for way in [
            format!("su - root -c '{tmux} new-session -d \"{script}\"'"),
            format!("(env -u SSH_CONNECTION setsid {script} &)"),
            format!("(env -u SSH_CONNECTION unshare -p -f --mount-proc {script} &)"),
        ] {
            let said = said_by(world, &ssh, out, &way);
            assert!(
                said.contains("whether this is a new SSH session is not known") && said.contains("status 1"),
                "{way}: {said}"
            );
        }
    });
}

#[test]
fn where_the_session_is_not_known_every_client_that_is_connected_counts() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let ssh = Ssh::start(world);
        let (master, _) = ssh.master(world, "first");
        let file = world.file("all.yaml", ALL);
        let out = world.place.path().join("out");
        let out = out.to_str().unwrap();
        let apply = format!("{} apply -f {}", ssh.call, file.to_str().unwrap());
        let script = world.file("script", &format!("{apply} >{out} 2>&1; echo status $? >>{out}\n"));
        let script = format!("sh {}", script.to_str().unwrap());
        let tmux = format!("TMUX_TMPDIR={} tmux -f /dev/null", world.place.path().to_str().unwrap());
        for way in [
            format!("su - root -c '{tmux} new-session -d \"{script}\"'"),
            format!("(env -u SSH_CONNECTION setsid {script} &)"),
            format!("(env -u SSH_CONNECTION SUDO_UID=1000 setsid {script} &)"),
            format!("(env -u SSH_CONNECTION unshare -p -f --mount-proc {script} &)"),
        ] {
            let said = said_by(world, &ssh, out, &way);
            assert!(
                said.contains("would lock out 192.0.2.99 → tcp/2222")
                    && said.contains("every client that is connected")
                    && said.contains("use --confirm")
                    && said.contains("status 2"),
                "{way}: {said}"
            );
        }
        assert!(!world.call(&["get", "hep"]).contains("all"), "nothing was written");
        let call = |shell: &str| {
            let output =
                Command::new(shell).env_remove("SSH_CONNECTION").args(["-c", &format!("{apply}; exit $?")]).output();
            let output = output.unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (code, text) = call("sh");
        assert!(code == Some(2) && text.contains("would lock out 192.0.2.99"), "{text}");
        // Jobs go on.
        let cron = world.place.path().join("cron");
        std::fs::copy("/bin/sh", &cron).unwrap();
        let (code, text) = call(cron.to_str().unwrap());
        assert!(code == Some(0) && !text.contains("lock"), "{text}");
        world.call(&["delete", "hep", "all"]);
        // And what nobody can have started over SSH.
        drop(master);
        until("nobody is connected", || call("sh").0 == Some(0));
        world.call(&["delete", "hep", "all"]);
        let (code, text) = call("sh");
        assert!(code == Some(0) && text.contains("no client is connected now"), "{text}");
    });
}
