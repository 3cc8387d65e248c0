//! kubectl and tortie refuse the same objects: every case of the validator's table, and every manifest in the tests of
//! mistakes and in the transcripts, is given to the validator and to a real API server with the definitions that are shipped.
//! Where the two differ, [`EXCEPTIONS`] says why.

mod support;

#[path = "../../manifest/src/validate/tests/cases.rs"]
mod cases;
#[path = "refusals/own.rs"]
mod own;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tortie_api::{Key, Kind, Object, defaults, encode};
use tortie_manifest::read::{Located, Source, read};
use tortie_manifest::{Problem, validate};
use tortie_store::{Store, Write, WriteError};
use tortie_store_kube::custom::Group;
use tortie_testkit::kubernetes::ADMIN;

use support::Cluster;

/// Reasons of the validator (a part of each) that the definitions cannot have, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("because of Tag: selector", "the language of selectors is recursive, which neither patterns nor CEL are"),
    ("because of Tag: net", "to mask each of so many nets costs more than an API server allows"),
    ("minimum port number", "patterns compare no numbers, and rules for each of so many ports cost too much"),
    ("is not a valid label name", "rules of definitions see no labels"),
    ("because of Tag: regexp", "a pattern cannot say which texts are patterns"),
    ("name part must consist of", "rules about the annotations of so many rules cost too much"),
    ("community used is invalid or not defined", "to look for each community in a list of any length costs too much"),
    ("spec.Deleted cannot be set", "programs that manage addresses write it before they delete the object"),
];

/// What only the API server refuses (a part of what it says), and why.
const STRICTER: &[(&str, &str)] =
    &[("default tier order must be 1000000", "tortie fills in the order of this tier before it writes")];

/// Where both refuse an object and no field that the one names is one that the other names, or in or around it: a part of what tortie
/// says, and why.
const OTHER_FIELDS: &[(&str, &str)] = &[
    ("namespace must not contain '/'", "the API server has no path for it, so it answers 404"),
    (
        "conversion to stagednetworkpolicy failed",
        "Calico names the first of the rules, the API server the one with a port over 65535",
    ),
];

/// The field that a rule of a definition is about, by a part of its message: the API server only names the object or its spec.
const RULES_ABOUT: &[(&str, &str)] = &[
    ("the name of a policy has", "metadata.name"),
    ("the name of a tier has", "metadata.name"),
    ("is named `default`", "metadata.name"),
    ("type specified more than once", "spec.types"),
    ("IPPool CIDR must be strictly masked", "spec.cidr"),
    ("nodeToNodeMeshEnabled, asNumber", "spec.nodeToNodeMeshEnabled"),
    ("ReachableBy and PeerIP", "spec.reachableBy"),
];

/// Manifests (a part of each) that tortie does not read, and kubectl does, and why.
const TOLERATED: &[(&str, &str)] = &[
    (r#"{"order": 1,},"#, "kubectl reads JSON as YAML, which takes a comma behind the last item"),
    ("kind: Namespace", "kubectl makes the objects of Kubernetes, and tortie reads them in previews only"),
    ("<<: *a", "kubectl resolves YAML's merge keys, which tortie names as what it does not resolve"),
];

/// An object of the table.
fn object(kind: Kind, name: &str, spec: &str) -> Object {
    let mut object = Object::new(Key { kind, namespace: String::new(), name: name.to_owned() });
    if name.starts_with('{') {
        object.metadata = serde_json::from_str(name).expect("metadata");
    }
    if kind.namespaced() && object.metadata.namespace.is_empty() {
        object.metadata.namespace = "ns".to_owned();
    }
    object.body.insert("spec".to_owned(), serde_json::from_str(spec).expect("a spec"));
    object
}

/// Every object that the tests of other crates give to the validator, with the place where it stands.
fn corpus() -> Vec<(String, Object)> {
    let mut all = Vec::new();
    for (subject, cases) in cases::CASES {
        for (kind, name, spec) in *cases {
            let kind = Kind::from_name(kind.trim_start_matches("create ")).expect("a kind");
            all.push((format!("{subject}: {name} {spec}"), object(kind, name, spec)));
        }
    }
    for (kind, name, spec) in own::OWN {
        all.push((format!("own: {name} {spec}"), object(Kind::from_name(kind).expect("a kind"), name, spec)));
    }
    for (name, text) in manifests() {
        for located in read(&Source::new(name.as_str(), text)) {
            all.extend(located.object.map(|object| (name.clone(), in_default_namespace(object))));
        }
    }
    all
}

/// The manifests in the tests of mistakes, in transcripts and in the examples, with their file's name.
fn manifests() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in [
        "crates/manifest/tests/reading_mistakes",
        "tests/transcripts/tortie",
        "tests/transcripts/calicoctl",
        "examples",
    ] {
        let folder = support::workspace().join(folder);
        let mut files: Vec<_> = walk(&folder);
        files.sort();
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let manifests = if name.ends_with(".txt") { manifests_of(&text) } else { vec![text] };
            all.extend(manifests.into_iter().map(|text| (name.clone(), text)));
        }
    }
    all
}

