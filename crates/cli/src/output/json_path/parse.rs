//! Reading a template.

use serde_json::Value;

use super::{Comparison, Filter, Operand, Part, Path, Step};

/// The parts of a template.
pub(super) fn template(text: &str) -> Result<Vec<Part>, String> {
    if text.is_empty() {
        return Err("there is nothing in the template".to_owned());
    }
    if !text.contains('{') {
        let dot = if text.starts_with(['.', '[', '$', '@']) { "" } else { "." };
        return Ok(vec![Part::Path(path(&format!("{dot}{text}"))?)]);
    }
    // The parts so far of the whole, and of each range that is open.
    let mut open: Vec<(Option<Path>, Vec<Part>)> = vec![(None, Vec::new())];
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = match rest.strip_prefix('{') {
            None => {
                let (own, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
                (Some(Part::Text(own.to_owned())), after)
            }
            Some(inside) => {
                let end = closing(inside, '}').ok_or_else(|| format!("`{{` without `}}` in `{rest}`"))?;
                let (expression, after) = (inside[..end].trim(), &inside[end + 1..]);
                (expression_part(expression, &mut open)?, after)
            }
        };
        if let (Some(part), Some((_, parts))) = (part, open.last_mut()) {
            parts.push(part);
        }
        rest = after;
    }
    match (open.pop(), open.is_empty()) {
        (Some((None, parts)), true) => Ok(parts),
        _ => Err("`range` without `end`".to_owned()),
    }
}

/// What stands between braces; `range` and `end` open and close a range and are no part by themselves.
fn expression_part(text: &str, open: &mut Vec<(Option<Path>, Vec<Part>)>) -> Result<Option<Part>, String> {
    if text.is_empty() {
        return Err("there is nothing between `{` and `}`".to_owned());
    }
    if text.starts_with(['"', '\'']) {
        return quoted(text).map(|own| Some(Part::Text(own)));
    }
    if let Some(over) = text.strip_prefix("range ") {
        open.push((Some(path(over.trim())?), Vec::new()));
        return Ok(None);
    }
    if text == "end" {
        return match open.pop() {
            Some((Some(path), parts)) => Ok(Some(Part::Range(path, parts))),
            _ => Err("`end` without `range`".to_owned()),
        };
    }
    path(text).map(|path| Some(Part::Path(path)))
}

/// Where a closing sign stands that is in no quotes.
fn closing(text: &str, sign: char) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match (quote, char) {
            _ if std::mem::take(&mut escaped) => {}
            (_, '\\') => escaped = true,
            (Some(own), char) if own == char => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, char) if char == sign => return Some(at),
            _ => {}
        }
    }
    None
}

/// A text in quotes.
fn quoted(text: &str) -> Result<String, String> {
    let quote = text.chars().next().unwrap_or('"');
    let inside = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    let inside = inside.filter(|_| text.len() > 1).ok_or_else(|| format!("a text without its end: {text}"))?;
    let mut own = String::new();
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => own.push('\n'),
                Some('t') => own.push('\t'),
                Some('r') => own.push('\r'),
                Some(other) => own.push(other),
                None => return Err(format!("a text without its end: {text}")),
            },
            char => own.push(char),
        }
    }
    Ok(own)
}

fn path(text: &str) -> Result<Path, String> {
    let from_root = text.starts_with('$');
    let mut rest = text.strip_prefix(['$', '@']).unwrap_or(text);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Descend);
            rest = after;
            if !rest.starts_with('[') {
                rest = name(rest, text, &mut steps)?;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = if after.starts_with('[') || after.is_empty() { after } else { name(after, text, &mut steps)? };
        } else if let Some(inside) = rest.strip_prefix('[') {
            let end = closing(inside, ']').ok_or_else(|| format!("`[` without `]` in `{text}`"))?;
            steps.push(bracket(inside[..end].trim())?);
            rest = &inside[end + 1..];
        } else {
            return Err(format!("`{rest}` cannot be read in `{text}`; a field is written .NAME"));
        }
    }
    Ok(Path { from_root, steps })
}

/// A name behind a dot; `\.` is a dot in it. What comes after it.
fn name<'a>(rest: &'a str, whole: &str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    let mut own = String::new();
    let mut chars = rest.char_indices();
    let mut end = rest.len();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => own.extend(chars.next().map(|(_, next)| next)),
            '.' | '[' | ' ' => {
                end = at;
                break;
            }
            char => own.push(char),
        }
    }
    match own.as_str() {
        "" => return Err(format!("a name is missing in `{whole}`")),
        "*" => steps.push(Step::All),
        _ => steps.push(Step::Names(vec![own])),
    }
    Ok(&rest[end..])
}

/// What stands between brackets.
fn bracket(text: &str) -> Result<Step, String> {
    let wrong = || format!("`[{text}]` is no index, slice, 'name', * or ?(filter)");
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(inside) = text.strip_prefix("?(").and_then(|inside| inside.strip_suffix(')')) {
        return filter(inside.trim()).map(|filter| Step::Filter(Box::new(filter)));
    }
    if text.starts_with(['"', '\'']) {
        let mut names = Vec::new();
        let mut rest = text;
        loop {
            let end = closing(rest, ',').unwrap_or(rest.len());
            names.push(quoted(rest[..end].trim())?);
            match rest.get(end + 1..) {
                Some(more) => rest = more,
                None => return Ok(Step::Names(names)),
            }
        }
    }
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| wrong());
    if text.contains(':') {
        let parts: Vec<&str> = text.split(':').collect();
        let side = |at: usize| match parts.get(at).map(|part| part.trim()) {
            None | Some("") => Ok(None),
            Some(part) => number(part).map(Some),
        };
        if parts.len() > 3 {
            return Err(wrong());
        }
        let step = side(2)?.map_or(Ok(1), |step| usize::try_from(step).map_err(|_| wrong()))?;
        return Ok(Step::Slice { from: side(0)?, to: side(1)?, step });
    }
    text.split(',').map(number).collect::<Result<_, _>>().map(Step::Indexes)
}

fn filter(text: &str) -> Result<Filter, String> {
    const COMPARISONS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    if text.contains("&&") || text.contains("||") {
        return Err(format!("the filter `{text}` has more than one comparison, and one comparison is taken"));
    }
    let found = COMPARISONS.iter().filter_map(|(sign, comparison)| Some((text.find(sign)?, *sign, *comparison)));
    // The first sign in the text, and of two at one place the longer.
    let found = found.min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
    let Some((at, sign, comparison)) = found else {
        return Ok(Filter { left: operand(text, text)?, right: None });
    };
    let (left, right) = (text[..at].trim(), text[at + sign.len()..].trim());
    Ok(Filter { left: operand(left, text)?, right: Some((comparison, operand(right, text)?)) })
}

fn operand(text: &str, whole: &str) -> Result<Operand, String> {
    if text.starts_with(['@', '$', '.']) {
        return path(text).map(Operand::Path);
    }
    if text.starts_with(['"', '\'']) {
        return quoted(text).map(|own| Operand::Value(Value::String(own)));
    }
    let value = serde_json::from_str(text);
    value.map(Operand::Value).map_err(|_| format!("the filter `{whole}` is no comparison such as @.name==\"a\""))
}
