//! Leases of `coordination.k8s.io`, as client-go's leader election uses them.
//!
//! Clocks of machines differ, so the times in a lease are for people. Whoever waits for one to end looks at how long, by its own
//! clock, the lease has not changed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tortie_store::{Holding, Leases, StoreError};

use crate::client::{Call, CallError};
use crate::runtime::wait_for;
use crate::shared::Shared;
use crate::store::KubeStore;

/// The namespace of the pod that this runs in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The namespace outside of pods.
const DEFAULT_NAMESPACE: &str = "kube-system";
const JSON: &str = "application/json";

/// Which version of a lease was seen, and since when it is that one.
#[derive(Default)]
pub(crate) struct Watched(Mutex<BTreeMap<String, (String, Instant)>>);

impl Watched {
    /// For how long a lease has been at this version, as far as was seen.
    fn unchanged(&self, name: &str, version: &str, now: Instant) -> Duration {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(name) {
            Some((seen, since)) if seen == version => now.saturating_duration_since(*since),
            _ => {
                all.insert(name.to_owned(), (version.to_owned(), now));
                Duration::ZERO
            }
        }
    }
}

impl Leases for KubeStore {
    fn hold(&self, name: &str, holder: &str, time: Duration) -> Result<Holding, StoreError> {
        wait_for(take(self.shared(), self.watched(), name, holder, time)).map_err(|error| self.shared().failed(&error))
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        wait_for(give_up(self.shared(), name, holder)).map_err(|error| self.shared().failed(&error))
    }
}

async fn take(
    shared: &Shared,
    watched: &Watched,
    name: &str,
    holder: &str,
    time: Duration,
) -> Result<Holding, CallError> {
    let seconds = time.as_secs().max(1);
    let spec = |transitions: u64, since: Value| {
        json!({ "holderIdentity": holder, "leaseDurationSeconds": seconds, "acquireTime": since, "renewTime": now(),
            "leaseTransitions": transitions })
    };
    let Some(mut lease) = read(shared, name).await? else {
        let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": namespace() }, "spec": spec(0, json!(now())) });
        let call = Call::with(Method::POST, leases(), JSON, lease.to_string());
        return made(shared, name, shared.client().call(&call).await).await;
    };
    let current = holder_of(&lease);
    if current != holder && !current.is_empty() {
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let theirs = Duration::from_secs(lease["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(seconds));
        if watched.unchanged(name, version, Instant::now()) <= theirs {
            return Ok(Holding::Of(current));
        }
    }
    let transitions = lease["spec"]["leaseTransitions"].as_u64().unwrap_or(0);
    lease["spec"] = match current == holder {
        true => spec(transitions, lease["spec"]["acquireTime"].clone()),
        false => spec(transitions + 1, json!(now())),
    };
    made(shared, name, replace(shared, name, &lease).await).await
}

/// What came of taking it. Another was faster when the server says that it exists or has changed.
async fn made<T>(shared: &Shared, name: &str, answer: Result<T, CallError>) -> Result<Holding, CallError> {
    match answer {
        Ok(_) => Ok(Holding::Ours),
        Err(error) if error.code() == Some(409) => {
            let lease = read(shared, name).await?.unwrap_or_default();
            Ok(Holding::Of(holder_of(&lease)))
        }
        Err(error) => Err(error),
    }
}

async fn give_up(shared: &Shared, name: &str, holder: &str) -> Result<(), CallError> {
    let Some(mut lease) = read(shared, name).await? else { return Ok(()) };
    if holder_of(&lease) != holder {
        return Ok(());
    }
    lease["spec"]["holderIdentity"] = json!("");
    lease["spec"]["renewTime"] = json!(now());
    match replace(shared, name, &lease).await {
        Err(error) if error.code() != Some(409) => Err(error),
        _ => Ok(()),
    }
}

async fn read(shared: &Shared, name: &str) -> Result<Option<Value>, CallError> {
    let found = shared.client().find(&Call::get(format!("{}/{name}", leases()))).await?;
    Ok(found.map(|body| serde_json::from_slice(&body).unwrap_or_default()))
}

async fn replace(shared: &Shared, name: &str, lease: &Value) -> Result<(), CallError> {
    let call = Call::with(Method::PUT, format!("{}/{name}", leases()), JSON, lease.to_string());
    shared.client().call(&call).await.map(drop)
}

fn leases() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", namespace())
}

/// The namespace of leases: that of the pod, or `kube-system`.
fn namespace() -> String {
    let pods = std::fs::read_to_string(NAMESPACE_FILE).unwrap_or_default();
    let pods = pods.trim();
    if pods.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { pods.to_owned() }
}

fn holder_of(lease: &Value) -> String {
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// The time as leases have it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_the_time_for_which_it_was_seen_unchanged() {
        let watched = Watched::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watched.unchanged("l", "1", after(100)), Duration::ZERO, "however old it is");
        assert_eq!(watched.unchanged("l", "1", after(109)), Duration::from_secs(9));
        assert_eq!(watched.unchanged("l", "2", after(110)), Duration::ZERO, "it was renewed");
        assert_eq!(watched.unchanged("l", "2", after(126)), Duration::from_secs(16));
    }
}
