//! `docs/compat.md` against the types: every field has its row, in order, and every row its field.

use std::collections::BTreeMap;

use tortie_api::shape::{Form, Record, Shape};
use tortie_api::{Kind, kinds};
use tortie_manifest::warnings::CODES;

const STATES: &[&str] = &["enforced", "not yet", "stored"];

/// One row of a table: field and state.
struct Row {
    path: String,
    state: String,
}

#[test]
fn every_field_has_its_row_and_every_row_its_field() {
    let tables = tables();
    let mut used = BTreeMap::new();
    let mut problems = Vec::new();
    for kind in Kind::ALL {
        let Some(rows) = tables.get(kind.name()) else {
            problems.push(format!("{kind} has no table"));
            continue;
        };
        let whole = kinds::shape(*kind).record().expect("an object is a record");
        let mut reader = Reader { tables: &tables, used: &mut used, problems: &mut problems, whole };
        let fields = whole.fields.iter().filter(|field| matches!(field.name.as_str(), "spec" | "status"));
        let mut expected = Vec::new();
        for field in fields {
            reader.expect(&field.shape, &field.name, rows, &mut expected);
        }
        reader.compare(kind.name(), rows, &expected);
    }

    let tier = kinds::shape(Kind::Tier).record().expect("an object is a record");
    let metadata = tier.field("metadata").and_then(|field| field.shape.record()).expect("metadata is a record");
    let mut reader = Reader { tables: &tables, used: &mut used, problems: &mut problems, whole: tier };
    reader.table("Metadata", metadata);
    let unused = |name: &&String| Kind::from_name(name).is_none() && !used.contains_key(*name);
    problems.extend(tables.keys().filter(unused).map(|name| format!("nothing points to the table {name}")));
    assert!(problems.is_empty(), "docs/compat.md and the types differ:\n{}", problems.join("\n"));
}

#[test]
fn states_are_known_ones_and_every_row_says_what_the_field_does() {
    let text = text();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{line}");
        let state = cells[1];
        let points = state.starts_with("see [") || state.starts_with("same as `");
        assert!(points || STATES.contains(&state), "{line}");
        assert!(!cells[2].trim_end_matches('|').trim().is_empty(), "{line}");
    }
}

#[test]
fn every_warning_has_its_row() {
    let text = whole();
    let (_, table) = text.split_once("| Code | When |\n|---|---|\n").expect("there is a table of warnings");
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let expected: Vec<String> = CODES.iter().map(|(code, when)| format!("| {code} | {when} |")).collect();
    assert_eq!(rows, expected);
}

struct Reader<'a> {
    tables: &'a BTreeMap<String, Vec<Row>>,
    used: &'a mut BTreeMap<String, ()>,
    problems: &'a mut Vec<String>,
    whole: &'a Record,
}

impl Reader<'_> {
    /// Gathers the rows for the fields below a place, as far as no row points to another table.
    fn expect(&mut self, shape: &Shape, path: &str, rows: &[Row], expected: &mut Vec<String>) {
        let Some((record, list)) = below(shape) else { return };
        let path = format!("{path}{}", if list { "[]" } else { "" });
        for field in &record.fields {
            let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            expected.push(path.clone());
            let state = rows.iter().find(|row| row.path == path).map(|row| row.state.as_str());
            if let Some(name) = state.and_then(|state| state.strip_prefix("see [")?.split(']').next()) {
                match below(&field.shape) {
                    Some((record, _)) => self.table(name, record),
                    None => self.problems.push(format!("{path} has no fields, but its row points to {name}")),
                }
            } else if let Some(like) = state.and_then(|state| state.strip_prefix("same as `")?.split('`').next()) {
                let like = self.whole.field(like).and_then(|like| below(&like.shape));
                let same = like.zip(below(&field.shape)).is_some_and(|((a, _), (b, _))| names(a) == names(b));
                if !same {
                    self.problems.push(format!("{path} has not the fields that its row says"));
                }
            } else {
                self.expect(&field.shape, &path, rows, expected);
            }
        }
    }

    /// Checks a table that rows point to against one place that they point from.
    fn table(&mut self, name: &str, record: &Record) {
        self.used.insert(name.to_owned(), ());
        let Some(rows) = self.tables.get(name) else {
            self.problems.push(format!("a row points to {name}, which is no table"));
            return;
        };
        let mut expected = Vec::new();
        let shape = Shape::plain(Form::Record(Box::new(record.clone())));
        self.expect(&shape, "", rows, &mut expected);
        self.compare(name, rows, &expected);
    }

    fn compare(&mut self, table: &str, rows: &[Row], expected: &[String]) {
        let written: Vec<_> = rows.iter().map(|row| row.path.as_str()).collect();
        let missing = expected.iter().filter(|path| !written.contains(&path.as_str()));
        let extra = written.iter().filter(|path| !expected.iter().any(|wanted| wanted == *path));
        let before = self.problems.len();
        self.problems.extend(missing.map(|path| format!("{table}: no row for {path}")));
        self.problems.extend(extra.map(|path| format!("{table}: no field for the row {path}")));
        if self.problems.len() == before && written != expected {
            self.problems.push(format!("{table}: the rows are not in the order of the fields"));
        }
    }
}

/// The record that a value is, or a list of.
fn below(shape: &Shape) -> Option<(&Record, bool)> {
    match &shape.form {
        Form::Record(record) => Some((record, false)),
        Form::List(item) => item.record().map(|record| (record, true)),
        _ => None,
    }
}

fn names(record: &Record) -> Vec<&str> {
    record.fields.iter().map(|field| field.name.as_str()).collect()
}

/// The part with the tables of fields; the cases behind it are prose.
fn whole() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compat.md");
    std::fs::read_to_string(path).expect("docs/compat.md is there")
}

fn text() -> String {
    let mut text = whole();
    text.truncate(text.find("\n## Behaviour\n").expect("the cases stand at the end"));
    text
}

/// The tables of fields by their headings.
fn tables() -> BTreeMap<String, Vec<Row>> {
    let mut tables: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut heading = String::new();
    for line in text().lines() {
        if let Some(name) = line.strip_prefix("## ") {
            heading = name.to_owned();
        }
        let Some((path, rest)) = line.strip_prefix("| `").and_then(|row| row.split_once("` | ")) else { continue };
        let state = rest.split(" | ").next().unwrap_or_default().to_owned();
        tables.entry(heading.clone()).or_default().push(Row { path: path.to_owned(), state });
    }
    tables
}
