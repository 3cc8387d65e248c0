//! Users of etcd: who may come in, what becomes of a token that is not valid any more, and what is said.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use support::Cluster;
use tortie_api::{Key, Kind};
use tortie_store::{Selection, Store, Write, WriteError};
use tortie_store_etcd::{EtcdStore, Settings, User};

/// A member that wants users: root, and `reader`, who may only read.
fn guarded() -> Cluster {
    let cluster = Cluster::start(1);
    for words in [
        "user add root:secret",
        "user grant-role root root",
        "role add reads",
        "role grant-permission reads read --prefix=true /calico/",
        "user add reader:secret",
        "user grant-role reader reads",
        "auth enable",
    ] {
        cluster.ctl(&words.split(' ').collect::<Vec<_>>());
    }
    cluster
}

fn as_user(cluster: &Cluster, name: &str, password: &str) -> EtcdStore {
    let user = Some(User { name: name.into(), password: password.into() });
    EtcdStore::new(Settings { user, ..cluster.settings() })
}

fn node(name: impl Into<String>) -> Key {
    Key::cluster(Kind::Node, name)
}

#[test]
fn a_user_with_the_right_password_is_accepted() {
    let cluster = guarded();
    let store = as_user(&cluster, "root", "secret");
    store.write(&[Write::create(node("a"), &b"{}"[..])]).unwrap()[0].as_ref().unwrap();
    assert!(store.get(&node("a")).unwrap().is_some());
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    assert!(watch.next(support::PATIENCE).unwrap().is_some());
}

#[test]
fn a_missing_user_and_a_wrong_password_are_reported_once() {
    let cluster = guarded();
    let error = EtcdStore::new(cluster.settings()).get(&node("a")).unwrap_err().to_string();
    assert!(
        error.ends_with("it wants a user and a password, and none are given (ETCD_USERNAME, ETCD_PASSWORD)"),
        "{error}"
    );
    let wrong = as_user(&cluster, "root", "wrong");
    let error = wrong.get(&node("a")).unwrap_err().to_string();
    assert!(error.contains("refuses the user \"root\" with the password that is given"), "{error}");
    assert!(!error.contains("wrong"), "{error}");
    // Etcd is not asked again for a while: it answers the same although the password is right by now.
    cluster.ctl(&["--user=root:secret", "user", "delete", "reader"]);
    assert_eq!(wrong.list(&Selection::default()).unwrap_err().to_string(), error);
}

#[test]
fn a_token_that_is_not_valid_any_more_is_renewed() {
    let cluster = guarded();
    let store = as_user(&cluster, "reader", "secret");
    store.list(&Selection::default()).unwrap();
    // Ends every token of the user.
    let passwd = std::process::Command::new("sh")
        .env("ETCDCTL_API", "3")
        .args(["-c", &format!("printf 'secret\\nsecret\\n' | etcdctl --endpoints={} --user=root:secret user passwd reader --interactive=false", cluster.endpoints()[0])])
        .output()
        .unwrap();
    assert!(passwd.status.success(), "{}", String::from_utf8_lossy(&passwd.stderr));
    store.list(&Selection::default()).unwrap();
    // Moves the revision of the users and roles.
    cluster.ctl(&["--user=root:secret", "role", "add", "more"]);
    store.list(&Selection::default()).unwrap();
    assert!(store.get(&node("a")).unwrap().is_none());
}

#[test]
fn objects_that_a_user_may_not_write_are_refused_one_by_one() {
    let cluster = guarded();
    let store = as_user(&cluster, "reader", "secret");
    let writes: Vec<Write> = (0..20).map(|n| Write::create(node(format!("n{n}")), &b"{}"[..])).collect();
    for fate in store.write(&writes).unwrap() {
        assert_eq!(fate, Err(WriteError::Refused("etcd does not let this user write it".to_owned())));
    }
}

#[test]
fn credentials_are_ignored_by_an_etcd_without_authentication() {
    let cluster = Cluster::start(1);
    assert!(as_user(&cluster, "root", "secret").get(&node("a")).unwrap().is_none());
}
