//! Questions about what only a cluster has: services, and pods without an endpoint; and what is said to somebody without rights.

use serde_json::{Value, json};
use tortie_testkit::kubernetes::{ApiServer, GUEST};

use super::kubernetes::{cluster, pod, shipped};
use super::world::{World, on_a_machine, run, until};

/// A service with a clusterIP, and its endpoints: the pod, the neighbour, and one that is not ready.
const SERVICE: &str = "
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {type: LoadBalancer, clusterIP: 10.96.0.10, ports: [{name: sql, port: 80, targetPort: 8080, nodePort: 30080}, {name: other, port: 443}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [10.65.0.2]}, {addresses: [192.0.2.99], conditions: {ready: true}}, {addresses: [192.0.2.98], conditions: {ready: false}}]
ports: [{name: sql, port: 8080}]
";

/// The pod may be reached at this port only.
fn only(port: u16) -> String {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "podSelector": {}, "ingress": [{ "ports": [{ "port": port }] }] } })
    .to_string()
}

fn node_endpoint(world: &World) {
    let manifest = "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: web1}\n\
        spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11], profiles: [projectcalico-default-allow]}\n";
    let file = world.file("hep.yaml", manifest);
    world.call(&["apply", "-f", file.to_str().unwrap()]);
}

#[test]
fn a_packet_to_an_address_of_a_service_is_answered_for_each_of_its_ready_endpoints() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        node_endpoint(world);
        server.kubectl(&["create", "-f", "-"], SERVICE);
        server.kubectl(&["create", "-f", "-"], &only(80));
        let balancer = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.7"}]}}}"#;
        server.kubectl(&["-n", "shop", "patch", "service", "db", "--subresource=status", "-p", balancer], "");
        world.call(&["status", "--wait"]);
        let ask = |from: &str, to: &str, what: &str| {
            let output = world.tortie().args(["explain", from, to, what]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            String::from_utf8(output.stdout).unwrap()
        };
        let said = ask("node/web1", "10.96.0.10", "tcp/80");
        assert!(said.contains("no table on this machine translates it, so the service proxy"), "{said}");
        // What is seen to be done counts: for both endpoints as a proxy does it, and for one.
        let first = "numgen random mod 2 == 0 dnat to 10.65.0.2:8080";
        let elsewhere = "numgen random mod 2 == 0 dnat to 192.0.2.98:8080";
        for (random, is_unless, is_followed) in
            [(Some(first), false, false), (Some(elsewhere), true, false), (None, false, true)]
        {
            let matched = "ip daddr 10.96.0.10 tcp dport 80";
            let random = random.map(|rule| format!("{matched} {rule}\n")).unwrap_or_default();
            let table = format!(
                "table ip proxy {{\nchain output {{\ntype nat hook output priority -100\n{random}{matched} dnat to 192.0.2.99:8080\n}}\n}}\n"
            );
            run("nft", &["-f", world.file("proxy.nft", &table).to_str().unwrap()]);
            let said = ask("node/web1", "10.96.0.10", "tcp/80");
            let last = said.lines().last().unwrap();
            assert_eq!(last.contains("unless table ip proxy of another program translates"), is_unless, "{said}");
            assert_eq!(last.contains("It is judged as translated: table ip proxy"), is_followed, "{said}");
            assert!(!said.contains("no table on this machine"), "{said}");
            run("nft", &["delete", "table", "ip", "proxy"]);
        }
        for part in [
            "note: 10.96.0.10 is the clusterIP of service shop/db\n",
            "to 10.65.0.2:8080, as service shop/db (clusterIP, port sql) says",
            "to 192.0.2.99:8080, as service shop/db",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("192.0.2.98"), "it is not ready: {said}");
        for (to, what, is) in
            [("203.0.113.7", "tcp/80", "load balancer's address"), ("192.0.2.11", "tcp/30080", "nodePort")]
        {
            let said = world.said(&["explain", "198.51.100.9", to, what, "--node", "web1"]);
            assert!(said.contains(&format!("service shop/db ({is}, port sql)")), "{said}");
            // The policy denies one of the endpoints, and knows nothing of the other.
            assert!(said.contains("DENIED if it is translated to 10.65.0.2:8080 (pod shop/web)"), "{said}");
            assert!(said.contains("let through if it is translated to 192.0.2.99:8080"), "{said}");
        }
        let refused = "DROPPED: a service proxy rejects it: service shop/db has no ready endpoint for tcp/443";
        assert!(ask("node/web1", "10.96.0.10", "tcp/443").contains(refused));
        assert!(ask("node/web1", "10.96.0.10", "tcp/1").contains("for its ports only: tcp/80 (sql), tcp/443 (other)"));
        let ranges = r#"{"spec":{"loadBalancerSourceRanges":["198.51.100.0/24"]}}"#;
        server.kubectl(&["-n", "shop", "patch", "service", "db", "-p", ranges], "");
        assert!(ask("node/web1", "203.0.113.7", "tcp/80").contains("accepts only 198.51.100.0/24"));
        let outside = ["explain", "198.51.100.9", "203.0.113.7", "tcp/80", "--node", "web1"];
        assert!(world.said(&outside).contains("service shop/db (load balancer's address, port sql)"));
        // What is previewed is what is answered once kubectl has applied it; the server filled in the address.
        let change = SERVICE.replace("clusterIP: 10.96.0.10, ", "externalIPs: [203.0.113.9], ");
        let change = change.replace("port: 8080}]\n", "port: 80}]\n");
        let file = world.file("change.yaml", &change);
        let file = file.to_str().unwrap();
        let questions = [["node/web1", "10.96.0.10", "tcp/80"], ["node/web1", "203.0.113.9", "sql"]];
        let previews = questions.map(|words| world.said(&[&["explain", "-f", file], &words[..]].concat()));
        server.kubectl(&["apply", "-f", file], "");
        world.call(&["status", "--wait"]);
        for (words, preview) in questions.iter().zip(previews) {
            assert!(preview.contains("to 192.0.2.99:80, as service shop/db"), "{preview}");
            assert_eq!(world.said(&[&["explain"], &words[..]].concat()), preview);
        }
    });
}

