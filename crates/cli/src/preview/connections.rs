//! Open connections of this machine that could not be opened again after a change. They go on until they end.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tortie_agent::LocalFacts;
use tortie_eval::{Host, protocol_name};
use tortie_explain::text::decided_by;
use tortie_explain::{Dnat, EndSpec, Question, Topology, TrafficSpec, trace};
use tortie_hostnet::{Tracked, TrackedList, tracked};
use tortie_net::Protocol;

use crate::terminal::counted;

/// More connections than this are not judged.
const MAX_CONNECTIONS: usize = 2_000;

/// The connections this machine has open, as far as somebody may know it.
#[derive(Default)]
pub(crate) struct Open {
    connections: Vec<Tracked>,
    /// Why that is not all.
    pub(crate) note: Option<String>,
}

/// Connections that would be denied as new ones, alike but for their source ports.
pub(crate) struct LostConnections {
    /// `tcp`.
    pub(crate) protocol: String,
    /// Who began them.
    pub(crate) from: IpAddr,
    /// To whom.
    pub(crate) to: SocketAddr,
    /// How many there are.
    pub(crate) count: usize,
    /// `DENIED by ...`.
    pub(crate) why: String,
}

impl fmt::Display for LostConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, from, to, count, why } = self;
        let count = if *count == 1 { String::new() } else { format!(" ({count} connections)") };
        write!(f, "{protocol} {from} -> {to}{count}: {why}")
    }
}

impl Open {
    /// The connections that the kernel tracks. Empty unless the agent of this machine reports its interfaces, without which nothing can be judged.
    pub(crate) fn of_this_machine(local_facts: Option<&LocalFacts>) -> Self {
        if local_facts.is_none() {
            return Self::default();
        }
        let list = match tracked(MAX_CONNECTIONS + 1) {
            Ok(list) => list,
            Err(error) => {
                let note = Some(format!("the open connections of this machine were not looked at: {error}"));
                return Self { connections: Vec::new(), note };
            }
        };
        let TrackedList { mut connections, undirected } = list;
        let is_all = connections.len() + undirected <= MAX_CONNECTIONS;
        connections.truncate(MAX_CONNECTIONS);
        let more = (!is_all).then(|| format!("only {MAX_CONNECTIONS} of the connections of this machine were judged"));
        let unknown = (undirected > 0).then(|| {
            let count = counted(undirected, "open connection");
            format!("{count} of this machine could not be judged: which end began them is not known")
        });
        let notes: Vec<String> = more.into_iter().chain(unknown).collect();
        Self { connections, note: (!notes.is_empty()).then(|| notes.join("; ")) }
    }

    /// The connections that would be allowed as new ones before the change and denied after it.
    pub(super) fn lost(
        &self,
        before: &Topology<'_>,
        after: &Topology<'_>,
        local_facts: &LocalFacts,
    ) -> Vec<LostConnections> {
        let mut found: BTreeMap<(u8, IpAddr, SocketAddr), (usize, String)> = BTreeMap::new();
        let host = local_facts.host();
        for one in &self.connections {
            let question = question(one, &host);
            let Ok(answer) = trace(after, &question) else { continue };
            if answer.allowed() || trace(before, &question).is_ok_and(|answer| !answer.allowed()) {
                continue;
            }
            let why = || (0, decided_by(after.snapshot(), &answer));
            found.entry((one.protocol, one.from.ip(), one.to)).or_insert_with(why).0 += 1;
        }
        let lost = |((protocol, from, to), (count, why)): ((u8, IpAddr, SocketAddr), (usize, String))| {
            LostConnections { protocol: protocol_name(protocol), from, to, count, why }
        };
        found.into_iter().map(lost).collect()
    }
}

/// The question whether a connection could be opened now.
fn question(one: &Tracked, host: &Host) -> Question {
    let is_own = |address: IpAddr| host.links.iter().any(|link| link.addresses.contains(&address));
    let is_through = !is_own(one.from.ip()) && !is_own(one.answers.ip());
    let what = match Protocol::from_number(one.protocol) {
        Ok(protocol) => TrafficSpec::Port(protocol, one.to.port()),
        Err(_) => TrafficSpec::Other(one.protocol),
    };
    Question {
        node: is_through.then(|| host.node.clone()),
        source_port: Some(one.from.port()),
        dnat: match one.answers == one.to {
            true => Dnat::Never,
            false => Dnat::To(one.answers.ip(), Some(one.answers.port())),
        },
        ..Question::new(EndSpec::Address(one.from.ip()), EndSpec::Address(one.to.ip()), what)
    }
}
