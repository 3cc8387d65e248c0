//! Makes a case that fails small: drops packets, steps and then parts of objects while it still fails.

use serde_json::Value;

use super::case::{Case, Step};

/// The smallest case found for which `fails` holds, as it does for the one given.
pub fn shrink(case: &Case, fails: impl Fn(&Case) -> bool) -> Case {
    let mut best = case.clone();
    loop {
        let before = best.clone();
        best = drop_some(best, |case| &mut case.probes, &fails);
        best = drop_some(best, |case| &mut case.steps, &fails);
        best = trim(best, &fails);
        if best == before {
            return best;
        }
    }
}

/// Leaves out longer and then shorter runs of a list.
fn drop_some<T: Clone>(mut best: Case, list: fn(&mut Case) -> &mut Vec<T>, fails: &impl Fn(&Case) -> bool) -> Case {
    let mut run = list(&mut best).len().max(1);
    while run > 0 {
        let mut start = 0;
        while start < list(&mut best).len() {
            let mut smaller = best.clone();
            let items = list(&mut smaller);
            let end = (start + run).min(items.len());
            items.drain(start..end);
            if fails(&smaller) {
                best = smaller;
            } else {
                start += run;
            }
        }
        run /= 2;
    }
    best
}

/// Leaves out fields and entries of the objects.
fn trim(mut best: Case, fails: &impl Fn(&Case) -> bool) -> Case {
    for index in 0..best.steps.len() {
        let Step::Put(object) = &best.steps[index] else { continue };
        for place in places(object) {
            let mut smaller = best.clone();
            let Step::Put(object) = &mut smaller.steps[index] else { continue };
            if remove(object, &place) && fails(&smaller) {
                best = smaller;
            }
        }
    }
    best
}

/// Every field below `labels` and `spec`, later entries of lists first, so that earlier ones keep their place.
fn places(object: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut open: Vec<Vec<String>> = vec![vec!["labels".to_owned()], vec!["spec".to_owned()]];
    while let Some(place) = open.pop() {
        let Some(value) = object.pointer(&format!("/{}", place.join("/").replace("~", "~0"))) else { continue };
        let keys: Vec<String> = match value {
            Value::Object(fields) => fields.keys().filter(|key| !key.contains('/')).cloned().collect(),
            Value::Array(entries) => (0..entries.len()).rev().map(|index| index.to_string()).collect(),
            _ => Vec::new(),
        };
        for key in keys {
            let below = [place.as_slice(), &[key]].concat();
            found.push(below.clone());
            open.push(below);
        }
    }
    found
}

fn remove(object: &mut Value, place: &[String]) -> bool {
    let Some((last, above)) = place.split_last() else { return false };
    match object.pointer_mut(&format!("/{}", above.join("/"))) {
        Some(Value::Object(fields)) => fields.remove(last).is_some(),
        Some(Value::Array(entries)) => match last.parse::<usize>() {
            Ok(index) if index < entries.len() => {
                entries.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}
