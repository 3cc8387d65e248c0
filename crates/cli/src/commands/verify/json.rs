//! What `verify` found, for programs.

use serde_json::{Value, json};
use tortie_verify::{Difference, Misjudged, TableDifference};

use super::Found;
use super::text::sentence;
use crate::foreign_summary::json_by_table;

/// What no verification looks at.
const NOT_LOOKED_AT: [&str; 2] = ["what tables of other programs do with each packet", "use of limits"];

pub(super) fn render(found: &Found) -> Value {
    let Found { off, local_facts, report, by_agent, deviations, not_compared, notes, others } = found;
    let differences: Vec<_> = report
        .differences
        .iter()
        .map(|difference| match difference {
            Difference::Table(TableDifference { sentence, kernel }) => {
                json!({"of": "table", "text": sentence, "kernel": kernel})
            }
            Difference::Probe(Misjudged { endpoint, packet, in_force, kernel, trace }) => json!({
                "of": "packet",
                "endpoint": endpoint,
                "packet": sentence(packet),
                "inForce": in_force.to_string(),
                "kernel": kernel.to_string(),
                "trace": trace,
            }),
        })
        .collect();
    let compared = &report.compared;
    json!({
        "node": local_facts.node,
        "off": off,
        "table": report.table,
        "endpoints": report.endpoints,
        "probes": report.probes,
        "rulesOfEndpoints": report.coverage.rules,
        "rulesProbed": report.coverage.probed,
        "chains": compared.chains,
        "rules": compared.rules,
        "sets": compared.sets,
        "members": compared.elements,
        "inForceBy": if *by_agent { "agent" } else { "store" },
        "notFromStore": deviations,
        "notCompared": not_compared,
        "notes": notes,
        "wrong": report.wrong,
        "differences": differences,
        "notLookedAt": NOT_LOOKED_AT,
        "otherPrograms": match others {
            Ok(tables) => json_by_table(tables),
            Err(reason) => json!({ "unreadable": reason }),
        },
    })
}
