//! Metrics for Prometheus. Where something means what Calico's agent means by it, it has Calico's name.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tortie_api::Kind;
use tortie_dataplane::State;

use crate::board::Board;
use crate::enforce::{Shared, lock};
use crate::health;
use crate::http::Answer;
use crate::status::StoreState;

/// Answers a scrape. Calico's names have no `_total`, so everything is a gauge to the encoder.
pub(crate) fn answer(path: &str, node: &str, board: &Board, target: &Shared) -> Answer {
    if path != "/metrics" {
        return Answer::text(404, "/metrics is here\n");
    }
    let mut body = String::new();
    match encode(&mut body, &registry(node, board, target)) {
        Ok(()) => Answer { code: 200, kind: "application/openmetrics-text; version=1.0.0; charset=utf-8", body },
        Err(error) => Answer::text(503, error.to_string()),
    }
}

fn registry(node: &str, board: &Board, target: &Shared) -> Registry {
    let mut registry = Registry::default();
    let enforced = Enforced::of(lock(target).state());
    let refused = count(lock(target).refused().len());
    let facts = board.read();
    let kind =
        |kinds: &[Kind]| kinds.iter().map(|kind| count(facts.counts.get(kind).copied().unwrap_or(0))).sum::<i64>();
    let resync = match facts.store {
        StoreState::Waiting => 1,
        StoreState::Lost | StoreState::Stale | StoreState::Replaced | StoreState::NotAsked => 2,
        StoreState::InSync => 3,
    };
    let policies = [Kind::NetworkPolicy, Kind::GlobalNetworkPolicy];
    let numbers = [
        ("felix_active_local_endpoints", "Endpoints in force on this node", enforced.endpoints),
        ("felix_active_local_policies", "Policies in force on this node", enforced.policies),
        ("felix_cluster_num_hosts", "Nodes in the store", kind(&[Kind::Node])),
        ("felix_cluster_num_host_endpoints", "Host endpoints in the store", kind(&[Kind::HostEndpoint])),
        ("felix_cluster_num_workload_endpoints", "Workload endpoints in the store", kind(&[Kind::WorkloadEndpoint])),
        ("felix_cluster_num_policies", "Policies in the store", kind(&policies)),
        ("felix_cluster_num_profiles", "Profiles in the store", kind(&[Kind::Profile])),
        ("felix_cluster_num_tiers", "Tiers in the store", kind(&[Kind::Tier])),
        ("felix_resync_state", "The store: 1 not heard, 2 lost or stale, 3 in sync", resync),
        ("felix_resyncs_started", "How often the store was listed", signed(facts.resyncs)),
        ("felix_int_dataplane_failures", "Changes that could not be made at once", signed(facts.failures)),
        ("felix_ipsets_total", "Sets in force", enforced.sets),
        ("tortie_ready", "Whether the kernel has what the store said", i64::from(health::readiness(board, &facts).0)),
        ("tortie_generation_wanted", "What is to be enforced", signed(facts.wanted.generation)),
        ("tortie_generation_in_kernel", "What is enforced", signed(facts.in_kernel.generation)),
        ("tortie_store_revision", "The store's revision that is enforced", signed(facts.in_kernel.position.highest())),
        (
            "tortie_store_replaced",
            "Whether another store stands in the place of the one in force, and is not obeyed",
            i64::from(facts.store == StoreState::Replaced),
        ),
        (
            "tortie_node_name_changed",
            "Whether this machine is called by another name than the node that is enforced",
            i64::from(facts.called.is_some()),
        ),
        ("tortie_unreadable_objects", "Objects that could not be read", count(facts.unreadable.len())),
        ("tortie_refused_objects", "Objects that the kernel refused", refused),
        ("tortie_network_failures", "What could not be done to the network of workloads", count(facts.network.len())),
        ("tortie_repairs", "How often others' changes were undone", signed(facts.repairs)),
        ("tortie_changes_applied", "Changes that were made", signed(facts.applied)),
    ];
    for (name, help, value) in numbers {
        registry.register(name, help, ConstGauge::new(value));
    }
    registry.register(
        "tortie_apply_seconds_sum",
        "How long all changes took to make",
        ConstGauge::new(facts.apply_time.as_secs_f64()),
    );
    let host = Family::<Vec<(String, String)>, Gauge>::default();
    host.get_or_create(&vec![("host".to_owned(), node.to_owned())]).set(1);
    registry.register("felix_host", "This node", host);
    registry
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
