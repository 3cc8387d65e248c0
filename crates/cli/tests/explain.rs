//! What every form of `explain` has in common.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

const WORLD: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth0, labels: {role: web}}
spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: web1-cni-a-eth0, namespace: shop}
spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.2/32]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: office}
spec: {nets: [198.51.100.0/24]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec: {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}
";

/// Every form: what is asked, whether the answer is a list, and what each object of it has.
const FORMS: [(&str, bool, &[&str]); 13] = [
    ("203.0.113.9 node/web1 http", false, &["allowed", "summary", "legs", "notes", "otherPrograms", "ways"]),
    ("203.0.113.9 192.0.2.11 http --dnat 192.0.2.11:81", false, &["allowed", "otherPrograms"]),
    ("203.0.113.9 10.9.9.9 http --node web1", false, &["allowed", "otherPrograms"]),
    ("--log=IN=eth0 SRC=203.0.113.9 DST=192.0.2.11 PROTO=TCP SPT=1 DPT=80", false, &["allowed", "otherPrograms"]),
    ("203.0.113.9 node/web1", true, &["what", "allowed", "verdict", "families", "notes", "traffic"]),
    ("any node/web1 http", true, &["what", "allowed", "verdict", "families", "notes", "answers"]),
    ("any node/web1", true, &["what", "notes", "traffic", "answers"]),
    ("set/office hep/web1-eth0 http", true, &["what", "notes", "answers"]),
    ("node/web1 198.51.100.0/24 http", true, &["what", "notes", "answers"]),
    ("hep/web1-eth0", true, &["endpoint", "node", "lists"]),
    ("wep/shop/web1-cni-a-eth0", true, &["endpoint", "node", "lists"]),
    ("gnp/web", false, &["policy", "tier", "endpoints", "directions"]),
    ("tier/default", false, &["tier", "order", "defaultAction", "endpoints", "policies", "ends"]),
];

#[test]
fn every_form_of_explain_answers_in_json_with_the_exit_status_of_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.yaml");
    std::fs::write(&file, WORLD).unwrap();
    for (form, is_list, fields) in FORMS {
        // A line of the log is one argument.
        let words: Vec<&str> = if form.starts_with("--log") { vec![form] } else { form.split(' ').collect() };
        let run = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
            command.arg("explain").args(&words).args(["--offline", "-f"]).arg(&file).args(more);
            command.current_dir(folder.path()).output().unwrap()
        };
        let (json, text) = (run(&["-o", "json"]), run(&[]));
        let stderr = String::from_utf8_lossy(&json.stderr);
        assert_eq!((json.status.code(), json.stderr.is_empty()), (text.status.code(), true), "{form}: {stderr}");
        let value: Value = serde_json::from_slice(&json.stdout).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(value.is_array(), is_list, "{form}");
        let objects = if is_list { value.as_array().unwrap().clone() } else { vec![value] };
        assert!(!objects.is_empty(), "{form}");
        for object in &objects {
            let missing: Vec<_> = fields.iter().filter(|field| object.get(field).is_none()).collect();
            assert!(missing.is_empty(), "{form}: {missing:?} in {object:#}");
            // Where packets are judged, the tables of other programs are spoken of.
            let notes = object.get("notes").and_then(Value::as_array);
            let of_others =
                |note: &Value| note.as_str().unwrap().starts_with("the rules of other programs were not looked at");
            assert!(notes.is_none_or(|notes| notes.iter().any(of_others)), "{form}: {notes:?}");
        }
    }
}
