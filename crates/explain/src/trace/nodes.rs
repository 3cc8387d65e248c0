//! The nodes that a packet passes, in order.

use tortie_policy::Family;

use crate::interfaces::ASSUMED;
use crate::question::{AskError, EndSpec, Question};
use crate::topology::{Location, Topology};

/// The nodes that a packet passes, in order.
pub(super) struct Nodes {
    pub(super) nodes: Vec<String>,
    /// The named node, where neither end is on it.
    pub(super) passed: Option<String>,
    /// Which of them translates the destination.
    pub(super) translator: Option<usize>,
}

impl Nodes {
    /// The node of the source, the named node, and the nodes of the target and of what it is translated to. The target's node
    /// translates; where the target is nobody's, the source's node, else the named node, else that of the new destination.
    pub(super) fn new(
        topology: &Topology<'_>,
        question: &Question,
        [from, to, end]: [&Location; 3],
        is_translated: bool,
        family: Family,
        assumed: &mut Vec<String>,
    ) -> Result<Nodes, AskError> {
        let named = question.node.as_deref();
        // The target's node is passed where it translates the packet to another's.
        let is_of_end = |node: &&str| [from.node(), end.node()].contains(&Some(node));
        let known = question.translated_on.as_deref();
        let translator = known.or(to.node()).or(from.node()).or(named).or(end.node()).filter(|_| is_translated);
        let others = translator.filter(|node| Some(*node) != from.node());
        // Packets between two ends on one node do not leave it.
        let stays = from.node().is_some() && from.node() == end.node() && others.is_none();
        let passed = named.filter(|node| !is_of_end(node) && !stays);
        let mut nodes: Vec<String> = Vec::new();
        for node in [from.node(), passed, others, end.node()].into_iter().flatten() {
            if nodes.last().is_none_or(|last| last != node) {
                nodes.push(node.to_owned());
            }
        }
        if nodes.is_empty() {
            return Err(AskError(
                "neither end is on a node that the store knows: name the node that it passes with --node".to_owned(),
            ));
        }
        if let Some(node) = passed.filter(|node| to.node() != Some(*node))
            && let Some(why) = may_be_its_own(topology, question, node, family)
        {
            if nodes.len() == 1 {
                return Err(AskError(format!(
                    "{why}, and so not whether the packet is forwarded: ask on {node} itself, whose agent tells them, set expectedIPs on its host endpoint, or say both --in-interface and --out-interface"
                )));
            }
            // The other end is on a known node, so that the packet crosses this one, unless the end is this one.
            if [from, end].into_iter().any(|one| one.node().is_none()) {
                assumed.push(format!("{ASSUMED}{node} forwards the packet ({why})"));
            }
        }
        let position = |node: &str| nodes.iter().position(|one| one == node);
        let translator = translator.and_then(position);
        Ok(Nodes { passed: passed.map(str::to_owned), translator, nodes })
    }
}

/// What no store knows as anybody's may be the node's own address. Forwarding is taken for granted only where the node's
/// addresses are known, or both interfaces are said.
fn may_be_its_own(topology: &Topology<'_>, question: &Question, node: &str, family: Family) -> Option<String> {
    let said = question.in_interface.is_some() && question.out_interface.is_some();
    let any = |party: &EndSpec| !matches!(party, EndSpec::Address(_));
    if said || any(&question.from) && any(&question.to) {
        return None;
    }
    let own = topology.find(&EndSpec::Node(node.to_owned()), None).ok()?;
    let is_unknown = own.addresses().is_empty() || own.unknown_families().contains(&family);
    is_unknown.then(|| format!("the store knows no {family} address of node {node}"))
}
