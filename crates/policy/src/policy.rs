//! Policies and tiers: what applies to which endpoints, and in which order.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use tortie_api::Kind;
use tortie_selector::Selector;

use crate::rule::Rule;

/// What names a policy. Ordered as Calico breaks ties between policies of one order: by the text
/// `name/namespace/kind`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for global kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl PolicyId {
    /// The text that decides between policies of one order.
    fn tie_break(&self) -> impl Iterator<Item = u8> {
        [&self.name, "/", &self.namespace, "/", self.kind.name()].into_iter().flat_map(str::bytes)
    }

    /// The short name of the kind: `gnp`, `np`, `sgnp`, `snp`, `sknp`, `knp`, `kcnp`.
    pub fn short_kind(&self) -> &'static str {
        match self.kind {
            Kind::NetworkPolicy => "np",
            Kind::StagedNetworkPolicy => "snp",
            Kind::StagedGlobalNetworkPolicy => "sgnp",
            Kind::StagedKubernetesNetworkPolicy => "sknp",
            Kind::KubernetesNetworkPolicy => "knp",
            Kind::KubernetesClusterNetworkPolicy => "kcnp",
            _ => "gnp",
        }
    }
}

impl Ord for PolicyId {
    fn cmp(&self, other: &Self) -> Ordering {
        // What follows a name counts only where one name is the beginning of the other.
        match self.name.cmp(&other.name) {
            apart if !(self.name.starts_with(&other.name) || other.name.starts_with(&self.name)) => apart,
            _ => self.tie_break().cmp(other.tie_break()),
        }
    }
}

impl PartialOrd for PolicyId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PolicyId {
    /// As operators speak of it: `gnp platform.db`, `np shop/db`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.short_kind(), self.name)
        } else {
            write!(f, "{} {}/{}", self.short_kind(), self.namespace, self.name)
        }
    }
}

/// A place in an order. None comes after every number; a NaN cannot be written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order(pub Option<f64>);

impl Eq for Order {}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Order {
    /// Before every number that can be written.
    pub const FIRST: Order = Order(Some(f64::NEG_INFINITY));
}

/// A tier that exists as a resource. Policies may also name one that does not: it sorts last and denies at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Its place.
    pub order: Order,
    /// What happens to what none of its policies settled.
    pub end: TierEnd,
    /// Its order is unreadable: it comes first, and what its policies allow continues with the other tiers.
    pub asked_first: bool,
}

impl Tier {
    /// The tier of policies whose tier is unreadable. It comes before all others and denies at its end; what its
    /// policies allow continues with the other tiers.
    pub const UNREADABLE: &str = "(unreadable)";
}

/// What the end of a tier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierEnd {
    /// Denies.
    Deny,
    /// Goes on to the next tier, or to the profiles.
    Pass,
}

/// Towards the endpoint or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl Direction {
    /// The field of a policy that has the rules of this direction: `ingress` or `egress`.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The directions that a policy applies to, whether it has rules there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types {
    /// Ingress.
    pub ingress: bool,
    /// Egress.
    pub egress: bool,
}

/// The stage of a host endpoint in which a policy applies; to workloads only [`PolicyStage::Normal`] applies, with either flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyStage {
    /// Before connection tracking (`doNotTrack`).
    Untracked,
    /// Before destination NAT (`preDNAT`).
    PreDnat,
    /// To and from local processes; with `forward` also what is forwarded through (`applyOnForward`).
    Normal {
        /// Also in the forward stage.
        forward: bool,
    },
    /// Unreadable: in every one.
    Unknown,
}

/// A policy, enforced or staged.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What names it.
    pub id: PolicyId,
    /// Its tier; never empty.
    pub tier: String,
    /// Its place in the tier.
    pub order: Order,
    /// The endpoints it applies to: its selector with namespace, namespace and service-account selectors worked in.
    pub selector: Selector,
    /// The selector as written, for people.
    pub written_selector: String,
    /// The directions it speaks about.
    pub types: Types,
    /// Rules towards the endpoint, in order.
    pub ingress: Vec<Rule>,
    /// Rules from the endpoint, in order.
    pub egress: Vec<Rule>,
    /// The stage in which it applies.
    pub stage: PolicyStage,
    /// Shown, never enforced.
    pub staged: bool,
    /// Its sets are wanted on every node (`AssumeNeededOnEveryNode`).
    pub everywhere: bool,
}

impl Policy {
    /// Whether it speaks about a direction.
    pub fn applies_to(&self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.types.ingress,
            Direction::Egress => self.types.egress,
        }
    }

    /// Its rules of a direction; those of a direction that it does not speak about do not count.
    pub fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress if self.types.ingress => &self.ingress,
            Direction::Egress if self.types.egress => &self.egress,
            _ => &[],
        }
    }
}
