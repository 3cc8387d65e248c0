//! [`NodeDataplane`]: what the agent needs of a dataplane. The kernel implements it, and a fake for tests.

use std::time::Duration;

use tortie_api::error_with_causes;
#[cfg(test)]
use tortie_dataplane::Fake;
use tortie_dataplane::{Dataplane, Delta, Place, State};
use tortie_dataplane_nft::{ApplyError, Bits, Damage, Existing, Kernel, Refused, TableOptions, TooFewBits, Watch};
use tortie_hostnet::{EnterReport, enter_open_connections};
use tortie_nft::RequestError;
use tortie_nft::probe::Feature;

#[cfg(test)]
use crate::connection_tracking;

/// For tests: with this environment variable the tables have no owner, as on kernels before 6.9, so other programs may change them.
const UNOWNED: &str = "TORTIE_TEST_UNOWNED";

/// A dataplane that an agent drives.
pub trait NodeDataplane: Send {
    /// A description for `status`.
    fn name(&self) -> String;

    /// Called once at the start. What an earlier agent left stays unchanged. Returns a description of what was found.
    fn adopt(&mut self) -> Result<String, String>;

    /// Applies a delta as a whole, or not at all.
    fn apply(&mut self, delta: &Delta) -> Result<(), String>;

    /// Replaces everything with this state, or changes nothing.
    fn replace(&mut self, state: State) -> Result<(), String>;

    /// The state that is enforced.
    fn state(&self) -> &State;

    /// Objects that the kernel refused (quarantined), each with the reason.
    fn refused(&self) -> Vec<(String, String)>;

    /// Whether a host endpoint is enforced, by this agent or by an earlier one.
    fn has_host_endpoints(&mut self) -> Result<bool, String>;

    /// Enters the open connections of this machine into connection tracking, so that the first host endpoint does not cut them.
    fn enter_open_connections(&mut self) -> Result<EnterReport, String>;

    /// Watches the table for changes by other programs; none if the kernel prevents such changes.
    fn watch(&mut self) -> Result<Option<Box<dyn DamageWatch>>, String>;

    /// Repairs the damage that a watch found.
    fn repair_damage(&mut self, damage: &Damage) -> Result<(), String>;

    /// Switches to the bits of another mark mask, in one transaction.
    fn set_mark_mask(&mut self, mask: u32) -> Result<(), String>;

    /// Logs denied packets to this nflog group; without a group, logs none.
    fn log_denied(&mut self, group: Option<u16>) -> Result<(), String>;

    /// Switches enforcement off, so that no packet is judged, or on again: in one step, or not at all.
    fn set_off(&mut self, off: bool) -> Result<(), String>;

    /// Removes everything that tortie has in the kernel.
    fn remove(&mut self) -> Result<(), String>;
}

/// A watch for changes that other programs make to the table.
pub trait DamageWatch: Send {
    /// Waits for a change for at most this long. Returns what is damaged.
    fn wait_for_damage(&mut self, most: Duration) -> Result<Damage, String>;

    /// Makes the next [`DamageWatch::wait_for_damage`] compare the whole table.
    fn recheck_all(&mut self);
}

impl DamageWatch for Watch {
    fn wait_for_damage(&mut self, most: Duration) -> Result<Damage, String> {
        Watch::wait_for_damage(self, most).map_err(|error| error_with_causes(&error))
    }

    fn recheck_all(&mut self) {
        Watch::recheck_all(self);
    }
}

/// The error of a kernel without netlink sockets of netfilter.
const NO_PROTOCOL: i32 = rustix::io::Errno::PROTONOSUPPORT.raw_os_error();

/// Why the kernel cannot be a dataplane.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel cannot be asked.
    #[error("cannot ask the kernel for its tables (the agent needs CAP_NET_ADMIN)")]
    Kernel(#[source] ApplyError),
    /// The kernel has no nf_tables at all.
    #[error(
        "this kernel has no nf_tables for IPv4 and IPv6: load the module nf_tables, or use a kernel that was built with \
         CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
    )]
    NoTables,
    /// The kernel is too old, or was built without a feature.
    #[error("this kernel lacks what is needed: {0}")]
    Lacks(String),
    /// The mark mask has too few bits.
    #[error("the setting of the mark mask cannot be used")]
    Mask(#[from] TooFewBits),
}

