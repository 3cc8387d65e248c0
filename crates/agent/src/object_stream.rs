//! The binary format of stored objects on the local socket, after the line of an answer, one object at a time.
//!
//! ```text
//!   object   key, revision, 0 and its JSON or 1 and why it cannot be read; each a length (u32, big-endian) and bytes
//!   end      a key of length 0
//! ```

use std::io::{self, Read, Write};

use tortie_api::Key;
use tortie_store::{Stored, Value};

/// The longest key or value, in bytes. No store has one that is nearly as long.
const MAX_BYTES: u32 = 256 << 20;

/// Writes one object.
pub(crate) fn send(to: &mut dyn Write, stored: &Stored) -> io::Result<()> {
    let key = stored.key.path();
    bytes(to, key.as_bytes())?;
    bytes(to, stored.revision.to_string().as_bytes())?;
    match stored.value.unreadable() {
        None => {
            bytes(to, &[0])?;
            bytes(to, &stored.value)
        }
        Some(reason) => {
            bytes(to, &[1])?;
            bytes(to, reason.as_bytes())
        }
    }
}

/// Writes the end mark, after all objects.
pub(crate) fn end(to: &mut dyn Write) -> io::Result<()> {
    bytes(to, &[])
}

/// Reads objects up to the end.
pub(crate) fn receive(from: &mut dyn Read) -> io::Result<Vec<Stored>> {
    let mut all = Vec::new();
    loop {
        let key = block(from)?;
        if key.is_empty() {
            return Ok(all);
        }
        let revision = text(block(from)?)?;
        let value = match block(from)?[..] {
            [0] => Value::from(block(from)?),
            [1] => Value::cannot_be_read(text(block(from)?)?),
            _ => return Err(invalid()),
        };
        let key: Key = text(key)?.parse().map_err(|_| invalid())?;
        all.push(Stored { key, revision: revision.as_str().into(), value });
    }
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| invalid())
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the agent sent an invalid object; it may be of another release")
}

fn bytes(to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| invalid())?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(bytes)
}

fn block(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_BYTES {
        return Err(invalid());
    }
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() == length as usize { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;

    use super::*;

    #[test]
    fn objects_arrive_unchanged_and_an_incomplete_transfer_is_an_error() {
        let stored = |name: &str, value: &[u8]| Stored {
            key: Key::cluster(Kind::GlobalNetworkPolicy, name),
            revision: (1 << 40).into(),
            value: value.into(),
        };
        let mut all = vec![stored("a", b"\xff\n{"), stored("b", b""), stored("c", &[7; 100_000])];
        let unreadable = Value::cannot_be_read("an address is no address");
        all.push(Stored { value: unreadable, revision: "12/".into(), ..stored("d", b"") });
        let mut sent = Vec::new();
        all.iter().for_each(|stored| send(&mut sent, stored).unwrap());
        end(&mut sent).unwrap();
        assert_eq!(receive(&mut &sent[..]).unwrap(), all);
        for length in [0, 3, 30, sent.len() - 1] {
            assert!(receive(&mut &sent[..length]).is_err(), "{length}");
        }
        assert!(receive(&mut &u32::MAX.to_be_bytes()[..]).is_err());
    }
}
