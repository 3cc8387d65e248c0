//! Directories that only root may enter: those of the agent's state and of its socket.

use crate::log_event;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes a directory with mode 0700. An existing default directory, which only tortie uses, gets this mode if it has another.
/// If others may write to another directory, the log says so; its mode stays, since other programs may use it.
pub(crate) fn make(path: &Path, default: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::metadata(path)?;
    let mode = found.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    if path == default {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
        log::warn!(target: log_event::DIRECTORY_MODE, "{} had mode {mode:04o}; it has 0700 now", path.display());
    } else if mode & 0o022 != 0 {
        log::warn!(target: log_event::DIRECTORY_MODE, "{} has mode {mode:04o}: others can put files there; give it 0700", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agents_own_directories_are_closed_to_other_users() {
        let place = tempfile::tempdir().unwrap();
        let (ours, other, new) = (place.path().join("ours"), place.path().join("other"), place.path().join("a/new"));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        for path in [&ours, &other] {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
            make(path, &ours).unwrap();
        }
        make(&new, &ours).unwrap();
        assert_eq!((mode(&ours), mode(&other), mode(&new)), (0o700, 0o755, 0o700));
    }
}
