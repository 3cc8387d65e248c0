//! The numbers of nf_tables' messages.
//!
//! Source: `enum nf_tables_msg_types`, `linux/netfilter/nfnetlink.h`.

/// `NFNL_SUBSYS_NFTABLES` in a message type's upper byte.
pub(crate) const SUBSYSTEM: u16 = 10 << 8;
/// The subsystem as a batch's resource id.
pub(crate) const BATCH_RESOURCE: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN`.
pub(crate) const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`.
pub(crate) const BATCH_END: u16 = 0x11;
/// `NFNL_BATCH_GENID`.
pub(crate) const BATCH_GENID: u16 = 1;

pub(crate) const NEW_TABLE: u16 = SUBSYSTEM;
pub(crate) const GET_TABLE: u16 = SUBSYSTEM | 1;
pub(crate) const DEL_TABLE: u16 = SUBSYSTEM | 2;
pub(crate) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
pub(crate) const GET_CHAIN: u16 = SUBSYSTEM | 4;
pub(crate) const DEL_CHAIN: u16 = SUBSYSTEM | 5;
pub(crate) const NEW_RULE: u16 = SUBSYSTEM | 6;
pub(crate) const GET_RULE: u16 = SUBSYSTEM | 7;
pub(crate) const DEL_RULE: u16 = SUBSYSTEM | 8;
pub(crate) const NEW_SET: u16 = SUBSYSTEM | 9;
pub(crate) const GET_SET: u16 = SUBSYSTEM | 10;
pub(crate) const DEL_SET: u16 = SUBSYSTEM | 11;
pub(crate) const NEW_ELEMENTS: u16 = SUBSYSTEM | 12;
pub(crate) const GET_ELEMENTS: u16 = SUBSYSTEM | 13;
pub(crate) const DEL_ELEMENTS: u16 = SUBSYSTEM | 14;
pub(crate) const NEW_GENERATION: u16 = SUBSYSTEM | 15;
pub(crate) const GET_GENERATION: u16 = SUBSYSTEM | 16;
pub(crate) const GET_OBJECT: u16 = SUBSYSTEM | 19;
pub(crate) const GET_FLOWTABLE: u16 = SUBSYSTEM | 23;
