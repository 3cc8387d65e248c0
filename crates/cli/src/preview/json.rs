//! What a change means, for programs.

use serde_json::{Value, json};
use tortie_api::Key;
use tortie_policy::Family;

use super::Preview;

impl Preview {
    /// All of it; `unchanged` are the objects that were given and stay as they are.
    pub(crate) fn json(&self, unchanged: &[Key]) -> Value {
        let named = |key: &Key, word: &str| {
            let (api_version, kind) = key.kind.in_manifests();
            json!({"apiVersion": api_version, "kind": kind, "namespace": key.namespace, "name": key.name, "change": word})
        };
        let mut objects: Vec<Value> = Vec::new();
        for change in &self.objects {
            let mut object = named(&change.key, &change.word.to_string());
            let field =
                |field: &tortie_diff::Field| json!({"path": field.path, "before": field.before, "after": field.after});
            object["fields"] = change.fields.iter().map(field).collect();
            objects.push(object);
        }
        objects.extend(unchanged.iter().map(|key| named(key, "unchanged")));
        let defaults = self.defaults.iter().map(|change| {
            json!({
                "endpoint": change.endpoint.to_string(),
                "direction": change.direction.name(),
                "forwarded": change.forwarded,
                "before": change.before.to_string(),
                "after": change.after.to_string(),
            })
        });
        let verdicts = self.verdicts.changes.iter().map(|change| {
            let ips = change.families.iter().map(|family| if *family == Family::V4 { 4 } else { 6 });
            json!({
                "endpoints": change.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "way": change.reach.to_string(),
                "interfaces": change.interfaces,
                "verdict": if change.allowed { "allowed" } else { "denied" },
                "ipVersions": ips.collect::<Vec<u8>>(),
                "packets": change.traffic,
                "others": change.others,
                "by": change.by,
            })
        });
        let too_many = self.verdicts.too_many.iter().map(|one| {
            json!({"endpoint": one.endpoint.to_string(), "way": one.reach.to_string(), "kindsOfPackets": one.classes})
        });
        let lost = self.lost.iter().map(|one| {
            json!({
                "protocol": one.protocol,
                "from": one.from.to_string(),
                "to": one.to.to_string(),
                "connections": one.count,
                "why": one.why,
            })
        });
        let without_effect = self.without_effect.iter().map(|one| json!({"what": one.what, "why": one.why}));
        json!({
            "objects": objects,
            "notLookedAt": self.notes,
            "controllers": self.controllers,
            "openConnections": lost.collect::<Vec<_>>(),
            "withoutEffect": without_effect.collect::<Vec<_>>(),
            "defaults": defaults.collect::<Vec<_>>(),
            "verdicts": verdicts.collect::<Vec<_>>(),
            "notComputed": too_many.collect::<Vec<_>>(),
        })
    }
}