#[test]
fn the_role_of_readers_is_sufficient_to_be_told_of_services() {
    on_a_machine(|world| {
        let server = cluster(world);
        server.kubectl(&["create", "-f", "-"], SERVICE);
        server.kubectl(&["create", "-f", &shipped("rbac.yaml")], "");
        let bind = ["create", "clusterrolebinding", "guest", "--clusterrole=tortie-reader", "--user", GUEST];
        server.kubectl(&bind, "");
        world.kubeconfig = Some(server.kubeconfig(GUEST));
        until("the role is known", || world.tortie().args(["get", "gnp"]).output().unwrap().status.success());
        let said = world.said(&["explain", "node/web1", "10.96.0.10", "tcp/80"]);
        assert!(said.contains("10.96.0.10 is the clusterIP of service shop/db"), "{said}");
    });
}

/// Creates a pod on the node, and gives it a status.
fn create_pod(server: &ApiServer, name: &str, spec: Value, status: Option<Value>) {
    let mut spec = spec;
    spec["containers"] = json!([{ "name": "c", "image": "i" }]);
    let pod =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "shop" }, "spec": spec });
    server.kubectl(&["create", "-f", "-"], &pod.to_string());
    if let Some(status) = status {
        let patch = json!({ "status": status }).to_string();
        server.kubectl(&["-n", "shop", "patch", "pod", name, "--subresource=status", "-p", &patch], "");
    }
}

#[test]
fn a_pod_without_an_endpoint_is_said_to_have_none_and_why() {
    on_a_machine(|world| {
        let server = cluster(world);
        create_pod(
            &server,
            "proxy",
            json!({ "nodeName": "web1", "hostNetwork": true }),
            Some(json!({ "phase": "Running", "podIP": "192.0.2.11" })),
        );
        create_pod(
            &server,
            "done",
            json!({ "nodeName": "web1" }),
            Some(json!({ "phase": "Succeeded", "podIP": "10.65.0.9", "podIPs": [{ "ip": "10.65.0.9" }] })),
        );
        create_pod(&server, "new", json!({ "nodeName": "web1" }), None);
        create_pod(&server, "waiting", json!({}), None);
        let _agent = world.agent();
        for (name, why) in [
            (
                "proxy",
                "pod shop/proxy has no endpoint of its own, since it uses the network of its node (hostNetwork): its packets are those of the node; name node/web1 instead",
            ),
            (
                "done",
                "pod shop/done has no endpoint any more, since it has finished (Succeeded): its address may be another pod's",
            ),
            ("new", "pod shop/new has no address yet, so it has no endpoint"),
            ("waiting", "pod shop/waiting has no endpoint yet, since it is not on a node"),
            ("absent", "there is no pod shop/absent; pods of shop: "),
        ] {
            let pod = format!("pod/shop/{name}");
            for words in [[&pod, "192.0.2.99", "tcp/80"], ["192.0.2.99", &pod, "tcp/80"]] {
                let said = world.fails(&[&["explain"], &words[..]].concat());
                assert!(said.contains(why), "{said}");
            }
            let said = world.fails(&["explain", &pod]);
            assert!(said.contains(why), "{said}");
            let tests = world.file("pods.test", &format!("permits {pod} -> any tcp/80\n"));
            let said = world.fails(&["test", tests.to_str().unwrap()]);
            assert!(said.contains(why), "{said}");
        }
        server.kubectl(&["create", "-f", "-"], &only(80));
        until("it is explained", || {
            world.said(&["explain", "networkpolicy", "shop/web"]).contains("web1: pod/shop/web")
        });
        assert_eq!(
            world.call(&["explain", "knp/shop/web"]),
            world.call(&["explain", "networkpolicy.networking.k8s.io/shop/web"])
        );
    });
}

