//! Why an API server did not do what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// It cannot be reached, or the connection was lost: another try may help.
    Away(String),
    /// It asks for patience, for this long.
    Busy(Duration, String),
    /// It refused.
    Refused(Status),
    /// What is asked for of history is no longer kept.
    Expired,
    /// Our own settings do not allow to ask.
    Settings(String),
}

/// The answer of a server that refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// The code of HTTP.
    pub(crate) code: u16,
    /// One word, such as `NotFound`.
    pub(crate) reason: String,
    /// The error in a sentence.
    pub(crate) message: String,
    /// The part of the request that the error is about.
    pub(crate) details: Details,
    /// What the server said of other requests that it refused at the same time for the same reason.
    #[serde(skip)]
    pub(crate) others: Vec<String>,
}

/// What a refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Details {
    /// The name of the object; empty where the whole resource does not exist.
    pub(crate) name: String,
    /// How long to wait.
    pub(crate) retry_after_seconds: u64,
}

impl Status {
    /// The answer with this code, or without one with the code that it has itself; in its own words if it has some.
    pub(crate) fn of(code: Option<u16>, body: &[u8]) -> Self {
        let mut status: Status = serde_json::from_slice(body).unwrap_or_default();
        status.code = code.unwrap_or(status.code);
        if status.message.is_empty() {
            let text = String::from_utf8_lossy(body);
            let text = text.trim().chars().take(200).collect::<String>();
            status.message = if text.is_empty() { format!("HTTP status {}", status.code) } else { text };
        }
        status
    }
}

/// A server that asks to wait longer is asked again after so many seconds all the same: it may have meant another caller, and
/// nothing is followed meanwhile.
const MAX_RETRY_AFTER_SECONDS: u64 = 60;

impl CallError {
    /// What an answer with this code means.
    pub(crate) fn of(code: u16, retry_after: Option<u64>, body: &[u8]) -> Self {
        let status = Status::of(Some(code), body);
        let seconds = retry_after.or(Some(status.details.retry_after_seconds).filter(|seconds| *seconds > 0));
        let seconds = seconds.map(|seconds| seconds.min(MAX_RETRY_AFTER_SECONDS));
        match (code, seconds) {
            (410, _) => CallError::Expired,
            (429, seconds) => CallError::Busy(Duration::from_secs(seconds.unwrap_or(1)), status.message),
            (500..=599, Some(seconds)) => CallError::Busy(Duration::from_secs(seconds), status.message),
            (500..=599, None) => CallError::Away(status.message),
            _ => CallError::Refused(status),
        }
    }

    /// The error of several calls that were made at the same time; none if there was none. Missing rights are told together.
    pub(crate) fn one_of(errors: Vec<CallError>) -> Option<Self> {
        let mut forbidden: Vec<Status> = Vec::new();
        for error in errors {
            match error {
                CallError::Refused(status) if status.code == 403 => forbidden.push(status),
                other => return Some(other),
            }
        }
        let mut forbidden = forbidden.into_iter();
        let first = forbidden.next()?;
        Some(CallError::Refused(Status { others: forbidden.map(|status| status.message).collect(), ..first }))
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            CallError::Refused(status) => Some(status.code),
            _ => None,
        }
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        match self {
            CallError::Away(text) | CallError::Settings(text) => text.clone(),
            CallError::Busy(_, text) => format!("it asks for patience: {text}"),
            CallError::Refused(status) if matches!(status.code, 401 | 403) => {
                let messages = std::iter::once(&status.message).chain(&status.others).map(String::as_str);
                let count = status.others.len();
                let more = if count > 0 { format!("; and {count} more like it") } else { String::new() };
                format!("connection is unauthorized: {}{more}{}", status.message, grants(messages))
            }
            CallError::Refused(status) => status.message.clone(),
            CallError::Expired => "what was asked for is no longer kept".to_owned(),
        }
    }
}

