//! Asking the agent of this machine.
//!
//! A command may ask several times. The questions of one [`Agent`] have one time limit together, so an agent that hangs holds
//! up a command for that long and no longer; time that the command itself works does not count. What the agent is told to accept
//! has a time limit of its own, because it does so before it answers.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tortie_agent::socket::{self, AskError, InForceAnswer, Reply, Request};
use tortie_agent::status::{Mark, StoreStatus};
use tortie_store::Position;

use crate::commands::agent::run_directory;

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to obey another store, or to take another name.
const ACCEPTED: Duration = Duration::from_secs(70);
/// The pause between two looks at an agent that starts.
const LOOK: Duration = Duration::from_millis(50);
/// How long it may take where the answer can do without it.
const SOON: Duration = Duration::from_secs(2);
/// How long it may take to begin to send events.
const AGREED: Duration = Duration::from_secs(30);
/// How much longer it may take to say that what is waited for has not come.
const GRACE: Duration = Duration::from_secs(1);

/// The agent of this machine, and how long this command may still wait for its answers.
pub(crate) struct Agent {
    left: Cell<Duration>,
}

/// What the agent says once a position was waited for.
pub(crate) struct Waited {
    /// What is in the kernel, or what is missing and why.
    pub(crate) kernel: Result<Mark, String>,
    /// The objects that cannot be read, each with what is in force instead.
    pub(crate) unreadable: Vec<String>,
}

impl Agent {
    /// For commands that tell what the agent says.
    pub(crate) fn patient() -> Self {
        Self::within(PATIENCE)
    }

    /// For commands that can go on without it.
    pub(crate) fn soon() -> Self {
        Self::within(SOON)
    }

    /// For commands whose user says how long to wait.
    pub(crate) fn within(limit: Duration) -> Self {
        Self { left: Cell::new(limit.saturating_add(GRACE)) }
    }

    /// Asks one question with what is left of the time.
    fn spend<T>(&self, question: impl FnOnce(Instant) -> T) -> T {
        let begun = Instant::now();
        let answer = question(deadline(begun, self.left.get()));
        self.left.set(self.left.get().saturating_sub(begun.elapsed()));
        answer
    }

    /// Asks for what is known at once.
    pub(crate) fn ask(&self, request: &Request) -> Result<Reply, AskError> {
        self.spend(|deadline| socket::ask(&run_directory(), request, deadline))
    }

    /// Whether there is one, whatever it answers.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.ask(&Request::Store), Err(AskError::Nobody(_)))
    }

    /// The store that it obeys; none if it does not say.
    pub(crate) fn store(&self) -> Result<Option<StoreStatus>, AskError> {
        Ok(match self.ask(&Request::Store)? {
            Reply::Store(store) => Some(*store),
            _ => None,
        })
    }

    /// Asks what is in force, having read this store at this position.
    pub(crate) fn in_force(&self, store: &str, position: Option<Position>) -> Result<InForceAnswer, AskError> {
        self.spend(|deadline| socket::ask_in_force(&run_directory(), store, position, deadline))
    }

    /// Waits until the kernel has everything up to a position of a store.
    pub(crate) fn wait(&self, store: &str, position: &Position) -> anyhow::Result<Waited> {
        let most = self.left.get().saturating_sub(GRACE);
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

/// What is said of a kernel that does not have everything up to a position of a store. A store that took another's place may count
/// from less.
fn behind(in_kernel: &Position, position: &Position) -> String {
    if in_kernel.is_behind(position) {
        format!("the kernel has revision {in_kernel}, and the store is at revision {position}")
    } else {
        format!("revision {position} of the store is not in force")
    }
}

/// Tells the agent to obey the store that stands in the place of the one in force. The position that is in force then, or why not.
pub(crate) fn accept_store(store: &str) -> Result<Result<Position, String>, AskError> {
    let request = Request::AcceptStore { store: store.to_owned() };
    Ok(match Agent::within(ACCEPTED).ask(&request)? {
        Reply::Accepted { position } => Ok(position),
        other => Err(other.unexpected()),
    })
}

/// Tells the agent to enforce the name that this machine has now, and waits until it does. The node's name, or why not.
pub(crate) fn accept_node() -> Result<Result<String, String>, AskError> {
    let agent = Agent::within(ACCEPTED);
    let node = match agent.ask(&Request::AcceptNode)? {
        Reply::NodeAccepted { node, restarts: false } => return Ok(Ok(node)),
        Reply::NodeAccepted { node, restarts: true } => node,
        other => return Ok(Err(other.unexpected())),
    };
    // It starts anew, and answers nobody for a moment.
    let deadline = Instant::now() + ACCEPTED;
    while Instant::now() < deadline {
        if let Ok(Reply::Status(status)) = agent.ask(&Request::Status)
            && status.node == node
            && status.ready
        {
            return Ok(Ok(node));
        }
        std::thread::sleep(LOOK);
    }
    Ok(Err(format!("the agent was told to enforce node {node}, and is not ready yet; `tortie status` says why")))
}

/// Until when an agent that is asked for events may take to agree: it may have to change the kernel first.
pub(crate) fn until_it_agrees() -> Instant {
    deadline(Instant::now(), AGREED)
}

/// A point in time; one that cannot be told is as good as never.
fn deadline(begun: Instant, limit: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(1 << 30);
    begun + limit.min(NEVER)
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
        assert_eq!(agent.left.get(), GRACE, "work of the command itself does not count");
        agent.spend(|_| std::thread::sleep(Duration::from_millis(20)));
        agent.spend(|_| std::thread::sleep(Duration::from_millis(20)));
        assert!(agent.left.get() <= GRACE - Duration::from_millis(40));
    }
}
