//! Writes: custom resources are made, replaced and deleted; of a pod's endpoint and of a node only annotations are.

use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tortie_api::Kind;
use tortie_store::{Op, Operation, Position, Unsupported, Write, WriteError, Written};

use crate::client::{Call, CallError};
use crate::convert::pod::{POD_IP, POD_IPS};
use crate::custom;
use crate::item::{Decoder, Item};
use crate::list;
use crate::meta::version_in;
use crate::runtime::runtime;
use crate::shared::Shared;
use crate::source::{self, Source};
use crate::update_by_annotations;

/// What a write may fail with: a refusal of this one, or trouble with all.
type Outcome = Result<Result<Written, WriteError>, CallError>;

/// How many changes a server is asked to try at once.
const MAX_CONCURRENT_WRITES: usize = 8;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// Whether a change is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is.
    Kept,
    /// The server does all that it does for a change, and then forgets it.
    Tried,
}

/// Makes one change.
pub(crate) async fn one(shared: &Shared, decoder: &Decoder, write: &Write, effect: Effect) -> Outcome {
    let operation = write.op.operation();
    if let Err(unsupported) = supports(write.key.kind, operation) {
        return Ok(Err(unsupported.refusal(operation)));
    }
    let Some((source, namespace, name)) = source::place(&write.key) else {
        return Ok(Err(match write.op {
            Op::Create(_) => WriteError::Refused(format!("{} is no name for Kubernetes", write.key)),
            _ => WriteError::Missing,
        }));
    };
    let (previous, body) = match &write.op {
        Op::Create(_) => (None, Bytes::new()),
        _ => list::get_with_body(shared, decoder, &write.key)
            .await?
            .map_or_else(Default::default, |(it, body)| (Some(it), body)),
    };
    // The server checks again: this tells which object was met.
    if !matches!(write.op, Op::Create(_))
        && let Err(refused) = write.op.check(previous.as_ref())
    {
        return Ok(Err(refused));
    }
    let path = source.path_of(decoder.group, &namespace, &name);
    let mut call = match &write.op {
        Op::Create(value) => match custom::to_custom(decoder.group, &write.key, value, None) {
            Ok(custom) => Call::with(Method::POST, source.path(decoder.group, Some(&namespace)), JSON, bytes(&custom)),
            Err(error) => return Ok(Err(WriteError::Refused(error.to_string()))),
        },
        Op::Update(value, _) if matches!(source, Source::Pods | Source::Nodes) => {
            let Some(previous) = &previous else { return Ok(Err(WriteError::Missing)) };
            match update_by_annotations::patch(decoder, source, &body, previous, value) {
                Ok(patch) => Call::with(Method::PATCH, format!("{path}/status"), MERGE, bytes(&patch)),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Op::Update(value, revision) => {
            match custom::to_custom(decoder.group, &write.key, value, Some(&revision.to_string())) {
                Ok(custom) => Call::with(Method::PUT, path, JSON, bytes(&custom)),
                Err(error) => return Ok(Err(WriteError::Refused(error.to_string()))),
            }
        }
        Op::Delete(revision) if source == Source::Pods => {
            let mut metadata = json!({ "annotations": { POD_IP: "", POD_IPS: "" } });
            if let Some(revision) = revision {
                metadata["resourceVersion"] = json!(revision.to_string());
            }
            Call::with(Method::PATCH, format!("{path}/status"), MERGE, bytes(&json!({ "metadata": metadata })))
        }
        Op::Delete(revision) => {
            let mut options = json!({ "kind": "DeleteOptions", "apiVersion": "v1" });
            if let Some(revision) = revision {
                options["preconditions"] = json!({ "resourceVersion": revision.to_string() });
            }
            Call::with(Method::DELETE, path, JSON, bytes(&options))
        }
    };
    if effect == Effect::Tried {
        call.path.push_str("?dryRun=All");
    }
    let answer = match shared.client().call(&call).await {
        Ok(answer) => answer,
        Err(call_error) => return refused(shared, decoder, write, call_error).await,
    };
    let revision = match &write.op {
        // The answer need not have the version of the deletion; this one is not before it.
        Op::Delete(_) if source != Source::Pods => list::version(shared, decoder, source).await?,
        _ => match decoder.object(source, &answer) {
            Ok(Item::Object(stored)) => stored.revision,
            _ => version_in(&answer).unwrap_or_default(),
        },
    };
    let position = Position::of_parts([(source.name(decoder.group), revision.clone())]);
    Ok(Ok(Written { revision, position, previous }))
}

/// Has the server try each of these changes, several at once.
pub(crate) async fn rehearse(
    shared: &Shared,
    decoder: &Decoder,
    writes: &[Write],
) -> Result<Vec<Result<(), WriteError>>, CallError> {
    let mut answers = vec![Ok(()); writes.len()];
    let mut rest = writes.iter().cloned().enumerate();
    let mut running = JoinSet::new();
    loop {
        for (at, write) in rest.by_ref().take(MAX_CONCURRENT_WRITES.saturating_sub(running.len())) {
            let (shared, decoder) = (shared.clone(), decoder.clone());
            running
                .spawn_on(async move { (at, one(&shared, &decoder, &write, Effect::Tried).await) }, runtime().handle());
        }
        let Some(ended) = running.join_next().await else { return Ok(answers) };
        let (at, outcome) = ended.map_err(|error| CallError::Away(error.to_string()))?;
        if let Some(answer) = answers.get_mut(at) {
            *answer = outcome?.map(drop);
        }
    }
}

/// Whether the store would make this change, as far as that can be said without making it.
pub(crate) async fn would_take(
    shared: &Shared,
    decoder: &Decoder,
    write: &Write,
) -> Result<Result<(), WriteError>, CallError> {
    let (Op::Update(value, _), Some((source @ (Source::Pods | Source::Nodes), ..))) =
        (&write.op, source::place(&write.key))
    else {
        return Ok(Ok(()));
    };
    let Some((current, body)) = list::get_with_body(shared, decoder, &write.key).await? else {
        return Ok(Err(WriteError::Missing));
    };
    Ok(update_by_annotations::patch(decoder, source, &body, &current, value).map(drop))
}

fn bytes(json: &Json) -> Bytes {
    serde_json::to_vec(json).unwrap_or_default().into()
}

/// What the server's refusal means for this write.
async fn refused(shared: &Shared, decoder: &Decoder, write: &Write, call_error: CallError) -> Outcome {
    let CallError::Refused(status) = &call_error else {
        if let CallError::Busy(..) | CallError::Settings(_) = call_error {
            return Err(call_error);
        }
        let text = format!("it is not known whether {} was written: {}", write.key, call_error.text());
        return Err(CallError::Away(text));
    };
    let now = || list::get(shared, decoder, &write.key);
    Ok(Err(match (status.code, &write.op) {
        (409, Op::Create(_)) if status.reason == "AlreadyExists" => match now().await? {
            Some(stored) => WriteError::Exists(stored),
            None => WriteError::Refused(call_error.text()),
        },
        (409, _) => match now().await? {
            Some(stored) => WriteError::Conflict(stored),
            None => WriteError::Missing,
        },
        (404, Op::Create(_)) if write.key.kind.namespaced() && status.message.starts_with("namespaces ") => {
            WriteError::Refused(format!("the namespace {:?} does not exist", write.key.namespace))
        }
        (404, Op::Create(_)) => WriteError::Refused(format!(
            "the cluster has no definition of {} in {}; `kubectl apply -f` of one file of packaging/kubernetes makes them all",
            write.key.kind,
            decoder.group.api_version()
        )),
        (404, _) => WriteError::Missing,
        _ => WriteError::Refused(call_error.text()),
    }))
}

/// Which operations a kind allows.
pub(crate) fn supports(kind: Kind, operation: Operation) -> Result<(), Unsupported> {
    let no = |reason: &str| Err(Unsupported { reason: Some(reason.to_owned()).filter(|text| !text.is_empty()) });
    let is_write = matches!(operation, Operation::Create | Operation::Update | Operation::Delete);
    match (kind, operation) {
        (Kind::LiveMigration, _) => no("virtual machines of KubeVirt are not followed"),
        (Kind::WorkloadEndpoint, Operation::Create) => {
            no("workload endpoints are made of pods, which the CNI plugin gives their addresses")
        }
        (Kind::Profile, _) if is_write => no("profiles are made of namespaces and service accounts"),
        (Kind::Node, Operation::Create | Operation::Delete) => no("nodes are made and deleted by Kubernetes"),
        (kind, _) if is_write && Kind::KUBERNETES.contains(&kind) => {
            no("kubernetes network policies must be managed through the kubernetes API")
        }
        _ => Ok(()),
    }
}
