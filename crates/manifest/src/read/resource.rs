//! From the tree of one document to the resources in it: one, a list of a kind, or an array of several.

use std::sync::LazyLock;

use serde_json::{Map, Value as Json};
use tortie_api::shape::{Form, Shape};
use tortie_api::{API_VERSION, Kind, Metadata, Object, Path, kinds};

use super::decode::{self, Decoded};
use super::node::{Node, Value};
use super::{Located, Partial, special, suggest};
use crate::problem::Problem;

/// Reads every resource of a document.
pub(crate) fn read(node: Node, text: &str, out: &mut Vec<Located>) {
    match node.value {
        Value::Null => {}
        Value::List(ref items) if is_one_in_pieces(items) => {
            let reason = format!("cannot unmarshal object into Go value of type {LIST}");
            let problem = Problem::read(Path::root(), reason)
                .message("this is a list, whose items are fields of a resource")
                .help(
                    "leave out the `- ` in front of `apiVersion`, `kind`, `metadata` and `spec`: a resource is one map",
                );
            out.push(Located::failed(node, String::new(), problem));
        }
        Value::List(items) => items.into_iter().for_each(|item| one(item, text, "map[string]interface {}", out)),
        _ => one(node, text, LIST, out),
    }
}

/// Whether these are the fields of a resource, each with a dash of its own.
fn is_one_in_pieces(items: &[Node]) -> bool {
    let has = |item: &Node, key: &str| item.get(key).is_some();
    let has_any = |key: &str| items.iter().any(|item| has(item, key));
    has_any("kind") && has_any("apiVersion") && !items.iter().any(|item| has(item, "kind") && has(item, "apiVersion"))
}

/// What Go tries to read as when a document is not a resource.
const LIST: &str = "[]unstructured.Unstructured";

fn one(node: Node, text: &str, go: &str, out: &mut Vec<Located>) {
    let Value::Map(_) = node.value else {
        let found = special::go_kind(&node.value);
        let found = found.split(' ').next().unwrap_or_default();
        let problem = Problem::read(Path::root(), format!("cannot unmarshal {found} into Go value of type {go}"))
            .message("this is not a resource")
            .help(format!("a resource is a map with `apiVersion: {API_VERSION}`, `kind`, `metadata` and `spec`"));
        return out.push(Located::failed(node, String::new(), problem));
    };
    let name = scalar(&node, "kind");
    let version = scalar(&node, "apiVersion");
    if let Some(kind) = Kind::from_name(&name)
        && version == API_VERSION
    {
        return out.push(object(node, text, kind));
    }
    if let Some(kind) = list_of(&name)
        && version == API_VERSION
    {
        return list(node, text, kind, out);
    }
    // As `kubectl get -o yaml` prints several objects.
    if name == "List" && version == "v1" {
        return list_of_any(node, text, out);
    }
    let problem = stranger(&node, &name, &version);
    let about = about(&node, &name);
    out.push(Located::failed(node, about, problem));
}

fn object(mut node: Node, text: &str, kind: Kind) -> Located {
    let about = about(&node, kind.name());
    let Decoded { mut value, mut problems, mut unread } = decode::decode(&mut node, kinds::shape(kind), text);
    value.remove("kind");
    value.remove("apiVersion");
    let metadata = match value.remove("metadata") {
        Some(metadata) => serde_json::from_value::<Metadata>(metadata),
        None => Ok(Metadata::default()),
    };
    let metadata = metadata.unwrap_or_else(|error| {
        unread.push(Path::from("metadata"));
        problems.push(Problem::read(Path::from("metadata"), error.to_string()));
        Metadata::default()
    });
    problems.sort_by_cached_key(|problem| {
        let found = node.find(&problem.path, 0);
        found.entry.map_or(found.node.span.start, |entry| entry.key_span.start)
    });
    let object = Object { kind, metadata, body: value };
    match problems.iter().any(Problem::is_error) {
        false => Located { object: Some(object), partial: None, about, problems, tree: node },
        true => Located { object: None, partial: Some(Partial { object, unread }), about, problems, tree: node },
    }
}

/// Reads a resource that is none of Calico's against its shape, and keeps what is wrong with it.
pub(crate) fn of_kubernetes(located: &mut Located, text: &str, shape: &'static Shape) -> Map<String, Json> {
    let Decoded { value, problems, .. } = decode::decode_exactly(&mut located.tree, shape, text);
    located.problems = problems;
    value
}

/// Whether this is an object of Kubernetes of a kind that previews do not take, in any version.
pub fn is_of_another_kind_of_kubernetes(located: &Located) -> bool {
    let kind = scalar(&located.tree, "kind");
    let is_foreign = |problem: &Problem| problem.message.as_deref() == Some(OF_KUBERNETES);
    located.object.is_none()
        && located.problems.iter().any(is_foreign)
        && !PREVIEWED.iter().any(|(_, previewed)| *previewed == kind)
}

