//! What manifests in YAML mean, for tests that describe a world by them.

use tortie_manifest::read::{Source, read};
use tortie_policy::Snapshot;

/// The objects of some manifests, each of which must be readable as a whole.
pub fn snapshot(text: impl Into<String>) -> Snapshot {
    let mut objects = Vec::new();
    for located in read(&Source::new("manifests", text.into())) {
        let Some(object) = located.object else { panic!("{:?}", located.problems) };
        objects.push(object);
    }
    let (snapshot, invalid) = Snapshot::from_objects(&objects);
    assert!(invalid.is_empty(), "{invalid:?}");
    snapshot
}
