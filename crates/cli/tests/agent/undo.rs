//! `history` and `undo` on etcd: what tortie wrote, and nothing that others did.

use super::confirm::with_each_store;
use super::world::{World, on_a_machine, run, until};
use super::{ENDPOINT, allow};

const KEY: &str = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/web";

#[test]
fn what_tortie_wrote_to_etcd_is_told_and_taken_back_and_what_others_wrote_is_left() {
    on_a_machine(|world| {
        world.start_etcd();
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        world.call(&["apply", "-f", &file(&(ENDPOINT.to_owned() + &allow(80))), "-m", "the first"]);
        let before = world.call(&["get", "gnp", "-o", "yaml"]);
        world.call(&["apply", "-f", &file(&allow(81)), "-m", "another port"]);
        let history = world.call(&["history", "gnp", "web"]);
        let host = run("uname", &["-n"]);
        assert!(history.contains("another port") && history.contains("the first"), "{history}");
        assert!(history.contains(&format!("root on {}", host.trim())), "{history}");
        let described = world.said(&["describe", "gnp", "web"]);
        assert!(described.contains("written") && described.contains("another port"), "{described}");
        // Etcd's own history is not needed.
        let revision = world.call(&["history", "-o", "json"]);
        let revision: serde_json::Value = serde_json::from_str(&revision).unwrap();
        let revision = revision[0]["lastRevision"].to_string();
        world.etcdctl(&["compact", &revision]);
        let told = world.call(&["undo", "--dry-run"]);
        assert!(told.contains("globalnetworkpolicy/web changed (dry run)"), "{told}");
        world.call(&["undo"]);
        let plain =
            |text: &str| text.lines().filter(|line| !line.contains("resourceVersion")).collect::<Vec<_>>().join("\n");
        assert_eq!(plain(&world.call(&["get", "gnp", "-o", "yaml"])), plain(&before));
        world.call(&["undo", &last_revision(world)]);
        assert!(world.call(&["get", "gnp", "-o", "yaml"]).contains("81"));
        // Another program changes it: that stays, and who did it is said as far as it is known.
        let value = world.etcdctl(&["get", KEY, "--print-value-only"]);
        assert!(value.contains("81"), "{value}");
        world.etcdctl(&["put", KEY, value.trim().replace("81", "82").as_str()]);
        let said = world.fails(&["undo"]);
        assert!(said.contains("which the history does not have") && said.contains("nothing was written"), "{said}");
        assert!(world.call(&["get", "gnp", "-o", "yaml"]).contains("82"));
        let described = world.said(&["describe", "gnp", "web"]);
        assert!(
            described.contains("another program than tortie wrote it, or it was written before the history begins"),
            "{described}"
        );
        world.call(&["apply", "-f", &file(&allow(83))]);
        let said = world.fails(&["undo", &revision]);
        assert!(said.contains("of root on") && said.contains("tortie apply"), "{said}");
        let said = world.fails(&["diff", "--from", &revision]);
        assert!(said.contains("has only what tortie wrote"), "{said}");
    });
}

/// The last revision of the history.
pub fn last_revision(world: &World) -> String {
    let history: serde_json::Value = serde_json::from_str(&world.call(&["history", "-o", "json"])).unwrap();
    history[0]["lastRevision"].to_string()
}

#[test]
fn one_undo_after_another_goes_further_back_until_nothing_is_left() {
    with_each_store(|world| {
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        let ports = || world.said(&["get", "gnp", "web", "-o", "jsonpath={.spec.ingress[0].destination.ports[0]}"]);
        for port in [80, 81, 82] {
            world.call(&["apply", "-f", &file(&allow(port))]);
        }
        world.call(&["undo"]);
        assert_eq!(ports().trim(), "81");
        world.call(&["undo"]);
        assert_eq!(ports().trim(), "80");
        // The change is made again by taking back what took it back.
        world.call(&["undo", &last_revision(world)]);
        assert_eq!(ports().trim(), "81");
        let history = world.call(&["history"]);
        assert_eq!(history.matches("(taken back by revision").count(), 2, "{history}");
        // A change that changed nothing in the end is passed over.
        world.call(&["label", "gnp", "web", "a=b"]);
        world.call(&["label", "gnp", "web", "a", "--remove"]);
        world.call(&["undo"]);
        world.call(&["undo"]);
        assert_eq!(ports().trim(), "81");
        world.call(&["undo"]);
        assert_eq!(ports().trim(), "80");
        world.call(&["undo"]);
        assert_eq!(ports().trim(), "");
        for dry_run in [&["undo"][..], &["undo", "--dry-run"]] {
            let said = world.fails(dry_run);
            assert!(said.contains("there is nothing to undo"), "{said}");
        }
    });
}

