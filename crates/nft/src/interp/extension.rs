//! IPv6 extension headers, walked as the kernel walks them.
//!
//! Source: `ipv6_find_hdr`, with its habit of leaving the offset at 0 for a non-first fragment.

const HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTH: u8 = 51;
const NONE: u8 = 59;
const DESTINATION: u8 = 60;

/// Where the fixed header ends.
const FIXED: usize = 40;

/// What stands behind the extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) protocol: u8,
    pub(super) offset: usize,
    pub(super) fragment: u16,
}

const fn is_extension(header: u8) -> bool {
    matches!(header, HOP | ROUTING | FRAGMENT | AUTH | NONE | DESTINATION)
}

/// The protocol behind the extension headers; an authentication header counts as one. None if the
/// headers are cut short.
pub(super) fn last(bytes: &[u8]) -> Option<Last> {
    let mut header = *bytes.get(6)?;
    let mut offset = FIXED;
    loop {
        if !is_extension(header) || header == NONE || header == AUTH {
            // Of an authentication header the kernel wants to see the first bytes.
            if header == AUTH {
                bytes.get(offset..offset + 2)?;
            }
            return Some(Last { protocol: header, offset, fragment: 0 });
        }
        let [next, len] = *bytes.get(offset..)?.first_chunk::<2>()?;
        if header == FRAGMENT {
            let fragment = fragment_offset(bytes, offset)?;
            if fragment != 0 {
                // What follows is not there, unless it is a protocol's payload.
                let known = !is_extension(next) || next == NONE;
                return known.then_some(Last { protocol: next, offset: 0, fragment });
            }
            offset += 8;
        } else {
            offset += (usize::from(len) + 1) * 8;
        }
        header = next;
    }
}

/// Where the first header of this number begins; none if there is none or the headers are cut short.
pub(super) fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut header = *bytes.get(6)?;
    let mut offset = FIXED;
    loop {
        let found = header == wanted;
        if !is_extension(header) || header == NONE {
            return found.then_some(offset);
        }
        let [next, len] = *bytes.get(offset..)?.first_chunk::<2>()?;
        if header == FRAGMENT && fragment_offset(bytes, offset)? != 0 {
            return found.then_some(offset);
        }
        if found {
            return Some(offset);
        }
        offset += match header {
            FRAGMENT => 8,
            AUTH => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
        header = next;
    }
}

fn fragment_offset(bytes: &[u8], header: usize) -> Option<u16> {
    let field = bytes.get(header + 2..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*field) & !7)
}
