//! What stands in etcd, to the byte: what others have written there is read and kept, and what we write is what they
//! would have written. The files were written from Calico's layout; uids, times and the cluster's id are masked.

use super::world::{World, on_a_machine, until};

/// One object of every kind that users write, as they write it.
const MANIFESTS: &str = include_str!("layout/manifests.yaml");
/// The same as they stand in etcd: paths and values in turn.
const CURRENT: &str = include_str!("layout/current.txt");
/// Objects as other programs and older releases wrote them.
const OLDER: &str = include_str!("layout/older.txt");

/// Everything in etcd, masked.
fn dump(world: &World) -> String {
    let mut text = world.etcdctl(&["get", "--prefix", "/calico/resources/"]);
    for (name, mask) in [
        ("uid", "30316465-6365-4463-ad63-3564622d3638"),
        ("creationTimestamp", "2026-08-22T13:33:20Z"),
        ("clusterGUID", "0123456789abcdef0123456789abcdef"),
    ] {
        let begin = format!("\"{name}\":\"");
        let masked = text.split(&begin).enumerate().map(|(n, part)| match n {
            0 => part.to_owned(),
            _ => mask.to_owned() + &part[part.find('"').unwrap()..],
        });
        text = masked.collect::<Vec<_>>().join(&begin);
    }
    text
}

fn put_all(world: &World, fixture: &str) {
    let lines: Vec<&str> = fixture.lines().collect();
    for pair in lines.chunks(2) {
        world.etcdctl(&["put", pair[0], pair[1]]);
    }
}

/// The value at a path of a fixture.
fn value<'a>(fixture: &'a str, path: &str) -> &'a str {
    fixture.lines().skip_while(|line| !line.ends_with(path)).nth(1).unwrap()
}

#[track_caller]
fn same(seen: &str, expected: &str) {
    for (seen, expected) in seen.lines().zip(expected.lines()) {
        assert_eq!(seen, expected);
    }
    assert_eq!(seen.lines().count(), expected.lines().count());
}

#[test]
fn created_objects_are_stored_as_calico_writes_them() {
    on_a_machine(|world| {
        world.start_etcd();
        let file = world.file("all.yaml", MANIFESTS);
        world.call(&["create", "-f", file.to_str().unwrap()]);
        same(&dump(world), CURRENT);
    });
}

#[test]
fn objects_that_calico_wrote_are_read_and_stay_unchanged_byte_for_byte() {
    on_a_machine(|world| {
        world.start_etcd();
        put_all(world, CURRENT);
        let file = world.file("all.yaml", MANIFESTS);
        let said = world.call(&["apply", "-f", file.to_str().unwrap()]);
        assert!(said.lines().all(|line| line.ends_with(" unchanged")), "{said}");
        for object in [
            &["tier", "platform"][..],
            &["globalnetworkpolicy", "platform.everything"],
            &["networkpolicy", "web", "-n", "shop"],
            &["stagedkubernetesnetworkpolicy", "kube", "-n", "shop"],
            &["hostendpoint", "host1-eth0"],
            &["workloadendpoint", "node--1-k8s-nginx--1-eth0"],
            &["felixconfiguration", "default"],
            &["node", "host1"],
        ] {
            let (which, namespace) = object.split_at(2);
            world.call(&[&["label"], which, &["seen=yes"], namespace].concat());
            world.call(&[&["label"], which, &["seen", "--remove"], namespace].concat());
        }
        let raw = world.etcdctl(&["get", "--prefix", "/calico/resources/"]);
        same(&raw.replace(",\"labels\":{}", ""), CURRENT);
    });
}

#[test]
fn objects_of_older_releases_are_enforced_and_lose_nothing_when_written() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        put_all(world, OLDER);
        let _agent = world.agent();
        until("it is enforced", || !world.reaches(81) && world.reaches(80));
        assert_eq!(world.status()["troubles"], serde_json::json!([]));
        assert!(world.call(&["get", "globalnetworkpolicy", "-o", "name"]).contains("old"));
        // A change of a label leaves everything that we do not know where it was.
        world.call(&["label", "workloadendpoint", "host2-openstack-vm--1-port--1", "seen=yes", "-n", "openstack"]);
        let path = "/workloadendpoints/openstack/host2-openstack-vm--1-port--1";
        let now = dump(world);
        let expected = value(OLDER, path).replace("2021-08-22", "2026-08-22");
        assert_eq!(value(&now, path), expected.replace("\"openstack\"},", "\"openstack\",\"seen\":\"yes\"},"));
        world.call(&["label", "hostendpoint", "web1-eth0", "seen=yes"]);
        let path = "/hostendpoints/web1-eth0";
        let now = dump(world);
        assert!(value(&now, path).contains(r#""futureField":{"a":[1,2.5,"\u003c"]}"#), "{}", value(&now, path));
        world.call(&["status", "--wait"]);
        assert!(!world.reaches(81) && world.reaches(80));
    });
}

#[test]
fn a_whole_store_moves_to_a_file_and_back_and_is_equal() {
    on_a_machine(|world| {
        world.start_etcd();
        put_all(world, CURRENT);
        put_all(world, OLDER);
        let all = || world.etcdctl(&["get", "--prefix", "/calico/resources/"]);
        let before = all();
        let (etcd, file) = ("http://127.0.0.1:2379", world.place.path().join("moved.db"));
        let (file, backup) = (file.to_str().unwrap(), world.place.path().join("backup"));
        world.call(&["datastore", "copy", etcd, file]);
        world.call(&["backup", backup.to_str().unwrap()]);
        for fill in [&["datastore", "copy", file, etcd][..], &["restore", backup.to_str().unwrap()]] {
            let said = world.fails(fill);
            assert!(said.contains("only an empty store is filled"), "{said}");
            world.etcdctl(&["del", "--prefix", "/calico/resources/"]);
            world.call(fill);
            same(&all(), &before);
        }
    });
}
