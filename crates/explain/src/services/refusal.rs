//! Answers about packets that a service proxy refuses: they get to the node that would translate them, and no further.

use tortie_eval::Conntrack;

use crate::answer::{Answer, Hop};
use crate::fault;
use crate::text::hops_decided_by;
use crate::topology::Topology;

/// Makes an answer about the packet without a translation one about a packet that a node refuses, and gives whether it refuses one on
/// any path. What a policy denies before stays denied; what is of no new connection there is not refused. Without a node it is the first.
pub(super) fn refuse(topology: &Topology<'_>, answer: &mut Answer, node: Option<&str>, why: &str) -> bool {
    let mut refused = refuse_on_path(&mut answer.hops, node, why);
    for path in &mut answer.paths {
        refused |= refuse_on_path(&mut path.hops, node, why);
    }
    let verdicts: Vec<String> =
        answer.paths.iter().map(|path| hops_decided_by(topology.snapshot(), &path.hops)).collect();
    if verdicts.windows(2).all(|pair| pair[0] == pair[1]) {
        answer.paths.clear();
    }
    refused
}

fn refuse_on_path(hops: &mut Vec<Hop>, node: Option<&str>, why: &str) -> bool {
    let at = hops.iter().position(|hop| node.is_none_or(|node| hop.host.node == node));
    // What does not get to the node is denied at the last hop.
    if !at.map_or(hops.last(), |at| hops.get(at)).is_some_and(begins_connection) {
        return false;
    }
    let Some(at) = at else { return true };
    hops.truncate(at + 1);
    if let Some(hop) = hops.last_mut().filter(|hop| hop.verdict.allowed && !fault("refused-is-untranslated")) {
        hop.verdict.allowed = false;
        hop.dropped = Some(why.to_owned());
    }
    true
}

/// Whether connection tracking has it as a new packet: a service proxy refuses no other (`ctstate NEW`).
fn begins_connection(hop: &Hop) -> bool {
    !hop.verdict.untracked && hop.packet.tracking() == Conntrack::New
}
