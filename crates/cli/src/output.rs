//! What `get` prints: tables, YAML, JSON, names.

mod calico_columns;
mod columns;
mod go_values;
mod json_path;
mod label_selector;
mod rows;
pub(crate) mod table;
mod tabs;

use serde_json::{Value, json};
use tortie_api::{Key, Kind, Object, encode};
use tortie_client::{Client, is_built_in};
use tortie_manifest::write;

use crate::persona::Persona;
use crate::session::Session;
use crate::terminal::{Exit, Usage};
pub(crate) use calico_columns::Cluster;
pub(crate) use json_path::JsonPath;
use label_selector::selector_text;
pub(crate) use rows::Rows;

/// One answer to one request.
pub(crate) enum GetResult {
    /// A named object.
    One(Box<Object>),
    /// All of a kind.
    List {
        /// The kind.
        kind: Kind,
        /// At which revision this was so.
        revision: String,
        /// The objects.
        items: Vec<Object>,
    },
}

impl GetResult {
    fn kind(&self) -> Kind {
        match self {
            GetResult::One(object) => object.kind,
            GetResult::List { kind, .. } => *kind,
        }
    }

    fn objects(&self) -> &[Object] {
        match self {
            GetResult::One(object) => std::slice::from_ref(object),
            GetResult::List { items, .. } => items,
        }
    }

    /// Leaves out objects that no store has.
    pub(crate) fn leave_out_built_in(&mut self) {
        if let GetResult::List { items, .. } = self {
            items.retain(|object| !is_built_in(&object.key()));
        }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects().is_empty()
    }

    fn shown(&self) -> Value {
        match self {
            GetResult::One(object) => encode::shown(object),
            GetResult::List { kind, revision, items } => {
                encode::shown_list(*kind, revision, items.iter().map(encode::shown).collect())
            }
        }
    }
}

/// How to print it.
#[derive(Debug, PartialEq)]
pub(crate) enum GetFormat {
    /// A table.
    Table {
        /// With more columns.
        wide: bool,
    },
    /// A table with just these columns of calicoctl's.
    Columns(Vec<String>),
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// One `kind/name` a line.
    Name,
    /// A template over the JSON.
    JsonPath(JsonPath),
}

/// What `get -o` takes: how it begins, what the user adds, and whether calicoctl has it.
const FORMATS: [(&str, &str, bool); 6] = [
    ("yaml", "", true),
    ("json", "", true),
    ("name", "", false),
    ("wide", "", true),
    ("custom-columns=", "HEADING,...", true),
    ("jsonpath=", "TEMPLATE", false),
];

impl GetFormat {
    /// The values that a shell offers for `get -o`; the user adds something where one ends in `=`.
    pub(crate) fn offered(persona: Persona) -> Vec<&'static str> {
        let known = FORMATS.iter().filter(|(_, _, calico)| *calico || !persona.is_calicoctl());
        known.map(|(word, _, _)| *word).collect()
    }

    /// What `-o` says.
    pub(crate) fn parse(text: &str, persona: Persona) -> anyhow::Result<GetFormat> {
        let (word, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match (word, value) {
            ("ps", _) if text == "ps" => GetFormat::Table { wide: false },
            ("wide", _) if text == "wide" => GetFormat::Table { wide: true },
            ("yaml" | "yml", _) if text == word => GetFormat::Yaml,
            ("json", _) if text == word => GetFormat::Json,
            ("name", _) if text == word && !persona.is_calicoctl() => GetFormat::Name,
            ("jsonpath", _) if !persona.is_calicoctl() => match JsonPath::parse(value) {
                Ok(template) => GetFormat::JsonPath(template),
                Err(why) => return Err(wrong(&format!("-o jsonpath: {why}"), persona)),
            },
            ("custom-columns", "") => return Err(wrong("need to specify at least one column", persona)),
            ("custom-columns", columns) => GetFormat::Columns(columns.split(',').map(str::to_owned).collect()),
            ("go-template", "") => return Err(wrong("need to specify a template", persona)),
            ("go-template-file", "") => return Err(wrong("need to specify a template file", persona)),
            ("go-template" | "go-template-file", _) => anyhow::bail!(
                "-o {word} is not supported: {} has no engine for Go's templates; -o json prints everything they could",
                if persona.is_calicoctl() { "this calicoctl (tortie)" } else { "tortie" }
            ),
            _ if persona.is_calicoctl() => anyhow::bail!("unrecognized output format '{text}'"),
            _ => {
                let mut formats = FORMATS.map(|(word, value, _)| format!("{word}{value}")).to_vec();
                let last = formats.pop().unwrap_or_default();
                let formats = formats.join(", ");
                return Err(wrong(&format!("there is no output format '{text}'; it is {formats} or {last}"), persona));
            }
        })
    }
}

