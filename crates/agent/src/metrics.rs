//! Metrics for Prometheus. A metric with the same meaning as one of Calico's agent has its name. `docs/metrics.md` lists all.
//!
//! A state or a plain counter is a field of `status_cell::StatusRecord`; a histogram, or a metric with labels, is in [`Measures`].

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tortie_api::{Kind, error_with_causes};
use tortie_dataplane::State;
use tortie_store::LeftOut;

use crate::dataplane_thread::{SharedDataplane, lock};
use crate::http::Answer;
use crate::log_event;
use crate::probes;
use crate::rule_counts::{Count, RuleCounts, RuleName};
use crate::status::{RuleCount, StoreState};
use crate::status_builder;
use crate::status_cell::{StatusCell, StatusRecord};

/// The measurements that are not part of the status.
pub(crate) struct Measures {
    /// How long each change took to apply, in seconds.
    pub(crate) apply_time: Histogram,
    /// How many objects each change contains.
    pub(crate) batch_size: Histogram,
    /// How many changes of objects were received from the store.
    pub(crate) updates: Counter,
    rules: RuleCounts,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            // From half a millisecond to 16 s.
            apply_time: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            batch_size: Histogram::new(exponential_buckets(1.0, 4.0, 10)),
            updates: Counter::default(),
            rules: RuleCounts::default(),
        }
    }
}

/// Answers a scrape. The encoder adds `_total` to the name of a counter, so Calico's counters without it are gauges to it.
pub(crate) fn answer(
    path: &str,
    node: &str,
    status: &StatusCell,
    dataplane: &SharedDataplane,
    left_out: &[LeftOut],
) -> Answer {
    if path != "/metrics" {
        return Answer::text(404, "/metrics is here\n");
    }
    let mut body = String::new();
    match encode(&mut body, &registry(node, status, dataplane, left_out)) {
        Ok(()) => Answer { code: 200, kind: "application/openmetrics-text; version=1.0.0; charset=utf-8", body },
        Err(error) => Answer::text(503, error.to_string()),
    }
}

fn registry(node: &str, status: &StatusCell, dataplane: &SharedDataplane, left_out: &[LeftOut]) -> Registry {
    let mut registry = Registry::default();
    let enforced = Enforced::of(lock(dataplane).state());
    let refused = count(lock(dataplane).refused().len());
    let prefixes = status_builder::prefixes(lock(dataplane).state());
    // Before the status is locked.
    let machine = tortie_hostnet::masters().unwrap_or_default();
    let record = status.read();
    let kind =
        |kinds: &[Kind]| kinds.iter().map(|kind| count(record.counts.get(kind).copied().unwrap_or(0))).sum::<i64>();
    let resync = match record.store {
        StoreState::Waiting | StoreState::Missing => 1,
        StoreState::NotAnswering
        | StoreState::Lost
        | StoreState::Stale
        | StoreState::Replaced
        | StoreState::NotAsked => 2,
        StoreState::InSync => 3,
    };
    let policies = [Kind::NetworkPolicy, Kind::GlobalNetworkPolicy];
    let parts = status_builder::unreadable_part_count(&record, left_out);
    let unreadable = count(record.unreadable.len() + record.unreadable_settings.len() + parts);
    let numbers = [
        ("felix_active_local_endpoints", "Endpoints in force on this node", enforced.endpoints),
        ("felix_active_local_policies", "Policies in force on this node", enforced.policies),
        ("felix_cluster_num_hosts", "Nodes in the store", kind(&[Kind::Node])),
        ("felix_cluster_num_host_endpoints", "Host endpoints in the store", kind(&[Kind::HostEndpoint])),
        ("felix_cluster_num_workload_endpoints", "Workload endpoints in the store", kind(&[Kind::WorkloadEndpoint])),
        ("felix_cluster_num_policies", "Policies in the store", kind(&policies)),
        ("felix_cluster_num_profiles", "Profiles in the store", kind(&[Kind::Profile])),
        ("felix_cluster_num_tiers", "Tiers in the store", kind(&[Kind::Tier])),
        ("felix_resync_state", "The store: 1 not read, 2 lost or stale, 3 in sync", resync),
        ("felix_resyncs_started", "How often the store was listed", signed(record.resyncs)),
        ("felix_int_dataplane_failures", "Changes that could not be applied at once", signed(record.failures)),
        ("felix_ipsets_total", "Sets in force", enforced.sets),
        (
            "tortie_ready",
            "Whether the kernel has what the store says",
            i64::from(probes::readiness(status, &record).0 && record.off.is_none()),
        ),
        ("tortie_generation_wanted", "The requested generation", signed(record.wanted.generation)),
        ("tortie_generation_in_kernel", "The generation in the kernel", signed(record.in_kernel.generation)),
        (
            "tortie_store_revision",
            "The revision of the store that is in the kernel",
            signed(record.in_kernel.position.highest()),
        ),
        ("tortie_off", "Whether enforcement is switched off", i64::from(record.off.is_some())),
        (
            "tortie_store_replaced",
            "Whether the store was replaced by another one, which is not followed",
            i64::from(record.store == StoreState::Replaced),
        ),
        (
            "tortie_store_missing",
            "Whether the store does not exist or is empty, so that nothing in the kernel changes",
            i64::from(record.store == StoreState::Missing),
        ),
        (
            "tortie_node_name_changed",
            "Whether this machine has another name than the node that is enforced",
            i64::from(record.unaccepted_name.is_some()),
        ),
        ("tortie_unreadable_objects", "Objects that could not be read, or not whole", unreadable),
        ("tortie_unknown_objects", "Objects of kinds that this release does not know", count(record.unknown_objects)),
        ("tortie_missing_tiers", "Tiers that do not exist and that policies are in", count(record.missing_tiers.len())),
        ("tortie_refused_objects", "Objects that the kernel refused", refused),
        ("tortie_network_failures", "Problems with the network of workloads", count(record.network.len())),
        (
            "tortie_passed_by_interfaces",
            "Interfaces of workloads whose packets pass by what is enforced at them",
            count(status_builder::passed_by(&record, &machine, &prefixes).len()),
        ),
    ];
    for (name, help, value) in numbers {
        registry.register(name, help, ConstGauge::new(value));
    }
    let counters = [
        ("tortie_changes_put_back", "How many changes were put back because nobody confirmed them", record.put_back),
        ("tortie_repairs", "How often the table was restored after a change by another program", record.repairs),
        ("tortie_changes_applied", "Changes that were applied", record.applied),
    ];
    for (name, help, value) in counters {
        registry.register(name, help, ConstCounter::new(value));
    }
    let lag = record.lag.status().map_or(0.0, |lag| Duration::from_millis(lag.milliseconds).as_secs_f64());
    let seconds = [
        ("tortie_lag_seconds", "For how long the oldest change has been on its way to the kernel", lag),
        ("tortie_store_stale_seconds", "For how long the store has not been followed", stale(&record)),
    ];
    for (name, help, value) in seconds {
        registry.register(name, help, ConstGauge::new(value));
    }
    drop(record);
    let Measures { apply_time, batch_size, updates, rules } = &status.measures;
    let time = "How long each change took to apply";
    registry.register("felix_int_dataplane_apply_time_seconds", time, apply_time.clone());
    registry.register(
        "felix_int_dataplane_msg_batch_size",
        "How many objects each change contains",
        batch_size.clone(),
    );
    registry.register("tortie_store_updates", "Changes of objects that were received from the store", updates.clone());
    register_rules(rules, &mut registry);
    let host = Family::<Vec<(String, String)>, Gauge>::default();
    host.get_or_create(&vec![("host".to_owned(), node.to_owned())]).set(1);
    registry.register("felix_host", "This node", host);
    registry
}

