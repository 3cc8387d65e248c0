//! Asking the agent of this machine.
//!
//! A command may ask several times. The questions of one [`Agent`] have one time limit together, so an agent that hangs holds
//! up a command for that long and no longer; time in which the command itself works does not count. Accepting a store or a name
//! has a time limit of its own, because the agent answers afterwards.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tortie_agent::socket::{self, AskError, InForceAnswer, Reply, Request};
use tortie_agent::status::{Progress, StoreStatus};
use tortie_store::Position;

use crate::commands::agent::run_directory;

/// How long the agent may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the agent may take to accept another store, or another name.
const ACCEPTED: Duration = Duration::from_secs(70);
/// The pause between two checks whether an agent has started.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How long the agent may take if the command can do without it.
const OPTIONAL_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the agent may take to begin to send events.
const AGREED: Duration = Duration::from_secs(30);
/// How much longer the agent may take to report that its own wait timed out, and to ask the store why.
const WAIT_REPORT_TIME: Duration = Duration::from_secs(3);

/// The agent of this machine, and how long this command may still wait for its answers.
pub(crate) struct Agent {
    left: Cell<Duration>,
}

/// The agent's answer after waiting for a position.
pub(crate) struct Waited {
    /// The mark that the kernel is at, or why it does not have the position.
    pub(crate) kernel: Result<Progress, String>,
    /// The objects that cannot be read, each with what is in force instead.
    pub(crate) unreadable: Vec<String>,
}

impl Agent {
    /// For commands that print what the agent answers.
    pub(crate) fn patient() -> Self {
        Self::within(ANSWER_TIMEOUT)
    }

    /// For commands that can do without it.
    pub(crate) fn soon() -> Self {
        Self::within(OPTIONAL_ANSWER_TIMEOUT)
    }

    /// For commands whose user says how long to wait.
    pub(crate) fn within(limit: Duration) -> Self {
        Self { left: Cell::new(limit.saturating_add(WAIT_REPORT_TIME)) }
    }

    /// Sends a request, within the time that is left.
    fn spend<T>(&self, question: impl FnOnce(Instant) -> T) -> T {
        let begun = Instant::now();
        let answer = question(deadline(begun, self.left.get()));
        self.left.set(self.left.get().saturating_sub(begun.elapsed()));
        answer
    }

    /// Sends a request that the agent answers at once.
    pub(crate) fn ask(&self, request: &Request) -> Result<Reply, AskError> {
        self.spend(|deadline| socket::ask(&run_directory(), request, deadline))
    }

    /// Whether an agent runs, whatever it answers.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.ask(&Request::Store), Err(AskError::Nobody(_)))
    }

    /// The store that the agent follows; none if it does not say.
    pub(crate) fn store(&self) -> Result<Option<StoreStatus>, AskError> {
        Ok(match self.ask(&Request::Store)? {
            Reply::Store(store) => Some(*store),
            _ => None,
        })
    }

    /// Asks what is in force. `store` and `position` say what this command has read.
    pub(crate) fn in_force(&self, store: &str, position: Option<Position>) -> Result<InForceAnswer, AskError> {
        self.spend(|deadline| socket::ask_in_force(&run_directory(), store, position, deadline))
    }

    /// Waits until the kernel has everything up to a position of a store.
    pub(crate) fn wait(&self, store: &str, position: &Position) -> anyhow::Result<Waited> {
        let most = self.left.get().saturating_sub(WAIT_REPORT_TIME);
        let timeout_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        match self.ask(&Request::Wait { position: position.clone(), store: store.to_owned(), timeout_ms })? {
            Reply::Waited { done: true, in_kernel, unreadable, .. } => Ok(Waited { kernel: Ok(in_kernel), unreadable }),
            Reply::Waited { in_kernel, reason, unreadable, .. } => {
                let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                Ok(Waited { kernel: Err(behind(&in_kernel.position, position) + &why), unreadable })
            }
            other => anyhow::bail!("{}", other.unexpected()),
        }
    }
}

/// The text about a kernel that does not have everything up to a position. The revisions of a store that replaced another one may
/// be lower.
fn behind(in_kernel: &Position, position: &Position) -> String {
    if in_kernel.is_behind(position) {
        format!("the kernel has revision {in_kernel}, and the store is at revision {position}")
    } else {
        format!("revision {position} of the store is not in force")
    }
}

/// Tells the agent to follow the store that replaced the one in force. Returns the position that is in force then, or why not.
pub(crate) fn accept_store(store: &str) -> Result<Result<Position, String>, AskError> {
    let request = Request::AcceptStore { store: store.to_owned() };
    Ok(match Agent::within(ACCEPTED).ask(&request)? {
        Reply::Accepted { position } => Ok(position),
        other => Err(other.unexpected()),
    })
}

/// Tells the agent to enforce the node with the current name of this machine, and waits until it does. Returns the name, or why
/// not.
pub(crate) fn accept_node() -> Result<Result<String, String>, AskError> {
    let agent = Agent::within(ACCEPTED);
    let node = match agent.ask(&Request::AcceptNode)? {
        Reply::NodeAccepted { node, restarts: false } => return Ok(Ok(node)),
        Reply::NodeAccepted { node, restarts: true } => node,
        other => return Ok(Err(other.unexpected())),
    };
    // The agent restarts, and does not answer for a moment.
    let deadline = Instant::now() + ACCEPTED;
    while Instant::now() < deadline {
        if let Ok(Reply::Status(status)) = agent.ask(&Request::Status)
            && status.node == node
            && status.ready
        {
            return Ok(Ok(node));
        }
        std::thread::sleep(CHECK_INTERVAL);
    }
    Ok(Err(format!("the agent was told to enforce node {node}, and is not ready yet; `tortie status` says why")))
}

/// The deadline for the first answer of an agent that is asked for events: it may have to change the kernel first.
pub(crate) fn until_it_agrees() -> Instant {
    deadline(Instant::now(), AGREED)
}

/// The end of a time that begins now; if it is out of range, a time far in the future.
fn deadline(begun: Instant, limit: Duration) -> Instant {
    const FAR_FUTURE: Duration = Duration::from_secs(1 << 30);
    begun + limit.min(FAR_FUTURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_behind_is_distinguished_from_one_with_another_history() {
        let behind = |in_kernel: u64, position: u64| behind(&in_kernel.into(), &position.into());
        assert_eq!(behind(7, 8), "the kernel has revision 7, and the store is at revision 8");
        assert_eq!(behind(8, 7), "revision 7 of the store is not in force");
        assert_eq!(behind(7, 7), "revision 7 of the store is not in force");
    }

    #[test]
    fn all_questions_of_a_command_share_one_time_limit() {
        let agent = Agent::within(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(agent.left.get(), WAIT_REPORT_TIME, "work of the command itself does not count");
        agent.spend(|_| std::thread::sleep(Duration::from_millis(20)));
        agent.spend(|_| std::thread::sleep(Duration::from_millis(20)));
        assert!(agent.left.get() <= WAIT_REPORT_TIME - Duration::from_millis(40));
    }
}