/// A list of objects of any kinds, each of which says what it is.
fn list_of_any(mut node: Node, text: &str, out: &mut Vec<Located>) {
    match take_items(&mut node, |key| key == "items") {
        Ok(items) => items.into_iter().for_each(|item| one(item, text, LIST, out)),
        Err(problem) => out.push(Located::failed(node, "List".to_owned(), *problem)),
    }
}

fn list(mut node: Node, text: &str, kind: Kind, out: &mut Vec<Located>) {
    let items = take_items(&mut node, |key| key.eq_ignore_ascii_case("items"));
    let problems = decode::decode(&mut node, list_shape(), text).problems;
    if !problems.is_empty() {
        out.push(Located { object: None, partial: None, about: kind.list_name(), problems, tree: node.clone() });
    }
    match items {
        Ok(items) => items.into_iter().enumerate().for_each(|(at, item)| out.push(self::item(item, text, kind, at))),
        Err(problem) => out.push(Located::failed(node, kind.list_name(), *problem)),
    }
}

/// Takes the items out of a list.
fn take_items(node: &mut Node, is_items: impl Fn(&str) -> bool) -> Result<Vec<Node>, Box<Problem>> {
    let items = match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|entry| is_items(&entry.key)),
        _ => None,
    };
    match items.map(|entry| std::mem::replace(&mut entry.value.value, Value::Null)) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::List(items)) => Ok(items),
        Some(_) => {
            let reason = "cannot unmarshal into Go struct field .items of type []";
            Err(Problem::read(Path::from("items"), reason).message("`items` takes a list of resources").into())
        }
    }
}

/// An item of a list is of the list's kind, whether it says so or not.
fn item(node: Node, text: &str, kind: Kind, at: usize) -> Located {
    let (name, version) = (scalar(&node, "kind"), scalar(&node, "apiVersion"));
    let about = format!("{} (items[{at}])", about(&node, kind.name()));
    if !matches!(node.value, Value::Map(_)) {
        let problem =
            Problem::read(Path::root(), unknown("", "")).message(format!("an item of a {} is a map", kind.list_name()));
        return Located::failed(node, about, problem);
    }
    let foreign = if name != kind.name() && has(&node, "kind") {
        Some(("kind", name.as_str()))
    } else if version != API_VERSION && has(&node, "apiVersion") {
        Some(("apiVersion", version.as_str()))
    } else {
        None
    };
    if let Some((field, found)) = foreign {
        let problem = Problem::read(Path::root().key(field), unknown(&name, &version))
            .message(format!("a {} cannot hold an item of {field} `{found}`", kind.list_name()))
            .help(format!("leave `{field}` out, or put the item into a document of its own"));
        return Located::failed(node, about, problem);
    }
    Located { about, ..object(node, text, kind) }
}

/// A document whose kind or version we do not know, and what to do about it.
fn stranger(node: &Node, kind: &str, version: &str) -> Problem {
    let reason = unknown(kind, version);
    for field in ["kind", "apiVersion"] {
        if has(node, field) {
            continue;
        }
        if let Some(entry) = node.entries().iter().find(|entry| entry.key.eq_ignore_ascii_case(field)) {
            return Problem::read(Path::root().key(entry.key.as_str()), reason)
                .message(format!("`{}` has to be spelled `{field}`", entry.key));
        }
        let help = match field {
            "kind" => "say what it is, for example `kind: GlobalNetworkPolicy`".to_owned(),
            _ => format!("write `apiVersion: {API_VERSION}`"),
        };
        // Without a kind, Go takes it for a list.
        let reason = match field {
            "kind" => format!("cannot unmarshal object into Go value of type {LIST}"),
            _ => reason,
        };
        return Problem::read(Path::root().key(field), reason).message(format!("`{field}` is missing")).help(help);
    }
    let known = Kind::from_name(kind).is_some() || list_of(kind).is_some();
    if let Some((message, help)) = foreign(kind, version) {
        return Problem::read(Path::root().key("apiVersion"), reason).message(message).help(help);
    }
    if known {
        return Problem::read(Path::root().key("apiVersion"), reason)
            .help(format!("write `apiVersion: {API_VERSION}`"));
    }
    let problem = Problem::read(Path::root().key("kind"), reason);
    match kind
        .strip_suffix("List")
        .and_then(suggest::kind)
        .map(Kind::list_name)
        .or_else(|| suggest::kind(kind).map(|kind| kind.to_string()))
    {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }
}

