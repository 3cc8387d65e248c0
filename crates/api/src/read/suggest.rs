//! "Did you mean": the known name that an unknown one most likely stands for, and where it belongs.

use strsim::damerau_levenshtein;

use crate::kind::Kind;
use crate::problem::{Path, Step};
use crate::shape::{Form, Record, Shape};

/// What to do about an unknown field of the record at `path`.
pub(crate) fn field(name: &str, path: &Path, record: &Record, root: &Shape) -> Option<String> {
    let plain = plain(name);
    let here = record.fields.iter().map(|field| field.name.as_str());
    if let Some(near) = nearest(&plain, here, 1) {
        return Some(format!("did you mean `{near}`?"));
    }
    let mut places = Vec::new();
    collect(root, &mut Vec::new(), &plain, &mut places);
    let key = |step: &Step| match step {
        Step::Key(key) => Some(key.clone()),
        Step::Index(_) => None,
    };
    let current: Vec<String> = path.0.iter().filter_map(key).collect();
    // The nearest: fewest steps up and down again.
    let distance = |place: &Vec<String>| {
        let shared = place.iter().zip(&current).take_while(|(place, current)| place.trim_end_matches("[]") == *current);
        let shared = shared.count();
        (place.len() - shared) + (current.len() - shared)
    };
    if let Some(place) = places.iter().min_by_key(|place| distance(place)) {
        return Some(match place.join(".") {
            at if at.is_empty() => format!("`{name}` belongs at the top, beside `kind`; check its indentation"),
            at => format!("`{name}` belongs under `{at}`; check its indentation"),
        });
    }
    let here = record.fields.iter().map(|field| field.name.as_str());
    if let Some(near) = nearest(&plain, here, 1 + name.len() / 4) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
    (1..=15).contains(&names.len()).then(|| format!("the fields here are {}", names.join(", ")))
}

/// The kind that a name stands for that is none.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    Kind::from_alias(name).or_else(|| {
        let names = Kind::ALL.iter().map(|kind| kind.name());
        nearest(&plain(name), names, 1 + name.len() / 6).and_then(Kind::from_name)
    })
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, limit: usize) -> Option<&'a str> {
    // Very short names are near to everything.
    let limit = limit.min(name.chars().count() / 2).min(4);
    known
        .map(|known| (damerau_levenshtein(name, &plain(known)), known))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// A name without case, dashes and underscores; those are the most common slips.
fn plain(name: &str) -> String {
    name.chars().filter(|char| !matches!(char, '-' | '_')).flat_map(char::to_lowercase).take(80).collect()
}

/// The paths of all records that have a field of this name.
fn collect(shape: &Shape, path: &mut Vec<String>, name: &str, places: &mut Vec<Vec<String>>) {
    match &shape.form {
        Form::Record(record) => {
            for field in &record.fields {
                if plain(&field.name) == name {
                    places.push(path.clone());
                }
                path.push(field.name.clone());
                collect(&field.shape, path, name, places);
                path.pop();
            }
        }
        Form::List(inner) => {
            if let Some(last) = path.last_mut() {
                last.push_str("[]");
            }
            collect(inner, path, name, places);
            if let Some(last) = path.last_mut() {
                last.truncate(last.len() - 2);
            }
        }
        _ => {}
    }
}
