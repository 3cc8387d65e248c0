//! Chains: rows of rules, and the hooks that base chains stand at.
//!
//! Source: `enum nft_chain_attributes`, `enum nft_hook_attributes`, `enum nf_inet_hooks` of
//! `linux/netfilter.h`.

use crate::table::TableId;
use crate::userdata;
use crate::wire::{Attrs, DecodeError, Message, Writer, be_u32, be_u64, expect, table, text};

const TABLE: u16 = 1;
const HANDLE: u16 = 2;
const NAME: u16 = 3;
const HOOK: u16 = 4;
const POLICY: u16 = 5;
const TYPE: u16 = 7;
const FLAGS: u16 = 10;
const USERDATA: u16 = 12;

/// `NFT_CHAIN_BASE`.
const BASE: u32 = 1;
/// `NFT_CHAIN_BINDING`: the chain is a part of the rule that jumps to it.
const BINDING: u32 = 4;

crate::numbers::numbers! {
    /// Where in a packet's way a base chain stands (`enum nf_inet_hooks`).
    Hook, "a hook" {
        /// Before routing.
        Prerouting = 0,
        /// To this host.
        Input = 1,
        /// Through this host.
        Forward = 2,
        /// From this host.
        Output = 3,
        /// Behind routing.
        Postrouting = 4,
    }
}

crate::numbers::numbers! {
    /// What becomes of a packet that no rule of a base chain decided.
    Policy, "a policy" {
        /// It is gone.
        Drop = 0,
        /// It goes on.
        Accept = 1,
    }
}

impl Hook {
    /// As `nft` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// Decide.
    Filter,
    /// Rewrite; sees the first packet of a connection only.
    Nat,
    /// Decide at output, and have the packet routed anew if its mark changed.
    Route,
}

impl ChainKind {
    /// As `nft` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }
}

/// What makes a chain a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BaseChain {
    /// What it may do.
    pub kind: ChainKind,
    /// Where it stands.
    pub hook: Hook,
    /// Its place among the base chains of the hook, lowest first.
    pub priority: i32,
    /// What becomes of packets that nothing decided.
    pub policy: Policy,
}

impl BaseChain {
    /// A base chain of type filter with policy accept.
    pub const fn filter(hook: Hook, priority: i32) -> Self {
        Self { kind: ChainKind::Filter, hook, priority, policy: Policy::Accept }
    }

    /// A base chain of type nat.
    pub const fn nat(hook: Hook, priority: i32) -> Self {
        Self { kind: ChainKind::Nat, ..Self::filter(hook, priority) }
    }
}

/// A chain of some table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Its name, at most 255 bytes.
    pub name: String,
    /// What makes it a base chain, if it is one.
    pub base: Option<BaseChain>,
    /// A comment for people.
    pub comment: Option<String>,
    /// The kernel's number of it, in what was read back.
    pub handle: Option<u64>,
}

impl Chain {
    /// A chain to jump to.
    pub fn regular(name: impl Into<String>) -> Self {
        Self { name: name.into(), base: None, comment: None, handle: None }
    }

    /// A base chain.
    pub fn base(name: impl Into<String>, base: BaseChain) -> Self {
        Self { base: Some(base), ..Self::regular(name) }
    }

    /// With a comment.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    pub(crate) fn encode_name(owner: &TableId, name: &str, writer: &mut Writer) {
        writer.text(TABLE, &owner.name);
        writer.text(NAME, name);
    }

    pub(crate) fn encode(&self, owner: &TableId, writer: &mut Writer) {
        Self::encode_name(owner, &self.name, writer);
        if let Some(base) = self.base {
            writer.nest(HOOK, |writer| {
                writer.u32(1, base.hook.number());
                writer.bytes(2, &base.priority.to_be_bytes());
            });
            writer.u32(POLICY, base.policy.number());
            writer.text(TYPE, base.kind.name());
        }
        if let Some(userdata) = userdata::comment_only(self.comment.as_deref()) {
            writer.bytes(USERDATA, &userdata);
        }
    }

    /// Reads a chain's message.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        let (_, attrs) = message.nfnetlink()?;
        let found = table::<13>(attrs)?;
        let flags = found[FLAGS as usize].map_or(Ok(0), |flags| be_u32(flags, "chain flags"))?;
        if flags & !(BASE | BINDING) != 0 {
            return Err(DecodeError::Unknown { what: "chain flags", value: flags.into() });
        }
        let base = found[HOOK as usize]
            .map(|hook| read_base(hook, found[POLICY as usize], found[TYPE as usize]))
            .transpose()?;
        Ok(Self {
            name: text(expect(found[NAME as usize], "a chain's name")?, "a chain's name")?,
            base,
            comment: userdata::comment(found[USERDATA as usize], userdata::COMMENT),
            handle: found[HANDLE as usize].map(|handle| be_u64(handle, "a chain's handle")).transpose()?,
        })
    }
}

/// The name in a chain's own message.
pub(crate) fn name_of(message: &Message<'_>) -> Result<String, DecodeError> {
    let found = table::<4>(message.nfnetlink()?.1)?;
    text(expect(found[NAME as usize], "a chain's name")?, "a chain's name")
}

fn read_base(hook: &[u8], policy: Option<&[u8]>, kind: Option<&[u8]>) -> Result<BaseChain, DecodeError> {
    let [_, number, priority, device, devices] = table::<5>(Attrs::new(hook))?;
    if device.is_some() || devices.is_some() {
        return Err(DecodeError::Unknown { what: "a device's hook", value: 0 });
    }
    let kind = match text(expect(kind, "a chain's type")?, "a chain's type")?.as_str() {
        "filter" => ChainKind::Filter,
        "nat" => ChainKind::Nat,
        "route" => ChainKind::Route,
        _ => return Err(DecodeError::Unknown { what: "a chain's type", value: 0 }),
    };
    Ok(BaseChain {
        kind,
        hook: Hook::from_number(be_u32(expect(number, "a hook")?, "a hook")?)?,
        priority: be_u32(expect(priority, "a priority")?, "a priority")?.cast_signed(),
        policy: policy.map_or(Ok(Policy::Accept), |policy| Policy::from_number(be_u32(policy, "a policy")?))?,
    })
}
