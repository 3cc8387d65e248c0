//! Who can take the lock, and who cannot.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;

#[test]
fn a_held_lock_names_its_holder_and_is_free_again_afterwards() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join("lock");
    let held = Lock::take_file(&path).unwrap();
    let refused = Lock::take_file(&path).unwrap_err().to_string();
    assert!(refused.ends_with(&format!("process {}", std::process::id())), "{refused}");
    drop(held);
    assert!(!path.exists());
    Lock::take_file(&path).unwrap();
}

#[test]
fn a_file_that_a_killed_agent_left_is_taken() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join("lock");
    std::fs::write(&path, "1234567\n").unwrap();
    let held = Lock::take_file(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    drop(held);
}

#[test]
fn what_killed_agents_left_goes_with_the_next_start_and_what_is_held_stays() {
    let run = tempfile::tempdir().unwrap();
    let path = |name: &str| run.path().join(name);
    let held = Lock::take_file(&path("tortie-agent-1.lock")).unwrap();
    for left in ["tortie-agent-2.lock", "tortie-agent-3.lock", "other.lock"] {
        std::fs::write(path(left), "1234567\n").unwrap();
    }
    std::os::unix::fs::symlink(path("other.lock"), path("tortie-agent-4.lock")).unwrap();
    let own = Lock::take_file(&path("tortie-agent-5.lock")).unwrap();
    own.remove_abandoned();
    let mut there: Vec<_> = std::fs::read_dir(run.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["other.lock", "tortie-agent-1.lock", "tortie-agent-4.lock", "tortie-agent-5.lock"]);
    drop(held);
}

#[test]
fn who_only_looks_whether_a_lock_is_held_keeps_nobody_from_taking_it() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join("lock");
    std::fs::write(&path, "1234567\n").unwrap();
    let looks = std::fs::File::open(&path).unwrap();
    looks.try_lock().unwrap();
    let ends = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::remove_file(&path).unwrap();
        drop(looks);
        path
    });
    let path = run.path().join("lock");
    let held = Lock::take_file(&path).unwrap();
    ends.join().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    drop(held);
}

#[test]
fn a_link_in_place_of_the_lock_is_not_followed() {
    let run = tempfile::tempdir().unwrap();
    let (path, target) = (run.path().join("lock"), run.path().join("target"));
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(matches!(Lock::take_file(&path), Err(LockError::Io { .. })));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
}

#[test]
fn no_other_user_can_hold_the_lock() {
    let run = tempfile::tempdir().unwrap();
    std::fs::set_permissions(run.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = run.path().join("lock");
    let held = Lock::take_file(&path).unwrap();
    let other = |command: &str| {
        let mut all = Command::new("setpriv");
        all.args(["--reuid=65534", "--clear-groups", "sh", "-c", &format!("{command} {}", path.display())]);
        all.output().unwrap().status.success()
    };
    // Locking needs an open file, for reading or for writing.
    assert!(!other("exec 3<") && !other("exec 3>>"), "another user opened the lock");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(other("exec 3<"), "the test shows nothing: nobody can open it");
    drop(held);
}
