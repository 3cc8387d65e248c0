//! Sends denied packets to the clients that watch them.
//!
//! For the first watcher, the dataplane begins to log denied packets to an nflog group, and a thread reads them; when the last
//! watcher is gone, both end. So denied packets have no extra cost while nobody watches. The kernel limits how many a rule logs,
//! and this module how many are sent.

mod naming;
mod packet;

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use tortie_api::error_with_causes;
use tortie_dataplane_nft::DENIED_SEPARATOR;
use tortie_nft::nflog::{Listener, Logged};
use tortie_nft::{Hook, RequestError};

use self::naming::DenialPoint;
use self::packet::Packet;
use crate::dataplane_thread::{SharedDataplane, lock};
use crate::log_event;
use crate::supervisor::{self, Lifetime};
use crate::utc;
use crate::watch_events::{Denial, WatchEvent};

/// The nflog groups that are tried; another program may listen to one.
const GROUPS: std::ops::Range<u16> = 5600..5616;
/// How many bytes of a packet are read: its headers.
const BYTES: u32 = 256;
/// How many bytes of logged packets may wait to be read.
const BUFFER_BYTES: usize = 1 << 20;
/// How many events may wait for a watcher.
const QUEUE_LENGTH: usize = 1024;
/// How many packets are sent in a second.
const MAX_PER_SECOND: u64 = 200;
/// How often [`WatchEvent::Alive`] is sent.
const BEAT: Duration = Duration::from_secs(1);
/// How long to wait for packets before checking whether watchers remain.
const WATCHER_CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The clients that watch denied packets.
pub(crate) struct Denials {
    dataplane: SharedDataplane,
    watchers: Mutex<Watchers>,
}

#[derive(Default)]
struct Watchers {
    all: Vec<SyncSender<WatchEvent>>,
    /// The group that packets are logged to and read from.
    group: Option<u16>,
}

impl Denials {
    /// Begins without watchers.
    pub(crate) fn new(dataplane: SharedDataplane) -> Self {
        Self { dataplane, watchers: Mutex::default() }
    }

    /// Adds a watcher, which receives the packets that are denied from now on.
    pub(crate) fn watch(self: &Arc<Self>) -> Result<Receiver<WatchEvent>, String> {
        let mut watchers = self.watchers();
        if watchers.group.is_none() {
            let (group, listener) = open()?;
            lock(&self.dataplane).log_denied(Some(group))?;
            log::info!(target: log_event::DENIALS_WATCHED, "denied packets are logged to nflog group {group}, because somebody watches them");
            let denials = self.clone();
            let started = supervisor::start("denials", Lifetime::UntilDone, move || denials.read(listener));
            if let Err(error) = started {
                self.log_no_more();
                return Err(format!("cannot start a thread: {error}"));
            }
            watchers.group = Some(group);
        }
        let (send, receive) = sync_channel(QUEUE_LENGTH);
        watchers.all.push(send);
        Ok(receive)
    }

    /// The nflog group that denied packets are logged to; none while nobody watches.
    pub(crate) fn group(&self) -> Option<u16> {
        self.watchers().group
    }

