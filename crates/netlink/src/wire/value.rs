//! Payloads of attributes as values. Each length is checked: nfnetlink's readers say what is wrong, routing's give
//! nothing, so that the caller passes over an attribute that is not as expected.

use std::net::IpAddr;

use super::DecodeError;

/// The payload, or the error that it is missing.
pub fn expect<'a>(payload: Option<&'a [u8]>, what: &'static str) -> Result<&'a [u8], DecodeError> {
    payload.ok_or(DecodeError::Missing(what))
}

/// A big-endian `u32`.
pub fn be_u32(payload: &[u8], what: &'static str) -> Result<u32, DecodeError> {
    let bytes = payload.try_into().map_err(|_| DecodeError::Length { what, len: payload.len() })?;
    Ok(u32::from_be_bytes(bytes))
}

/// A big-endian `u64`.
pub fn be_u64(payload: &[u8], what: &'static str) -> Result<u64, DecodeError> {
    let bytes = payload.try_into().map_err(|_| DecodeError::Length { what, len: payload.len() })?;
    Ok(u64::from_be_bytes(bytes))
}

/// A string up to its NUL byte or its end.
pub fn text(payload: &[u8], what: &'static str) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(before_nul(payload)).map_err(|_| DecodeError::Text(what))?;
    Ok(text.to_owned())
}

/// A string up to its NUL byte or its end. The kernel lets names of interfaces be any bytes; what is not UTF-8 is
/// replaced.
pub fn lossy_text(payload: &[u8]) -> String {
    String::from_utf8_lossy(before_nul(payload)).into_owned()
}

/// An address of either family, told apart by length.
pub fn address(payload: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(payload) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(payload).ok().map(IpAddr::from)
}

/// A number in the host's byte order.
pub fn host_u32(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_ne_bytes)
}

fn before_nul(payload: &[u8]) -> &[u8] {
    let end = payload.iter().position(|byte| *byte == 0).unwrap_or(payload.len());
    &payload[..end]
}