/// As the commands do where neither they nor the manifest name a namespace.
fn in_default_namespace(mut object: Object) -> Object {
    if object.kind.namespaced() && object.metadata.namespace.is_empty() {
        object.metadata.namespace = "default".to_owned();
    }
    object
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// The files that a transcript writes.
fn manifests_of(transcript: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in transcript.lines() {
        match line.strip_prefix('>') {
            Some(line) if is_inside && line.trim() != "EOF" => {
                let text = all.last_mut().expect("one was begun");
                text.push_str(line.strip_prefix(' ').unwrap_or(line));
                text.push('\n');
            }
            _ => {
                is_inside = line.starts_with("$ ") && line.contains("<<");
                if is_inside {
                    all.push(String::new());
                }
            }
        }
    }
    all.retain(|text| text.contains("kind:") || text.contains("\"kind\""));
    all
}

/// What the validator says of an object that is created, in Calico's words.
fn ours(object: &Object) -> Vec<String> {
    let mut object = object.clone();
    defaults::apply(&mut object);
    let problems = validate::create(&object).into_iter().filter(Problem::is_error);
    problems.map(|problem| format!("{}: {}", problem.path, problem.reason)).collect()
}

/// The fields that a refusal names: `spec.ingress[0].action`.
fn fields(refusal: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']');
    let words = refusal.split(|c: char| !is_part(c)).map(|word| word.trim_start_matches('[').trim_matches('.'));
    let rules = RULES_ABOUT.iter().filter(|(part, _)| refusal.contains(part)).map(|(_, field)| *field);
    let is_field = |word: &&str| word.starts_with("spec") || word.starts_with("metadata.");
    words.filter(is_field).chain(rules).map(str::to_owned).collect()
}

/// Whether a field is the other, is in it or has it in it. All of an object's spec is nothing in particular.
fn is_same_place(one: &str, other: &str) -> bool {
    let parts = |field: &str| field.replace('[', ".[").split('.').map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (parts(one), parts(other));
    let common = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    common >= 2 && common == one.len().min(other.len())
}

/// Whether two refusals have a reason in common: a field, or the same words where the API server names only the spec.
fn is_same_reason(ours: &[String], theirs: &str) -> bool {
    let named = fields(theirs);
    let one = |reason: &String| {
        let (field, words) = reason.split_once(": ").unwrap_or_default();
        let is_named = named.iter().any(|other| is_same_place(field, other));
        is_named || !words.is_empty() && theirs.contains(words)
    };
    ours.iter().any(one)
}

/// What the API server says; an accepted object is deleted again.
fn server(store: &dyn Store, object: &Object) -> Option<String> {
    let key = object.key();
    let answer = store.write(&[Write::create(key.clone(), encode::stored(object))]).expect("an answer").remove(0);
    match answer {
        Ok(_) => {
            store.write(&[Write::delete(key, None)]).expect("an answer").remove(0).expect("it is deleted");
            None
        }
        Err(WriteError::Exists(_)) => panic!("{key} was left"),
        Err(refused) => Some(refused.to_string()),
    }
}

