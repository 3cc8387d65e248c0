//! How a commit wakes watchers in other processes: the writer opens and closes the wake file beside the store after
//! COMMIT, and watchers have inotify on the directory.
//!
//! One inotify watch of the directory reports everything that matters: the wake file being closed (a commit), the
//! WAL or the database being closed (a writer ended, perhaps killed before it could touch the wake file), the
//! database being made, moved or removed. It needs no permission on the wake file itself, and closing
//! changes nothing on disk.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::create::directory_of;
use crate::faults::{self, Fault};

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Wakes watchers after a commit. Best effort: they poll slowly as well.
pub(crate) fn touch(database: &Path) {
    if faults::is_on(Fault::SkipWake) {
        return;
    }
    let wake = beside(database, ".wake");
    if OpenOptions::new().write(true).open(&wake).is_ok() {
        return;
    }
    // The owner of the store must be able to touch it too, when root was the first to.
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&wake);
    if let (Ok(made), Ok(owner)) = (made, std::fs::metadata(database)) {
        let _ = std::os::unix::fs::fchown(&made, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Waits for commits, and for the database being made, moved or removed.
pub(crate) struct WakeListener {
    inotify: OwnedFd,
    /// The names that matter: the wake file, the database, its WAL.
    wake: OsString,
    files: [OsString; 2],
}

/// Why a listener woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A writer touched the wake file: there was a commit.
    Touch,
    /// Another event of the store's files.
    Files,
    /// The time is over.
    Timeout,
}

impl WakeListener {
    /// Listens beside the database; none when that is not possible (no such directory yet, no permission to
    /// read it, the user's limit of inotify instances).
    pub(crate) fn beside(database: &Path) -> Option<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, directory_of(database), flags).ok()?;
        let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
        Some(Self {
            inotify,
            wake: name(&beside(database, ".wake")),
            files: [name(database), name(&beside(database, "-wal"))],
        })
    }

    /// Waits for an event. After an error of the kernel it waits the time out.
    pub(crate) fn listen(&mut self, wait: Duration) -> Wake {
        let deadline = std::time::Instant::now() + wait;
        loop {
            match self.take() {
                Wake::Timeout => {}
                wake => return wake,
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Wake::Timeout;
            }
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => std::thread::sleep(left),
            }
        }
    }

    /// The events that wait to be read, summed up: [`Wake::Timeout`] if there are none.
    fn take(&mut self) -> Wake {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut wake = Wake::Timeout;
        // An error is EAGAIN: everything was read.
        while let Ok(event) = reader.next() {
            let about_directory =
                ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
            let name = event.file_name().map_or(OsStr::new(""), |name| OsStr::from_bytes(name.to_bytes()));
            if name == self.wake {
                wake = Wake::Touch;
            } else if wake == Wake::Timeout
                && (event.events().intersects(about_directory) || self.files.iter().any(|file| file == name))
            {
                wake = Wake::Files;
            }
        }
        wake
    }
}