#[test]
fn undo_passes_over_what_others_wrote_to_a_store_of_many_machines() {
    on_a_machine(|world| {
        world.start_etcd();
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        let sudo = |user: &str, arguments: &[&str]| {
            let output = world.tortie().env("SUDO_USER", user).args(arguments).output().unwrap();
            String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
        };
        sudo("alice", &["apply", "-f", &file(&allow(80))]);
        sudo("bob", &["apply", "-f", &file(ENDPOINT)]);
        let said = sudo("alice", &["undo"]);
        assert!(said.contains("passed over what others wrote since: revision") && said.contains("(bob)"), "{said}");
        assert!(said.contains("globalnetworkpolicy/web deleted"), "{said}");
        let said = sudo("alice", &["undo"]);
        assert!(said.contains("there is nothing to undo") && said.contains("`tortie undo REVISION`"), "{said}");
        assert!(sudo("bob", &["undo"]).contains("hostendpoint/web1-eth0 deleted"));
    });
}

#[test]
fn backups_and_copies_of_etcd_do_not_have_its_history() {
    on_a_machine(|world| {
        world.start_etcd();
        let file = world.file("manifests.yaml", &(ENDPOINT.to_owned() + &allow(80)));
        world.call(&["apply", "-f", file.to_str().unwrap(), "-m", "a secret remark"]);
        let path = |name: &str| world.place.path().join(name).to_str().unwrap().to_owned();
        world.call(&["backup", &path("backup")]);
        assert!(!std::fs::read_to_string(path("backup")).unwrap().contains("a secret remark"));
        world.call(&["datastore", "copy", "http://127.0.0.1:2379", &path("copy.db")]);
        let copied =
            world.tortie().env_remove("DATASTORE_TYPE").args(["--store", &path("copy.db"), "history"]).output();
        let copied = String::from_utf8_lossy(&copied.unwrap().stdout).into_owned();
        assert!(!copied.contains("a secret remark"), "{copied}");
    });
}

#[test]
fn undo_passes_over_what_running_controllers_wrote() {
    on_a_machine(|world| {
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        world.call(&["apply", "-f", &file(&allow(80))]);
        world.call(&["apply", "-f", &file(&allow(81))]);
        let automatic = "
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: web1}
spec: {bgp: {ipv4Address: 192.0.2.11/24}}
---
apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: {name: default}
spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}
";
        world.call(&["apply", "-f", &file(automatic)]);
        let mut command = world.tortie();
        let controllers = command.arg("controllers").stderr(std::process::Stdio::null()).spawn().unwrap();
        let _controllers = super::world::Killed(controllers);
        until("the controllers have written", || world.said(&["get", "hep"]).contains("web1-auto-hep"));
        let output = world.tortie().arg("undo").output().unwrap();
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
        assert!(said.contains("passed over what `tortie controllers` wrote since"), "{said}");
        assert!(said.contains("kubecontrollersconfiguration/default deleted"), "{said}");
        assert!(output.status.success(), "{said}");
    });
}

