//! Entering open connections into connection tracking before the first host endpoint is in force.
//!
//! Policy judges only the first packet of a tracked connection. A connection that began before connection tracking was on
//! would be judged, and mostly denied, at a later packet. So before the first host endpoint is in force, every connection of
//! this machine's sockets is entered into connection tracking. The table that the agent begins with turns tracking on, so
//! no connection can begin unseen meanwhile. Later changes need nothing of the kind: all connections are tracked then.
//!
//! Where host endpoints are in force already, also by an earlier agent, nothing is entered: an administrator may have
//! deleted connections from tracking to end them.

use tortie_api::error_with_causes;
use tortie_dataplane::{Delta, Place};

use crate::dataplane::NodeDataplane;
use crate::log_event;

/// Whether any of these places belongs to a host endpoint.
pub(crate) fn names_host_endpoints<'a>(places: impl IntoIterator<Item = &'a Place>) -> bool {
    places.into_iter().any(|place| matches!(place, Place::Host(_) | Place::AnyHost))
}

/// Whether a change adds host endpoints.
pub(crate) fn brings_host_endpoints(delta: &Delta) -> bool {
    names_host_endpoints(delta.endpoints_put.iter().map(|(place, _)| place))
}

/// Enters open connections into connection tracking if the first host endpoints are about to be in force. A failure is reported and
/// does not prevent that.
pub(crate) fn before_host_endpoints(dataplane: &mut dyn NodeDataplane) {
    if names_host_endpoints(dataplane.state().endpoints.keys()) {
        return;
    }
    let entered = match dataplane.has_host_endpoints() {
        Ok(true) => return,
        Ok(false) => dataplane.enter_open_connections(),
        Err(reason) => Err(reason),
    };
    match entered {
        Ok(entered) => {
            if entered.entered > 0 {
                log::info!(target: log_event::CONNECTIONS_TRACKED, "{} open connections are tracked now, so that the first host endpoint does not cut them",
                    entered.entered
                );
            }
            if let Some(reason) = entered.reason {
                log::warn!(target: log_event::CONNECTIONS_UNTRACKED, "{} open connections could not be tracked; the first host endpoint cuts them unless its policy allows their next packet: {}",
                    entered.failed,
                    error_with_causes(&reason)
                );
            }
        }
        Err(reason) => {
            log::warn!(target: log_event::CONNECTIONS_UNTRACKED, "open connections could not be tracked; the first host endpoint cuts those that are not, unless its policy allows their next packet: {reason}"
            )
        }
    }
}
