//! A right that an account lacks is named, with the rule that grants it: each right of the shipped roles, one account for each.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_store::{Selection, Store, Write};
use tortie_store_kube::custom::Group;
use tortie_store_kube::{Credentials, KubeStore, Settings};
use tortie_testkit::kubernetes::ADMIN;

use support::{Cluster, wait_until, workspace};

/// A right: its verb, its API group and its resource.
type Right = (String, String, String);

/// The rights that a shipped role grants in the group that the tests use.
fn granted(cluster: &Cluster, role: &str) -> Vec<Right> {
    let file = workspace().join("packaging/kubernetes/rbac.yaml");
    let all = cluster.server.lock().expect("it is alive").granted_by(file.to_str().expect("a text"), role);
    let right = |text: &String| {
        let (verb, rest) = text.split_once(' ').expect("a verb and a resource");
        let (resource, group) = rest.split_once('.').unwrap_or((rest, ""));
        (verb.to_owned(), group.to_owned(), resource.to_owned())
    };
    all.iter().map(right).filter(|(_, group, _)| group != Group::Packed.name()).collect()
}

fn rule((verb, group, resource): &Right) -> Value {
    json!({ "apiGroups": [group], "resources": [resource], "verbs": [verb] })
}

/// As messages have it.
fn rule_text((verb, group, resource): &Right) -> String {
    format!(r#"{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: ["{verb}"]}}"#)
}

/// For each of these rights a store of an account that has all the others.
fn without_each(cluster: &Cluster, name: &str, rights: &[Right]) -> Vec<(Right, KubeStore)> {
    let account = |at: usize| format!("{name}-{at}");
    let objects = |(at, right): (usize, &Right)| {
        let rules: Vec<Value> = rights.iter().filter(|one| *one != right).map(rule).collect();
        let name = account(at);
        let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name });
        [
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": "default" } }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
                "roleRef": role, "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": "default" }] }),
        ]
    };
    let items: Vec<Value> = rights.iter().enumerate().flat_map(objects).collect();
    cluster.kubectl(&["create", "-f", "-"], &json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string());
    let store = |(at, right): (usize, &Right)| {
        let token = cluster.kubectl(&["create", "token", &account(at)], "").trim().to_owned();
        let settings = Settings { credentials: Credentials::Token(token), identity: None, ..cluster.settings(ADMIN) };
        (right.clone(), KubeStore::new(settings).expect("settings"))
    };
    rights.iter().enumerate().map(store).collect()
}

/// Waits until an error has this text. Rights take effect a moment after they are written.
fn told(right: &Right, mut ask: impl FnMut() -> Option<String>) {
    let (verb, _, resource) = right;
    let expected = format!("cannot {verb} resource \"{resource}\"");
    let grants = format!("(a ClusterRole grants it by the rule {})", rule_text(right));
    let mut last = String::new();
    wait_until(&format!("{verb} {resource} is named"), || {
        last = ask().unwrap_or_default();
        last.contains(&expected).then_some(())
    });
    assert!(last.contains(&grants), "{right:?}: {last}");
}

/// The definition of ClusterNetworkPolicies, which clusters may lack. The rules of the group ask for the annotation.
fn cluster_network_policies() -> Value {
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "clusternetworkpolicies.policy.networking.k8s.io",
            "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" } },
        "spec": { "group": "policy.networking.k8s.io", "scope": "Cluster",
            "names": { "plural": "clusternetworkpolicies", "singular": "clusternetworkpolicy", "kind": "ClusterNetworkPolicy" },
            "versions": [{ "name": "v1alpha2", "served": true, "storage": true, "schema": { "openAPIV3Schema": open } }] } })
}

#[test]
fn each_right_of_the_agents_that_is_missing_is_named_with_the_rule_that_grants_it() {
    let cluster = Cluster::start(Group::Native);
    cluster.kubectl(&["create", "-f", "-"], &cluster_network_policies().to_string());
    cluster.server.lock().expect("it is alive").wait_for_definitions();
    let rights = granted(&cluster, "tortie-agent");
    let accounts = without_each(&cluster, "agent", &rights);
    assert!(accounts.len() > 30, "{}", accounts.len());
    let selection = Selection::for_enforcement("n1");
    std::thread::scope(|scope| {
        for (right, store) in &accounts {
            let selection = &selection;
            scope.spawn(move || match right.0.as_str() {
                "list" => told(right, || store.list(selection).err().map(|error| error.to_string())),
                "watch" => {
                    let from = wait_until("the rest may be listed", || store.list(selection).ok()).position;
                    let mut watch = store.watch(selection, &from).expect("a watch");
                    told(right, || watch.next(Duration::from_secs(1)).err().map(|error| error.to_string()));
                }
                other => panic!("the agents have the right to {other}"),
            });
        }
    });
}

/// The roles of readers and of writers name all resources by `*`: one of them stands for all.
#[test]
fn each_verb_that_somebody_who_writes_policy_lacks_is_named_with_the_rule_that_grants_it() {
    let cluster = Cluster::start(Group::Native);
    let group = Group::Native.name();
    let right = |verb: &str| (verb.to_owned(), group.to_owned(), "globalnetworksets".to_owned());
    let verbs = ["get", "list", "create", "update", "delete"];
    let accounts = without_each(&cluster, "writer", &verbs.map(right));
    let key = |name: &str| Key::cluster(Kind::GlobalNetworkSet, name);
    let value = &br#"{"spec":{"nets":["192.0.2.0/24"]}}"#[..];
    let admin = cluster.store();
    admin.write(&[Write::create(key("there"), value)]).expect("an answer").remove(0).expect("it is written");
    let revision = admin.get(&key("there")).expect("an answer").expect("it exists").revision;
    for (right, store) in &accounts {
        let written = |write: Write| match store.write(&[write]) {
            Ok(mut answers) => answers.remove(0).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        told(right, || match right.0.as_str() {
            "get" => store.get(&key("there")).err().map(|error| error.to_string()),
            "list" => store.list(&Selection::kind(Kind::GlobalNetworkSet)).err().map(|error| error.to_string()),
            "create" => written(Write::create(key("new"), value)),
            "update" => written(Write::update(key("there"), value, revision.clone())),
            _ => written(Write::delete(key("there"), Some(revision.clone()))),
        });
    }
}
