//! Listening to an nflog group: what Log rules write there.

#![allow(unsafe_code)] // a netlink socket

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const CONFIG: u16 = 4 << 8 | 1;
const PACKET: u16 = 4 << 8;
/// `NFULA_PREFIX`
const PREFIX: u16 = 10;

/// A group's listener.
pub struct Log {
    fd: OwnedFd,
}

impl Log {
    /// Listens from now on.
    pub fn open(group: u16) -> Self {
        // SAFETY: a fresh descriptor, checked, and owned from here on.
        let fd = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        };
        let log = Self { fd };
        // Bind to the group, then have each packet sent at once, with a few bytes of it.
        log.configure(group, 1, &[1]);
        log.configure(group, 2, &[0, 0, 0, 64, 2, 0]);
        log.configure(group, 5, &1u32.to_be_bytes());
        log
    }

    fn configure(&self, group: u16, attribute: u16, value: &[u8]) {
        let mut body = vec![0, 0];
        body.extend(group.to_be_bytes());
        body.extend((value.len() as u16 + 4).to_ne_bytes());
        body.extend(attribute.to_ne_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
        let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
        message.extend(CONFIG.to_ne_bytes());
        message.extend(5u16.to_ne_bytes()); // request, acknowledge
        message.extend([0; 8]);
        message.extend(body);
        // SAFETY: the length is that of the bytes.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        assert_eq!(usize::try_from(sent), Ok(message.len()));
        let answer = self.receive().unwrap();
        assert_eq!(answer[16..20], [0; 4], "attribute {attribute} was refused");
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0u8; 65536];
        // SAFETY: the length is that of the bytes.
        let read = unsafe { libc::recv(self.fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        bytes.truncate(usize::try_from(read).ok()?);
        Some(bytes)
    }

    /// The prefixes of all that was logged so far.
    pub fn prefixes(&self) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(bytes) = self.receive() {
            let mut rest = &bytes[..];
            while rest.len() >= 20 {
                let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
                if u16::from_ne_bytes(rest[4..6].try_into().unwrap()) == PACKET {
                    found.extend(prefix(&rest[20..length]));
                }
                rest = &rest[length.next_multiple_of(4).min(rest.len())..];
            }
        }
        found
    }
}

fn prefix(mut attributes: &[u8]) -> Option<String> {
    while attributes.len() >= 4 {
        let length = u16::from_ne_bytes(attributes[..2].try_into().unwrap()) as usize;
        let kind = u16::from_ne_bytes(attributes[2..4].try_into().unwrap());
        if kind == PREFIX {
            let text = String::from_utf8(attributes[4..length].to_vec()).unwrap();
            return Some(text.trim_end_matches('\0').to_owned());
        }
        attributes = &attributes[length.next_multiple_of(4).min(attributes.len())..];
    }
    None
}