    /// Removes all watchers, because the agent ends.
    pub(crate) fn end(&self) {
        let mut watchers = self.watchers();
        watchers.all.clear();
        if watchers.group.take().is_some() {
            self.log_no_more();
        }
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_no_more(&self) {
        match lock(&self.dataplane).log_denied(None) {
            Ok(()) => log::info!(target: log_event::DENIALS_UNWATCHED, "denied packets are not logged any more"),
            Err(reason) => {
                log::warn!(target: log_event::DENIALS_UNWATCHED, "denied packets are still logged: {reason}")
            }
        }
    }

    /// Reads packets until nobody watches.
    fn read(&self, mut listener: Listener) {
        let (mut second, mut count, mut hidden) = (Instant::now(), 0, 0);
        loop {
            let mut events = Vec::new();
            let mut packets = Vec::new();
            let lost = listener.read(WATCHER_CHECK_INTERVAL, |packet| packets.push(packet));
            for packet in packets {
                count += 1;
                if count > MAX_PER_SECOND {
                    hidden += 1;
                } else {
                    events.extend(self.denial(&packet).map(|denial| WatchEvent::Denied(Box::new(denial))));
                }
            }
            match lost {
                Ok(false) => {}
                Ok(true) => events.push(WatchEvent::NotShown { packets: None }),
                Err(error) => {
                    log::debug!(target: log_event::DENIAL_UNREADABLE, "a denied packet could not be read: {}", error_with_causes(&error))
                }
            }
            if second.elapsed() >= BEAT {
                events.push(if hidden > 0 {
                    WatchEvent::NotShown { packets: Some(hidden) }
                } else {
                    WatchEvent::Alive
                });
                (second, count, hidden) = (Instant::now(), 0, 0);
            }
            let mut watchers = self.watchers();
            for event in events {
                // A watcher that reads too slowly misses events; one that is gone is removed.
                watchers.all.retain(|one| !matches!(one.try_send(event.clone()), Err(TrySendError::Disconnected(_))));
            }
            if watchers.group.is_none() {
                return;
            }
            if watchers.all.is_empty() {
                watchers.group = None;
                // Before the next watcher comes, which turns it on again.
                return self.log_no_more();
            }
        }
    }

    fn denial(&self, logged: &Logged) -> Option<Denial> {
        let packet = Packet::read(&logged.bytes)?;
        let (tag, comment) = logged.prefix.split_once(DENIED_SEPARATOR)?;
        let [in_name, out_name] = [logged.in_index, logged.out_index].map(interface);
        let at = DenialPoint { hook: logged.hook, in_name: &in_name, out_name: &out_name };
        let named = naming::name(tag, comment, at, lock(&self.dataplane).state());
        let state = comment.starts_with("invalid").then_some("invalid");
        let own = matches!(logged.hook, Some(Hook::Output | Hook::Postrouting));
        Some(Denial {
            time: utc::now(),
            explain: explain(&packet, if own { "" } else { &in_name }, &out_name, state),
            endpoint: named.endpoint,
            direction: named.direction.map(|direction| direction.to_string()),
            tier: named.tier,
            policy: named.policy,
            rule: named.rule,
            by: named.by,
            in_interface: Some(in_name).filter(|name| !name.is_empty()),
            out_interface: Some(out_name).filter(|name| !name.is_empty()),
            protocol: protocol(packet.protocol),
            source: packet.source,
            source_port: packet.ports.map(|(source, _)| source),
            destination: packet.destination,
            destination_port: packet.ports.map(|(_, destination)| destination),
            icmp_type: packet.icmp.map(|(kind, _)| kind),
            icmp_code: packet.icmp.map(|(_, code)| code),
            is_non_first_fragment: packet.is_non_first_fragment,
        })
    }
}

/// Listens to the first group that no other program uses.
fn open() -> Result<(u16, Listener), String> {
    let mut refused: Option<RequestError> = None;
    for group in GROUPS {
        match Listener::open(group, BYTES, BUFFER_BYTES) {
            Ok(listener) => return Ok((group, listener)),
            Err(error) if Listener::is_taken(&error) => refused = Some(error),
            Err(error) => return Err(error_with_causes(&error)),
        }
    }
    Err(refused.map(|error| error_with_causes(&error)).unwrap_or_default())
}

/// The name of an interface; empty for index 0, and its index if it does not exist any more.
fn interface(index: u32) -> String {
    if index == 0 {
        return String::new();
    }
    let name =
        socket(AddressFamily::INET, SocketType::DGRAM, None).and_then(|any| netdevice::index_to_name(any, index));
    name.unwrap_or_else(|_| index.to_string())
}

/// The name of a protocol, or its number if `explain` does not know the name.
fn protocol(number: u8) -> String {
    let name = match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        _ => return number.to_string(),
    };
    name.to_owned()
}

/// The command that explains a packet's denial; none for a non-first fragment, which `explain` cannot be asked about.
fn explain(packet: &Packet, in_interface: &str, out_interface: &str, state: Option<&str>) -> Option<String> {
    if packet.is_non_first_fragment {
        return None;
    }
    let name = protocol(packet.protocol);
    let (what, source_port) = match (packet.ports, packet.icmp) {
        (Some((source, destination)), _) if name != packet.protocol.to_string() => {
            (format!("{name}/{destination}"), Some(source))
        }
        (_, Some((kind, code))) => (format!("{name}/{kind}/{code}"), None),
        _ => (format!("proto/{}", packet.protocol), None),
    };
    let mut command = format!("tortie explain {} {} {what}", packet.source, packet.destination);
    if let Some(port) = source_port {
        command += &format!(" --source-port {port}");
    }
    for (flag, interface) in [("in", in_interface), ("out", out_interface)] {
        if !interface.is_empty() {
            command += &format!(" --{flag}-interface {interface}");
        }
    }
    if let Some(state) = state {
        command += &format!(" --state {state}");
    }
    Some(command)
}