/// Opens the nftables dataplane, if the kernel has every feature that it needs. `priority_shift` is added to the priority of every base
/// chain.
pub(crate) fn open(mask: u32, priority_shift: i32) -> Result<Kernel, OpenError> {
    let open = if std::env::var_os(UNOWNED).is_some() { Kernel::open_unowned } else { Kernel::open };
    let mut kernel = open(table_options(mask, priority_shift, None)?).map_err(OpenError::of)?;
    let missing = kernel.missing().map_err(OpenError::Kernel)?;
    lacking(&missing).map_or(Ok(kernel), Err)
}

/// The options of the table, as the agent programs it and `verify` expects it.
pub(crate) fn table_options(
    mask: u32,
    priority_shift: i32,
    denied_group: Option<u16>,
) -> Result<TableOptions, TooFewBits> {
    Ok(TableOptions { bits: Bits::from_mask(mask)?, priority_shift, denied_group, ..TableOptions::default() })
}

impl OpenError {
    /// A kernel without netfilter's sockets has no nf_tables.
    fn of(error: ApplyError) -> Self {
        match &error {
            ApplyError::Request(RequestError::Io(cause)) if cause.raw_os_error() == Some(NO_PROTOCOL) => Self::NoTables,
            _ => Self::Kernel(error),
        }
    }
}

/// The error if features are missing without which nothing can be enforced. Features that only some rules and endpoints need are
/// ignored: those are quarantined, with the name of the feature.
fn lacking(missing: &[Feature]) -> Option<OpenError> {
    if missing.contains(&Feature::Tables) {
        return Some(OpenError::NoTables);
    }
    let is_needed = |feature: &&Feature| {
        !matches!(feature, Feature::Owner | Feature::Persist | Feature::Limit | Feature::Connlimit | Feature::LogGroup)
    };
    let needed: Vec<&str> = missing.iter().filter(is_needed).map(|feature| name(*feature)).collect();
    (!needed.is_empty()).then(|| OpenError::Lacks(needed.join(", ")))
}

/// A feature of the kernel, in the terms of nftables.
fn name(feature: Feature) -> &'static str {
    match feature {
        Feature::Tables => "nf_tables",
        Feature::Owner => "tables with an owner",
        Feature::Persist => "owned tables that outlive their owner",
        Feature::ConcatenatedRanges => "ranges in concatenations",
        Feature::CatchAll => "catch-all set elements",
        Feature::ElementCounters => "counters in set elements",
        Feature::Conntrack => "connection tracking (ct)",
        Feature::Notrack => "notrack",
        Feature::Fib => "fib",
        Feature::Limit => "limit",
        Feature::Connlimit => "ct count",
        Feature::LogGroup => "log",
        Feature::Reject => "reject",
        Feature::Nat => "dnat",
        Feature::Masquerade => "masquerade",
    }
}

impl NodeDataplane for Kernel {
    fn name(&self) -> String {
        let owned = if self.is_owner() { "owned" } else { "watched for changes by other programs" };
        format!("nftables, table inet tortie, {owned}")
    }

    fn adopt(&mut self) -> Result<String, String> {
        let found = Kernel::adopt(self).map_err(|error| error_with_causes(&error))?;
        Ok(match found {
            Existing::Nothing => "nothing is enforced yet: the kernel had no table of tortie".to_owned(),
            Existing::Table => {
                "the table of an earlier agent stays in force until the store was read completely".to_owned()
            }
        })
    }

    fn apply(&mut self, delta: &Delta) -> Result<(), String> {
        Dataplane::apply(self, delta).map_err(|error| error_with_causes(&error))
    }

    fn replace(&mut self, state: State) -> Result<(), String> {
        Kernel::replace(self, state).map_err(|error| error_with_causes(&error))
    }

    fn state(&self) -> &State {
        Kernel::state(self)
    }

    fn refused(&self) -> Vec<(String, String)> {
        let name = |refused: &Refused| match refused {
            Refused::Rules(id) => id.to_string(),
            Refused::Set(id) => format!("the set {}", id.as_str()),
            Refused::Endpoint(Place::Workload(name) | Place::Host(name)) => format!("the endpoint on {name}"),
            Refused::Endpoint(Place::AnyHost) => "the endpoint on *".to_owned(),
        };
        Kernel::refused(self).iter().map(|(refused, reason)| (name(refused), reason.clone())).collect()
    }

