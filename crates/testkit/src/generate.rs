//! Random objects that are valid, of every kind, for property tests here and in other crates.
//!
//! What the shapes say (forms, tags, enums, bounds) makes the values; `repair` then sees to what holds between
//! fields. The same seed gives the same object.

use serde_json::{Map, Value};
use tortie_api::scalar::Time;
use tortie_api::shape::{Form, Record};
use tortie_api::{Key, Kind, Object, kinds};

mod repair;
mod rule;
mod text;
mod value;

pub use tortie_random::Random;

/// A random valid object of a kind, as someone would write it: neither uid nor time nor revision.
pub fn object(kind: Kind, random: &mut Random) -> Object {
    let Form::Record(whole) = &kinds::shape(kind).form else { return Object::new(key(kind, random)) };
    let mut body = Map::new();
    for field in whole.fields.iter().filter(|field| matches!(field.name.as_str(), "spec" | "status")) {
        if field.name == "spec" || random.chance(30) {
            body.insert(field.name.clone(), value::field(random, field));
        }
    }
    let mut object = Object::new(key(kind, random));
    object.body = body;
    object.metadata.labels = text::labels(random, 0);
    object.metadata.annotations = text::annotations(random);
    repair::object(&mut object, random);
    repair::name(&mut object);
    object
}

/// A random object, with the fields that a store's client adds.
pub fn stored(kind: Kind, random: &mut Random) -> Object {
    let mut object = object(kind, random);
    object.metadata.uid = text::uid(random);
    object.metadata.creation_timestamp = Some(Time::from(text::time(random).as_str()));
    object
}

/// A random key of a kind whose name the kind allows.
pub fn key(kind: Kind, random: &mut Random) -> Key {
    let name = match kind {
        // Other names are refused, or allow only some of the fields.
        Kind::BGPConfiguration
        | Kind::ClusterInformation
        | Kind::IPAMConfiguration
        | Kind::KubeControllersConfiguration => "default".to_owned(),
        Kind::FelixConfiguration if random.chance(50) => "default".to_owned(),
        Kind::Tier => text::label(random),
        Kind::NetworkPolicy | Kind::StagedNetworkPolicy => text::name(random, 2),
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy => text::name(random, 2),
        _ => text::name(random, 3),
    };
    let namespace = if kind.namespaced() { text::label(random) } else { String::new() };
    Key { kind, namespace, name }
}

/// The fields of a random value of a record.
fn fields(random: &mut Random, record: &Record) -> Map<String, Value> {
    let mut map = Map::new();
    for field in &record.fields {
        if field.always || field.shape.rules.required || value::is_demanded(field) || random.chance(35) {
            map.insert(field.name.clone(), value::field(random, field));
        }
    }
    map
}

#[cfg(test)]
mod tests;
