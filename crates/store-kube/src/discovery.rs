//! What a server has: its API groups, and the resources of a version of a group.
//!
//! All tasks of a handle share the answers, so that a node asks once however many resources the server lacks, and less and less
//! often while nothing changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;
use tortie_store::{Backoff, part_of};

use crate::client::{Call, CallError, Client};

/// For how long an answer counts as one of now: many calls are refused at the same time.
const ANSWER_LIFETIME: Duration = Duration::from_secs(1);
/// The pauses after which the server is asked again whether it has resources that it lacked: the definition may come at any time.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(5);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(120);

/// How old an answer may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It is of now.
    Now,
    /// It may be older, until the server is to be asked again.
    Due,
}

/// The lists of what a server has, by their paths.
#[derive(Default)]
pub(crate) struct Discovery(Mutex<HashMap<String, Known>>);

/// What is known of one list.
struct Known {
    answer: Result<Arc<Vec<Value>>, CallError>,
    at: Instant,
    due: Instant,
    backoff: Backoff,
}

impl Known {
    fn counts(&self, age: Age) -> bool {
        self.at.elapsed() < ANSWER_LIFETIME || age == Age::Due && self.answer.is_ok() && Instant::now() < self.due
    }
}

impl Discovery {
    /// Whether the server names the resource with this path (`/apis/GROUP/VERSION/RESOURCE`) among those that it has. An answer that
    /// is no such list is an error.
    pub(crate) async fn serves(&self, client: &Client, path: &str, age: Age) -> Result<bool, CallError> {
        let (folder, resource) = path.rsplit_once('/').unwrap_or_default();
        if !self.serves_version(client, folder, age).await? {
            return Ok(false);
        }
        let resources = self.list(client, folder, "resources", age).await?;
        Ok(resources.iter().any(|one| one["name"] == resource))
    }

    /// Whether the server has the version with this path (`/apis/GROUP/VERSION`).
    pub(crate) async fn serves_version(&self, client: &Client, path: &str, age: Age) -> Result<bool, CallError> {
        let version = path.trim_start_matches("/apis/");
        let groups = self.list(client, "/apis", "groups", age).await?;
        let has_version = |group: &Value| {
            let versions = group["versions"].as_array();
            versions.is_some_and(|versions| versions.iter().any(|one| one["groupVersion"] == version))
        };
        Ok(groups.iter().any(has_version))
    }

    /// The names of the groups of this server.
    pub(crate) async fn groups(&self, client: &Client) -> Result<Vec<String>, CallError> {
        let groups = self.list(client, "/apis", "groups", Age::Now).await?;
        Ok(groups.iter().filter_map(|group| group["name"].as_str().map(str::to_owned)).collect())
    }

    /// Waits until the server is to be asked again for its groups, and a little longer, so that not all that wait wake together.
    pub(crate) async fn wait_until_due(&self) {
        let due = self.0.lock().await.get("/apis").map(|known| known.due);
        let left = due.map(|due| due.saturating_duration_since(Instant::now())).unwrap_or_default();
        tokio::time::sleep(left + part_of(ANSWER_LIFETIME)).await;
    }

    /// A list of what the server has. Who asks while another waits for the answer gets the same one.
    async fn list(&self, client: &Client, path: &str, field: &str, age: Age) -> Result<Arc<Vec<Value>>, CallError> {
        let mut all = self.0.lock().await;
        if let Some(known) = all.get(path).filter(|known| known.counts(age)) {
            return known.answer.clone();
        }
        let answer = ask(client, path, field).await.map(Arc::new);
        let before = all.remove(path).filter(|known| known.answer == answer);
        let mut backoff =
            before.map_or_else(|| Backoff::new(FIRST_RETRY_DELAY, MAX_RETRY_DELAY), |known| known.backoff);
        let at = Instant::now();
        all.insert(path.to_owned(), Known { answer: answer.clone(), at, due: at + backoff.pause(), backoff });
        answer
    }
}

/// A server has such lists, so 404 comes from something else.
async fn ask(client: &Client, path: &str, field: &str) -> Result<Vec<Value>, CallError> {
    let body = match client.call(&Call::get(path)).await {
        Err(error) if error.code() == Some(404) => Err(CallError::Away(format!("{path}: {}", error.text()))),
        answer => answer,
    }?;
    let mut list: Value = serde_json::from_slice(&body).unwrap_or_default();
    match list[field].take() {
        Value::Array(items) => Ok(items),
        _ => Err(CallError::Away(format!("{path}: the answer is not a list of {field}"))),
    }
}
