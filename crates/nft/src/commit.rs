//! Committing a batch: what is sent, and what the answers mean.
//!
//! Only the batch's end asks for an acknowledgement; a single one means that all of it is in force.
//! Errors come unasked, one for each bad message. Without its end the kernel goes through a batch,
//! answers, and forgets it.
//!
//! Source: `nfnetlink_rcv_batch`.

use std::io;

use tortie_netlink::{Received, RequestError};

use crate::batch::{Batch, FIRST};
use crate::error::{Answer, BatchError, CommitError, ObjectRef, Operation, subject};
use crate::message::{BATCH_BEGIN, BATCH_END, BATCH_GENID, BATCH_RESOURCE};
use crate::socket::Socket;
use crate::wire::{ACK, Header, Messages, NLMSG_ERROR, REQUEST, Writer};

/// The begin message's sequence number.
const BEGIN: u32 = FIRST - 1;

/// Everything the kernel answered to a batch.
#[derive(Default)]
struct Answers {
    /// What it refused; the batch's own refusal is last.
    refusals: Vec<BatchError>,
    /// It acknowledged the batch's end.
    acknowledged: bool,
    /// What kept the rest from being read.
    failure: Option<io::Error>,
}

impl Batch {
    /// Sends the batch and reads whether the kernel took it. The batch stays as it is.
    pub fn commit(&self, socket: &mut Socket) -> Result<(), CommitError> {
        if self.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes(true)?;
        self.send(socket, &bytes)?;
        let Answers { refusals, acknowledged, failure } = self.answers(socket, &bytes);
        if refusals.iter().any(|error| error.index.is_none() && error.errno == libc::ERESTART) {
            return Err(CommitError::Stale);
        }
        if !refusals.is_empty() {
            return Err(CommitError::Refused(refusals));
        }
        if acknowledged { Ok(()) } else { Err(CommitError::Unacknowledged(failure)) }
    }

    /// Has the kernel go through the batch and change nothing. All it would have refused is returned.
    pub fn check(&self, socket: &mut Socket) -> Result<Vec<BatchError>, CommitError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.bytes(false)?;
        self.send(socket, &bytes)?;
        match self.answers(socket, &bytes) {
            Answers { refusals, failure: None, .. } => Ok(refusals),
            Answers { failure, .. } => Err(CommitError::Unacknowledged(failure)),
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

    /// Reads everything that the kernel answered.
    fn answers(&self, socket: &mut Socket, sent: &[u8]) -> Answers {
        let mut answers = Answers::default();
        loop {
            let received = socket.receive(|message| {
                if message.kind != NLMSG_ERROR {
                    return;
                }
                match Answer::read(message) {
                    Ok(answer) if answer.errno == 0 => answers.acknowledged = true,
                    Ok(answer) => answers.refusals.push(self.refused(sent, message.seq, answer)),
                    Err(error) => answers.failure = Some(io::Error::other(error)),
                }
            });
            match received {
                Ok(Received::Messages) => (),
                Ok(Received::Nothing) => break,
                // Some answers were lost; those that are left may still tell.
                Ok(Received::Lost) => answers.failure = Some(io::Error::from_raw_os_error(libc::ENOBUFS)),
                Err(RequestError::Io(error)) => {
                    answers.failure = Some(error);
                    break;
                }
                Err(other) => answers.failure = Some(io::Error::other(other)),
            }
        }
        answers.refusals.sort_by_key(|error: &BatchError| error.index.unwrap_or(usize::MAX));
        answers
    }

    fn refused(&self, sent: &[u8], seq: u32, answer: Answer) -> BatchError {
        let about = Messages::new(sent).map_while(Result::ok).find(|message| message.seq == seq);
        let (operation, object) =
            about.map_or((Operation::Add, ObjectRef::Batch), |message| subject(&message, answer.offset));
        let index = seq.checked_sub(FIRST).map(|index| index as usize).filter(|index| *index < self.len());
        BatchError { errno: answer.errno, index, operation, object, message: answer.message, offset: answer.offset }
    }
}