/// The rules that grant what messages of missing rights say is missing: one for each group of resources.
fn grants<'m>(messages: impl Iterator<Item = &'m str>) -> String {
    let mut rules: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (group, resource, verb) in messages.filter_map(missing) {
        rules.entry((group, verb)).or_default().insert(resource);
    }
    let rule = |((group, verb), resources): (&(&str, &str), &BTreeSet<&str>)| {
        let resources: Vec<String> = resources.iter().map(|resource| format!("\"{resource}\"")).collect();
        format!("{{apiGroups: [\"{group}\"], resources: [{}], verbs: [\"{verb}\"]}}", resources.join(", "))
    };
    let texts: Vec<String> = rules.iter().map(rule).collect();
    match texts.as_slice() {
        [] => String::new(),
        [one] => format!(" (a ClusterRole grants it by the rule {one})"),
        several => format!(" (a ClusterRole grants it by the rules {})", several.join(", ")),
    }
}

/// The group, the resource and the verb that a message says are missing.
fn missing(message: &str) -> Option<(&str, &str, &str)> {
    let between = |before: &str| {
        let rest = &message[message.find(before)? + before.len()..];
        rest.split('"').next()
    };
    let verb = message.split(" cannot ").nth(1)?.split(' ').next()?;
    Some((between("API group \"")?, between("resource \"")?, verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_reported_with_the_rule_that_grants_it() {
        let message = r#"tiers.crd.projectcalico.org is forbidden: User "guest" cannot list resource "tiers" in API group "crd.projectcalico.org" at the cluster scope"#;
        let body = serde_json::json!({ "code": 403, "reason": "Forbidden", "message": message }).to_string();
        let error = CallError::of(403, None, body.as_bytes());
        assert_eq!(
            error.text(),
            format!(
                "connection is unauthorized: {message} (a ClusterRole grants it by the rule \
                 {{apiGroups: [\"crd.projectcalico.org\"], resources: [\"tiers\"], verbs: [\"list\"]}})"
            )
        );
        assert_eq!(grants(["Unauthorized"].into_iter()), "");
        let forbidden = |resource: &str, group: &str| {
            CallError::Refused(Status {
                code: 403,
                message: format!("User \"guest\" cannot list resource \"{resource}\" in API group \"{group}\""),
                ..Status::default()
            })
        };
        let all = [forbidden("tiers", "p.org"), forbidden("pods", ""), forbidden("nodes", "")];
        assert_eq!(
            CallError::one_of(all.to_vec()).unwrap().text(),
            "connection is unauthorized: User \"guest\" cannot list resource \"tiers\" in API group \"p.org\"; and 2 more like it \
             (a ClusterRole grants it by the rules {apiGroups: [\"\"], resources: [\"nodes\", \"pods\"], verbs: [\"list\"]}, \
             {apiGroups: [\"p.org\"], resources: [\"tiers\"], verbs: [\"list\"]})"
        );
        let away = CallError::Away("m".to_owned());
        assert_eq!(CallError::one_of(vec![all[0].clone(), away.clone()]), Some(away), "it says more");
        assert_eq!(CallError::one_of(Vec::new()), None);
    }

    #[test]
    fn answers_say_whether_to_wait_to_try_again_or_to_list_again() {
        assert_eq!(CallError::of(429, Some(7), b"slow"), CallError::Busy(Duration::from_secs(7), "slow".to_owned()));
        assert_eq!(CallError::of(503, Some(u64::MAX), b"m"), CallError::Busy(Duration::from_secs(60), "m".to_owned()));
        let body = br#"{"message":"m","details":{"retryAfterSeconds":3}}"#;
        assert_eq!(CallError::of(429, None, body), CallError::Busy(Duration::from_secs(3), "m".to_owned()));
        assert_eq!(CallError::of(503, None, b""), CallError::Away("HTTP status 503".to_owned()));
        assert_eq!(CallError::of(410, None, b""), CallError::Expired);
        assert_eq!(CallError::of(404, None, b"x").code(), Some(404));
    }
}
