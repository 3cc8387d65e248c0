//! Names of workload endpoints as Calico makes and reads them.

use super::*;

fn ids(node: &str, orchestrator: &str, workload: &str, endpoint: &str) -> Identifiers {
    let mut ids = Identifiers {
        node: node.into(),
        orchestrator: orchestrator.into(),
        endpoint: endpoint.into(),
        ..Identifiers::default()
    };
    match orchestrator {
        "k8s" => ids.pod = workload.into(),
        "cni" => ids.container_id = workload.into(),
        "libnetwork" => {}
        _ => ids.workload = workload.into(),
    }
    ids
}

#[test]
fn names_are_calicos_in_both_directions() {
    for (node, orchestrator, workload, endpoint, name) in [
        ("node-1", "k8s", "pod-name", "eth0", "node--1-k8s-pod--name-eth0"),
        ("node-1", "cni", "abcdefa0123456", "eth0", "node--1-cni-abcdefa0123456-eth0"),
        ("node-1", "libnetwork", "libnetwork", "abcdefgh", "node--1-libnetwork-libnetwork-abcdefgh"),
        ("node-1", "foo", "foo-foo", "abcdefgh", "node--1-foo-foo--foo-abcdefgh"),
        ("h1", "openstack", "f-1", "p-2--3", "h1-openstack-f--1-p--2----3"),
    ] {
        let wanted = ids(node, orchestrator, workload, endpoint);
        assert_eq!(join(&wanted, false).unwrap(), name);
        assert_eq!(parse(name).unwrap(), wanted, "{name}");
        assert_eq!(parts(name).unwrap(), [node, orchestrator, workload, endpoint]);
        assert!(matches(&wanted, name).unwrap());
    }
}

#[test]
fn a_prefix_ends_at_the_first_part_that_is_not_known() {
    let mut wanted = ids("node-1", "k8s", "", "");
    assert_eq!(prefix(&wanted).unwrap(), "node--1-k8s-");
    wanted.orchestrator = String::new();
    assert_eq!(prefix(&wanted).unwrap(), "node--1-");
    wanted.node = String::new();
    assert_eq!(prefix(&wanted).unwrap_err().to_string(), "field should be assigned");
    assert_eq!(parse("node--1-k8s-").unwrap(), ids("node-1", "k8s", "", ""));
}

#[test]
fn a_prefix_of_one_pod_does_not_match_another() {
    let wanted = ids("n", "k8s", "pod", "");
    assert!(matches(&wanted, "n-k8s-pod-eth0").unwrap());
    assert!(!matches(&wanted, "n-k8s-pod--1-eth0").unwrap());
    assert!(!matches(&wanted, "n-k8s-pod").unwrap(), "too few parts");
    assert!(!matches(&wanted, "n-k8s-pod-eth0-x").unwrap(), "too many parts");
}

#[test]
fn a_part_that_is_missing_or_ends_in_a_dash_names_its_field() {
    for (wanted, field, value, reason) in [
        (ids("", "k8s", "p", "e"), "node", None, "field should be assigned"),
        (ids("n", "", "w", "e"), "orchestrator", Some(""), "field should be assigned"),
        (ids("n", "k8s", "", "e"), "pod", Some(""), "field should be assigned"),
        (ids("n", "cni", "", "e"), "containerID", Some(""), "field should be assigned"),
        (ids("n", "foo", "", "e"), "workload", Some(""), "field should be assigned"),
        (ids("n", "foo", "w", ""), "endpoint", Some(""), "field should be assigned"),
        (ids("-n", "foo", "w", "e"), "node", Some("-n"), "field must not begin with a '-'"),
        (ids("n", "foo", "w-", "e"), "workload", Some("w-"), "field must not end with a '-'"),
    ] {
        let error = join(&wanted, false).unwrap_err();
        assert_eq!((error.field(), error.value(), error.to_string().as_str()), (field, value, reason));
    }
}

#[test]
fn unusual_names_are_read_as_calico_reads_them() {
    assert_eq!(parse(""), Err(NameError::Empty));
    assert_eq!(parse("n").unwrap(), ids("n", "", "", ""));
    assert_eq!(parse("-").unwrap(), ids("-", "", "", ""), "the first byte never separates");
    assert_eq!(parse("a---b").unwrap().node, "a-");
    assert!(matches!(parse("a-b-c-d-e"), Err(NameError::TooManyParts(_))));
    assert_eq!(parts("a-b-c-d").unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(parts("a-b-c"), None);
    assert_eq!(parts("a-b-c-"), None, "shorter than any whole name");
}