#[test]
fn somebody_without_rights_is_told_the_verb_the_resource_and_the_rule_that_grants_it() {
    on_a_machine(|world| {
        let server = cluster(world);
        let manifest = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web}\nspec: {}\n";
        let file = world.file("gnp.yaml", manifest);
        let file = file.to_str().unwrap();
        world.call(&["apply", "-f", file]);
        let lines = world.file("lines.test", "permits any -> pod/shop/web tcp/80\n");
        let lines = lines.to_str().unwrap();
        world.kubeconfig = Some(server.kubeconfig(GUEST));
        let said = world.fails(&["explain", "node/web1", "192.0.2.99", "tcp/80"]);
        // What is missing is said at once, not one resource after the other.
        for (group, resource) in
            [("", "pods"), ("", "services"), ("discovery.k8s.io", "endpointslices"), ("projectcalico.org", "tiers")]
        {
            let rule = said.split("{apiGroups: ").find(|rule| rule.starts_with(&format!("[\"{group}\"]")));
            let rule = rule.unwrap_or_else(|| panic!("{group}: {said}"));
            assert!(
                rule.contains(&format!("\"{resource}\"")) && rule.contains("verbs: [\"list\"]"),
                "{resource}: {said}"
            );
        }
        let all = world.fails(&["get", "all", "-A"]);
        assert!(!all.contains("no such objects"), "nobody looked: {all}");
        let wep = "web1-k8s-web-eth0";
        for (words, grants) in [
            (
                &["get", "gnp"][..],
                "{apiGroups: [\"projectcalico.org\"], resources: [\"globalnetworkpolicies\"], verbs: [\"list\"]}",
            ),
            (&["get", "gnp", "web"], "resources: [\"globalnetworkpolicies\"], verbs: [\"get\"]}"),
            (&["get", "wep", "-A"], "{apiGroups: [\"\"], resources: [\"pods\"], verbs: [\"list\"]}"),
            (&["get", "nodes"], "resources: [\"nodes\"], verbs: [\"list\"]}"),
            (&["get", "gnp", "-w"], "verbs: [\"list\"]}"),
            (&["get", "all", "-A"], "verbs: [\"list\"]}"),
            (&["apply", "-f", file], "verbs: ["),
            (&["create", "-f", file], "verbs: ["),
            (&["replace", "-f", file], "verbs: ["),
            (&["patch", "gnp", "web", "-p", "{\"spec\":{\"order\":1}}"], "verbs: ["),
            (&["label", "gnp", "web", "a=b"], "verbs: ["),
            (&["patch", "wep", wep, "-n", "shop", "-p", "{\"spec\":{\"containerID\":\"a\"}}"], "resources: [\"pods"),
            (&["delete", "gnp", "web"], "verbs: ["),
            (&["diff", "-f", file], "verbs: [\"list\"]}"),
            (&["diff", "--delete", "gnp/web"], "verbs: [\"list\"]}"),
            (&["explain", "node/web1", "192.0.2.99", "tcp/80"], "verbs: [\"list\"]}"),
            (&["test", lines], "verbs: [\"list\"]}"),
            (&["lint"], "verbs: [\"list\"]}"),
            (&["describe", "gnp", "web"], "verbs: ["),
            (&["backup", "-"], "verbs: [\"list\"]}"),
            (&["datastore", "migrate", "lock"], "verbs: ["),
        ] {
            let output = world.tortie().args(words).output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(!output.status.success(), "{words:?}: {said}");
            assert!(said.contains("User \"guest\" cannot "), "{words:?}: {said}");
            assert!(
                said.contains(" (a ClusterRole grants it by the rule") && said.contains(grants),
                "{words:?}: {said}"
            );
        }
    });
}
