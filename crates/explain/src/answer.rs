//! The answer to a question about a packet: its paths, each a hop a node, and what else has to be said of it.

use std::net::SocketAddr;
use std::rc::Rc;

use tortie_eval::{Conntrack, Host, Packet, Verdict};
use tortie_policy::EndpointId;
use tortie_policy::packet::OwnNat;

use crate::replaced_source::ReplacedSource;
use crate::topology::Location;
use crate::translation::TranslatedBy;

/// The packet on one node, and the decision there.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// The node, with its interfaces.
    pub host: Rc<Host>,
    /// The packet as it meets the node.
    pub packet: Packet,
    /// The verdict of the node.
    pub verdict: Verdict,
    /// Why the packet is lost there though no policy denies it: before any policy, so that the path is empty, or behind all of them.
    pub dropped: Option<String>,
    /// What says that the packet is translated, where it is.
    pub translated_by: Option<TranslatedBy>,
    /// What tortie itself translates of it there. Only where reasons were asked for.
    pub own_nat: OwnNat,
    /// The source with which the next node gets it, where `natOutgoing` replaces it.
    pub replaced_source: Option<ReplacedSource>,
    /// A bridge of the node hands it on, and no rules are asked there.
    pub is_bridged: bool,
}

impl Hop {
    /// The endpoints that judge the packet there.
    pub(crate) fn judges(&self) -> impl Iterator<Item = EndpointId> {
        self.verdict.path.iter().filter_map(|step| step.endpoint.clone())
    }

    /// A packet that a node judges, and nothing else is known of it there.
    pub(crate) fn judged(host: Rc<Host>, packet: Packet, verdict: Verdict) -> Self {
        Self {
            host,
            packet,
            verdict,
            dropped: None,
            translated_by: None,
            own_nat: OwnNat::default(),
            replaced_source: None,
            is_bridged: false,
        }
    }

    /// A packet that a node drops before any policy.
    pub(crate) fn dropped(
        host: Rc<Host>,
        packet: Packet,
        why: &str,
        translated_by: Option<TranslatedBy>,
        untracked: bool,
    ) -> Self {
        let verdict = Verdict { allowed: false, rejected: false, untracked, path: Vec::new() };
        Self { dropped: Some(why.to_owned()), translated_by, ..Self::judged(host, packet, verdict) }
    }

    /// A packet that a bridge of the node hands on.
    pub(crate) fn bridged(host: Rc<Host>, packet: Packet) -> Self {
        let verdict = Verdict { allowed: true, rejected: false, untracked: false, path: Vec::new() };
        Self { is_bridged: true, ..Self::judged(host, packet, verdict) }
    }

    /// Whether it is of a connection on this node. Nothing else is translated.
    pub(crate) fn is_tracked(&self) -> bool {
        is_tracked(&self.packet, &self.verdict)
    }

    /// The interface by which it leaves the node, behind any translation.
    pub(crate) fn leaves_by(&self) -> Option<&str> {
        self.packet.leaves_by(self.is_tracked())
    }
}

/// Whether a packet is of a connection where this is the verdict on it.
pub(crate) fn is_tracked(packet: &Packet, verdict: &Verdict) -> bool {
    !verdict.untracked && is_of_connection(packet)
}

/// Whether a packet is of a connection where no policy exempts it from connection tracking.
pub(crate) fn is_of_connection(packet: &Packet) -> bool {
    matches!(packet.tracking(), Conntrack::New | Conntrack::Established)
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Every node on the path, in order, up to the one that denied; of several possible paths the first that is denied.
    pub hops: Vec<Hop>,
    /// Who sends.
    pub from: Location,
    /// To whom, before any translation.
    pub to: Location,
    /// Assumptions, and other remarks on the answer.
    pub notes: Vec<String>,
    /// The paths that are possible where nothing tells which interface the packet uses, if their verdicts differ; else empty.
    pub paths: Vec<PossiblePath>,
    /// What the tables of other programs do with the packet; nothing before somebody looks at them.
    pub others: OtherPrograms,
    /// The service of Kubernetes that the destination is an address of: `service shop/db`.
    pub service: Option<String>,
    /// The endpoints of that service for which this is the answer.
    pub endpoints: Vec<SocketAddr>,
}

/// What the tables of other programs do with a packet, as far as that was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtherPrograms {
    /// Whether those of a machine on the way were looked at.
    pub looked_at: bool,
    /// What drops the packet for certain, though no policy denies it: `table ip filter of another program (chain INPUT, rule 1)`.
    /// Where the packet may take several paths, those that are allowed and on which it is dropped are told with it.
    pub drops: Option<String>,
    /// What translates its destination for certain: `table ip nat of another program (chain DOCKER, rule 1) translates it to 172.17.0.2:5001`.
    pub translates: Option<String>,
    /// The tables that may drop it, where tortie lets it through and none drops it for certain.
    pub may_drop: Vec<String>,
    /// The tables that may translate its destination to another than the answer is for: `table ip nat of another program`.
    pub may_translate: Vec<String>,
    /// The tables that may change it otherwise: they write into it, or hand it to another program.
    pub may_change: Vec<String>,
    /// Why the translation is not followed, so that there is no verdict on the packet that goes on.
    pub unanswered: Option<String>,
    /// The tables that may exempt it from connection tracking, where that makes a difference.
    pub may_exempt: Vec<String>,
    /// The tables that may write the mark bit by which tortie knows that an earlier policy has allowed it, where the verdict depends on that.
    pub may_mark: Vec<String>,
    /// What they do or may do, and what was not looked at.
    pub notes: Vec<String>,
}

/// A path that the packet may take, or several with the same verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct PossiblePath {
    /// `it enters web1 at eth0 or eth1`.
    pub when: String,
    /// Every node on it, as in [`Answer::hops`].
    pub hops: Vec<Hop>,
}

impl Answer {
    /// Whether tortie lets it through on every possible path.
    pub fn allowed(&self) -> bool {
        allowed(&self.hops) && self.paths.iter().all(PossiblePath::allowed)
    }

    /// Whether it arrives on every possible path, as far as was looked: no other program drops it for certain.
    pub fn arrives(&self) -> bool {
        self.allowed() && self.others.drops.is_none() && self.others.unanswered.is_none()
    }

    /// Every node on every possible path.
    pub fn all_hops(&self) -> impl Iterator<Item = &Hop> {
        let single = if self.paths.is_empty() { &self.hops[..] } else { &[] };
        single.iter().chain(self.paths.iter().flat_map(|path| &path.hops))
    }

    /// Whether the packet is judged as a table of another program translates it.
    pub(crate) fn follows_table(&self) -> bool {
        self.all_hops().any(|hop| matches!(hop.translated_by, Some(TranslatedBy::Table(_))))
    }

    /// Says that the translation that was asked about is that of a table of another program.
    pub fn translated_by_table(&mut self, by: &str) {
        self.translated_by(&TranslatedBy::Table(by.to_owned()));
    }

    /// Says what the translation is of that was asked about.
    pub(crate) fn translated_by(&mut self, by: &TranslatedBy) {
        let of_paths = self.paths.iter_mut().flat_map(|path| &mut path.hops);
        for hop in self.hops.iter_mut().chain(of_paths).filter(|hop| hop.translated_by.is_some()) {
            hop.translated_by = Some(by.clone());
        }
    }
}

impl PossiblePath {
    /// Whether it arrives on this path.
    pub fn allowed(&self) -> bool {
        allowed(&self.hops)
    }
}

pub(crate) fn allowed(hops: &[Hop]) -> bool {
    hops.iter().all(|hop| hop.verdict.allowed)
}
