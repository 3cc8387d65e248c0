//! The watch for damage: what others do to our table, noticed beside the path of changes.
//!
//! ```text
//!   notifications ──> suspects ──read, hashed, compared with `programmed`──> damage ──> Kernel::repair_damage
//! ```
//!
//! Where the table is not owned, each commit of others names the objects that it changed. Commits that touch other tables
//! cost their notifications and nothing more. What is named in our table is read, that alone, and compared by hash. When
//! notifications were lost everything is read, chain by chain and set by set. Nothing here waits for the agent's
//! changes, or makes them wait: an object that a change is about is looked at after it.
//!
//! Where the table is owned it can only be missing, so a look at the generation id and the tables' names is enough.

mod scan;

use std::io;
use std::time::Duration;

use tortie_nft::monitor::{Changed, Monitor, Notice};
use tortie_nft::{RequestError, Socket, Subscription, TableId, dump};

use crate::damage::Damage;
use crate::faults::is_on;
use crate::programmed::Shared;

use scan::Reader;

/// The most bytes of notifications that wait to be read.
const BUFFER_BYTES: usize = 16 << 20;
/// The most objects that are looked at one by one; more is everything.
const MAX_SUSPECTS: usize = 1024;
/// How soon what could not be compared is looked at again.
const RECHECK_DELAY: Duration = Duration::from_millis(5);

/// Counts of what a watch has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchStatistics {
    /// Notifications of others' commits.
    pub notices: usize,
    /// Times that everything was read.
    pub scans: usize,
    /// Chains read.
    pub chains: usize,
    /// Sets read.
    pub sets: usize,
    /// Bytes of rules and elements read.
    pub bytes: usize,
}

/// Watches one table. It has sockets of its own and can go to a thread of its own.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    id: TableId,
    programmed: Shared,
    /// None where the table is owned.
    monitor: Option<Listener>,
    /// The generation at which an owned table was there.
    generation: Option<u32>,
    suspects: Damage,
    looked: WatchStatistics,
}

#[derive(Debug)]
struct Listener {
    monitor: Monitor,
    /// The address of the socket that commits our changes.
    own: u32,
}

impl Watch {
    /// A watch in the calling thread's network namespace. `own` is the address of the socket that commits our changes, where the
    /// table is not owned.
    pub(crate) fn open(id: TableId, programmed: Shared, own: Option<u32>) -> io::Result<(Self, Option<Subscription>)> {
        let monitor =
            own.map(|own| Monitor::open(BUFFER_BYTES).map(|monitor| Listener { monitor, own })).transpose()?;
        let subscription = monitor.as_ref().map(|listener| listener.monitor.subscription());
        let socket = Socket::open()?;
        let (suspects, looked) = (Damage::default(), WatchStatistics::default());
        Ok((Self { socket, id, programmed, monitor, generation: None, suspects, looked }, subscription))
    }

    /// How much it has done so far.
    pub fn statistics(&self) -> WatchStatistics {
        self.looked
    }

    /// Waits for commits of others, for at most this long, and says what they damaged.
    pub fn wait_for_damage(&mut self, most: Duration) -> Result<Damage, RequestError> {
        let Some(listener) = &mut self.monitor else {
            std::thread::sleep(most);
            return self.look_for_table();
        };
        let most = if self.suspects.is_empty() { most } else { most.min(RECHECK_DELAY) };
        listener.monitor.wait(most).map_err(RequestError::Io)?;
        self.listen()?;
        let mut programmed = self.programmed.lock();
        if !programmed.is_some {
            programmed.missed = false;
            self.suspects = Damage::default();
            return Ok(Damage::default());
        }
        self.suspects.whole |= std::mem::take(&mut programmed.missed);
        drop(programmed);
        self.compare()
    }

    /// Whether something is still to be compared.
    pub fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Looks at everything the next time: what was found could not be repaired.
    pub fn recheck_all(&mut self) {
        self.programmed.lock().missed = true;
        self.generation = None;
    }

    /// An owned table can only be missing.
    fn look_for_table(&mut self) -> Result<Damage, RequestError> {
        if !self.programmed.lock().is_some {
            return Ok(Damage::default());
        }
        let step = self.programmed.lock().at();
        let generation = self.socket.generation()?;
        if self.generation == Some(generation) {
            return Ok(Damage::default());
        }
        let intact = owned_exists(&mut self.socket, &self.id)?;
        if step.1 || self.programmed.lock().at() != step {
            return Ok(Damage::default());
        }
        self.generation = intact.then_some(generation);
        Ok(if intact { Damage::default() } else { Damage::everything() })
    }

    /// Reads the notifications that wait.
    fn listen(&mut self) -> Result<(), RequestError> {
        let Some(Listener { monitor, own }) = &mut self.monitor else { return Ok(()) };
        let (suspects, looked) = (&mut self.suspects, &mut self.looked);
        while monitor.read(&self.id, *own, |notice| {
            looked.notices += 1;
            match notice {
                Notice::Commit | Notice::Elsewhere => {}
                Notice::Changed(Changed::Elements(..)) if is_on("element-notices-ignored") => {}
                Notice::Lost => suspects.whole = true,
                Notice::Changed(_) if suspects.len() >= MAX_SUSPECTS => suspects.whole = true,
                Notice::Changed(changed) => suspect(suspects, changed),
            }
        })? {}
        Ok(())
    }

    /// Compares what is suspected. What could not be compared stays suspected, and what is damaged as well, so that it is
    /// compared again once it was repaired.
    fn compare(&mut self) -> Result<Damage, RequestError> {
        if self.suspects.is_empty() {
            return Ok(Damage::default());
        }
        let mut suspects = std::mem::take(&mut self.suspects);
        let mut reader = Reader::new(&mut self.socket, &self.id, &self.programmed, &mut self.looked);
        let (damage, again) = match reader.compare(&suspects) {
            Ok(both) => both,
            Err(error) => {
                suspects.whole = true;
                self.suspects = suspects;
                return Err(error);
            }
        };
        // What others did to a set while it was read is among the notifications by now.
        self.listen()?;
        self.suspects.extend(again);
        self.suspects.extend(Damage { elements: Default::default(), ..damage.clone() });
        Ok(damage)
    }
}

fn suspect(suspects: &mut Damage, changed: Changed) {
    match changed {
        Changed::Table => suspects.table = true,
        Changed::Chain(name) => drop(suspects.chains.insert(name)),
        Changed::Set(name) => drop(suspects.sets.insert(name)),
        Changed::Elements(name, keys) => suspects.elements.entry(name).or_default().extend(keys),
    }
}

/// Whether a table of ours exists, is owned and in action.
pub(crate) fn owned_exists(socket: &mut Socket, id: &TableId) -> Result<bool, RequestError> {
    let tables = dump::tables(socket, |name| name == id.name)?;
    Ok(tables.iter().any(|table| table.id == *id && table.owner && !table.dormant))
}

/// Compares everything with what was programmed, for who needs to know now and holds the agent's own socket.
pub(crate) fn everything(socket: &mut Socket, id: &TableId, programmed: &Shared) -> Result<Damage, RequestError> {
    let mut looked = WatchStatistics::default();
    Ok(Reader::new(socket, id, programmed, &mut looked).compare(&Damage::everything())?.0)
}
