//! `log`: to the kernel log, or with a group to the listeners of that group (nflog).
//!
//! Source: `enum nft_log_attributes`, `enum nft_log_level`.

use super::Coded;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, table, text};

/// Warning, the level the kernel uses when none is given.
const DEFAULT_LEVEL: u32 = 4;

/// Logs the packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Log {
    /// To the kernel log.
    Kernel {
        /// What stands before each line; at most 127 bytes.
        prefix: String,
        /// The syslog level, 0 to 7.
        level: u32,
        /// `NF_LOG_*` flags.
        flags: u32,
    },
    /// To an nflog group.
    Group {
        /// The group.
        group: u16,
        /// What the message carries as prefix; at most 127 bytes.
        prefix: String,
        /// How many bytes of the packet to send; all if absent.
        snaplen: Option<u32>,
        /// How many packets to collect for one message; 0 for the default.
        threshold: u16,
    },
}

impl Log {
    /// To the kernel log at the default level.
    pub fn kernel(prefix: impl Into<String>) -> Self {
        Self::Kernel { prefix: prefix.into(), level: DEFAULT_LEVEL, flags: 0 }
    }

    /// To an nflog group.
    pub fn group(group: u16, prefix: impl Into<String>) -> Self {
        Self::Group { group, prefix: prefix.into(), snaplen: None, threshold: 0 }
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        match self {
            Self::Kernel { prefix, .. } | Self::Group { prefix, .. } => prefix,
        }
    }
}

impl Coded for Log {
    const NAME: &'static str = "log";

    fn encode(&self, writer: &mut Writer) {
        if !self.prefix().is_empty() {
            writer.text(2, self.prefix());
        }
        match self {
            Self::Kernel { level, flags, .. } => {
                writer.u32(5, *level);
                if *flags != 0 {
                    writer.u32(6, *flags);
                }
            }
            Self::Group { group, snaplen, threshold, .. } => {
                writer.u16(1, *group);
                if let Some(snaplen) = snaplen {
                    writer.u32(3, *snaplen);
                }
                if *threshold != 0 {
                    writer.u16(4, *threshold);
                }
            }
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, group, prefix, snaplen, threshold, level, flags] = table::<7>(attrs)?;
        let prefix = prefix.map_or(Ok(String::new()), |prefix| text(prefix, "a log prefix"))?;
        let short = |payload: &[u8], what| {
            let bytes = payload.try_into().map_err(|_| DecodeError::Length { what, len: payload.len() })?;
            Ok(u16::from_be_bytes(bytes))
        };
        if let Some(group) = group {
            return Ok(Self::Group {
                group: short(group, "a log group")?,
                prefix,
                snaplen: snaplen.map(|snaplen| be_u32(snaplen, "a log length")).transpose()?,
                threshold: threshold.map_or(Ok(0), |threshold| short(threshold, "a log threshold"))?,
            });
        }
        Ok(Self::Kernel {
            prefix,
            level: level.map_or(Ok(DEFAULT_LEVEL), |level| be_u32(level, "a log level"))?,
            flags: flags.map_or(Ok(0), |flags| be_u32(flags, "log flags"))?,
        })
    }
}
