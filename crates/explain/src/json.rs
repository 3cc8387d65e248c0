//! The answer as JSON, of a stable shape: `docs/explain-json.md` describes it.

use serde_json::{Value, json};
use tortie_classes::{Ranges, TransportClass, TransportRanges};
use tortie_eval::{DecidedBy, Entry, EntryKind, Mismatch, Outcome, Packet, PacketPath, RuleStep, Step, Transport};
use tortie_policy::{Family, PolicyId, Snapshot};

use crate::answer::{Answer, Hop};
use crate::reach::{Addresses, Outcome as Becomes, Part, Reach, Reason};
use crate::text::verdict_line;
use crate::translation::TranslatedBy;

/// The answer, with every step.
pub fn render(snapshot: &Snapshot, answer: &Answer) -> Value {
    json!({
        "allowed": answer.arrives(),
        "allowedByTortie": answer.allowed(),
        "unanswered": answer.others.unanswered,
        "summary": verdict_line(snapshot, answer),
        "service": answer.service,
        "legs": answer.hops.iter().map(hop).collect::<Vec<_>>(),
        "notes": answer.notes.iter().chain(&answer.others.notes).collect::<Vec<_>>(),
        "otherPrograms": {
            "lookedAt": answer.others.looked_at,
            "drops": answer.others.drops,
            "translates": answer.others.translates,
            "mayDrop": answer.others.may_drop,
            "mayTranslate": answer.others.may_translate,
            "mayChange": answer.others.may_change,
            "mayExempt": answer.others.may_exempt,
            "mayMark": answer.others.may_mark,
            "notes": answer.others.notes,
        },
        "ways": answer.paths.iter().map(|path| json!({
            "when": path.when,
            "allowed": path.allowed(),
            "legs": path.hops.iter().map(hop).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

/// What can be reached: a list of rows.
pub fn reach(reach: &Reach) -> Value {
    Value::from_iter(reach.rows.iter().map(|row| {
        let mut shown = json!({
            "what": row.what,
            "allowed": row.parts.iter().all(|part| part.outcome == Becomes::Allowed),
            "verdict": row.verdict(),
            "families": row.families.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "notes": reach.notes,
        });
        if !row.traffic.is_empty() {
            shown["traffic"] = row.traffic.iter().map(|(family, class)| traffic(*family, class)).collect();
        }
        if row.parts.iter().any(|part| part.addresses.is_some() || part.other.is_some()) {
            shown["answers"] = row.parts.iter().map(part).collect();
        }
        shown
    }))
}

fn traffic(family: Family, class: &TransportClass) -> Value {
    let ranges =
        |ranges: &Ranges| ranges.iter().map(|(first, last)| json!([first as u64, last as u64])).collect::<Value>();
    let mut shown = json!({ "family": family.to_string(), "protocols": ranges(&class.protocols) });
    match &class.transport {
        TransportRanges::Ports { source, destination } => {
            shown["sourcePorts"] = ranges(source);
            shown["destinationPorts"] = ranges(destination);
        }
        TransportRanges::Icmp(pairs) => shown["icmp"] = ranges(pairs),
        TransportRanges::Opaque => {}
    }
    shown
}

fn part(part: &Part) -> Value {
    let by = part.verdicts.iter().map(|Reason { verdict, addresses, other }| {
        let mut shown = match (addresses, other) {
            // It is for all addresses of the part.
            (None, None) => both_ends(part.addresses.as_ref(), part.other.as_ref()),
            _ => both_ends(addresses.as_ref(), other.as_ref()),
        };
        shown["verdict"] = json!(verdict);
        shown
    });
    let mut shown = both_ends(part.addresses.as_ref(), part.other.as_ref());
    shown["outcome"] = json!(kebab(&part.outcome));
    shown["by"] = by.collect();
    shown
}

/// The addresses of the end that is told apart first, and those of the other end if they are told apart too. Where only those of
/// the other end are, they come first.
fn both_ends(first: Option<&Addresses>, other: Option<&Addresses>) -> Value {
    let mut shown = first.or(other).map_or_else(|| json!({}), addresses);
    if let Some(other) = other.filter(|_| first.is_some()) {
        shown["otherEnd"] = addresses(other);
    }
    shown
}

fn addresses(addresses: &Addresses) -> Value {
    json!({
        "end": if addresses.from { "from" } else { "to" },
        "names": addresses.names,
        "nets": addresses.set.nets().map(|net| net.to_string()).collect::<Vec<_>>(),
    })
}

/// Addresses, protocol, and ports or ICMP type and code.
pub fn header(packet: &Packet) -> Value {
    let mut shown = json!({
        "source": packet.source,
        "destination": packet.destination,
        "protocol": packet.protocol,
    });
    match packet.transport {
        Transport::Ports { source, destination } => {
            shown["sourcePort"] = json!(source);
            shown["destinationPort"] = json!(destination);
        }
        Transport::Icmp { kind, code } => {
            shown["icmpType"] = json!(kind);
            shown["icmpCode"] = json!(code);
        }
        Transport::Opaque => {}
    }
    shown
}

fn hop(hop: &Hop) -> Value {
    let packet = &hop.packet;
    let shown = header(packet);
    let path = match &packet.path {
        PacketPath::Input { interface } => json!({ "in": interface }),
        PacketPath::Output { interface } => json!({ "out": hop.leaves_by().unwrap_or(interface) }),
        PacketPath::Forward { from, to } => json!({ "in": from, "out": to }),
    };
    json!({
        "node": hop.host.node,
        "packet": shown,
        "interfaces": path,
        "translated": packet.translated.map(|(address, port)| {
            json!({ "address": address, "port": port, "by": hop.translated_by.as_ref().map(TranslatedBy::text) })
        }),
        "replacedSource": hop.replaced_source.as_ref().map(|source| source.address),
        "allowed": hop.verdict.allowed,
        "dropped": hop.dropped,
        "rejected": hop.verdict.rejected,
        "untracked": hop.verdict.untracked,
        "steps": hop.verdict.path.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    json!({
        "stage": kebab(&step.stage),
        "interface": step.interface,
        "endpoint": step.endpoint.as_ref().map(ToString::to_string),
        "direction": step.direction.to_string(),
        "outcome": match step.decision.outcome {
            Outcome::Pass => "pass",
            Outcome::Accept => "accept",
            Outcome::Deny => "deny",
        },
        "by": by(&step.decision.by),
        "asked": step.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

/// What names a policy, as its manifest does.
pub(crate) fn policy_name(id: &PolicyId) -> Value {
    let (api_version, kind) = id.kind.in_manifests();
    json!({ "apiVersion": api_version, "kind": kind, "namespace": id.namespace, "name": id.name })
}

fn by(by: &DecidedBy) -> Value {
    match by {
        DecidedBy::Rule { tier, id, number } => json!({
            "kind": "rule", "tier": tier, "policy": policy_name(id),
            "rule": number,
        }),
        DecidedBy::TierEnd { tier } => json!({ "kind": "tierEnd", "tier": tier }),
        DecidedBy::Profile { name, number } => json!({ "kind": "profile", "profile": name, "rule": number }),
        DecidedBy::NoProfile => json!({ "kind": "noProfile" }),
        DecidedBy::Failsafe(text) => json!({ "kind": "failsafe", "failsafe": text }),
        DecidedBy::Established => json!({ "kind": "established" }),
        DecidedBy::Invalid => json!({ "kind": "invalid" }),
        DecidedBy::BeginsNothing => json!({ "kind": "beginsNothing" }),
        DecidedBy::Builtin(builtin) => json!({ "kind": "builtin", "builtin": kebab(builtin) }),
        DecidedBy::Nothing => json!({ "kind": "nothing" }),
    }
}

fn entry(entry: &Entry) -> Value {
    let mut shown = match &entry.kind {
        EntryKind::Policy { tier, id, staged, rules } => json!({
            "kind": "policy", "tier": tier, "policy": policy_name(id),
            "staged": staged, "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        }),
        EntryKind::TierEnd { tier, denies, note } => {
            json!({ "kind": "tierEnd", "tier": tier, "denies": denies, "note": note })
        }
        EntryKind::Profile { name, missing, rules } => json!({
            "kind": "profile", "profile": name, "missing": missing, "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        }),
        EntryKind::Builtin(text) => json!({ "kind": "failsafes", "text": text }),
    };
    shown["reached"] = json!(entry.reached);
    shown
}

fn rule(rule: &RuleStep) -> Value {
    json!({
        "rule": rule.number,
        "action": rule.action.to_string(),
        "matched": rule.matched(),
        "failed": rule.mismatches.first().map(why),
        "allFailed": rule.mismatches.iter().map(why).collect::<Vec<_>>(),
    })
}

fn why(why: &Mismatch) -> Value {
    json!({ "field": why.field, "text": why.text })
}

/// The name of a unit variant, as `host-in`.
fn kebab(variant: &impl std::fmt::Debug) -> String {
    let mut text = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
