//! A running watch: reads the log from its position, waits for a commit, reads on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tortie_store::{Event, Position, Selection, StoreError, Watch};

use crate::connection::{Connection, Role};
use crate::faults::{self, Fault};
use crate::header::FileId;
use crate::read::{self, Entry};
use crate::sqlite_error::SqliteError;
use crate::store_file::StoreFile;
use crate::wake::{Wake, WakeListener};

/// What a watcher has done, for tests and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How often it asked the file whether something had changed.
    pub looks: u64,
    /// How often it read the log.
    pub reads: u64,
    /// How often a writer's touch woke it.
    pub touches: u64,
    /// How often another event of the store's files woke it.
    pub file_events: u64,
}

/// A watch of the embedded store.
pub struct Watcher {
    place: Arc<StoreFile>,
    selection: Selection,
    /// Everything up to here was given or is in `pending`.
    position: u64,
    /// The entry of the log there, once it was read. Another one in its place is that of another history: a backup was put
    /// into the same file, and written past the position.
    entry: Option<Entry>,
    pending: VecDeque<Event>,
    connection: Option<Connection>,
    /// The file that the position is of; none as long as there is no file.
    file: Option<FileId>,
    /// Whether that file was removed: what comes in its place has another history.
    removed: bool,
    /// The file's data version when the log was last read to its end.
    read_at: Option<i64>,
    /// Set when history is missing: the watch is over.
    over: Option<u64>,
    listener: Option<WakeListener>,
    stats: Stats,
}

impl Watcher {
    pub(crate) fn start(place: Arc<StoreFile>, selection: Selection, from: u64) -> Result<Self, StoreError> {
        let mut watcher = Self {
            place,
            selection,
            position: from,
            entry: None,
            pending: VecDeque::new(),
            connection: None,
            file: None,
            removed: false,
            read_at: None,
            over: None,
            listener: None,
            stats: Stats::default(),
        };
        watcher.look()?;
        Ok(watcher)
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Fetches events if there are any that are not fetched.
    fn look(&mut self) -> Result<(), SqliteError> {
        self.stats.looks += 1;
        let result = self.look_at_file();
        match &result {
            Err(SqliteError::Compacted { kept, .. }) => self.over = Some(*kept),
            Err(problem) if !problem.spares_connection() => {
                self.connection = None;
                self.read_at = None;
                self.removed |= matches!(problem, SqliteError::Removed { .. });
            }
            _ => {}
        }
        result
    }

    fn look_at_file(&mut self) -> Result<(), SqliteError> {
        let Some(connection) = self.place.connect(&mut self.connection, Role::Reader)? else {
            return if self.position == 0 { Ok(()) } else { Err(self.compacted(0)) };
        };
        let other = self.file.is_some_and(|file| file != connection.id());
        let replaced = self.removed || other;
        if self.file != Some(connection.id()) {
            self.file = Some(connection.id());
            self.read_at = None;
            // The file may be in another directory than its name: a symbolic link.
            self.listener = WakeListener::beside(connection.path());
        }
        // Asked before the log is read: a commit between the two is read now, or seen next time.
        let version = connection.data_version()?;
        if self.read_at == Some(version) {
            return Ok(());
        }
        let (selection, position) = (&self.selection, self.position);
        let piece = connection.read(|sql| read::after(sql, selection, position))?;
        self.stats.reads += 1;
        let kept = piece.extent.oldest_revision();
        let other_history = match (self.entry, piece.ends[0]) {
            (Some(known), Some(found)) => known != found && !faults::is_on(Fault::AnyHistory),
            // It may have been trimmed.
            _ => false,
        };
        if replaced || other_history || position < kept || position > piece.extent.last {
            return Err(self.compacted(kept));
        }
        self.position = piece.upto;
        self.entry = piece.ends[1];
        self.pending.extend(piece.events);
        if piece.upto == piece.extent.last {
            self.read_at = Some(version);
        }
        Ok(())
    }

    fn compacted(&self, kept: u64) -> SqliteError {
        SqliteError::Compacted { path: self.place.path().to_owned(), from: self.position, kept }
    }

    /// Waits until there may be something to look at.
    fn wait(&mut self, left: Duration) {
        let wait = left.min(self.place.options().poll);
        if self.listener.is_none() {
            // There is no file yet: its directory has an event when it is made.
            self.listener = WakeListener::beside(self.place.path());
            if self.listener.is_some() {
                return; // It may have come just before.
            }
        }
        match &mut self.listener {
            Some(listener) => match listener.listen(wait) {
                Wake::Touch => self.stats.touches += 1,
                Wake::Files => self.stats.file_events += 1,
                Wake::Timeout => {}
            },
            // Without a listener the file is looked at often; this is still cheap.
            None => std::thread::sleep(wait.min(POLL_WITHOUT_LISTENER)),
        }
    }
}

/// How often a watcher without a listener looks.
const POLL_WITHOUT_LISTENER: Duration = Duration::from_millis(20);

impl Watch for Watcher {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if let Some(kept) = self.over {
                return Err(self.compacted(kept).into());
            }
            self.look()?;
            if !self.pending.is_empty() {
                continue;
            }
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            self.wait(left);
        }
    }

    fn position(&self) -> Position {
        let next = self.pending.front().and_then(|event| event.revision().number());
        // Everything before the next event was given.
        Position::at(next.map_or(self.position, |next| next - 1))
    }
}
