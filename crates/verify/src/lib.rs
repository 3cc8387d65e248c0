//! Whether a kernel enforces what is in force: `tortie verify`.
//!
//! ```text
//!   snapshot ──probes──> packets at every boundary of every endpoint's rules ──┬──> eval::judge ──┐
//!      │                                                                       │                  │
//!      │                     ┌─────────────────────────────────────────────trace──> verdict ─────┼──> Report
//!      │   kernel ──inventory┤                                                                    │
//!      │                     └──> read_back ──┬──> compare ───────────────────────────────────────┘
//!      └──desired──> State ──────render───────┘
//! ```
//!
//! There are two checks. The probe packets share nothing with the agent: one answer comes from the objects in the
//! store, the other from the table as the kernel gave it back, walked by the interpreter of `tortie-nft`. They show that
//! the policies of endpoints are enforced. The comparison shows that nothing else is: every chain, rule, set, element and
//! map entry of the table is desired, and all that is desired exists. No packet is sent and nothing is changed.
//!
//! Limits of rates and connections are assumed as not reached, and tables of other programs are ignored with their translations:
//! neither follows from the store.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod desired;
mod difference_sentences;
pub mod foreign_tables;
mod governed;
mod probes;
mod report;
mod rule_boundaries;
mod trace;
mod xt;

use tortie_dataplane_nft::{DifferenceKind, TableOptions, read_back};
use tortie_eval::decide;
use tortie_nft::interp::{InterpError, LoadError, Ruleset};
use tortie_nft::inventory::Inventory;
use tortie_policy::Snapshot;
use tortie_policy::machine::Machine;
use tortie_policy::packet::Host;

use difference_sentences::Names;
use governed::{GovernedInterface, governed};
use probes::Probes;
pub use report::{Answer, Coverage, Difference, Misjudged, Report, TableDifference};
use trace::trace;
pub use trace::{Probe, Trace};

/// How many differences of the table are looked at before they are summarised.
const MAX_DIFFERENCES: usize = 1000;

/// Why a table cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The table has something that is not understood, so there is no verdict.
    #[error("the table in the kernel cannot be traced: {0}")]
    Load(#[from] LoadError),
    /// A rule of it has.
    #[error("a rule in the kernel cannot be evaluated: {0}")]
    Rule(#[from] InterpError),
}

/// Judges the probe packets of every endpoint of a node by the snapshot and by the table in its kernel, and compares that
/// table with what the snapshot asks for. `machine` says which interfaces are ports of others. At most `most` differences of each sort are kept; all are counted.
pub fn verify(
    snapshot: &Snapshot,
    host: &Host,
    options: &TableOptions,
    inventory: &Inventory,
    machine: Option<&Machine>,
    most: usize,
) -> Result<Report, VerifyError> {
    let governed = governed(snapshot, host);
    let mut report = Report { endpoints: governed.len(), ..Report::default() };
    if let Some(machine) = machine {
        passed_by(snapshot, host, machine, &governed, most, &mut report);
    }
    let Some(table) = &inventory.table else {
        for endpoint in &governed {
            let is_not = if endpoint.subject.is_some() { "enforced" } else { "closed" };
            let sentence = format!("{endpoint} is not {is_not}: table inet {} does not exist", options.table);
            report.differ(most, Difference::Table(TableDifference { sentence, kernel: "no table".to_owned() }));
        }
        report.foreign(inventory, most);
        return Ok(report);
    };
    report.table = true;
    compare_table(snapshot, host, options, inventory, most, &mut report);
    report.foreign(inventory, most);
    match judge_probes(snapshot, host, Ruleset::new([table.clone()]), &governed, most, &mut report) {
        // A table that cannot be traced was reported as a difference.
        Err(error) if report.wrong > 0 => report.differ(
            usize::MAX,
            Difference::Table(TableDifference {
                sentence: "not all probe packets could be judged".to_owned(),
                kernel: error.to_string(),
            }),
        ),
        result => result?,
    }
    Ok(report)
}

/// The interfaces of workloads whose packets pass by what the table says of them.
fn passed_by(
    snapshot: &Snapshot,
    host: &Host,
    machine: &Machine,
    governed: &[GovernedInterface],
    most: usize,
    report: &mut Report,
) {
    let settings = snapshot.settings(&host.node);
    for one in governed.iter().filter(|one| one.workload) {
        let exists = host.links.iter().any(|link| link.name == one.interface);
        let why = machine.passes_by(&one.interface, |name| settings.is_workload_interface(name));
        if let Some(kernel) = why.filter(|_| exists) {
            let sentence = format!("{one} does not judge all of its packets: {kernel}");
            report.differ(most, Difference::Table(TableDifference { sentence, kernel }));
        }
    }
}

/// Compares the table with the desired state of the snapshot.
fn compare_table(
    snapshot: &Snapshot,
    host: &Host,
    options: &TableOptions,
    inventory: &Inventory,
    most: usize,
    report: &mut Report,
) {
    let Some(table) = &inventory.table else { return };
    let state = desired::desired(snapshot, host);
    let mut compared = desired::against(&state, options, &read_back(table), MAX_DIFFERENCES.max(most));
    // Objects that cannot be decoded are reported as such.
    let kept = compared.differences.len();
    compared.differences.retain(|difference| match &difference.kind {
        DifferenceKind::ChainMissing { chain, .. } => !inventory.foreign.iter().any(|one| one.name == *chain),
        DifferenceKind::SetMissing { set } => !inventory.foreign.iter().any(|one| one.name == set.name),
        _ => true,
    });
    let sentences = Names::new(snapshot, &state).sentences(&compared.differences);
    report.compared = compared.compared;
    report.wrong += compared.different - kept;
    for (sentence, kernel) in sentences {
        report.differ(most, Difference::Table(TableDifference { sentence, kernel }));
    }
}

/// Judges the probe packets.
fn judge_probes(
    snapshot: &Snapshot,
    host: &Host,
    ruleset: Result<Ruleset, LoadError>,
    governed: &[GovernedInterface],
    most: usize,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let ruleset = ruleset?;
    let room = report.differences.len() + most;
    for endpoint in governed {
        let Probes { packets, rules, probed, comparisons } = probes::probes(snapshot, host, endpoint);
        report.coverage.rules += rules;
        report.coverage.probed += probed;
        report.coverage.comparisons += comparisons;
        for packet in packets {
            let traced = trace(&ruleset, host, &packet)?;
            report.probes += 1;
            let verdict = decide(snapshot, host, &packet);
            let in_force = Answer::new(verdict.allowed, verdict.rejected);
            let kernel = Answer::new(traced.allowed, traced.rejected);
            if in_force != kernel {
                let (endpoint, trace) = (endpoint.to_string(), traced.rules);
                report.differ(room, Difference::Probe(Misjudged { endpoint, packet, in_force, kernel, trace }));
            }
        }
    }
    Ok(())
}
