//! A cluster for tests: a real API server with the definitions of one group.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tortie_store::Store;
use tortie_store_kube::custom::Group;
use tortie_store_kube::{KubeStore, RawSettings, Settings, definitions};
use tortie_testkit::kubernetes::{ADMIN, ApiServer};

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An API server that knows Calico's resources.
pub(crate) struct Cluster {
    pub(crate) server: Mutex<ApiServer>,
    group: Group,
}

impl Cluster {
    /// A new one.
    pub(crate) fn start(group: Group) -> Self {
        let server = ApiServer::start();
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": definitions::all(group) });
        server.kubectl(&["create", "-f", "-"], &list.to_string());
        server.wait_for_definitions();
        Self { server: Mutex::new(server), group }
    }

    /// How a user reaches it.
    pub(crate) fn settings(&self, user: &str) -> Settings {
        let kubeconfig = self.server.lock().expect("it is alive").kubeconfig(user).display().to_string();
        let settings =
            Settings::new(&RawSettings { kubeconfig, ..RawSettings::default() }, &|_| None).expect("settings");
        Settings { patience: PATIENCE, ..settings }
    }

    /// A handle of the administrator.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(KubeStore::new(self.settings(ADMIN)).expect("settings"))
    }

    /// Runs kubectl as the administrator; its output.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        self.server.lock().expect("it is alive").kubectl(arguments, input)
    }

    /// The path of a resource in its group, for kubectl.
    pub(crate) fn resource(&self, plural: &str) -> String {
        format!("{plural}.{}", self.group.name())
    }
}

/// Waits until this gives something.
pub(crate) fn wait_until<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