#[test]
fn a_user_of_etcd_who_may_not_keep_a_history_writes_and_is_warned_and_nothing_waits_for_a_confirmation() {
    on_a_machine(|world| {
        world.start_etcd();
        for words in [
            "user add root:secret",
            "user grant-role root root",
            "role add policy",
            "role grant-permission policy readwrite --prefix=true /calico/",
            "user add alice:secret",
            "user grant-role alice policy",
            "auth enable",
        ] {
            world.etcdctl(&words.split(' ').collect::<Vec<_>>());
        }
        let as_alice = |arguments: &[&str]| {
            let mut command = world.tortie();
            command.env("ETCD_USERNAME", "alice").env("ETCD_PASSWORD", "secret").args(arguments);
            command
        };
        let say = |mut command: std::process::Command| {
            let output = command.output().unwrap();
            let text = [&output.stdout[..], &output.stderr[..]].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        };
        let file = world.file("manifests.yaml", &(ENDPOINT.to_owned() + &allow(80)));
        let (done, said) = say(as_alice(&["apply", "-f", file.to_str().unwrap(), "-m", "why"]));
        assert!(done, "{said}");
        assert!(
            said.contains(
                "warning[no-history]: `tortie undo` cannot take this back: etcd does not let this user write"
            ),
            "{said}"
        );
        for command in [&["history"][..], &["undo"]] {
            let (done, said) = say(as_alice(command));
            assert!(!done && said.contains("it takes permission to read and write /tortie/history/v1/"), "{said}");
        }
        let (_, said) = say(as_alice(&["describe", "gnp", "web"]));
        assert!(said.contains("(who wrote it is not known: etcd at"), "{said}");
        // Nor can the agent, by whose hand a change would be put back; it is well otherwise.
        let agent = as_alice(&["agent", "--felix-config", "none.cfg"]);
        let _agent = world.start(agent);
        until("it is ready", || world.said(&["status"]).contains("all in force"));
        let (done, said) = say(as_alice(&["label", "gnp", "web", "a=b", "--confirm=2s"]));
        assert!(!done && said.contains("it cannot put back changes of this etcd: it takes permission"), "{said}");
        let (_, said) = say(as_alice(&["status"]));
        assert!(said.contains("all in force") && !said.contains("confirmation"), "{said}");
        let (_, said) = say(as_alice(&["get", "gnp", "web", "-o", "yaml"]));
        assert!(!said.contains("a: b"), "nothing was written: {said}");
    });
}

const TIER: &str = "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: ops}}";
const IN_TIER: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: ops.theirs}
spec: {tier: ops, selector: role == 'x', types: [Ingress]}
";
const SET: &str = "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: set}}";

/// What a command of this sudo user says, and whether it succeeded.
fn as_user(world: &World, user: &str, arguments: &[&str]) -> (bool, String) {
    let output = world.tortie().env("SUDO_USER", user).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    (output.status.success(), said)
}

/// What a message suggests after these words: `tortie undo NUMBER`.
fn suggested<'a>(said: &'a str, after: &str) -> &'a str {
    let (_, rest) = said.split_once(&format!("{after}: `tortie undo ")).unwrap_or_else(|| panic!("{said}"));
    rest.split_once('`').unwrap().0
}

#[test]
fn undo_names_what_it_can_take_back_where_the_last_change_is_one_that_others_depend_on() {
    on_a_machine(|world| {
        world.start_etcd();
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        as_user(world, "alice", &["apply", "-f", &file(SET)]);
        as_user(world, "alice", &["apply", "-f", &file(TIER)]);
        as_user(world, "bob", &["apply", "-f", &file(IN_TIER)]);
        for arguments in [&["undo", "--dry-run"][..], &["undo"]] {
            let (done, said) = as_user(world, "alice", arguments);
            assert!(!done, "{said}");
            assert!(said.contains("tier/ops cannot be deleted: globalnetworkpolicy/ops.theirs is in it"), "{said}");
            let revision = suggested(&said, "older").to_owned();
            let (done, said) = as_user(world, "alice", &["undo", &revision, "--dry-run"]);
            assert!(done && said.contains("globalnetworkset/set deleted (dry run)"), "{said}");
        }
        // The same where both were put back together and it is only suggested.
        let (_, said) = as_user(world, "alice", &["undo"]);
        let revision = suggested(&said, "older").to_owned();
        as_user(world, "alice", &["undo", &revision]);
        let (done, said) = as_user(world, "alice", &["undo"]);
        assert!(!done && said.contains("nothing older can be taken back either"), "{said}");
    });
}

