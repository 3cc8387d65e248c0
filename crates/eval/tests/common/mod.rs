//! Worlds as manifests and packets as text, for tables of claims.
//!
//! Packets are spelled as [`packet_text`] reads them. The answer is `pass`, `deny` or `reject` and what decided the last stage that
//! decided anything, as `by()` below spells it.

use tortie_eval::{DecidedBy, Host, Judge, Packet, Verdict, judge};
use tortie_manifest::read::{Source, read};
use tortie_policy::Snapshot;
use tortie_testkit::machine::link;
use tortie_testkit::packet_text;

/// The node under test: web1, with eth0 (192.0.2.11, 2001:db8::11), eth1 (198.51.100.11) and lo.
pub(crate) fn host() -> Host {
    Host {
        node: "web1".to_owned(),
        links: vec![
            link("lo", &["127.0.0.1", "::1"]),
            link("eth0", &["192.0.2.11", "2001:db8::11"]),
            link("eth1", &["198.51.100.11"]),
        ],
    }
}

/// Reads a world; each line that begins `Kind name` is short for a manifest, the rest of the line its spec.
pub(crate) fn world(lines: &str) -> Snapshot {
    let mut objects = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (head, spec) =
            line.split_once('{').map_or((line, String::new()), |(head, rest)| (head, format!("{{{rest}")));
        let words: Vec<&str> = head.split_whitespace().collect();
        let labels: Vec<String> = words[2..]
            .iter()
            .map(|word| word.split_once('=').map_or_else(|| panic!("{word}"), |(k, v)| format!("{k}: \"{v}\"")))
            .collect();
        let (namespace, name) = words[1].split_once('/').map_or(("", words[1]), |(ns, name)| (ns, name));
        let namespace_line = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
        let text = format!(
            "{{apiVersion: projectcalico.org/v3, kind: {}, metadata: {{name: \"{name}\"{namespace_line}, labels: {{{}}}}}, spec: {}}}",
            words[0],
            labels.join(", "),
            if spec.is_empty() { "{}" } else { &spec },
        );
        for located in read(&Source::new(line, text)) {
            assert!(located.problems.is_empty(), "{line}: {:?}", located.problems);
            objects.push(located.object.unwrap());
        }
    }
    let (snapshot, invalid) = Snapshot::from_objects(&objects);
    assert!(invalid.is_empty(), "{invalid:?}");
    snapshot
}

fn packet(text: &str) -> Packet {
    let (packet, others) = packet_text::packet(text, &[]);
    assert!(others.is_empty(), "{text}: {others:?}");
    packet
}

/// `gnp p#1`, `tier t`, `profile p#1`, `profile missing p`, `no profile`, `failsafe tcp/22`, `established`, `invalid`, a built-in's
/// name, `nothing`.
fn by(verdict: &Verdict) -> String {
    let decisive = verdict.path.iter().rev().find(|step| step.decision.by != DecidedBy::Nothing);
    match decisive.map(|step| &step.decision.by) {
        None | Some(DecidedBy::Nothing) => "nothing".to_owned(),
        Some(DecidedBy::Rule { id, number, .. }) => format!("{id}#{number}"),
        Some(DecidedBy::TierEnd { tier }) => format!("tier {tier}"),
        Some(DecidedBy::Profile { name, number: Some(number) }) => format!("profile {name}#{number}"),
        Some(DecidedBy::Profile { name, number: None }) => format!("profile missing {name}"),
        Some(DecidedBy::NoProfile) => "no profile".to_owned(),
        Some(DecidedBy::Failsafe(text)) => format!("failsafe {text}"),
        Some(DecidedBy::Established) => "established".to_owned(),
        Some(DecidedBy::Invalid) => "invalid".to_owned(),
        Some(DecidedBy::BeginsNothing) => "begins nothing".to_owned(),
        Some(DecidedBy::Builtin(builtin)) => format!("{builtin:?}"),
    }
}

/// Judges each packet of a table and tells all that are not as said.
pub(crate) fn check(lines: &str, table: &[(&str, &str)]) {
    check_in(&world(lines), table);
}

/// The same, in a world that is there already. Among many packets each has the same verdict.
pub(crate) fn check_in(snapshot: &Snapshot, table: &[(&str, &str)]) {
    let many = Judge::new(snapshot);
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, want)| {
            let verdict = judge(snapshot, &host(), &packet(text));
            assert_eq!(many.judge(&host(), &packet(text)), verdict, "{text}");
            let word = match (verdict.allowed, verdict.rejected) {
                (true, _) => "pass",
                (false, false) => "deny",
                (false, true) => "reject",
            };
            let got = format!("{word} {}", by(&verdict));
            (got != *want).then(|| format!("{text}: want {want}, got {got}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
