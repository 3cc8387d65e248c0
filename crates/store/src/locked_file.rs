//! A file that only its owner can open, locked for as long as its holder lives. The kernel unlocks it the moment the holder
//! ends. The lock of the agent and the leases of the embedded store are such files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// For how long a file that another process holds is tried again: somebody who only looks whether it is held, to remove it
/// ([`remove_abandoned`]), holds it for a moment.
const LOOKS: Duration = Duration::from_millis(200);

/// Locks a file, making it if it does not exist, and writes down who holds it; or says who does.
pub fn lock(path: &Path, holder: &str) -> io::Result<Result<File, String>> {
    let until = Instant::now() + LOOKS;
    loop {
        let mut file = open(path, true)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            Err(TryLockError::WouldBlock) => {
                let mut other = String::new();
                file.read_to_string(&mut other)?;
                return Ok(Err(other.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its last holder may have removed it between the two.
        if !is_at(&file, path) {
            continue;
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{holder}")?;
        return Ok(Ok(file));
    }
}

/// Removes a file that nobody holds, as a holder that was killed leaves it. Whether it was removed.
pub fn remove_abandoned(path: &Path) -> io::Result<bool> {
    let file = match open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        // While it is locked, so that nobody else's goes.
        Ok(()) if is_at(&file, path) => std::fs::remove_file(path).map(|()| true),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// Whether a file is the one of this path.
fn is_at(file: &File, path: &Path) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|there| file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino())))
}
