//! The profile that always exists and is never stored. Automatic host endpoints use it.

use serde_json::{Map, json};
use tortie_api::{Key, Kind, Object};

/// The name of the built-in profile.
pub const DEFAULT_ALLOW: &str = "projectcalico-default-allow";

/// Whether this names the built-in profile.
pub fn is_built_in(key: &Key) -> bool {
    key.kind == Kind::Profile && key.name == DEFAULT_ALLOW
}

/// The built-in profile: allow everything, both ways.
pub fn default_allow() -> Object {
    let mut object = Object::new(Key::cluster(Kind::Profile, DEFAULT_ALLOW));
    object.metadata.resource_version = "1".to_owned();
    let spec = json!({ "ingress": [{ "action": "Allow" }], "egress": [{ "action": "Allow" }] });
    object.body = Map::from_iter([("spec".to_owned(), spec)]);
    object
}