#[test]
fn what_undo_suggests_beside_what_was_put_back_is_nothing_that_others_depend_on() {
    on_a_machine(|world| {
        world.start_etcd();
        let agent = world.agent();
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        as_user(world, "alice", &["apply", "-f", &file(SET)]);
        as_user(world, "alice", &["apply", "-f", &file(TIER)]);
        as_user(world, "bob", &["apply", "-f", &file(IN_TIER)]);
        let (done, said) = as_user(world, "alice", &["label", "gnetsets", "set", "a=b", "--confirm=1s"]);
        assert!(done, "{said}");
        until("it is put back", || agent.log().contains("was not confirmed: put back"));
        let (done, said) = as_user(world, "alice", &["undo"]);
        assert!(!done && said.contains("to make that change again, name it"), "{said}");
        let revision = suggested(&said, "what was written before").to_owned();
        let (done, said) = as_user(world, "alice", &["undo", &revision, "--dry-run"]);
        assert!(done && said.contains("globalnetworkset/set deleted"), "{said}");
        // What was put back cannot be made again once somebody has changed it.
        let (done, said) = as_user(world, "bob", &["label", "gnetsets", "set", "c=d"]);
        assert!(done, "{said}");
        let (done, said) = as_user(world, "alice", &["undo"]);
        assert!(!done && said.contains("that change cannot be made again: globalnetworkset/set was changed"), "{said}");
        assert!(said.contains("nothing that was written before is left to be taken back"), "{said}");
    });
}

#[test]
fn undo_writes_no_policy_into_a_tier_that_somebody_has_deleted() {
    on_a_machine(|world| {
        world.start_etcd();
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        as_user(world, "bob", &["apply", "-f", &file(TIER)]);
        as_user(world, "alice", &["apply", "-f", &file(IN_TIER)]);
        as_user(world, "alice", &["delete", "gnp", "ops.theirs"]);
        as_user(world, "bob", &["delete", "tier", "ops"]);
        let (done, said) = as_user(world, "alice", &["undo"]);
        assert!(!done, "{said}");
        assert!(said.contains("ops.theirs cannot be written: its tier ops does not exist"), "{said}");
        as_user(world, "bob", &["undo"]);
        let (done, said) = as_user(world, "alice", &["undo"]);
        assert!(done && said.contains("globalnetworkpolicy/ops.theirs created"), "{said}");
    });
}

#[test]
fn a_plain_undo_takes_back_what_the_agent_left_of_a_change_that_was_not_confirmed() {
    with_each_store(|world| {
        let agent = world.agent();
        let file = |text: &str| world.file("manifests.yaml", text).to_str().unwrap().to_owned();
        let both = format!("{SET}\n---{}", allow(80));
        world.call(&["apply", "-f", &file(&both)]);
        let changed = both.replace("name: set", "name: set, labels: {a: b}").replace("80", "81");
        world.call(&["apply", "-f", &file(&changed), "--confirm=3s"]);
        world.call(&["label", "gnp", "web", "mine=x"]);
        until("the rest is put back", || agent.log().contains("was not confirmed: put back"));
        let set = || world.call(&["get", "gnetsets", "set", "-o", "yaml"]);
        let policy = || world.call(&["get", "gnp", "web", "-o", "yaml"]);
        assert!(!set().contains("a: b") && policy().contains("81"), "{}{}", set(), policy());
        // The later label, then what was left, then the first change.
        let said = world.fails(&["undo"]);
        world.call(&["undo", suggested(&said, "what was written before")]);
        assert!(policy().contains("81") && !policy().contains("mine"), "{}", policy());
        let told = world.call(&["undo"]);
        assert!(told.contains("globalnetworkpolicy/web changed") && !told.contains("set"), "{told}");
        assert!(policy().contains("80"), "{}", policy());
        world.call(&["undo"]);
        assert!(!world.said(&["get", "gnp"]).contains("web"));
    });
}
