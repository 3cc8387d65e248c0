//! As calicoctl: a cluster of another version is left alone. The version is written there by Calico's own programs,
//! so this test writes it into the store itself.

use std::path::Path;
use std::process::Command;

use tortie_api::{Key, Kind};
use tortie_store::{Store, Write};
use tortie_store_sqlite::SqliteStore;

fn store_of(version: &str, folder: &Path) {
    let store = SqliteStore::open(folder.join("tortie.db")).expect("a store");
    let key = Key::cluster(Kind::ClusterInformation, "default");
    let value = format!(
        r#"{{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{{"name":"default"}},"spec":{{"calicoVersion":"{version}","datastoreReady":true}}}}"#
    );
    let written = store.write(&[Write::create(key, value.into_bytes())]).expect("a write");
    assert!(written[0].is_ok());
}

/// Exit code and standard error of `calicoctl <arguments>`.
fn calicoctl(name: &str, arguments: &[&str], folder: &Path) -> (i32, String) {
    let program = folder.join(name);
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tortie"), &program).expect("a link");
    }
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs([("DATASTORE_TYPE", "embedded"), ("TORTIE_STORE", "tortie.db")])
        .output()
        .expect("the program starts");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_cluster_of_another_version_is_left_alone_unless_that_is_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    store_of("v3.31.2", folder.path());
    let said = "version mismatch.\nClient Version:   v3.32.0\nCluster Version:  3.31.2\n\
                Use --allow-version-mismatch to override\n";
    let patch = ["patch", "tier", "default", "-p", "{}"];
    for arguments in [&["get", "tier"][..], &["delete", "tier", "x"], &["label", "tier", "x", "a=b"], &patch] {
        let (code, stderr) = calicoctl("calicoctl", arguments, folder.path());
        assert_eq!((code, stderr.as_str()), (1, said), "{arguments:?}");
        let allowed = [arguments, &["--allow-version-mismatch"]].concat();
        let (_, stderr) = calicoctl("calicoctl", &allowed, folder.path());
        assert!(!stderr.contains("mismatch"), "{stderr}");
    }
    let (code, _) = calicoctl("calicoctl", &["version"], folder.path());
    assert_eq!(code, 0, "version does not check");
    let (code, stderr) = calicoctl("tortie", &["get", "tier"], folder.path());
    assert_eq!((code, stderr.as_str()), (0, "no tiers\n"), "tortie reads what any version wrote");
}

#[test]
fn builds_of_the_same_release_are_of_one_version() {
    let folder = tempfile::tempdir().expect("a folder");
    store_of("v3.32.0-12-gabcdef", folder.path());
    let (code, stderr) = calicoctl("calicoctl", &["get", "tier"], folder.path());
    assert_eq!((code, stderr.as_str()), (0, ""));
}

/// No agent reads it, so only its own controllers and these commands can say what is wrong with it.
#[test]
fn lint_and_describe_name_what_is_invalid_in_a_stored_configuration_of_the_controllers() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("tortie.db")).expect("a store");
    let key = Key::cluster(Kind::KubeControllersConfiguration, "default");
    let value = r#"{"kind":"KubeControllersConfiguration","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},"spec":{"controllers":{"node":{"hostEndpoint":{"autoCreate":"Enabled","templates":[{"generateName":"a","nodeSelector":"has(","interfaceCIDRs":["nope"]}]}}}}}"#;
    assert!(store.write(&[Write::create(key, value.as_bytes())]).expect("a write")[0].is_ok());
    for arguments in [&["lint"][..], &["describe", "kubecontrollersconfiguration", "default"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_tortie"))
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .envs([("DATASTORE_TYPE", "embedded"), ("TORTIE_STORE", "tortie.db")])
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        for part in ["[invalid]", "templates[0].nodeSelector", "templates[0].interfaceCIDRs"] {
            assert!(said.contains(part), "{arguments:?}: {part}: {said}");
        }
        assert_eq!(output.status.code() == Some(1), arguments[0] == "lint", "{arguments:?}: {said}");
    }
}
