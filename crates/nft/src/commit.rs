//! Committing a batch: what is sent, and what the answers mean.
//!
//! The batch's end asks for an acknowledgement, and its last message does. Since Linux 6.10 the kernel acknowledges the end of
//! a batch that it committed. Before, it does not answer to the end, but hands out its answers to messages only after it has
//! committed or given up, so an acknowledged last message without a refusal means the same. There the acknowledgement also
//! comes beside refusals, and so it counts only when no answer was lost.
//! Errors come unasked, one for each bad message. Without its end the kernel goes through a batch,
//! answers, and forgets it.
//!
//! Source: `nfnetlink_rcv_batch`.

use std::io;

use tortie_netlink::{Received, RequestError};

use crate::batch::{Batch, FIRST_SEQUENCE};
use crate::error::{Answer, BatchError, CommitError, ObjectRef, Operation, subject};
use crate::message::{BATCH_BEGIN, BATCH_END, BATCH_GENID, BATCH_RESOURCE};
use crate::socket::Socket;
use crate::wire::{ACK, Header, Messages, NLMSG_ERROR, REQUEST, Writer};

/// The begin message's sequence number.
const BEGIN: u32 = FIRST_SEQUENCE - 1;

/// Everything the kernel answered to a batch.
#[derive(Default)]
struct Answers {
    /// What it refused; the batch's own refusal is last.
    refusals: Vec<BatchError>,
    /// It acknowledged the batch's end, which it does only if all of it is in force.
    committed: bool,
    /// It acknowledged the last message.
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
        let Answers { refusals, committed, acknowledged, failure } = self.answers(socket, &bytes);
        if refusals.iter().any(|error| error.index.is_none() && error.errno == libc::ERESTART) {
            return Err(CommitError::Stale);
        }
        if !refusals.is_empty() {
            return Err(CommitError::Refused(refusals));
        }
        match failure {
            _ if committed => Ok(()),
            None if acknowledged => Ok(()),
            failure => Err(CommitError::Unacknowledged(failure)),
        }
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
        let mut all = begin;
        all.append(&self.writer);
        if end {
            all.flag_last(ACK);
            all.message(frame(BATCH_END, ACK, self.end()), |_| ());
        }
        Ok(all.into_bytes())
    }

    /// The sequence number of the end.
    fn end(&self) -> u32 {
        FIRST_SEQUENCE + self.len() as u32
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
                    Ok(answer) if answer.errno == 0 && message.seq == self.end() => answers.committed = true,
                    Ok(answer) if answer.errno == 0 => answers.acknowledged |= message.seq + 1 == self.end(),
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
        let index = seq.checked_sub(FIRST_SEQUENCE).map(|index| index as usize).filter(|index| *index < self.len());
        BatchError { errno: answer.errno, index, operation, object, message: answer.message, offset: answer.offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, TableId};

    #[test]
    fn the_last_message_asks_for_an_acknowledgement_since_older_kernels_do_not_answer_to_the_end() {
        let mut batch = Batch::new();
        for name in ["a", "b", "c"] {
            batch.add_table(&Table::new(TableId::inet(name)));
        }
        let asks = |end: bool| {
            let bytes = batch.bytes(end).unwrap();
            let messages: Vec<_> = Messages::new(&bytes).map(Result::unwrap).collect();
            messages.iter().map(|message| message.flags & ACK != 0).collect::<Vec<_>>()
        };
        assert_eq!(asks(true), [false, false, false, true, true]);
        // A check is to answer with refusals alone.
        assert_eq!(asks(false), [false; 4]);
        assert_eq!(batch.len(), 3, "the batch itself stays as it is");
    }
}
