//! The dataplane: a desired state kept in the kernel. A change is in force as a whole or not at all.
//!
//! ```text
//!   open ──> adopt ──> replace(State) ──> apply(Delta) ...      beside it: watch ──> repair_damage
//! ```
//!
//! What a previous agent left stays in force until the first change, which replaces it at once, or leaves it as it is where it is
//! what is to be there. After that only what a change touches is sent. Where the kernel lets us own the table nobody else can change it; elsewhere a
//! [`Watch`] notices, and [`Kernel::repair_damage`] puts right what was changed.

mod apply;
mod commit;
mod find_refused;
mod log_denied;
mod off;
mod pieces;
mod quarantine;
mod repair;
mod replace;

use std::collections::BTreeMap;

use tortie_dataplane::{InvalidDelta, Place, RulesId, SetId, State};
use tortie_nft::dump::TableDump;
use tortie_nft::probe::{self, Feature};
use tortie_nft::{
    Batch, Buffers, CommitError, ObjectRef, RequestError, Socket, Subscription, Table, TableId, dump, piecewise,
};

use crate::compare::differences;
use crate::index::Index;
use crate::options::TableOptions;
use crate::programmed::Shared;
use crate::readback::read_back;
use crate::render::whole;
use crate::script::Script;
use crate::set_references::SetReferences;
use crate::skeleton::{self, Plan};
use crate::table_content::TableContent;
use crate::watch::{self, Watch};

use quarantine::Quarantine;
use replace::OurTables;

/// The kernel's table, kept as a desired state says. It works in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
    options: TableOptions,
    table: Table,
    state: State,
    index: Index,
    /// The plan of the state in the kernel; none until it is programmed.
    plan: Option<Plan>,
    quarantine: Quarantine,
    /// The shared sets in the kernel.
    references: SetReferences,
    /// The hashes of what was programmed, for the watch.
    programmed: Shared,
    /// Switches off the watch's notifications.
    subscription: Option<Subscription>,
    sent: TransactionSize,
    refusals: usize,
    /// The kernel is to decide about no packet.
    off: bool,
    /// The kernel has some of the transactions of a change: the next one replaces everything.
    partly: bool,
    /// The table is the one that [`Kernel::adopt`] made, which denies nothing.
    begun: bool,
}

/// The size of a change's transactions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionSize {
    /// Messages: a rule is one, and so are the elements of a set that change together.
    pub messages: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl std::ops::Add for TransactionSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

/// What the kernel had when the dataplane was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// No table. Connection tracking is on from now on, and nothing is denied yet.
    Nothing,
    /// A table that an earlier agent left. It stays in force until the first change.
    Table,
}

/// An object that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A list of rules. Its last accepted version stays, or, if there is none, it is replaced by a denial.
    Rules(RulesId),
    /// A set. Every list that looks in it is replaced by a denial.
    Set(SetId),
    /// An endpoint. Its interface is in no map: a workload's is closed.
    Endpoint(Place),
}

