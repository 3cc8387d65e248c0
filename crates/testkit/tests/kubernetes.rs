//! The API server that tests start is a real one, wherever it is started, and nothing of it is left.

use tortie_testkit::kubernetes::{ApiServer, GUEST};
use tortie_testkit::namespace::in_namespace;

#[test]
fn pods_are_made_through_the_api_in_a_bare_namespace() {
    in_namespace(|| {
        let mut server = ApiServer::start();
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},
            "spec":{"nodeName":"n1","containers":[{"name":"c","image":"i"}]}}"#;
        server.kubectl(&["create", "-f", "-"], pod);
        let status = r#"{"status":{"phase":"Running","podIPs":[{"ip":"10.65.0.1"}],"podIP":"10.65.0.1"}}"#;
        server.kubectl(&["patch", "pod", "web", "--subresource=status", "-p", status], "");
        let address = ["get", "pod", "web", "-o", "jsonpath={.spec.nodeName} {.status.podIP}"];
        assert_eq!(server.kubectl(&address, ""), "n1 10.65.0.1");
        // What was made outlives the API server, as etcd stays.
        server.restart();
        assert_eq!(server.kubectl(&address, ""), "n1 10.65.0.1");
        let version = server.kubectl(&["version", "-o", "json"], "");
        assert_eq!(version.matches("\"gitVersion\": \"v1.34.").count(), 2, "{version}");
    });
}

#[test]
fn an_anonymous_user_may_do_nothing_and_nothing_is_left_when_the_server_ends() {
    let server = ApiServer::start();
    let output = server.kubectl_as(GUEST, &["get", "pods"], "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("pods is forbidden: User \"guest\" cannot list resource \"pods\""), "{text}");
    let directory = server.directory().to_owned();
    let mine = || {
        let all = std::fs::read_dir("/proc").expect("/proc").flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&*directory.to_string_lossy())).count()
    };
    assert_eq!(mine(), 2, "etcd and kube-apiserver run");
    drop(server);
    assert_eq!(mine(), 0);
    assert!(!directory.exists());
}