pub(super) const OF_KUBERNETES: &str = "this is an object of Kubernetes, which Kubernetes manages";
/// The objects of Kubernetes that previews take.
const PREVIEWED: [(&str, &str); 8] = [
    ("v1", "Pod"),
    ("v1", "Namespace"),
    ("v1", "ServiceAccount"),
    ("v1", "Node"),
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
];
pub(super) const PREVIEWS: &str = "`diff -f`, `explain -f` and `test -f` preview Pod, Namespace, ServiceAccount, Node and Service of v1, EndpointSlice of discovery.k8s.io/v1, NetworkPolicy of networking.k8s.io/v1 and ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2";

/// Whether a group, or the version of the oldest one, is Kubernetes' own.
fn is_group_of_kubernetes(group: &str) -> bool {
    ["v1", "apps", "batch", "autoscaling", "policy", "extensions"].contains(&group) || group.ends_with(".k8s.io")
}

fn is_capitalized(kind: &str) -> bool {
    kind.starts_with(|first: char| first.is_ascii_uppercase())
}

/// What we know about the resources of others.
fn foreign(kind: &str, version: &str) -> Option<(String, String)> {
    let group = version.split('/').next().unwrap_or_default();
    let say = |message: &str, help: &str| Some((message.to_owned(), help.to_owned()));
    match (group, kind) {
        ("crd.projectcalico.org", _) => say(
            "this is how Calico keeps the resource inside Kubernetes, not how it is written",
            "write `apiVersion: projectcalico.org/v3`; the spec is the same",
        ),
        _ if PREVIEWED.contains(&(version, kind)) => {
            let instead = match kind {
                "NetworkPolicy" => {
                    "; or write one with `apiVersion: projectcalico.org/v3`, whose spec has selectors and rules"
                }
                "Node" => "; a Node of Calico has `apiVersion: projectcalico.org/v3`",
                "ClusterNetworkPolicy" => "; or write a GlobalNetworkPolicy with `apiVersion: projectcalico.org/v3`",
                _ => "",
            };
            let help =
                format!("`diff -f`, `explain -f` and `test -f` take it as a preview; use kubectl for it{instead}");
            say(OF_KUBERNETES, &help)
        }
        // Calico before version 3 wrote its kinds with a small letter.
        ("v1", _) if !is_capitalized(kind) && Kind::from_alias(kind).is_some() => say(
            "this is the format of Calico before version 3",
            "write `apiVersion: projectcalico.org/v3`; its metadata and spec differ",
        ),
        _ if is_group_of_kubernetes(group) && is_capitalized(kind) => {
            say(OF_KUBERNETES, &format!("use kubectl for it; {PREVIEWS}"))
        }
        _ => None,
    }
}

fn unknown(kind: &str, version: &str) -> String {
    format!("unknown resource type ({kind}) and/or version ({version})")
}

fn list_of(name: &str) -> Option<Kind> {
    name.strip_suffix("List").and_then(Kind::from_name)
}

fn has(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|entry| entry.value.value != Value::Null)
}

/// A field's text; that of other scalars as JSON has it.
fn scalar(node: &Node, key: &str) -> String {
    match node.get(key).map(|entry| &entry.value) {
        Some(Node { value: Value::Text(text), .. }) => text.clone(),
        Some(Node { value: Value::Null | Value::List(_) | Value::Map(_), .. }) | None => String::new(),
        Some(other) => other.to_json().to_string(),
    }
}

/// How messages name it: `HostEndpoint web1`, `NetworkPolicy shop/db`.
fn about(node: &Node, kind: &str) -> String {
    let metadata = node.entries().iter().find(|entry| entry.key.eq_ignore_ascii_case("metadata"));
    let text = |key: &str| metadata.map_or_else(String::new, |entry| scalar(&entry.value, key));
    let (namespace, name) = (text("namespace"), text("name"));
    if kind.is_empty() {
        return name;
    }
    match (namespace.is_empty(), name.is_empty()) {
        (_, true) => kind.to_owned(),
        (true, false) => format!("{kind} {name}"),
        (false, false) => format!("{kind} {namespace}/{name}"),
    }
}

/// The shape of a list without its items.
fn list_shape() -> &'static Shape {
    static SHAPE: LazyLock<Shape> = LazyLock::new(|| {
        let text = || Shape::plain(Form::Text);
        let metadata = Shape::of_fields([
            ("selfLink", text()),
            ("resourceVersion", text()),
            ("continue", text()),
            ("remainingItemCount", Shape::plain(Form::Int)),
        ]);
        let items = Shape::plain(Form::Any);
        Shape::of_fields([("kind", text()), ("apiVersion", text()), ("metadata", metadata), ("items", items)])
    });
    &SHAPE
}
