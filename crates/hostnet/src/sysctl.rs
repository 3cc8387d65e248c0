//! Settings under `/proc/sys/net`, of the network namespace of the calling thread.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};

fn path(file: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(file)
}

/// Whether this kernel, in this namespace, has IPv6.
pub(crate) fn has_ipv6() -> bool {
    path("ipv6/conf/all").exists()
}

/// The names in a directory of settings.
pub(crate) fn names(directory: &str) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Whether a setting exists.
pub(crate) fn exists(file: &str) -> bool {
    path(file).exists()
}

/// The interface that a setting is about, as in `ipv4/conf/NAME/forwarding`.
pub(crate) fn interface(file: &str) -> Option<&str> {
    file.split('/').nth(2)
}

/// The index of an interface.
pub(crate) fn index(interface: &str) -> Option<u32> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    name_to_index(socket, interface).ok()
}

/// What a setting says.
pub(crate) fn read(file: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(file))?.trim().to_owned())
}

/// What a setting says, as a number; none if it does not exist, or is none.
pub(crate) fn number<T: FromStr>(file: &str) -> Option<T> {
    read(file).ok()?.parse().ok()
}

/// Writes a setting, unless it says so already: writing takes locks that reading does not. Where the kernel does not know
/// an optional one, nothing is written.
pub(crate) fn write(file: &str, value: &str, optional: bool) -> io::Result<()> {
    let written = match read(file) {
        Ok(there) if there == value => Ok(()),
        Ok(_) => fs::write(path(file), value),
        Err(error) => Err(error),
    };
    match written {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
