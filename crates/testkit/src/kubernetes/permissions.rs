//! What accounts of a cluster may do, and what they did: the rules of roles, and the server's audit log.
//!
//! The log has the requests of everyone but administrators, who are most of what tests do.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ApiServer;

/// What is logged. The first rule that applies counts.
pub(super) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    userGroups: ["system:masters"]
  # A watch is logged when it begins, not when it ends.
  - level: Metadata
    verbs: [watch]
    omitStages: [ResponseComplete]
  - level: Metadata
"#;

/// What is done with what: `list pods`, `watch networkpolicies.networking.k8s.io`.
pub type Permissions = BTreeSet<String>;

fn permission(verb: &str, group: &str, resource: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

impl ApiServer {
    /// What a service account of `kube-system` has done that the server did not refuse for want of rights.
    ///
    /// # Panics
    ///
    /// If the log cannot be read.
    pub fn used_by(&self, account: &str) -> Permissions {
        let log = std::fs::read_to_string(self.audit_log()).expect("the audit log");
        let user = format!("system:serviceaccount:kube-system:{account}");
        // The last line may not be whole yet.
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let theirs = events.filter(|event| event["user"]["username"] == user.as_str());
        let done = theirs.filter(|event| !matches!(event["responseStatus"]["code"].as_u64(), Some(401 | 403)));
        done.filter_map(|event| {
            let object = event.get("objectRef")?;
            Some(permission(text(&event, "verb"), text(object, "apiGroup"), text(object, "resource")))
        })
        .collect()
    }

    /// What the roles in a manifest grant.
    ///
    /// # Panics
    ///
    /// If kubectl does not accept it.
    pub fn granted_by(&self, manifest: &str, role: &str) -> Permissions {
        let list = self.kubectl(&["create", "--dry-run=client", "-o", "json", "-f", manifest], "");
        let objects = serde_json::Deserializer::from_str(&list).into_iter::<Value>();
        let objects =
            objects.map(|object| object.expect("JSON of kubectl")).flat_map(|object| match &object["items"] {
                Value::Array(items) => items.clone(),
                _ => vec![object],
            });
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        let mut granted = Permissions::new();
        for object in objects.filter(|object| object["metadata"]["name"] == role) {
            for rule in object["rules"].as_array().into_iter().flatten() {
                for group in texts(&rule["apiGroups"]) {
                    for resource in texts(&rule["resources"]) {
                        granted.extend(texts(&rule["verbs"]).iter().map(|verb| permission(verb, &group, &resource)));
                    }
                }
            }
        }
        granted
    }
}
