//! A disk that can be full, that can fail to sync, and that can lose power: in place of the C library's
//! `write`, `fsync` and `fdatasync`, for the files below one directory.
//!
//! What a file had when it was last synced is durable; so are the names that a directory had when it was
//! synced. Power loss keeps that, and of everything since any part: each sector that was written may be
//! there or not, a file may have its new length without its new content, a new name may be missing.
//! Nothing is really synced here: the machine's own disk has no part in it.

#![allow(unsafe_code, reason = "three functions of the C library are replaced, with their C signatures")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, c_int, c_void};
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::support::Dice;

/// The size of what is written whole or not at all.
const SECTOR: usize = 512;

struct Disk {
    directory: PathBuf,
    /// The content of each file, by inode, when it was last synced.
    content: BTreeMap<u64, Vec<u8>>,
    /// The names of each directory when it was last synced, with their inodes.
    names: BTreeMap<PathBuf, BTreeSet<(PathBuf, u64)>>,
    dice: Dice,
    /// Of so many syncs, one is a power loss.
    losses: u64,
    images: Vec<Image>,
    acknowledged: u64,
    syncs: u64,
    /// After so many further writes, the disk is full.
    room: Option<u64>,
    /// After so many further syncs, they fail.
    sound: Option<u64>,
}

/// What is on the disk after a power loss.
pub(crate) struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// What was acknowledged before it.
    pub(crate) acknowledged: u64,
}

static DISK: Mutex<Option<Disk>> = Mutex::new(None);

fn disk() -> MutexGuard<'static, Option<Disk>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one simulated disk of this process, as long as this lives.
pub(crate) struct Mounted(#[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Mounted {
    /// Takes over everything below this directory, which is durable as it is.
    pub(crate) fn on(directory: &Path, seed: u64, losses: u64) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = directory.canonicalize().unwrap();
        *disk() = Some(Disk {
            names: BTreeMap::from([(directory.clone(), BTreeSet::new())]),
            directory,
            content: BTreeMap::new(),
            dice: Dice::new(seed),
            losses,
            images: Vec::new(),
            acknowledged: 0,
            syncs: 0,
            room: None,
            sound: None,
        });
        Self(one)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Disk) -> T) -> T {
        work(disk().as_mut().unwrap())
    }

    /// From now on this is acknowledged.
    pub(crate) fn acknowledge(&self, revision: u64) {
        self.with(|disk| disk.acknowledged = revision);
    }

    /// The power is lost now.
    pub(crate) fn lose_power(&self) -> Image {
        self.with(Disk::image)
    }

    /// What power losses during syncs have left since last asked.
    pub(crate) fn images(&self) -> Vec<Image> {
        self.with(|disk| std::mem::take(&mut disk.images))
    }

    /// How often something was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.with(|disk| disk.syncs)
    }

    /// The disk takes so many more writes; none for as many as there are.
    pub(crate) fn set_room(&self, writes: Option<u64>) {
        self.with(|disk| disk.room = writes);
    }

    /// The disk takes so many more syncs; none for as many as there are.
    pub(crate) fn set_sound(&self, syncs: Option<u64>) {
        self.with(|disk| disk.sound = syncs);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        *disk() = None;
    }
}

