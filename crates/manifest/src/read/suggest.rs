//! "Did you mean": the known name that an unknown one most likely stands for, and where it belongs.

use strsim::damerau_levenshtein;
use tortie_api::shape::{Form, Record, Shape};
use tortie_api::{Kind, Path, Step};

use crate::other_syntax;

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
    if let Some(least) = places.iter().map(distance).min() {
        places.retain(|place| distance(place) == least);
        return Some(belongs(name, &places));
    }
    for other in other_syntax::field(&plain) {
        if let Some(found) = record.field(other) {
            let more = if plain == "podselector" { "; it does not select pods alone" } else { "" };
            return Some(format!("this is called `{other}` here{}{more}", form(&found.shape, other)));
        }
        collect(root, &mut Vec::new(), &self::plain(other), &mut places);
        if let Some(least) = places.iter().map(distance).min() {
            places.retain(|place| distance(place) == least);
            return Some(format!("this is called `{other}` here; {}", belongs(other, &places)));
        }
    }
    let here = record.fields.iter().map(|field| field.name.as_str());
    if let Some(near) = nearest(&plain, here, 1 + name.len() / 4) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
    (1..=15).contains(&names.len()).then(|| format!("the fields here are {}", names.join(", ")))
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
/// so neither is proposed alone.
fn belongs(name: &str, places: &[Vec<String>]) -> String {
    let mut suggestions = Vec::new();
    let mut sides = false;
    for place in places {
        suggestions.push(match (place.join("."), place.last().map(String::as_str)) {
            (at, _) if at.is_empty() => "at the top, beside `kind`".to_owned(),
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
    let end = if sides { "" } else { "; check its indentation" };
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
    if let Some((first, last)) = text.split_once(':')
        && let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>())
    {
        return Some(format!("a range begins with the lower port: `{}:{}`", first.min(last), first.max(last)));
    }
    let parts: Vec<&str> = text.split([',', ';', ' ']).filter(|part| !part.is_empty()).collect();
    let ports = |part: &&str| part.parse::<tortie_net::Port>().is_ok();
    (parts.len() > 1 && parts.iter().all(ports)).then(|| format!("write each port as an item: [{}]", parts.join(", ")))
}
