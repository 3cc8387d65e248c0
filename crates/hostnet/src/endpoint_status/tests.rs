use tortie_dataplane::{PerDirection, ProgramId, Programs};

use super::*;

fn endpoint(namespace: &str, name: &str, addresses: &[&str]) -> Endpoint {
    let normal = PerDirection { ingress: ProgramId([0; 16]), egress: ProgramId([0; 16]) };
    let programs =
        Programs { normal, forward: PerDirection::default(), pre_dnat: None, untracked: PerDirection::default() };
    Endpoint {
        id: EndpointId::Workload(WorkloadId { namespace: namespace.into(), name: name.into() }),
        programs,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        nats: Vec::new(),
        mac: "EE:EE:EE:EE:EE:EE".into(),
        spoofing: Vec::new(),
        limits: PerDirection::default(),
    }
}

#[test]
fn names_and_texts_are_calicos() {
    for (namespace, name, expected) in [
        ("default", "node--1-k8s-web--0-eth0", "k8s default%2Fweb-0 eth0"),
        ("a,b;c?d e", "n-openstack-vm$&+=:@~-port_1.x", "openstack a%2Cb%3Bc%3Fd%20e%2Fvm$&+=:@~ port_1.x"),
        ("é", "n-cni-c1-eth0", "cni %C3%A9%2Fc1 eth0"),
    ] {
        assert_eq!(status_file("cali1", &endpoint(namespace, name, &[])).unwrap().0, expected);
    }
    let (_, text) = status_file("cali1", &endpoint("default", "n-k8s-web-eth0", &["10.65.0.2", "fd00::2"])).unwrap();
    assert_eq!(
        text,
        r#"{"ifaceName":"cali1","mac":"ee:ee:ee:ee:ee:ee","ipv4Nets":["10.65.0.2/32"],"ipv6Nets":["fd00::2/128"]}"#
    );
    let four = status_file("cali1", &Endpoint { mac: String::new(), ..endpoint("d", "n-k8s-w-e", &["10.65.0.2"]) });
    assert_eq!(four.unwrap().1, r#"{"ifaceName":"cali1","ipv4Nets":["10.65.0.2/32"]}"#);
    assert_eq!(status_file("cali1", &endpoint("default", "hand-made", &[])), None);
}

fn folder(prefix: &Path) -> BTreeMap<String, String> {
    StatusFiles::open(prefix).unwrap().there
}

#[test]
fn exactly_the_requested_files_exist() {
    let prefix = tempfile::tempdir().unwrap();
    let mut files = StatusFiles::open(&prefix.path().join("deep/er")).unwrap();
    let prefix = prefix.path().join("deep/er");
    let one = BTreeMap::from([("k8s default%2Fa eth0".to_owned(), "{}".to_owned())]);
    let two = BTreeMap::from([("k8s default%2Fb eth0".to_owned(), "{}".to_owned())]);
    for wanted in [&one, &two, &BTreeMap::new(), &one] {
        assert!(files.update(wanted).is_empty());
        assert_eq!(&folder(&prefix), wanted);
    }
    assert_eq!(fs::read_dir(&prefix).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_restart_keeps_what_is_right_and_removes_what_is_stale() {
    let prefix = tempfile::tempdir().unwrap();
    let path = |name: &str| prefix.path().join(FOLDER).join(name);
    StatusFiles::open(prefix.path()).unwrap();
    for (name, text) in [("right", "{}"), ("wrong", "{"), ("stale", "{}")] {
        fs::write(path(name), text).unwrap();
    }
    let written = fs::metadata(path("right")).unwrap().modified().unwrap();
    let mut files = StatusFiles::open(prefix.path()).unwrap();
    let wanted = ["right", "wrong", "new"].map(|name| (name.to_owned(), "{}".to_owned()));
    assert!(files.update(&BTreeMap::from(wanted.clone())).is_empty());
    assert_eq!(folder(prefix.path()), BTreeMap::from(wanted));
    assert_eq!(fs::metadata(path("right")).unwrap().modified().unwrap(), written);
}

#[test]
fn a_failure_is_reported_and_tried_again() {
    let prefix = tempfile::tempdir().unwrap();
    let mut files = StatusFiles::open(prefix.path()).unwrap();
    let wanted = BTreeMap::from([("a".to_owned(), "{}".to_owned()), ("b".to_owned(), "{}".to_owned())]);
    let way = prefix.path().join(FOLDER).join("a");
    fs::create_dir(&way).unwrap();
    let errors = files.update(&wanted);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), format!("the status file {} could not be written", way.display()));
    assert!(way.with_file_name("b").is_file());
    fs::remove_dir(&way).unwrap();
    assert!(files.update(&wanted).is_empty());
    assert!(way.is_file());
}

#[test]
fn a_folder_that_somebody_removed_is_made_again() {
    let prefix = tempfile::tempdir().unwrap();
    let mut files = StatusFiles::open(prefix.path()).unwrap();
    let wanted = BTreeMap::from([("a".to_owned(), "{}".to_owned())]);
    assert!(files.update(&wanted).is_empty());
    fs::remove_dir_all(prefix.path().join(FOLDER)).unwrap();
    assert!(files.look().is_err());
    assert!(files.update(&wanted).is_empty());
    assert_eq!(folder(prefix.path()), wanted);
}
