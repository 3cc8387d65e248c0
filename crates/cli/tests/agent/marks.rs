//! Marks that tables of other programs write between the chains of tortie: where they change what becomes of a packet, `explain` names
//! them, and only there.

use crate::ENDPOINT;
use crate::world::{on_a_machine, run};

/// One port that a policy before translation allows, and nothing else.
const EARLY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: early}
spec:
  selector: role == 'web'
  preDNAT: true
  applyOnForward: true
  types: [Ingress]
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: later}
spec: {selector: role == 'web', types: [Ingress, Egress], egress: [{action: Allow}]}
";

#[test]
fn explain_names_the_tables_that_write_the_mark_of_an_allowed_packet_or_give_it_to_another() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + EARLY));
        let plain = [true, false];
        // The rule, its place, which of the two ports it reaches then, and whether it may change that.
        for (rule, at, arrives, is_named) in [
            ("meta mark set 7", "prerouting priority 0", [false, false], [true, false]),
            ("meta mark set 7", "input priority 0", [false, false], [true, false]),
            ("meta mark set 7", "input priority 5", plain, [false, false]),
            ("meta mark set 7", "prerouting priority -400", plain, [false, false]),
            ("meta mark set 7", "prerouting priority -200", plain, [false, false]),
            ("tcp dport 443 meta mark set 7", "prerouting priority 0", plain, [false, false]),
            ("tcp flags syn meta mark set ct mark", "prerouting priority 0", [false, false], [true, true]),
            ("meta mark set meta mark or 0x4000", "prerouting priority 0", plain, [false, false]),
            ("meta mark set meta mark and 0xff00ffff", "prerouting priority 0", [false, false], [true, false]),
            ("meta mark set 0x10000", "prerouting priority 0", [true, true], [false, true]),
            ("ct mark set meta mark", "prerouting priority 0", plain, [false, false]),
        ] {
            let text = format!("table inet other {{ chain c {{ type filter hook {at}; {rule}; }}; }}");
            let file = world.file("others.nft", &text);
            run("nft", &["-f", file.to_str().unwrap()]);
            for (port, before, arrives, is_named) in
                [(81, false, arrives[1], is_named[1]), (80, true, arrives[0], is_named[0])]
            {
                assert_eq!(world.reaches(port), arrives, "{port}: {text}");
                let asked = ["explain", "192.0.2.99", "node/web1", &format!("tcp/{port}")];
                let output = world.tortie().args(asked).output().unwrap();
                assert_eq!(output.status.code(), Some(i32::from(!before)), "{text}");
                let said = String::from_utf8(output.stdout).unwrap();
                let last = said.lines().last().unwrap();
                let unless = ", unless table inet other of another program writes the mark bit of tortie";
                assert_eq!(last.contains(unless), is_named, "{port}: {text}: {said}");
                assert!(is_named || before == arrives, "{port}: {text}: what differs is named");
                assert_eq!(said.contains("note: table inet other of another program may "), is_named, "{text}: {said}");
                let json = world.said(&[&asked[..], &["-o", "json"]].concat());
                let json: serde_json::Value = serde_json::from_str(&json).unwrap();
                let named = if is_named { vec!["table inet other of another program"] } else { Vec::new() };
                assert_eq!(json["otherPrograms"]["mayMark"], serde_json::json!(named), "{text}");
            }
            run("nft", &["delete", "table", "inet", "other"]);
        }
    });
}