#[test]
fn kubectl_and_tortie_refuse_the_same_objects() {
    let cluster = Cluster::start(Group::Native);
    let store = cluster.store();
    let corpus = corpus();
    let namespaces: BTreeSet<&str> = corpus.iter().map(|(_, object)| object.metadata.namespace.as_str()).collect();
    for namespace in namespaces.into_iter().filter(|name| !name.is_empty() && *name != "default" && !name.contains('/'))
    {
        cluster.kubectl(&["create", "namespace", namespace], "");
    }
    let (mut differences, mut agreed, mut excepted) = (String::new(), [0, 0], BTreeSet::new());
    for (place, object) in &corpus {
        let is_custom = Group::Native.resource(object.kind).is_some();
        if !is_custom || object.metadata.name.is_empty() {
            continue;
        }
        let (ours, theirs) = (ours(object), server(&*store, object));
        match (&ours[..], theirs) {
            ([], None) => agreed[0] += 1,
            (ours @ [_, ..], Some(said)) => {
                let known = OTHER_FIELDS.iter().find(|(part, _)| ours.iter().any(|reason| reason.contains(part)));
                match known.filter(|_| !is_same_reason(ours, &said)) {
                    Some((part, _)) => drop(excepted.insert(*part)),
                    None if is_same_reason(ours, &said) => agreed[1] += 1,
                    None => {
                        let ours = ours.join("\n    ");
                        writeln!(differences, "other reasons for {place}\n    {ours}\n    kubectl: {said}")
                            .expect("memory");
                    }
                }
            }
            ([], Some(said)) => match STRICTER.iter().find(|(part, _)| said.contains(part)) {
                Some((part, _)) => drop(excepted.insert(*part)),
                None => writeln!(differences, "only kubectl refuses {place}\n    {said}").expect("memory"),
            },
            // All that is wrong with it must be what the definitions cannot have.
            (ours, None) => {
                let unknown = |reason: &&String| !EXCEPTIONS.iter().any(|(part, _)| reason.contains(part));
                match ours.iter().find(unknown) {
                    None => excepted.extend(
                        EXCEPTIONS
                            .iter()
                            .filter(|(part, _)| ours.iter().any(|it| it.contains(part)))
                            .map(|(part, _)| *part),
                    ),
                    Some(_) => writeln!(differences, "only tortie refuses {place}\n    {}", ours.join("\n    "))
                        .expect("memory"),
                }
            }
        }
    }
    assert!(differences.is_empty(), "{agreed:?} agree\n{differences}");
    assert!(agreed[0] > 50 && agreed[1] > 50, "{agreed:?}");
    let unused: Vec<_> =
        EXCEPTIONS.iter().chain(STRICTER).chain(OTHER_FIELDS).filter(|(part, _)| !excepted.contains(part)).collect();
    assert!(unused.is_empty(), "these exceptions are needed no longer: {unused:?}");
}

#[test]
fn what_cannot_be_read_is_refused_by_both() {
    let cluster = Cluster::start(Group::Native);
    let server = cluster.server.lock().expect("it is alive");
    let (mut count, mut differences) = (0, String::new());
    for (name, text) in manifests() {
        let wrong = |located: &Located| located.object.is_none() || located.problems.iter().any(Problem::is_error);
        if !read(&Source::new(name.as_str(), text.clone())).iter().any(wrong) {
            continue;
        }
        count += 1;
        let output = server.kubectl_as(ADMIN, &["create", "--dry-run=server", "-f", "-"], &text);
        if output.status.success() && !TOLERATED.iter().any(|(part, _)| text.contains(part)) {
            writeln!(differences, "only tortie refuses {name}:\n{text}").expect("memory");
        }
    }
    assert!(differences.is_empty(), "{differences}");
    assert!(count > 20, "{count}");
}

#[test]
fn the_net_and_the_block_size_of_a_pool_cannot_be_changed_by_kubectl_either() {
    let cluster = Cluster::start(Group::Native);
    let pool = |spec: &str| {
        format!(r#"{{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{{"name":"p"}},"spec":{spec}}}"#)
    };
    cluster.kubectl(&["apply", "-f", "-"], &pool(r#"{"cidr":"10.0.0.0/16"}"#));
    cluster.kubectl(&["apply", "-f", "-"], &pool(r#"{"cidr":"10.0.0.0/16","blockSize":26,"natOutgoing":true}"#));
    let server = cluster.server.lock().expect("it is alive");
    for (spec, reason) in [
        (r#"{"cidr":"10.1.0.0/16"}"#, "IPPool CIDR cannot be modified"),
        (r#"{"cidr":"10.0.0.0/16","blockSize":27}"#, "IPPool BlockSize cannot be modified"),
    ] {
        let output = server.kubectl_as(ADMIN, &["apply", "-f", "-"], &pool(spec));
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason), "{output:?}");
    }
}
