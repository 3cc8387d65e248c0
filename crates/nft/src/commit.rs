//! Committing a batch: what is sent, and what the answers mean.
//!
//! Only the batch's end asks for an acknowledgement; a single one means that all of it is in force.
//! Errors come unasked, one for each bad message. Without its end the kernel goes through a batch,
//! answers, and forgets it.
//!
//! Source: `nfnetlink_rcv_batch`; fact sheet sections 2.1, 2.5 and 3.5.

use std::collections::HashMap;
use std::io;

use crate::batch::{Batch, FIRST};
use crate::error::{Answer, BatchError, CommitError, ObjectRef, Operation, subject};
use crate::message::{BATCH_BEGIN, BATCH_END, BATCH_GENID, BATCH_RESOURCE, NEW_RULE};
use crate::rule::Rule;
use crate::socket::Socket;
use crate::wire::{ACK, Header, Messages, NLMSG_ERROR, REQUEST, Writer};

/// The begin message's sequence number.
const BEGIN: u32 = FIRST - 1;

/// What a commit brought back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// The handles of the rules made, by the index of their message, if the batch asked for them.
    pub handles: HashMap<usize, u64>,
}

impl Batch {
    /// Sends the batch and reads whether the kernel took it. The batch stays as it is.
    pub fn commit(&self, socket: &mut Socket) -> Result<Committed, CommitError> {
        if self.is_empty() {
            return Ok(Committed::default());
        }
        let bytes = self.bytes(true)?;
        self.send(socket, &bytes)?;
        let (errors, handles, acknowledged, failure) = self.answers(socket, &bytes);
        if errors.iter().any(|error| error.index.is_none() && error.errno == libc::ERESTART) {
            return Err(CommitError::Stale);
        }
        if !errors.is_empty() {
            return Err(CommitError::Refused(errors));
        }
        if !acknowledged {
            return Err(CommitError::Unacknowledged(failure));
        }
        Ok(Committed { handles })
    }

    /// Has the kernel go through the batch and change nothing. All it would have refused is returned.
    pub fn check(&self, socket: &mut Socket) -> Result<Vec<BatchError>, CommitError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.bytes(false)?;
        self.send(socket, &bytes)?;
        match self.answers(socket, &bytes) {
            (errors, _, _, None) => Ok(errors),
            (.., failure) => Err(CommitError::Unacknowledged(failure)),
        }
    }

    /// The whole batch; without its end the kernel goes through it and changes nothing.
    fn bytes(&self, end: bool) -> Result<Vec<u8>, CommitError> {
        if let Some(seq) = self.writer.overflowed() {
            let object =
                self.refused(self.writer.as_bytes(), seq, Answer { errno: 0, message: None, offset: None }).object;
            return Err(CommitError::Oversized(Box::new(object)));
        }
        let frame =
            |kind, flags, seq| Header { kind, flags: REQUEST | flags, seq, family: 0, resource: BATCH_RESOURCE };
        let mut begin = Writer::new();
        begin.message(frame(BATCH_BEGIN, 0, BEGIN), |writer| {
            if let Some(generation) = self.generation {
                writer.u32(BATCH_GENID, generation);
            }
        });
        let mut last = Writer::new();
        if end {
            last.message(frame(BATCH_END, ACK, FIRST + self.len() as u32), |_| ());
        }
        Ok([begin.as_bytes(), self.writer.as_bytes(), last.as_bytes()].concat())
    }

    fn send(&self, socket: &mut Socket, bytes: &[u8]) -> Result<(), CommitError> {
        socket.send(bytes).map_err(|error| match error.raw_os_error() {
            Some(libc::EMSGSIZE) => CommitError::TooLong { len: bytes.len() },
            _ => CommitError::Send(error),
        })
    }

    /// Everything the kernel answered: refusals (the batch's own last), handles, whether the end was
    /// acknowledged, and what kept the rest from being read.
    fn answers(
        &self,
        socket: &mut Socket,
        sent: &[u8],
    ) -> (Vec<BatchError>, HashMap<usize, u64>, bool, Option<io::Error>) {
        let mut errors = Vec::new();
        let mut handles = HashMap::new();
        let mut acknowledged = false;
        let mut failure = None;
        loop {
            let read = socket.receive(|bytes| {
                for message in Messages::new(bytes).map_while(Result::ok) {
                    if message.kind == NEW_RULE {
                        let handle = Rule::decode(&message).ok().and_then(|rule| rule.handle);
                        handles.extend(Some(message.seq.wrapping_sub(FIRST) as usize).zip(handle));
                    }
                    if message.kind != NLMSG_ERROR {
                        continue;
                    }
                    match Answer::read(&message) {
                        Ok(answer) if answer.errno == 0 => acknowledged = true,
                        Ok(answer) => errors.push(self.refused(sent, message.seq, answer)),
                        Err(error) => failure = Some(io::Error::other(error)),
                    }
                }
            });
            match read {
                Ok(Some(())) => (),
                Ok(None) => break,
                // Some answers were lost; those that are left may still tell.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => failure = Some(error),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        errors.sort_by_key(|error: &BatchError| error.index.unwrap_or(usize::MAX));
        (errors, handles, acknowledged, failure)
    }

    fn refused(&self, sent: &[u8], seq: u32, answer: Answer) -> BatchError {
        let about = Messages::new(sent).map_while(Result::ok).find(|message| message.seq == seq);
        let (operation, object) =
            about.map_or((Operation::Add, ObjectRef::Batch), |message| subject(&message, answer.offset));
        let index = seq.checked_sub(FIRST).map(|index| index as usize).filter(|index| *index < self.len());
        BatchError { errno: answer.errno, index, operation, object, message: answer.message, offset: answer.offset }
    }
}
