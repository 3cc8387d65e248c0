//! Answers about packets that a service proxy refuses: they get to the node that would translate them, and no further.

use crate::fault;
use crate::text::hops_decided_by;
use crate::topology::Topology;
use crate::trace::{Answer, Hop};

/// Makes an answer about the packet without a translation one about a packet that a node refuses. What a policy denies before stays
/// denied. Without a node it is refused on the first.
pub(super) fn refuse(topology: &Topology<'_>, answer: &mut Answer, node: Option<&str>, why: &str) {
    refuse_on_path(&mut answer.hops, node, why);
    answer.paths.iter_mut().for_each(|path| refuse_on_path(&mut path.hops, node, why));
    let verdicts: Vec<String> =
        answer.paths.iter().map(|path| hops_decided_by(topology.snapshot(), &path.hops)).collect();
    if verdicts.windows(2).all(|pair| pair[0] == pair[1]) {
        answer.paths.clear();
    }
}

fn refuse_on_path(hops: &mut Vec<Hop>, node: Option<&str>, why: &str) {
    let at = hops.iter().position(|hop| node.is_none_or(|node| hop.host.node == node));
    let Some(at) = at else { return };
    hops.truncate(at + 1);
    if let Some(hop) = hops.last_mut().filter(|hop| hop.verdict.allowed && !fault("refused-is-untranslated")) {
        hop.verdict.allowed = false;
        hop.dropped = Some(why.to_owned());
    }
}
