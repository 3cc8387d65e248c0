//! Keeps connections open that are older than connection tracking on this host.
//!
//! A host endpoint's policy lets packets of tracked connections through and judges all others as new. A connection that
//! is older than connection tracking on this host, or that has sent nothing since, is not tracked: its next packet would
//! be denied. The kernel knows such a connection all the same when one of its ends is a socket here.
//!
//! Connections that are only forwarded have no socket here, so nothing lists them: those are cut unless the policy allows
//! their next packet.

use tortie_netlink::RequestError;

use crate::conntrack::Conntrack;
use crate::sockets::{SocketProtocol, connections};
use crate::sysctl;

/// The result of entering connections into connection tracking.
#[derive(Debug, Default)]
pub struct EnterReport {
    /// How many are tracked now and were not.
    pub entered: usize,
    /// How many could not be entered.
    pub failed: usize,
    /// Why the first of them could not.
    pub reason: Option<RequestError>,
}

/// Enters the TCP and connected UDP connections of the sockets in this network namespace into connection tracking, as
/// established. Those that are tracked already stay as they are. Connection tracking must be on, so that no connection
/// can begin unseen meanwhile.
pub fn enter_open_connections() -> Result<EnterReport, RequestError> {
    let mut conntrack = Conntrack::open()?;
    // How long the kernel remembers an established connection that sends nothing, in seconds.
    let timeout = |file, usual| sysctl::number(file).unwrap_or(usual);
    let tcp = timeout("netfilter/nf_conntrack_tcp_timeout_established", 432_000);
    let udp = timeout("netfilter/nf_conntrack_udp_timeout_stream", 120);
    let mut all = EnterReport::default();
    for connection in connections()? {
        let timeout = match connection.protocol {
            SocketProtocol::Tcp => tcp,
            SocketProtocol::Udp => udp,
        };
        match conntrack.enter(&connection, timeout) {
            Ok(new) => all.entered += usize::from(new),
            Err(error) => {
                all.failed += 1;
                all.reason.get_or_insert(error);
            }
        }
    }
    Ok(all)
}
