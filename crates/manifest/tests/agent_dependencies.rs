//! What stands beside an agent is no part of it.

use std::fs;
use std::path::Path;

/// What a crate needs, tests aside.
fn needs(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let dependencies = text.split("\n[").find(|part| part.starts_with("dependencies]")).unwrap_or_default();
    let names = dependencies.lines().filter_map(|line| line.strip_prefix("tortie-")?.split(['.', ' ', '=']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn no_crate_that_enforces_reads_manifests() {
    for name in [
        "store",
        "store-sqlite",
        "store-etcd",
        "policy",
        "sync",
        "calc",
        "dataplane",
        "dataplane-nft",
        "nft",
        "netlink",
        "hostnet",
        "agent",
        "eval",
        "verify",
    ] {
        let needs = needs(name);
        assert!(needs.iter().any(|need| need != "manifest") || name == "netlink", "{name} needs something");
        assert!(!needs.iter().any(|need| need == "manifest"), "{name} needs tortie-manifest");
    }
}
