//! Every command of README.md works when it is typed, in the order of the page, on a machine with an interface `eth0`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::world::{Killed, World, on_a_machine, text, until};

/// What is not run here: it builds, installs, or needs a service manager.
const OTHERS: [&str; 6] = ["make", "apt", "systemctl", "ln", "nft", "make build"];
/// Commands of which 1 is an answer, and no failure.
const ANSWERS: [&str; 6] = ["explain", "diff", "lint", "test", "verify", "status"];
/// Commands that go on until they are interrupted.
const ENDLESS: [&str; 3] = ["get hostendpoints -w", "watch", "top"];
/// What the text names beside the blocks, and needs more than the page has made.
const NEEDS_MORE: [&str; 2] = ["sudo tortie confirm", "sudo tortie undo"];

/// The commands of the page in their order, each with the lines that it reads; those named in the text stand alone.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines().peekable();
    let mut samples = 0;
    while let Some(line) = lines.next() {
        if !line.starts_with("    ") {
            let named = line.split('`').skip(1).step_by(2).filter(|one| one.starts_with("sudo "));
            found.extend(named.map(str::to_owned));
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        let mut block = vec![line[depth..].to_owned()];
        while let Some(next) = lines.next_if(|next| next.trim().is_empty() || next.starts_with(&" ".repeat(depth))) {
            block.push(next.get(depth..).unwrap_or_default().to_owned());
        }
        if block[0].starts_with('#') || block[0].starts_with("error:") {
            samples += 1;
            continue;
        }
        if found.last().is_some() && block[0].starts_with(|first: char| !first.is_ascii_lowercase()) {
            continue; // Text of a list.
        }
        let mut block = block.into_iter();
        while let Some(mut command) = block.next().filter(|command| !command.starts_with(' ') || !command.is_empty()) {
            if command.contains("<<") {
                for line in block.by_ref() {
                    command += &format!("\n{line}");
                    if line == "END" {
                        break;
                    }
                }
            }
            if !command.trim().is_empty() && !command.starts_with(' ') {
                found.push(command);
            }
        }
    }
    assert_eq!(samples, 2, "what a block is follows from its beginning");
    found
}

pub(super) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A shell that finds `tortie` and `sudo`, with the program's environment.
pub(super) fn shell(world: &World, home: &Path, command: &str) -> Command {
    let tortie = world.tortie();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(home).env_clear().stdin(Stdio::null());
    let kept = |name: &std::ffi::OsStr| name != "FELIX_FELIXHOSTNAME";
    shell.envs(tortie.get_envs().filter(|(name, _)| kept(name)).filter_map(|(name, value)| Some((name, value?))));
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}/bin:{path}", home.display())).env("EDITOR", "true");
    shell
}

#[test]
fn every_command_of_the_readme_works_in_its_order() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let commands = commands(&page);
    assert!(commands.len() > 50, "{commands:#?}");
    on_a_machine(|world| {
        let _etcd = World::etcd_at(world.place.path(), "http://127.0.0.1:2379");
        let home = world.place.path().join("home");
        std::fs::create_dir_all(home.join("bin")).unwrap();
        script(&home.join("bin/sudo"), "exec \"$@\"");
        script(&home.join("bin/tortie"), &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_tortie")));
        let store = world.place.path().join("tortie.db");
        let mut agent: Option<Killed> = None;
        let mut run = 0;
        for command in commands {
            let command = command.replace("/var/lib/tortie/tortie.db", store.to_str().unwrap());
            let command = command.replace("https://etcd1:2379", "http://127.0.0.1:2379");
            let words = command.trim_start_matches("sudo ");
            let is_other = OTHERS.iter().any(|other| words.starts_with(&format!("{other} ")));
            if is_other || NEEDS_MORE.contains(&command.as_str()) {
                continue;
            }
            run += 1;
            let verb = words.trim_start_matches("tortie ");
            if verb.split_whitespace().collect::<Vec<_>>() == ["agent"] {
                let process: Child = shell(world, &home, "exec tortie agent --felix-config none.cfg")
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                agent = Some(Killed(process));
                until("the agent answers", || shell(world, &home, "tortie status").output().unwrap().status.success());
                continue;
            }
            let endless = ENDLESS.iter().any(|one| verb.starts_with(one));
            let typed = if endless { format!("timeout 2 {command}") } else { command.clone() };
            let output = shell(world, &home, &typed).output().unwrap();
            let text = text(&output);
            let is_right = match output.status.code() {
                Some(0) => true,
                Some(1) => ANSWERS.iter().any(|one| verb.starts_with(one)) && !text.contains("error:"),
                Some(124) => endless,
                _ => false,
            };
            assert!(is_right, "{command}\n{:?}\n{text}", output.status);
        }
        assert!(run > 40 && agent.is_some(), "{run} commands were run");
    });
}
