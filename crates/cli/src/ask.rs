//! Asking the agent of this machine.

use std::time::{Duration, Instant};

use tortie_agent::socket::{self, AskError, Reply, Request, Told};
use tortie_agent::status::Mark;

use crate::commands::agent::run_directory;

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to obey another store.
const ACCEPTED: Duration = Duration::from_secs(70);
/// The pause between two looks at an agent that starts.
const LOOK: Duration = Duration::from_millis(50);
/// How long it may take where the answer can do without it.
const SOON: Duration = Duration::from_secs(1);
/// How long it may take to say that what is waited for has not come.
const GRACE: Duration = Duration::from_secs(1);

/// Asks for what is known at once.
pub(crate) fn ask(request: &Request) -> Result<Reply, AskError> {
    socket::ask(&run_directory(), request, PATIENCE)
}

/// Asks what is in force, having read this store at this revision. Who asks can go on without an agent, so one that hangs
/// must not hold up the answer.
pub(crate) fn in_force(store: &str, revision: Option<u64>) -> Result<Told, AskError> {
    socket::ask_in_force(&run_directory(), store, revision, SOON)
}

/// Tells the agent to obey the store that stands in the place of the one in force. The revision that is in force then, or why not.
pub(crate) fn accept_store(store: &str) -> Result<Result<u64, String>, AskError> {
    let request = Request::AcceptStore { store: store.to_owned() };
    Ok(match socket::ask(&run_directory(), &request, ACCEPTED)? {
        Reply::Accepted { revision } => Ok(revision),
        Reply::Failed { reason } => Err(reason),
        other => Err(format!("the agent answered {other:?}")),
    })
}

/// Tells the agent to enforce the name that this machine has now, and waits until it does. The node's name, or why not.
pub(crate) fn accept_node() -> Result<Result<String, String>, AskError> {
    let node = match ask(&Request::AcceptNode)? {
        Reply::NodeAccepted { node, restarts: false } => return Ok(Ok(node)),
        Reply::NodeAccepted { node, restarts: true } => node,
        Reply::Failed { reason } => return Ok(Err(reason)),
        other => return Ok(Err(format!("the agent answered {other:?}"))),
    };
    // It starts anew, and answers nobody for a moment.
    let deadline = Instant::now() + ACCEPTED;
    while Instant::now() < deadline {
        if let Ok(Reply::Status(status)) = ask(&Request::Status)
            && status.node == node
            && status.ready
        {
            return Ok(Ok(node));
        }
        std::thread::sleep(LOOK);
    }
    Ok(Err(format!("the agent was told to enforce node {node}, and is not ready yet; `tortie status` says why")))
}

/// Waits until the kernel has a revision of a store. What it has then; or, when the time is over, what is missing and why.
pub(crate) fn wait(store: &str, revision: u64, timeout: Duration) -> anyhow::Result<Result<Mark, String>> {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let request = Request::Wait { revision, store: store.to_owned(), timeout_ms };
    match socket::ask(&run_directory(), &request, timeout.saturating_add(GRACE))? {
        Reply::Waited { done: true, in_kernel, .. } => Ok(Ok(in_kernel)),
        Reply::Waited { in_kernel, reason, .. } => {
            let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Ok(Err(format!("revision {} is in the kernel, not {revision}{why}", in_kernel.revision)))
        }
        Reply::Failed { reason } => anyhow::bail!("{reason}"),
        other => anyhow::bail!("the agent answered {other:?}"),
    }
}