/// For how long the store has not been followed, in seconds; 0 while every change of the store is received.
fn stale(record: &StatusRecord) -> f64 {
    if record.store == StoreState::InSync {
        return 0.0;
    }
    let since: Option<jiff::Timestamp> = record.store_since.parse().ok();
    since.map_or(0.0, |since| jiff::Timestamp::now().duration_since(since).as_secs_f64().max(0.0))
}

type Labels = Vec<(String, String)>;

impl Measures {
    /// The packets and bytes of each rule of each policy, read from the kernel now.
    pub(crate) fn rules(&self) -> Result<Vec<RuleCount>, String> {
        let counts = self.rules.read().map_err(|error| error_with_causes(&error))?;
        let one = |(name, count): (RuleName, Count)| RuleCount {
            policy: name.policy,
            direction: name.direction,
            rule: name.number,
            action: name.action,
            packets: count.packets,
            bytes: count.bytes,
        };
        Ok(counts.into_iter().map(one).collect())
    }
}

fn register_rules(rules: &RuleCounts, registry: &mut Registry) {
    let counts = match rules.read() {
        Ok(counts) => counts,
        Err(error) => {
            return log::warn!(target: log_event::RULE_COUNTS_UNREADABLE, "the counters of rules cannot be read: {}", error_with_causes(&error));
        }
    };
    let (packets, bytes) = (Family::<Labels, Counter>::default(), Family::<Labels, Counter>::default());
    for (RuleName { policy, direction, number, action }, count) in counts {
        let label = |name: &str, value: String| (name.to_owned(), value);
        let labels = vec![
            label("policy", policy),
            label("direction", direction),
            label("rule", number),
            label("action", action),
        ];
        packets.get_or_create(&labels).inc_by(count.packets);
        bytes.get_or_create(&labels).inc_by(count.bytes);
    }
    registry.register("tortie_rule_packets", "Packets that a rule matched", packets);
    registry.register("tortie_rule_bytes", "Bytes of the packets that a rule matched", bytes);
}

struct Enforced {
    endpoints: i64,
    policies: i64,
    sets: i64,
}

impl Enforced {
    fn of(state: &State) -> Self {
        let mut policies: Vec<_> =
            state.programs.values().flat_map(|one| &one.tiers).flat_map(|tier| &tier.policies).collect();
        policies.sort();
        policies.dedup();
        Self { endpoints: count(state.endpoints.len()), policies: count(policies.len()), sets: count(state.sets.len()) }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
