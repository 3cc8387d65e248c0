//! Decodes what a store hands over, and replaces it in the maps in which the controllers keep it.

use std::collections::BTreeMap;

use tortie_api::{Object, decode};
use tortie_store::Stored;

/// The name of the one KubeControllersConfiguration that counts, and of the one ClusterInformation.
pub(crate) const DEFAULT: &str = "default";

/// The object, with its revision as `resourceVersion`, or why it cannot be read.
pub(crate) fn read(stored: &Stored) -> Result<Object, String> {
    if let Some(reason) = stored.value.unreadable() {
        return Err(reason.to_owned());
    }
    let mut object = decode::stored(&stored.key, &stored.value).map_err(|error| error.to_string())?;
    object.metadata.name.clone_from(&stored.key.name);
    object.metadata.namespace.clone_from(&stored.key.namespace);
    object.metadata.resource_version = stored.revision.to_string();
    Ok(object)
}

/// Puts a value under a key. Whether it is another than before.
pub(crate) fn replace<K: ToOwned<Owned: Ord> + Ord + ?Sized, T: PartialEq>(
    all: &mut BTreeMap<K::Owned, T>,
    key: &K,
    value: T,
) -> bool {
    if all.get(key) == Some(&value) {
        return false;
    }
    all.insert(key.to_owned(), value);
    true
}