fn wrong(text: &str, persona: Persona) -> anyhow::Error {
    if persona.is_calicoctl() { anyhow::anyhow!("{text}") } else { Usage(text.to_owned()).into() }
}

/// What tables depend on beside the objects.
pub(crate) struct Printing {
    /// Whether all namespaces were looked at.
    pub(crate) all_namespaces: bool,
    /// The namespace that was looked at otherwise.
    pub(crate) namespace: String,
    /// Whether labels chose among the objects.
    pub(crate) filtered: bool,
    /// Whether there is a column for namespaces.
    pub(crate) namespaces: bool,
    /// Whether names are written with their kind.
    pub(crate) with_kinds: bool,
    /// Cluster-wide values that stand in cells.
    pub(crate) cluster: Cluster,
}

/// The cluster-wide values that stand in the cells of this output.
pub(crate) fn cluster(client: &Client, found: &[GetResult], format: &GetFormat) -> Cluster {
    let asked = matches!(format, GetFormat::Table { .. } | GetFormat::Columns(_));
    let configuration = (asked && found.iter().any(|one| one.kind() == Kind::Node))
        .then(|| client.get(&Key::cluster(Kind::BGPConfiguration, "default")));
    let number = match &configuration {
        Some(Ok(found)) => go_values::text(found.object.body.get("spec").and_then(|spec| spec.get("asNumber"))),
        _ => String::new(),
    };
    let unknown = matches!(&configuration, Some(Err(error)) if !error.is_missing());
    let as_number = match number {
        _ if unknown => "unknown".to_owned(),
        number if number.is_empty() => "64512".to_owned(),
        number => number,
    };
    Cluster { as_number }
}

/// Prints everything that was found.
pub(crate) fn print(
    found: &[GetResult],
    format: &GetFormat,
    printing: &Printing,
    session: &mut Session,
) -> anyhow::Result<Exit> {
    match format {
        GetFormat::Yaml if !found.is_empty() => session.terminal.print(&write::yaml(&all(found))),
        GetFormat::Json if !found.is_empty() => {
            session.terminal.print(&encode::go_json(&all(found), true));
            if !session.persona.is_calicoctl() {
                session.terminal.print("\n");
            }
        }
        // To calicoctl nothing is nothing.
        GetFormat::Yaml | GetFormat::Json if session.persona.is_calicoctl() => {}
        GetFormat::Yaml => session.terminal.print(&write::yaml(&one_list(found))),
        GetFormat::Json => session.terminal.print(&(encode::go_json(&one_list(found), true) + "\n")),
        GetFormat::JsonPath(template) => session.terminal.print(&template.render(&one_list(found))),
        GetFormat::Name => {
            for object in found.iter().flat_map(GetResult::objects) {
                session.terminal.line(object.key().as_argument());
            }
        }
        GetFormat::Columns(headings) if session.persona.is_calicoctl() => {
            for one in found {
                let known = calico_columns::known(one.kind());
                if let Some(heading) = headings.iter().find(|heading| !known.contains(&heading.as_str())) {
                    let known = known.join(", ");
                    anyhow::bail!("unknown heading {heading}, valid values are: {known}");
                }
            }
            let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
            for one in found {
                calico_table(one, &headings, printing, session);
            }
        }
        GetFormat::Table { wide } if session.persona.is_calicoctl() => {
            for one in found {
                let mut headings = calico_columns::headings(one.kind(), *wide).to_vec();
                if printing.namespaces && one.kind().namespaced() {
                    headings.insert(0, "NAMESPACE");
                }
                calico_table(one, &headings, printing, session);
            }
        }
        GetFormat::Columns(_) | GetFormat::Table { .. } => our_tables(found, format, printing, session)?,
    }
    Ok(Exit::Done)
}

