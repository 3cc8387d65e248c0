//! Attributes as values. What has an unexpected length is none: the caller passes over it.

use std::net::IpAddr;

/// An address of either family, told apart by length.
pub(crate) fn address(payload: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(payload) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(payload).ok().map(IpAddr::from)
}

/// A text up to its end or its NUL. The kernel lets names of interfaces be any bytes; what is not UTF-8 is replaced,
/// and so is never the name that anything is called by.
pub(crate) fn text(payload: &[u8]) -> String {
    let end = payload.iter().position(|byte| *byte == 0).unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

/// A number in the host's byte order.
pub(crate) fn host_u32(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_ne_bytes)
}
