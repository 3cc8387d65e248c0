//! One socket against the running kernel. Nothing is changed.
#![allow(clippy::unwrap_used)]

use tortie_netlink::wire::{Attrs, DUMP, DecodeError, Message, REQUEST, Writer, lossy_text};
use tortie_netlink::{Buffers, Protocol, RequestError, Socket};

/// Length of `struct ifinfomsg`.
const IFINFO: usize = 16;

fn open() -> Socket {
    Socket::open(Protocol::Route, 0, Buffers { send: 64 << 10, receive: 256 << 10 }).unwrap()
}

fn names(socket: &mut Socket) -> Result<Vec<String>, RequestError> {
    let each = |names: &mut Vec<String>, message: &Message<'_>| {
        let attrs = message.body.get(IFINFO..).ok_or(DecodeError::Truncated("a link"))?;
        names.extend(Attrs::new(attrs).find(libc::IFLA_IFNAME).map(lossy_text));
        Ok(())
    };
    socket.dump("list the interfaces", libc::RTM_GETLINK, &[0; IFINFO], |_| (), each)
}

#[test]
fn a_refusal_says_what_was_asked_and_why_it_was_refused() {
    let mut fixed = [0; IFINFO];
    fixed[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
    let error = open().request("show a link", libc::RTM_GETLINK, 0, &fixed, |_| ()).unwrap_err();
    assert!(error.is_refusal(libc::ENODEV), "{error:?}");
    assert_eq!(error.to_string(), "the kernel refused to show a link");
}

#[test]
fn an_unread_answer_does_not_disturb_the_next() {
    let mut socket = open();
    let each = |(): &mut (), _: &Message<'_>| Err(DecodeError::Missing("a field"));
    let unreadable = socket.dump("list the interfaces", libc::RTM_GETLINK, &[0; IFINFO], |_| (), each);
    assert!(matches!(unreadable, Err(RequestError::Decode(_))), "{unreadable:?}");
    let mut writer = Writer::new();
    // With the number that the next request has.
    writer.raw_message(libc::RTM_GETLINK, REQUEST | DUMP, 2, &[0; IFINFO], |_| ());
    socket.send(writer.as_bytes()).unwrap();
    let found = names(&mut socket).unwrap();
    assert_eq!(found.iter().filter(|name| *name == "lo").count(), 1, "{found:?}");
}