    fn has_host_endpoints(&mut self) -> Result<bool, String> {
        Kernel::has_host_endpoints(self).map_err(|error| error_with_causes(&error))
    }

    fn enter_open_connections(&mut self) -> Result<EnterReport, String> {
        enter_open_connections().map_err(|error| error_with_causes(&error))
    }

    fn watch(&mut self) -> Result<Option<Box<dyn DamageWatch>>, String> {
        Ok(Some(Box::new(Kernel::watch(self).map_err(|error| error_with_causes(&error))?)))
    }

    fn repair_damage(&mut self, damage: &Damage) -> Result<(), String> {
        Kernel::repair_damage(self, damage).map_err(|error| error_with_causes(&error))
    }

    fn set_mark_mask(&mut self, mask: u32) -> Result<(), String> {
        let TableOptions { priority_shift, denied_group, .. } = *Kernel::options(self);
        let options = table_options(mask, priority_shift, denied_group).map_err(|error| error.to_string())?;
        Kernel::set_options(self, options).map_err(|error| error_with_causes(&error))
    }

    fn log_denied(&mut self, group: Option<u16>) -> Result<(), String> {
        Kernel::log_denied(self, group).map_err(|error| error_with_causes(&error))
    }

    fn set_off(&mut self, off: bool) -> Result<(), String> {
        Kernel::set_off(self, off).map_err(|error| error_with_causes(&error))
    }

    fn remove(&mut self) -> Result<(), String> {
        Kernel::remove(self).map(drop).map_err(|error| error_with_causes(&error))
    }
}

#[cfg(test)]
impl NodeDataplane for Fake {
    fn name(&self) -> String {
        "a fake without a kernel".to_owned()
    }

    fn adopt(&mut self) -> Result<String, String> {
        Ok("nothing to adopt".to_owned())
    }

    fn apply(&mut self, delta: &Delta) -> Result<(), String> {
        Dataplane::apply(self, delta).map_err(|error| error_with_causes(&error))
    }

    fn replace(&mut self, state: State) -> Result<(), String> {
        self.state = state;
        Ok(())
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn refused(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn has_host_endpoints(&mut self) -> Result<bool, String> {
        Ok(connection_tracking::names_host_endpoints(self.state.endpoints.keys()))
    }

    fn enter_open_connections(&mut self) -> Result<EnterReport, String> {
        Ok(EnterReport::default())
    }

    fn watch(&mut self) -> Result<Option<Box<dyn DamageWatch>>, String> {
        Ok(None)
    }

    fn repair_damage(&mut self, _: &Damage) -> Result<(), String> {
        Ok(())
    }

    fn set_mark_mask(&mut self, _: u32) -> Result<(), String> {
        Ok(())
    }

    fn log_denied(&mut self, _: Option<u16>) -> Result<(), String> {
        Err("a fake has no packets".to_owned())
    }

    fn set_off(&mut self, _: bool) -> Result<(), String> {
        Ok(())
    }

    fn remove(&mut self) -> Result<(), String> {
        self.state = State::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lacks_is_named_once_and_only_where_nothing_works_without_it() {
        let told = |missing: &[Feature]| lacking(missing).map(|error| error.to_string()).unwrap_or_default();
        assert!(told(Feature::ALL).starts_with("this kernel has no nf_tables for IPv4 and IPv6: load the module"));
        assert_eq!(
            told(&[Feature::CatchAll, Feature::Fib]),
            "this kernel lacks what is needed: catch-all set elements, fib"
        );
        // Others may change the table, and what asks for a limit is quarantined.
        let without = [Feature::Owner, Feature::Persist, Feature::Limit, Feature::Connlimit, Feature::LogGroup];
        assert_eq!(told(&without), "");
        let unsupported = std::io::Error::from_raw_os_error(NO_PROTOCOL);
        let error = OpenError::of(ApplyError::Request(RequestError::Io(unsupported)));
        assert!(matches!(error, OpenError::NoTables), "{error}");
    }
}
