//! Settings under `/proc/sys/net`, of the network namespace of the calling thread.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::step::Setting;

fn path(file: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(file)
}

/// Whether this kernel, in this namespace, has IPv6.
pub(crate) fn has_ipv6() -> bool {
    path("ipv6/conf/all").exists()
}

/// What a setting says.
pub(crate) fn read(file: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(file))?.trim().to_owned())
}

/// Writes a setting, unless it says so already: writing takes locks that reading does not.
pub(crate) fn write(setting: &Setting) -> io::Result<()> {
    let value = setting.value.to_string();
    let written = match read(&setting.file) {
        Ok(there) if there == value => Ok(()),
        Ok(_) => fs::write(path(&setting.file), &value),
        Err(error) => Err(error),
    };
    match written {
        Err(error) if setting.optional && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
