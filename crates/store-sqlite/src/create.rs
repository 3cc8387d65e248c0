//! Making a new store, so that its name never refers to half of one.
//!
//! The whole file is written and synced under a name of its own and then linked to the real one, which fails
//! where a file exists. So of several processes one creates it, and a kill or a power loss at any point leaves
//! either nothing or an empty store.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::faults::{self, Fault};
use crate::sqlite_error::SqliteError;
use crate::{filesystem, schema, wake};

/// Creates an empty store at this path, readable by its owner only, and its directory if that is missing.
/// False when another process was faster.
pub(crate) fn create(path: &Path) -> Result<bool, SqliteError> {
    let failed = |error: io::Error| SqliteError::of_io(path, &error);
    let directory = directory_of(path);
    make_directory(directory).map_err(failed)?;
    filesystem::check(path, directory)?;
    let bytes =
        schema::empty_file().map_err(|error| SqliteError::Io { path: path.to_owned(), what: error.to_string() })?;
    let made = link_whole(path, directory, &bytes).map_err(failed)?;
    if made {
        wake::touch(path);
    }
    Ok(made)
}

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory_of(directory);
    make_directory(parent)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync(parent),
    }
}

fn link_whole(path: &Path, directory: &Path, bytes: &[u8]) -> io::Result<bool> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut new = path.as_os_str().to_owned();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    new.push(format!(".new-{}-{count}", std::process::id()));
    let new = PathBuf::from(new);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let linked = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&new, path));
    let removed = fs::remove_file(&new);
    match linked {
        Ok(()) => {
            removed?;
            sync(directory)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory durable.
fn sync(directory: &Path) -> io::Result<()> {
    if faults::is_on(Fault::UnsyncedDirectory) {
        return Ok(());
    }
    File::open(directory)?.sync_all()
}
