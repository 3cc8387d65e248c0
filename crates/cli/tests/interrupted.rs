//! Ctrl-C at any moment leaves whole objects only, and what was printed as done is on disk.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OBJECTS: usize = 600;

#[test]
fn ctrl_c_leaves_whole_objects_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for n in 0..OBJECTS {
        let _ = write!(
            text,
            "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: set-{n}}}\nspec: {{nets: [10.0.0.0/8]}}\n"
        );
    }
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let mut interrupted = 0;
    for round in 0..8_u64 {
        let store = folder.path().join(format!("{round}.db"));
        // A pipe that nobody reads would fill up.
        let said = folder.path().join(format!("{round}.txt"));
        // The first round waits for the end of its input, which does not come: it is interrupted for certain.
        let (from, stdin) = if round == 0 { ("-", Stdio::piped()) } else { ("all.yaml", Stdio::null()) };
        let mut apply = tortie(folder.path(), &store, &["apply", "-f", from]);
        apply.stdin(stdin);
        let mut child = apply.stdout(std::fs::File::create(&said).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        // Each further round goes a little further: the file, ever more of its log.
        wait(&mut child, || match round {
            0 => true,
            1 => store.exists(),
            _ => log_size(&store) >= (round - 2) * 50_000,
        });
        // It may have ended.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT);
        interrupted += u32::from(!child.wait().unwrap().success());
        let done: BTreeSet<String> = std::fs::read_to_string(said)
            .unwrap()
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix(" created\n").map(str::to_owned))
            .collect();

        let listed = tortie(folder.path(), &store, &["get", "globalnetworksets", "-o", "name"]).output().unwrap();
        // Whoever was interrupted early enough made no store.
        assert_eq!(listed.status.success(), store.exists(), "{}", String::from_utf8_lossy(&listed.stderr));
        let there: BTreeSet<String> = String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect();
        assert!(done.is_subset(&there), "round {round}: printed and not there: {:?}", done.difference(&there).next());
        assert!(there.is_empty() || there.len() == OBJECTS, "round {round}: {} of {OBJECTS}", there.len());
        let again = tortie(folder.path(), &store, &["apply", "-f", "all.yaml"]).output().unwrap();
        assert!(again.status.success(), "round {round}: {}", String::from_utf8_lossy(&again.stderr));
    }
    assert!(interrupted > 0, "no round was interrupted");
}

fn tortie(folder: &Path, store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
    command.arg("--store").arg(store).args(args).current_dir(folder).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn log_size(store: &Path) -> u64 {
    let mut log = store.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(0, |found| found.len())
}

/// Until the condition holds or the program has ended.
fn wait(child: &mut Child, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "neither happened nor ended");
        std::thread::yield_now();
    }
}

/// Each datagram is what one call of the kernel was given.
#[test]
fn each_message_is_written_by_one_call_so_that_messages_of_several_processes_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store.db");
    let manifest =
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: a}\nspec: {interfaceName: eth0}\n";
    std::fs::write(folder.path().join("wrong.yaml"), manifest.replace("spec", "spce")).unwrap();
    for arguments in [&["apply", "-f", "wrong.yaml"][..], &["get", "hep"], &["no-such-command"], &["label", "hep", "a"]]
    {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let theirs = Stdio::from(std::os::fd::OwnedFd::from(theirs));
        let mut command = tortie(folder.path(), &store, arguments);
        assert!(!command.stderr(theirs).stdout(Stdio::null()).status().unwrap().success());
        drop(command);
        ours.set_nonblocking(true).unwrap();
        let mut messages = Vec::new();
        let mut buffer = [0; 65_536];
        while let Ok(length @ 1..) = ours.recv(&mut buffer) {
            messages.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        assert!(!messages.is_empty() && messages.iter().all(|one| one.ends_with('\n')), "{arguments:?}: {messages:?}");
    }
}