impl Image {
    /// Writes the files to another directory.
    pub(crate) fn restore(&self, to: &Path) {
        for (path, content) in &self.files {
            let path = to.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

impl Disk {
    fn image(&mut self) -> Image {
        let mut files = BTreeMap::new();
        let mode = self.dice.below(4);
        self.add(&self.directory.clone(), mode, &mut files);
        Image { files, acknowledged: self.acknowledged }
    }

    /// The durable names of a directory and what is behind them. A name that is not durable is missing: that
    /// it may also be there is what a kill shows.
    fn add(&mut self, directory: &Path, mode: u64, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for (path, inode) in self.names.get(directory).cloned().unwrap_or_default() {
            let Ok(metadata) = fs::metadata(&path) else {
                continue; // Removed since. Only names of no consequence are.
            };
            if metadata.is_dir() {
                self.add(&path, mode, files);
            } else if metadata.ino() == inode && !is_shared_memory(&path) {
                let now = fs::read(&path).unwrap();
                let before = self.content.get(&inode).cloned().unwrap_or_default();
                let name = path.strip_prefix(&self.directory).unwrap().to_owned();
                files.insert(name, self.mix(mode, before, &now));
            }
        }
    }

    /// A file between what was synced and what was written since.
    fn mix(&mut self, mode: u64, before: Vec<u8>, now: &[u8]) -> Vec<u8> {
        let (less, more) = (before.len().min(now.len()), before.len().max(now.len()));
        let length = match mode {
            0 => before.len(),
            1 => now.len(),
            _ => less + self.dice.below((more - less) as u64 + 1) as usize,
        };
        let changed: Vec<usize> = (0..length.div_ceil(SECTOR))
            .filter(|sector| sector_of(&before, *sector) != sector_of(now, *sector))
            .collect();
        // In order until some point, or any of them.
        let first = self.dice.below(changed.len() as u64 + 1) as usize;
        let mut image = before;
        image.resize(length, 0);
        for (place, sector) in changed.into_iter().enumerate() {
            let arrives = match mode {
                0 => false,
                1 | 2 => place < first,
                _ => self.dice.below(2) == 0,
            };
            if arrives {
                let from = sector * SECTOR;
                let new = sector_of(now, sector);
                let upto = (from + new.len()).min(length);
                image[from..upto].copy_from_slice(&new[..upto - from]);
            }
        }
        image
    }

    fn synced(&mut self, path: &Path, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        self.syncs += 1;
        if let Some(left) = &mut self.sound {
            if *left == 0 {
                return Err(Errno::IO);
            }
            *left -= 1;
        }
        if self.losses > 0 && self.dice.below(self.losses) == 0 {
            let image = self.image();
            self.images.push(image);
        }
        let inode = rustix::fs::fstat(fd)?.st_ino;
        if path.is_dir() {
            let names = fs::read_dir(path).into_iter().flatten().flatten();
            let names = names.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.ino()))).collect();
            self.names.insert(path.to_owned(), names);
        } else {
            let content = content_of(path, fd)?;
            self.content.insert(inode, content);
        }
        Ok(())
    }
}

/// The whole file, through the descriptor: opening and closing it would drop SQLite's locks.
fn content_of(path: &Path, fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut content = vec![0; rustix::fs::fstat(fd)?.st_size as usize];
    let mut at = 0;
    while at < content.len() {
        match rustix::io::pread(fd, &mut content[at..], at as u64) {
            Ok(0) => break,
            Ok(read) => at += read,
            // Open for writing only, so it is none of SQLite's.
            Err(Errno::BADF) => return fs::read(path).map_err(|_| Errno::IO),
            Err(errno) => return Err(errno),
        }
    }
    Ok(content)
}

fn sector_of(content: &[u8], sector: usize) -> &[u8] {
    let from = (sector * SECTOR).min(content.len());
    &content[from..(from + SECTOR).min(content.len())]
}

fn is_shared_memory(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("db-shm"))
}

/// The path of a descriptor, if it is below the simulated directory. None while the simulation itself is at
/// work, so that it does not meet itself.
fn path_of(fd: c_int) -> Option<PathBuf> {
    let directory = DISK.try_lock().ok()?.as_ref()?.directory.clone();
    let path = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    path.starts_with(directory).then_some(path)
}

fn fail(errno: Errno) -> c_int {
    unsafe extern "C" {
        fn __errno_location() -> *mut c_int;
    }
    // SAFETY: the C library gives each thread a valid place for its errno.
    unsafe { *__errno_location() = errno.raw_os_error() };
    -1
}

fn sync(fd: c_int) -> c_int {
    // SAFETY: the caller's descriptor is open for the duration of this call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let result = match path_of(fd) {
        Some(path) => disk().as_mut().map_or(Ok(()), |disk| disk.synced(&path, borrowed)),
        None => rustix::fs::fsync(borrowed),
    };
    result.map_or_else(fail, |()| 0)
}

/// In place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd)
}

/// In place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd)
}

/// In place of the C library's.
///
/// # Safety
/// As that of `write(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize {
    if path_of(fd).is_some()
        && let Some(disk) = disk().as_mut()
        && let Some(left) = &mut disk.room
    {
        if *left == 0 {
            return fail(Errno::NOSPC) as isize;
        }
        *left -= 1;
    }
    // SAFETY: the caller's descriptor is open, and its bytes are valid for reading, as for `write(2)`.
    let result = unsafe {
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), count);
        rustix::io::write(BorrowedFd::borrow_raw(fd), bytes)
    };
    match result {
        Ok(written) => written as isize,
        Err(errno) => fail(errno) as isize,
    }
}
