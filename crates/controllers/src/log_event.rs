//! The names of the lines in the controllers' log. They do not change, unlike the messages; [docs/log.md](../../../docs/log.md) lists them.

tortie_agent::events! {
    CONTROLLERS_STARTED = "controllers-started",
    CONTROLLERS_STOPPING = "controllers-stopping",
    COPIES_FAILED = "copies-failed",
    COPIES_WRITTEN = "copies-written",
    COPY_PROBLEM = "copy-problem",
    COPY_SOLVED = "copy-solved",
    COPYING_CHANGED = "copying-changed",
    HOST_ENDPOINT_PROBLEM = "host-endpoint-problem",
    HOST_ENDPOINT_SOLVED = "host-endpoint-solved",
    HOST_ENDPOINTS_CHANGED = "host-endpoints-changed",
    HOST_ENDPOINTS_FAILED = "host-endpoints-failed",
    HOST_ENDPOINTS_WRITTEN = "host-endpoints-written",
    KUBERNETES_LOST = "kubernetes-lost",
    KUBERNETES_REACHED = "kubernetes-reached",
    LEADER_GAINED = "leader-gained",
    LEADER_LOST = "leader-lost",
    LEADER_OTHER = "leader-other",
    LEASE_FAILED = "lease-failed",
    NODE_LABEL_PROBLEM = "node-label-problem",
    NODE_LABEL_SOLVED = "node-label-solved",
    NODE_LABELS_FAILED = "node-labels-failed",
    NODE_LABELS_WRITTEN = "node-labels-written",
    POD_LABEL_PROBLEM = "pod-label-problem",
    POD_LABEL_SOLVED = "pod-label-solved",
    POD_LABELS_FAILED = "pod-labels-failed",
    POD_LABELS_WRITTEN = "pod-labels-written",
    SERVICE_FAILED = "service-failed",
    SERVICE_LISTENING = "service-listening",
    STORE_LOST = "store-lost",
    STORE_REACHED = "store-reached",
    THREAD_FAILED = "thread-failed",
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ALL;

    #[test]
    fn every_line_of_the_log_is_of_a_documented_event() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(root.join("../../docs/log.md")).unwrap();
        let table = page.split("| Event |").nth(2).unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        assert_eq!(rows.map(|(name, _)| name).collect::<Vec<_>>(), ALL);
        let mut used = Vec::new();
        for file in std::fs::read_dir(root.join("src")).unwrap() {
            let path = file.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for level in ["error", "warn", "info", "debug"] {
                for call in text.split(&format!("log::{level}!(")).skip(1) {
                    assert!(call.trim_start().starts_with("target: "), "{path:?}");
                }
            }
            let names = text.split("log_event::").skip(1).map(|rest| {
                rest.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_').next().unwrap().to_owned()
            });
            used.extend(
                names
                    .filter(|name| !["", "ALL"].contains(&name.as_str()))
                    .map(|name| name.to_lowercase().replace('_', "-")),
            );
        }
        used.sort();
        used.dedup();
        assert_eq!(used, ALL);
    }
}