/// One answer as it is; several as a list.
fn all(found: &[GetResult]) -> Value {
    match found {
        [one] => one.shown(),
        several => Value::Array(several.iter().map(GetResult::shown).collect()),
    }
}

/// A named object as it is; anything else as one list, as kubectl gives it to a template.
fn one_list(found: &[GetResult]) -> Value {
    match found {
        [one] => one.shown(),
        several => {
            let items = several.iter().flat_map(GetResult::objects).map(encode::shown).collect::<Vec<_>>();
            json!({ "apiVersion": "v1", "kind": "List", "items": items })
        }
    }
}

fn calico_table(one: &GetResult, headings: &[&str], printing: &Printing, session: &mut Session) {
    let mut rows = vec![headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>()];
    for object in one.objects() {
        rows.push(headings.iter().map(|heading| calico_columns::cell(object, heading, &printing.cluster)).collect());
    }
    session.terminal.print(&tabs::render(&rows));
}

/// The columns of our own table of a kind.
fn chosen(kind: Kind, format: &GetFormat, printing: &Printing) -> anyhow::Result<Vec<columns::Column>> {
    if let GetFormat::Columns(headings) = format {
        let column = |title: &String| {
            columns::titled(kind, title).ok_or_else(|| {
                let known = columns::titles(kind).join(", ");
                Usage(format!("{} have no column '{title}'; there are {known}", kind.plural())).into()
            })
        };
        return headings.iter().map(column).collect();
    }
    let mut columns = columns::of(kind, matches!(format, GetFormat::Table { wide: true }));
    if printing.namespaces && kind.namespaced() {
        columns.insert(0, columns::namespace());
    }
    Ok(columns)
}

/// The cells of an object.
fn cells(object: &Object, columns: &[columns::Column], printing: &Printing) -> Vec<String> {
    let cell = |column: &columns::Column| {
        let text = column.cell(object, &printing.cluster);
        let is_name = printing.with_kinds && column.title == "NAME";
        if is_name { format!("{}/{text}", object.kind.name().to_ascii_lowercase()) } else { text }
    };
    columns.iter().map(cell).collect()
}

/// One table for each kind, with all objects of it that were asked for.
fn our_tables(
    found: &[GetResult],
    format: &GetFormat,
    printing: &Printing,
    session: &mut Session,
) -> anyhow::Result<()> {
    let mut kinds: Vec<Kind> = Vec::new();
    for one in found {
        if !kinds.contains(&one.kind()) {
            kinds.push(one.kind());
        }
    }
    let mut first = true;
    for kind in kinds {
        let objects: Vec<&Object> =
            found.iter().filter(|one| one.kind() == kind).flat_map(GetResult::objects).collect();
        if objects.is_empty() {
            let with = if printing.filtered { " with these labels" } else { "" };
            let within = if kind.namespaced() && !printing.all_namespaces {
                format!(" in namespace {}; -A for all", printing.namespace)
            } else {
                String::new()
            };
            session.terminal.note(format_args!("no {}{with}{within}", kind.plural()));
            continue;
        }
        if !std::mem::take(&mut first) {
            session.terminal.print("\n");
        }
        let columns = chosen(kind, format, printing)?;
        let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
        let rows: Vec<Vec<String>> = objects.iter().map(|object| cells(object, &columns, printing)).collect();
        let colour = session.terminal.colour_out();
        session.terminal.print(&table::render(&titles, &rows, colour));
    }
    Ok(())
}
