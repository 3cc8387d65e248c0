//! Which file systems a store may be on.
//!
//! SQLite's WAL needs locks and shared memory that all processes agree on, and our durability needs an fsync
//! that means it. File systems that reach over a network, or to a host or a user's program, promise neither:
//! NFS, CIFS and SMB, 9p, Ceph, AFS, Coda, NCP, Lustre, the shared folders of virtual machines, and all of
//! FUSE (which includes sshfs and virtiofs, and cannot be told apart from here). There is no exception.

use std::path::Path;

use crate::sqlite_error::SqliteError;

/// Refuses a file or directory on a file system that does not keep what a store needs.
pub(crate) fn check(path: &Path, on: &Path) -> Result<(), SqliteError> {
    let found = rustix::fs::statfs(on).map_err(|error| SqliteError::of_io(path, &error.into()))?;
    // The kernel's numbers have 32 bits; the field's width and sign differ by machine.
    match refused(found.f_type as u32) {
        Some(kind) => Err(SqliteError::Network { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The name of a refused file system, by its number in `linux/magic.h`.
fn refused(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0xff53_4d42 => "CIFS",
        0x0000_517b | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0000_564c => "NCP",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x786f_4256 => "VirtualBox shared folder",
        0xbacb_acbc => "VMware shared folder",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_file_systems_are_accepted() {
        for (magic, name) in [
            (0xef53, None),      // ext4
            (0x5846_5342, None), // xfs
            (0x9123_683e, None), // btrfs
            (0x0102_1994, None), // tmpfs
            (0x794c_7630, None), // overlayfs
            (0x2fc1_2fc1, None), // zfs
            (0xf2f5_2010, None), // f2fs
            (0x6969, Some("NFS")),
            (0xfe53_4d42, Some("SMB")),
            (0x6573_5546, Some("FUSE")),
            (0x0102_1997, Some("9p")),
        ] {
            assert_eq!(refused(magic), name, "{magic:#x}");
        }
    }
}
