//! What is answered on the local socket.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tortie_store::{Revision, Store};

use crate::board::{Board, Facts};
use crate::describe;
use crate::enforce::Shared;
use crate::engine::Input;
use crate::ground::Ground;
use crate::keep::Shelved;
use crate::socket::{Reply, Request};
use crate::status::Mark;

/// How long a revision is waited for before the store is asked whether anything is of it.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// The longest that a client may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Who answers on the local socket.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) node: String,
    pub(crate) board: Arc<Board>,
    pub(crate) target: Shared,
    pub(crate) store: Arc<Shelved>,
    pub(crate) tell: SyncSender<Input>,
}

impl Client {
    /// Answers, which may take as long as was asked for.
    pub(crate) fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Status => Reply::Status(Box::new(describe::status(&self.node, &self.board, &self.target))),
            Request::Ground => {
                let facts = self.board.read();
                Reply::Ground(Box::new(Ground::new(self.node.clone(), &facts.links, facts.local.clone())))
            }
            Request::Wait { revision, store, timeout_ms } => {
                let own = self.board.read().store_name.clone();
                if own != store {
                    return Reply::Failed { reason: format!("the agent follows {own}, and this call means {store}") };
                }
                let most = Duration::from_millis(timeout_ms).min(LONGEST_WAIT);
                let done = self.wait(revision, Instant::now() + most);
                let facts = self.board.read();
                let reason = facts
                    .failing
                    .clone()
                    .or_else(|| Some(facts.store_reason.clone()).filter(|reason| !reason.is_empty()));
                Reply::Waited { done, in_kernel: facts.in_kernel, reason: reason.filter(|_| !done) }
            }
            Request::Uninstall => {
                log::info!("asked to remove everything of ours and to end");
                let (answer, answered) = sync_channel(1);
                let sent = self.tell.send(Input::Remove(answer)).is_ok();
                let result = if sent { answered.recv_timeout(LONGEST_WAIT).ok() } else { None };
                match result {
                    Some(Ok(())) => Reply::Done,
                    Some(Err(reason)) => Reply::Failed { reason },
                    None => Reply::Failed { reason: "the dataplane does not answer".to_owned() },
                }
            }
        }
    }

    /// Waits until what the store had at this revision is in the kernel. Whether it is.
    fn wait(&self, revision: Revision, deadline: Instant) -> bool {
        let mut look = FIRST_LOOK;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let there = |mark: Mark| mark.revision >= revision;
            let all = |facts: &Facts| facts.programmed && there(facts.in_kernel) && there(facts.network_at);
            if self.board.wait(left.min(look), all) {
                return true;
            }
            // It may be that no object is of that revision.
            let (settled, at) = {
                let facts = self.board.read();
                let marks = [facts.in_kernel, facts.network_at];
                (facts.programmed && marks == [facts.wanted; 2], facts.wanted.revision)
            };
            if settled && self.store.is_quiet(at, revision).unwrap_or(false) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            look = (look * 2).min(LONGEST_LOOK);
        }
    }
}
