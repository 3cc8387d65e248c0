//! The DaemonSet shares with the node what the agent reads and writes there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::root;

/// What the agent opens and an agent in a pod has from elsewhere, or does without.
const NOT_SHARED: [(&str, &str); 5] = [
    ("/etc/calico/", "an agent in a pod has its settings from its environment and from FelixConfiguration"),
    ("/etc/passwd", "names of users who switch enforcement off: without it their numbers"),
    ("/etc/ssl/", "the authorities of the system: the service account of a pod brings its own"),
    ("/etc/pki/", "as /etc/ssl"),
    ("/var/run/secrets/", "Kubernetes mounts the service account"),
];

/// The files of a folder of sources, without those of tests.
fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.push(path.to_owned());
        return;
    }
    for entry in path.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" || name.ends_with(".rs") && name != "tests.rs" {
            sources(&path, found);
        }
    }
}

/// The paths outside of /proc, /sys and /dev that the agent's sources name, each with the file that names it.
fn named_paths() -> BTreeMap<String, PathBuf> {
    let mut files = Vec::new();
    for part in
        ["agent/src", "hostnet/src", "netlink/src", "nft/src", "dataplane-nft/src", "store/src", "store-kube/src"]
    {
        sources(&root().join("crates").join(part), &mut files);
    }
    for file in ["cli/src/commands/agent.rs", "cli/src/calico_api_config.rs"] {
        files.push(root().join("crates").join(file));
    }
    let mut named = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for part in line.split('"').skip(1).step_by(2) {
                let is_path = ["/etc/", "/var/", "/run", "/lib/", "/usr/"].iter().any(|start| part.starts_with(start));
                if is_path && !part.contains([' ', '{']) {
                    named.insert(part.to_owned(), file.clone());
                }
            }
        }
    }
    named
}

/// The folders of the node that the DaemonSet mounts in the same place.
fn shared() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("packaging/kubernetes/daemonset.yaml")).unwrap();
    let after = |key: &str| {
        let values = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
        values.map(|value| value.trim().to_owned()).filter(|value| value.starts_with('/')).collect::<Vec<_>>()
    };
    // The paths of probes are no folders.
    let of_node: BTreeSet<String> = after("path:").into_iter().filter(|path| !path.ends_with("ness")).collect();
    let mounted: BTreeSet<String> = after("mountPath:").into_iter().collect();
    assert_eq!(mounted, of_node, "what is mounted is at another place than on the node");
    mounted
}

#[test]
fn the_daemonset_mounts_each_folder_of_the_node_that_the_agent_uses() {
    let (named, shared) = (named_paths(), shared());
    let begins = |path: &str, folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    let is_named = |folder: &String| named.keys().any(|path| begins(path, folder));
    let unused: Vec<_> = shared.iter().filter(|folder| !is_named(folder)).collect();
    assert!(unused.is_empty(), "nothing in the agent names {unused:?}");
    let elsewhere = |path: &str| NOT_SHARED.iter().any(|(start, _)| path.starts_with(start));
    let missing: Vec<_> = named
        .iter()
        .filter(|(path, _)| !elsewhere(path) && !shared.iter().any(|folder| begins(path, folder)))
        .collect();
    assert!(missing.is_empty(), "the agent uses these paths, and daemonset.yaml does not mount them: {missing:#?}");
    let stale: Vec<_> =
        NOT_SHARED.iter().filter(|(start, _)| !named.keys().any(|path| path.starts_with(start))).collect();
    assert!(stale.is_empty(), "{stale:?}");
}
