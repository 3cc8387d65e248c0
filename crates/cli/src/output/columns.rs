//! The columns of our own tables: what an operator wants to see of each kind at a glance.
//!
//! An empty cell is shown as `-`, so a table read by a program has the same number of words in every line
//! as long as values have no spaces.

use serde_json::Value;
use tortie_api::{Kind, Object};

use super::calico_columns::{self, Cluster};
use super::go_values::{join, join_map, text};
use super::selector_text;

/// One column.
pub(crate) struct Column {
    /// What stands above it.
    pub(crate) title: &'static str,
    cell: Cell,
}

enum Cell {
    Ours(fn(&Object) -> String),
    Calico,
}

impl Column {
    /// What stands in it.
    pub(crate) fn cell(&self, object: &Object, cluster: &Cluster) -> String {
        match self.cell {
            Cell::Ours(cell) => cell(object),
            Cell::Calico => calico_columns::cell(object, self.title, cluster),
        }
    }
}

/// The columns of a kind's table, without the namespace.
pub(crate) fn of(kind: Kind, wide: bool) -> Vec<Column> {
    let mut columns = narrow(kind);
    if wide {
        columns.extend(more(kind));
    }
    columns
}

/// The column with this title, of ours or of calicoctl's; case does not count.
pub(crate) fn titled(kind: Kind, title: &str) -> Option<Column> {
    let same = |known: &str| known.eq_ignore_ascii_case(title);
    if kind.namespaced() && same("NAMESPACE") {
        return Some(namespace());
    }
    let ours = of(kind, true).into_iter().find(|column| same(column.title));
    ours.or_else(|| calico_columns::known(kind).into_iter().find(|known| same(known)).map(calico))
}

/// Every title that [`titled`] knows, sorted.
pub(crate) fn titles(kind: Kind) -> Vec<&'static str> {
    let mut titles = calico_columns::known(kind);
    titles.extend(of(kind, true).iter().map(|column| column.title));
    titles.sort_unstable();
    titles.dedup();
    titles
}

/// The column that a namespaced kind gets first when several namespaces are listed.
pub(crate) fn namespace() -> Column {
    ours("NAMESPACE", |o| o.metadata.namespace.clone())
}

fn narrow(kind: Kind) -> Vec<Column> {
    let mut columns = vec![ours("NAME", |o| o.metadata.name.clone())];
    columns.extend(match kind {
        Kind::HostEndpoint => vec![
            ours("NODE", |o| field(o, "node")),
            ours("INTERFACE", |o| field(o, "interfaceName")),
            ours("ADDRESSES", |o| join(at(o, "expectedIPs"))),
        ],
        Kind::WorkloadEndpoint => vec![
            ours("WORKLOAD", |o| match field(o, "workload") {
                workload if workload.is_empty() => field(o, "pod"),
                workload => workload,
            }),
            ours("NODE", |o| field(o, "node")),
            ours("INTERFACE", |o| field(o, "interfaceName")),
            ours("ADDRESSES", |o| join(at(o, "ipNetworks"))),
        ],
        Kind::NetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy => vec![
            ours("TIER", |o| field(o, "tier")),
            ours("ORDER", order),
            ours("SELECTOR", |o| or(field(o, "selector"), "all()")),
        ],
        Kind::StagedKubernetesNetworkPolicy => vec![ours("PODSELECTOR", |o| selector_text(at(o, "podSelector")))],
        Kind::Tier => vec![ours("ORDER", order), ours("DEFAULT", |o| or(field(o, "defaultAction"), "Deny"))],
        Kind::Profile => vec![ours("IN/OUT", rules), ours("LABELS", |o| join_map(at(o, "labelsToApply")))],
        Kind::NetworkSet | Kind::GlobalNetworkSet => {
            vec![ours("NETS", |o| count(o, "nets").to_string()), ours("LABELS", labels)]
        }
        Kind::IPReservation => vec![ours("CIDRS", |o| join(at(o, "reservedCIDRs")))],
        other => calico_columns::headings(other, false).iter().skip(1).map(|title| calico(title)).collect(),
    });
    columns
}

/// What `-o wide` adds.
fn more(kind: Kind) -> Vec<Column> {
    match kind {
        Kind::HostEndpoint => {
            vec![ours("PROFILES", |o| join(at(o, "profiles"))), ours("PORTS", ports), ours("LABELS", labels)]
        }
        Kind::WorkloadEndpoint => vec![
            ours("PROFILES", |o| join(at(o, "profiles"))),
            ours("PORTS", ports),
            ours("NATS", nats),
            ours("LABELS", labels),
        ],
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => {
            vec![ours("TYPES", |o| join(at(o, "types"))), ours("IN/OUT", rules), ours("FLAGS", flags)]
        }
        Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy => vec![
            ours("TYPES", |o| join(at(o, "types"))),
            ours("IN/OUT", rules),
            ours("STAGED", |o| or(field(o, "stagedAction"), "Set")),
            ours("FLAGS", flags),
        ],
        Kind::StagedKubernetesNetworkPolicy => vec![
            ours("TYPES", |o| join(at(o, "policyTypes"))),
            ours("IN/OUT", rules),
            ours("STAGED", |o| or(field(o, "stagedAction"), "Set")),
        ],
        Kind::NetworkSet | Kind::GlobalNetworkSet => vec![ours("MEMBERS", |o| join(at(o, "nets")))],
        Kind::Tier | Kind::Profile | Kind::IPReservation => Vec::new(),
        other => {
            let narrow = calico_columns::headings(other, false);
            let wide = calico_columns::headings(other, true);
            wide.iter().filter(|title| !narrow.contains(title)).map(|title| calico(title)).collect()
        }
    }
}

fn ours(title: &'static str, cell: fn(&Object) -> String) -> Column {
    Column { title, cell: Cell::Ours(cell) }
}

fn calico(title: &'static str) -> Column {
    Column { title, cell: Cell::Calico }
}

fn at<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.body.get("spec").and_then(|spec| spec.get(name))
}

fn field(object: &Object, name: &str) -> String {
    text(at(object, name))
}

fn count(object: &Object, name: &str) -> usize {
    at(object, name).and_then(Value::as_array).map_or(0, Vec::len)
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

/// `100`, not `100.0`.
fn order(object: &Object) -> String {
    at(object, "order").and_then(Value::as_f64).map(|order| order.to_string()).unwrap_or_default()
}

/// Ingress and egress rules: `2/1`.
fn rules(object: &Object) -> String {
    format!("{}/{}", count(object, "ingress"), count(object, "egress"))
}

/// `http=TCP/80`.
fn ports(object: &Object) -> String {
    let ports = at(object, "ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ports: Vec<String> = ports
        .iter()
        .map(|port| {
            let part = |name| text(port.get(name));
            format!("{}={}/{}", or(part("name"), "?"), part("protocol"), part("port"))
        })
        .collect();
    ports.join(",")
}

/// `203.0.113.9>10.0.0.9`: from outside to inside.
fn nats(object: &Object) -> String {
    let nats = at(object, "ipNATs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let nats: Vec<String> =
        nats.iter().map(|nat| format!("{}>{}", text(nat.get("externalIP")), text(nat.get("internalIP")))).collect();
    nats.join(",")
}

fn labels(object: &Object) -> String {
    let pairs: Vec<String> = object.metadata.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// What makes a policy act elsewhere than where policies normally act.
fn flags(object: &Object) -> String {
    let set: Vec<&str> = ["preDNAT", "doNotTrack", "applyOnForward"]
        .into_iter()
        .filter(|name| at(object, name).and_then(Value::as_bool) == Some(true))
        .collect();
    set.join(",")
}