/// Why a change is not in the kernel. Nothing of it is, but for what could not be undone: that is replaced with the next change.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The change does not fit the state. The state is of no use any more; only [`Kernel::replace`] helps.
    #[error("the change does not fit what is there")]
    InvalidDelta(#[from] InvalidDelta),
    /// The kernel's answer to a question.
    #[error("the kernel could not be asked")]
    Request(#[from] RequestError),
    /// Another process holds the table: an agent that runs.
    #[error("table {0} is held by another process")]
    Held(TableId),
    /// The kernel refused, and no object could be quarantined for it.
    #[error("the change is not in the kernel")]
    Commit(#[source] CommitError),
}

impl From<CommitError> for ApplyError {
    fn from(error: CommitError) -> Self {
        match error.cause() {
            Some(cause) if cause.errno == libc::EPERM => match &cause.object {
                ObjectRef::Table(table) | ObjectRef::Chain { table, .. } => Self::Held(table.clone()),
                _ => Self::Commit(error),
            },
            _ => Self::Commit(error),
        }
    }
}

impl Kernel {
    /// Opens the dataplane. Nothing is changed yet.
    pub fn open(options: TableOptions) -> Result<Self, ApplyError> {
        Self::opened(options, Socket::open().map_err(RequestError::Io)?, true)
    }

    /// Opens a dataplane whose table anyone may change, as on kernels before 6.9.
    pub fn open_unowned(options: TableOptions) -> Result<Self, ApplyError> {
        Self::opened(options, Socket::open().map_err(RequestError::Io)?, false)
    }

    /// Opens a dataplane with socket buffers of another size. A table that is longer than one send may be is built in pieces.
    pub fn open_with(options: TableOptions, buffers: Buffers, owned: bool) -> Result<Self, ApplyError> {
        Self::opened(options, Socket::open_with(buffers).map_err(RequestError::Io)?, owned)
    }

    fn opened(options: TableOptions, mut socket: Socket, owned: bool) -> Result<Self, ApplyError> {
        let id = TableId::inet(&options.table);
        let owns = owned && Feature::Persist.is_supported(&mut socket)?;
        let table = if owns { Table::owned(id) } else { Table::new(id) };
        Ok(Self {
            socket,
            options,
            table,
            state: State::default(),
            index: Index::default(),
            plan: None,
            quarantine: Quarantine::default(),
            references: SetReferences::default(),
            programmed: Shared::new(!owns),
            subscription: None,
            sent: TransactionSize::default(),
            refusals: 0,
            off: false,
            partly: false,
            begun: false,
        })
    }

    /// The features that tortie uses and the kernel lacks. Without [`Feature::Owner`] and [`Feature::Persist`] other programs can
    /// change the table; nothing else can be done without.
    pub fn missing(&mut self) -> Result<Vec<Feature>, ApplyError> {
        Ok(probe::missing(&mut self.socket)?)
    }

    /// Takes over the table that an earlier agent left, so that nobody else changes it, or begins one, so that
    /// connections are tracked from now on.
    pub fn adopt(&mut self) -> Result<Existing, ApplyError> {
        let there = dump::tables(&mut self.socket, |name| name == self.options.table)?;
        let there = there.into_iter().find(|table| table.id == self.table.id);
        let mut script = Script::new(&self.table.id);
        match &there {
            // A table that was made without an owner cannot get one.
            Some(table) if self.table.owner && !table.persist => return Ok(Existing::Table),
            Some(_) => drop(script.batch.add_table(&self.table)),
            None => {
                let mut beginning = TableContent::new(self.table.id.clone());
                skeleton::begin(&mut beginning);
                script.replace(&self.table, false, &beginning);
            }
        }
        self.commit(&script)?;
        self.begun = there.is_none();
        Ok(if there.is_some() || self.there()?.second_in_force { Existing::Table } else { Existing::Nothing })
    }

    /// Puts a whole state into the kernel, in place of whatever is there: it comes into force at once, or not at all.
    pub fn replace(&mut self, state: State) -> Result<(), ApplyError> {
        let index = Index::of(&state);
        let before = (
            std::mem::replace(&mut self.state, state),
            std::mem::replace(&mut self.index, index),
            std::mem::take(&mut self.quarantine),
        );
        self.repair().inspect_err(|_| (self.state, self.index, self.quarantine) = before)
    }

    /// Puts everything into the kernel anew. It comes into force at once, also where it takes several transactions (`replace`).
    pub fn repair(&mut self) -> Result<(), ApplyError> {
        loop {
            let there = self.there()?;
            let ruleset = self.ruleset();
            self.programmed.lock().begin_all();
            let is_left = self.is_left(&ruleset, there);
            self.sent = TransactionSize::default();
            let result = if is_left { Ok(()) } else { self.replace_table(&ruleset, there) };
            let mut programmed = self.programmed.lock();
            match &result {
                Ok(()) => programmed.replaced(&ruleset),
                Err(_) => programmed.refused(),
            }
            // Others may have changed it since it was read.
            programmed.missed |= is_left;
            drop(programmed);
            match result {
                Ok(()) => {
                    (self.partly, self.begun) = (false, false);
                    self.references = SetReferences::of(&ruleset);
                    self.plan = Some(Plan::new(&self.state, &self.index));
                    return Ok(());
                }
                Err(CommitError::Refused(errors)) => {
                    let blamed = self.find_refused(None, &errors)?;
                    if blamed.is_empty() {
                        return Err(CommitError::Refused(errors).into());
                    }
                    blamed.into_iter().for_each(|(refused, reason)| self.quarantine.put(refused, reason));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Which of our tables exist.
    fn there(&mut self) -> Result<OurTables, RequestError> {
        let second = replace::second(&self.table.id);
        let names = [&*self.table.id.name, &*second.name];
        let tables = dump::tables(&mut self.socket, |name| names.contains(&name))?;
        let of = |id: &TableId| tables.iter().find(|table| table.id == *id);
        let (own, beside) = (of(&self.table.id), of(&second));
        let mut there = OurTables {
            own: own.is_some(),
            own_as_wanted: own == Some(&self.table),
            second: beside.is_some(),
            second_in_force: false,
        };
        if beside.is_some_and(|table| !table.dormant) {
            let chains = dump::chains(&mut self.socket, &second)?;
            there.second_in_force = chains.iter().any(|chain| chain.base.is_some());
        }
        Ok(there)
    }

    /// How many batches the kernel has refused so far.
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// Removes tortie's tables from the kernel. Fails with [`ApplyError::Held`] while an agent runs that owns them.
    pub fn uninstall(options: &TableOptions) -> Result<Existing, ApplyError> {
        let mut socket = Socket::open().map_err(RequestError::Io)?;
        remove(&mut socket, &TableId::inet(&options.table))
    }

    /// Removes the tables through the dataplane, which owns them. If that fails everything stays unchanged.
    pub fn remove(&mut self) -> Result<Existing, ApplyError> {
        self.programmed.lock().begin_all();
        let found = remove(&mut self.socket, &self.table.id).inspect_err(|_| self.programmed.lock().refused())?;
        self.programmed.lock().removed();
        (self.state, self.index, self.quarantine, self.references) = Default::default();
        self.plan = None;
        Ok(found)
    }

    /// What is enforced, but for what was refused.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether nobody else can change the table.
    pub fn is_owner(&self) -> bool {
        self.table.owner
    }

    /// What the kernel refused, with its reasons.
    pub fn refused(&self) -> &BTreeMap<Refused, String> {
        &self.quarantine.reasons
    }

    /// What the last change was for the kernel; nothing, if it had nothing to do.
    pub fn sent(&self) -> TransactionSize {
        self.sent
    }

    /// The rendered desired state.
    pub fn ruleset(&self) -> TableContent {
        if self.off {
            return off::without_verdicts(&self.state, &self.index, &self.options);
        }
        whole(&self.state, &self.index, &self.options, &self.quarantine.out())
    }

    /// The table in the kernel; none if it does not exist.
    pub fn read(&mut self) -> Result<Option<TableDump>, RequestError> {
        dump::table(&mut self.socket, &self.table.id)
    }

    /// Whether the table in the kernel enforces some host endpoint, of this dataplane or of an earlier one.
    pub fn has_host_endpoints(&mut self) -> Result<bool, RequestError> {
        Ok(piecewise::chain_of(&mut self.socket, &self.table.id, skeleton::base::WITH_HOST_ENDPOINTS)?.is_some())
    }

    /// A watch for damage. It goes to a thread of its own, and what it finds to [`Kernel::repair_damage`].
    pub fn watch(&mut self) -> Result<Watch, ApplyError> {
        let own = if self.table.owner { None } else { Some(self.socket.port().map_err(RequestError::Io)?) };
        let opened = Watch::open(self.table.id.clone(), self.programmed.clone(), own);
        let (watch, subscription) = opened.map_err(RequestError::Io)?;
        self.subscription = subscription;
        Ok(watch)
    }

    /// Whether the kernel has what was put there, now. A table that we own can only be missing; of another everything is
    /// read.
    pub fn is_intact(&mut self) -> Result<bool, RequestError> {
        if self.plan.is_none() {
            return Ok(true);
        }
        if self.table.owner {
            return watch::owned_exists(&mut self.socket, &self.table.id);
        }
        Ok(watch::everything(&mut self.socket, &self.table.id, &self.programmed)?.is_empty())
    }

    /// How the table stands among others.
    pub fn options(&self) -> &TableOptions {
        &self.options
    }

    /// Other mark bits, priorities or places to log to: everything is replaced, or nothing.
    pub fn set_options(&mut self, options: TableOptions) -> Result<(), ApplyError> {
        if options == self.options {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.options, options);
        if self.plan.is_none() {
            return Ok(());
        }
        self.repair().inspect_err(|_| self.options = before)
    }

    /// Where the kernel differs from what was put there; at most `most` places.
    pub fn differences(&mut self, most: usize) -> Result<Vec<String>, RequestError> {
        let wanted = self.ruleset();
        Ok(match self.read()? {
            None => vec![format!("table {} is missing", self.table.id)],
            Some(dump) => differences(&wanted, &read_back(&dump), most),
        })
    }
}

/// Removes a table, and what is left of one that was to take its place.
fn remove(socket: &mut Socket, id: &TableId) -> Result<Existing, ApplyError> {
    let ids = [id.clone(), replace::second(id)];
    let tables = dump::tables(socket, |name| ids.iter().any(|id| id.name == name))?;
    let mut batch = Batch::new();
    for id in ids.iter().filter(|id| tables.iter().any(|table| table.id == **id)) {
        batch.delete_table(id);
    }
    if batch.is_empty() {
        return Ok(Existing::Nothing);
    }
    batch.commit(socket)?;
    Ok(Existing::Table)
}
