//! Notifications: what anyone in this network namespace changes in nf_tables, as the kernel tells it.
//!
//! The kernel sends one message an object that a commit changed, one a set element, and then one that the commit is done.
//! Each object's message names its table, and each message the socket that committed. So a listener knows which commits
//! are its own, and which of the others concern it.
//!
//! Listening has a price that every committer pays: the kernel makes the messages while it commits. The
//! [`Subscription`] lets the committer of a large batch of its own switch the messages off for that time.
//!
//! Source: `NFNLGRP_NFTABLES` of `linux/netfilter/nfnetlink.h`, `nf_tables_commit`.

use std::io;
use std::time::Duration;

use tortie_netlink::{Buffers, Received, RequestError, Subscription};

use crate::chain;
use crate::element::RawElement;
use crate::message::{
    DEL_CHAIN, DEL_ELEMENTS, DEL_RULE, DEL_SET, DEL_TABLE, NEW_CHAIN, NEW_ELEMENTS, NEW_GENERATION, NEW_RULE, NEW_SET,
    NEW_TABLE,
};
use crate::socket::Socket;
use crate::table::{TableId, is_of};
use crate::wire::{Attrs, DecodeError, Message, expect, table, text};

/// `NFNLGRP_NFTABLES` as a bit of a socket's address.
const GROUP: u32 = 1 << 6;
/// `NFTA_SET_ELEM_LIST_ELEMENTS`.
const ELEMENTS: usize = 3;

/// A socket that receives notifications.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    subscription: Subscription,
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A commit is done; its other notices came before.
    Commit,
    /// An object of the table in question was made, changed or deleted.
    Changed(Changed),
    /// An object of another table was.
    Elsewhere,
    /// Some notifications were lost, or one could not be decoded: anything may have changed.
    Lost,
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The table itself, or an object of a kind that this crate never makes.
    Table,
    /// The chain of this name, or a rule in it.
    Chain(String),
    /// The set of this name.
    Set(String),
    /// Elements of the set of this name, by their keys.
    Elements(String, Vec<Vec<u8>>),
}

impl Monitor {
    /// Opens a socket in the calling thread's network namespace, and subscribes it. At most about `room` bytes of
    /// notifications wait to be read; then the kernel drops the rest, and [`Notice::Lost`] says so.
    pub fn open(room: usize) -> io::Result<Self> {
        let socket = Socket::open_with(Buffers { send: 1 << 16, receive: room })?;
        let subscription = socket.subscription(GROUP)?;
        subscription.join()?;
        Ok(Self { socket, subscription })
    }

    /// What unsubscribes it and subscribes it again, from any thread.
    pub fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }

    /// Waits for notifications, for at most this long. Whether there are any.
    pub fn wait(&self, most: Duration) -> io::Result<bool> {
        self.socket.wait(most)
    }

    /// Hands notifications that wait to `each`, those of commits by the socket with address `own` excepted. Reads once;
    /// none waited if it returns false.
    pub fn read(&mut self, id: &TableId, own: u32, mut each: impl FnMut(Notice)) -> Result<bool, RequestError> {
        let read = self.socket.receive(|message| {
            if message.port != own {
                each(notice(message, id).unwrap_or(Notice::Lost));
            }
        });
        match read {
            Ok(Received::Messages) => Ok(true),
            Ok(Received::Nothing) => Ok(false),
            Ok(Received::Lost) | Err(RequestError::Decode(_)) => {
                each(Notice::Lost);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a message says about a table.
fn notice(message: &Message<'_>, id: &TableId) -> Result<Notice, DecodeError> {
    if message.kind == NEW_GENERATION {
        return Ok(Notice::Commit);
    }
    if !is_of(message, id)? {
        return Ok(Notice::Elsewhere);
    }
    let named = |attribute: usize| {
        let found = table::<4>(message.nfnetlink()?.1)?;
        text(expect(found[attribute], "a name")?, "a name")
    };
    Ok(Notice::Changed(match message.kind {
        NEW_TABLE | DEL_TABLE => Changed::Table,
        NEW_CHAIN | DEL_CHAIN => Changed::Chain(chain::name_of(message)?),
        NEW_RULE | DEL_RULE => Changed::Chain(named(2)?),
        NEW_SET | DEL_SET => Changed::Set(named(2)?),
        NEW_ELEMENTS | DEL_ELEMENTS => {
            let list = table::<4>(message.nfnetlink()?.1)?[ELEMENTS].unwrap_or_default();
            let keys = Attrs::new(list).map(|entry| RawElement::read(entry?.payload).map(RawElement::into_key));
            let keys: Result<Vec<Option<Vec<u8>>>, _> = keys.collect();
            match keys.ok().and_then(|keys| keys.into_iter().collect()) {
                Some(keys) => Changed::Elements(named(2)?, keys),
                None => Changed::Set(named(2)?),
            }
        }
        _ => Changed::Table,
    }))
}
