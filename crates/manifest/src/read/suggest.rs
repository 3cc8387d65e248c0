//! "Did you mean": the known name that an unknown one most likely stands for, and where it belongs.

use strsim::damerau_levenshtein;
use tortie_api::shape::{Form, Record, Shape};
use tortie_api::{Kind, Path, Step};

use super::node::Entry;
use super::other_field;
use crate::other_syntax;

/// What to do about an unknown field of the record at `path`.
pub(crate) fn field(entry: &Entry, path: &Path, record: &Record, root: &Shape) -> Option<String> {
    let name = entry.key.as_str();
    if let Some(help) = other_field::help(entry, record) {
        return Some(help);
    }
    let plain = plain(name);
    let here = record.fields.iter().map(|field| field.name.as_str());
    if let Some(near) = nearest(&plain, here, 1) {
        return Some(format!("did you mean `{near}`?"));
    }
    let places = nearest_places(&plain, path, root);
    if !places.is_empty() {
        return Some(belongs(name, &places, path));
    }
    for other in other_syntax::field(&plain) {
        if let Some(found) = record.field(other) {
            let more = if plain == "podselector" { "; it does not select pods alone" } else { "" };
            return Some(format!("this is called `{other}` here{}{more}", form(&found.shape, other)));
        }
        let places = nearest_places(&self::plain(other), path, root);
        if !places.is_empty() {
            return Some(format!("this is called `{other}` here; {}", belongs(other, &places, path)));
        }
    }
    let here = record.fields.iter().map(|field| field.name.as_str());
    if let Some(near) = nearest(&plain, here, 1 + name.len() / 4) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
    (1..=15).contains(&names.len()).then(|| format!("the fields here are {}", names.join(", ")))
}

/// The places that are nearest to `path`, by steps up and down again, of those where a field of this name could have been meant.
fn nearest_places(plain: &str, path: &Path, root: &Shape) -> Vec<Vec<String>> {
    let mut places = Vec::new();
    collect(root, &mut Vec::new(), plain, &mut places);
    let current = keys(path);
    let shared = |place: &[String]| {
        let pairs = place.iter().zip(&current).take_while(|(place, current)| place.trim_end_matches("[]") == *current);
        pairs.count()
    };
    places.retain(|place| {
        let (up, down) = (current.len() - shared(place), &place[shared(place)..]);
        // A name within another object, or within the labels and notes of this one, would be no condition of the rule any more.
        let is_other = |step: &String| matches!(step.as_str(), "services" | "serviceAccounts");
        down.is_empty() || up <= 1 && !down.iter().any(is_other)
    });
    let distance = |place: &Vec<String>| current.len() + place.len() - 2 * shared(place);
    let least = places.iter().map(distance).min();
    places.retain(|place| Some(distance(place)) == least);
    places
}

/// The fields that a path leads through.
fn keys(path: &Path) -> Vec<String> {
    let key = |step: &Step| match step {
        Step::Key(key) => Some(key.clone()),
        Step::Index(_) => None,
    };
    path.0.iter().filter_map(key).collect()
}

/// What a field takes that is written otherwise under another name elsewhere.
fn form(shape: &Shape, name: &str) -> &'static str {
    match &shape.form {
        Form::List(_) => ", and takes a list",
        Form::Record(_) => ", and takes a map; several of them are several rules",
        Form::Text if name == "selector" => ", and takes an expression such as `app == \"web\"`",
        _ => "",
    }
}

/// Where a field belongs, all places that are equally near. Which side of a rule a condition stands on changes what it means,
/// so neither is proposed alone. The indentation is named for what is too deep, and for what stands at the top.
fn belongs(name: &str, places: &[Vec<String>], path: &Path) -> String {
    let current = keys(path);
    let is_around = |place: &Vec<String>| {
        current.is_empty()
            || place.len() < current.len() && place.iter().zip(&current).all(|(a, b)| a.trim_end_matches("[]") == b)
    };
    let of_rules = |place: &Vec<String>| matches!(place.as_slice(), [.., rules] if rules.ends_with("gress[]"));
    if places.len() > 1 && places.iter().all(of_rules) {
        return format!("`{name}` belongs in a rule, an item of `ingress` or `egress`");
    }
    let mut suggestions = Vec::new();
    let mut sides = false;
    for place in places {
        suggestions.push(match (place.join("."), place.last().map(String::as_str)) {
            (at, _) if at.is_empty() => match name {
                "kind" => "at the top, beside `apiVersion`".to_owned(),
                _ => "at the top, beside `kind`".to_owned(),
            },
            (at, Some("source")) if at.contains("gress[]") => format!("under `{at}` (where packets come from)"),
            (at, Some("destination")) if at.contains("gress[]") => {
                sides = true;
                format!("under `{at}` (where they go to)")
            }
            (at, _) => format!("under `{at}`"),
        });
    }
    if sides && places.len() > 3 {
        let sides = "under `source` (where packets come from) or `destination` (where they go to)";
        return format!("`{name}` belongs in a rule, an item of `ingress` or `egress`: {sides}");
    }
    let end = if places.iter().all(is_around) { "; check its indentation" } else { "" };
    match suggestions.split_last() {
        Some((last, [])) => format!("`{name}` belongs {last}{end}"),
        Some((last, rest)) => format!("`{name}` belongs {} or {last}{end}", rest.join(", ")),
        None => String::new(),
    }
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

/// The range of ports that was probably meant by `8000-8080`, `8000..8080` or `8000 : 8080`.
pub(crate) fn port_range(text: &str) -> Option<String> {
    let numbers: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let between = text.trim().trim_matches(|c: char| c.is_ascii_digit()).trim();
    match numbers.as_slice() {
        [first, last] if matches!(between, "-" | "–" | ".." | "..." | ":" | "to" | "/") => {
            let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
            (0 < first && first <= last).then(|| format!("{first}:{last}"))
        }
        _ => None,
    }
}

/// What to write instead of a text that is not a port.
pub(crate) fn port(text: &str) -> Option<String> {
    if let Some(range) = port_range(text) {
        return Some(format!("write `{range}`"));
    }
    if let Some(help) = other_syntax::port(text) {
        return Some(help);
    }
    match text.split_once(':') {
        Some((first, "")) if first.parse::<u16>().is_ok_and(|first| first > 0) => {
            return Some(format!("a range has both ends: `{first}:65535`"));
        }
        Some(("", last)) if last.parse::<u16>().is_ok_and(|last| last > 0) => {
            return Some(format!("a range has both ends: `1:{last}`"));
        }
        Some((first, last)) if [first, last].iter().any(|end| end.parse::<u16>().is_err()) => {
            let is_number = |end: &&str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
            if ![first, last].iter().all(is_number) {
                return Some("a range has numbers at both ends; a name stands alone".to_owned());
            }
        }
        _ => {}
    }
    if let Some((first, last)) = text.split_once(':')
        && let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>())
    {
        return Some(format!("a range begins with the lower port: `{}:{}`", first.min(last), first.max(last)));
    }
    let parts: Vec<&str> = text.split([',', ';', ' ']).filter(|part| !part.is_empty()).collect();
    let ports = |part: &&str| part.parse::<tortie_net::Port>().is_ok();
    (parts.len() > 1 && parts.iter().all(ports)).then(|| format!("write each port as an item: [{}]", parts.join(", ")))
}
