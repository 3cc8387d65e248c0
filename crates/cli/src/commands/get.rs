//! `get`: all objects of a kind, named ones, or those that manifests describe.

mod all;
mod watch;

use std::collections::BTreeMap;

use clap::Args;
use tortie_api::{Key, Kind, Object};
use tortie_client::{Client, ClientError, Objects};
use tortie_manifest::Problem;
use tortie_store::{Selection, Stored};

use crate::args::{Files, StoreArgs};
use crate::label_filter::LabelFilter;
use crate::namespace::{self, NamespaceFlags};
use crate::output::{self, GetFormat, GetResult, Rows};
use crate::problem_text;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::target;
use crate::terminal::{Exit, Usage};
use crate::workload_endpoint_name;
use watch::Watched;

/// Of so many objects of a list is said why parts of them cannot be read; the others are counted.
const MAX_EXPLAINED: usize = 20;

/// Arguments of `get`.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// The kind, and the names of objects if not all are wanted; or KIND/NAME...; or `all` for every kind
    #[arg(value_name = "KIND [NAME]")]
    targets: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: StoreArgs,
    /// yaml, json, name, wide, custom-columns=HEADING,... or jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT", default_value = "ps", hide_default_value = true)]
    output: String,
    /// Of every namespace
    #[arg(short = 'A', long, short_alias = 'a')]
    all_namespaces: bool,
    /// Only objects with these labels: KEY=VALUE, KEY!=VALUE, KEY in (VALUE,...), KEY or !KEY, several with commas
    #[arg(long, value_name = "LABELS")]
    selector: Option<String>,
    /// Print what is there, and then each change until it is interrupted
    #[arg(long)]
    watch: bool,
    /// Leave out what belongs to this store: uid, revision, times, namespace
    #[arg(long)]
    export: bool,
}

/// One thing to look up; no name means all.
struct Request {
    kind: Kind,
    namespace: String,
    name: Option<String>,
}

impl Request {
    /// Whether it asks for this object.
    fn names(&self, key: &Key) -> bool {
        self.kind == key.kind
            && (self.namespace.is_empty() || self.namespace == key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == key.name)
    }
}

/// Looks them up and prints them.
pub(crate) fn run(args: &GetArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let calico = session.persona.is_calicoctl();
    let format = GetFormat::parse(&args.output, session.persona)?;
    let filter = args.selector.as_deref().map(LabelFilter::parse).transpose().map_err(Usage)?;
    let access = StoreAccess::find(session, &args.store)?;
    access.check_version(session)?;
    let mut errors: Vec<String> = Vec::new();
    let is_all = !calico && matches!(args.targets.as_slice(), [word] if word.eq_ignore_ascii_case("all"));
    let requests = match (args.files.filename.is_empty(), args.targets.is_empty()) {
        (true, true) => {
            let text = "get needs a kind (`get hostendpoints`), or manifests with -f";
            return Err(Usage(if calico { text.to_owned() } else { format!("{text}\n\n{}", target::kinds()) }).into());
        }
        (false, false) => return Err(Usage("get takes KIND [NAME...] or -f, not both".to_owned()).into()),
        (true, false) if is_all => all::requests(args),
        (true, false) => named(args, session, &mut errors)?,
        (false, true) => {
            let Some(manifests) = session.manifests("get", &args.files)? else { return Ok(Exit::Failed) };
            let objects = manifests.items.iter().map(|item| workload_endpoint_name::filled(item.object().clone()));
            requests(
                objects.map(|object| {
                    (object.kind, object.metadata.namespace, named_in_file(object.metadata.name, calico))
                }),
                args,
                calico,
                &mut errors,
            )
        }
    };
    if filter.is_some() && (!args.files.filename.is_empty() || requests.iter().any(|request| request.name.is_some())) {
        return Err(Usage("labels choose among all objects of a kind; leave out the names, or -l".to_owned()).into());
    }
    if args.watch && errors.is_empty() {
        return watch(args, &access, &format, filter, requests, is_all, session);
    }
    if !calico {
        access.existing()?;
    }
    let client = access.reader()?;
    let mut found = Vec::with_capacity(requests.len());
    let mut remarks = Vec::new();
    for request in requests {
        let answer = look_up(&client, request);
        match &answer.found {
            Ok(GetResult::One(_)) if !calico => {
                remarks.extend(problem_text::unreadable(&*access.store()?, &answer.key))
            }
            Ok(GetResult::List { .. }) if !calico => remarks.extend(partly_unreadable(&answer)),
            _ => {}
        }
        remarks.extend(answer.remarks.iter().map(|remark| problem_text::remark(remark, &answer.key)));
        remarks.extend(answer.unreadable.iter().map(|error| match error {
            ClientError::Unreadable { key, .. } if !calico => {
                format!("warning[unreadable]: {}", problem_text::line(error, key))
            }
            _ => format!("warning[unreadable]: {error}"),
        }));
        match answer.found {
            Ok(mut one) => {
                if let (GetResult::List { items, .. }, Some(filter)) = (&mut one, &filter) {
                    items.retain(|object| filter.matches(&object.metadata.labels));
                }
                found.push(one);
            }
            Err(error) if calico => errors.push(error.to_string()),
            Err(error) => errors.push(problem_text::line(&error, &answer.key)),
        }
    }
    // As with calicoctl this is for objects named on the command line, not for those of files.
    if args.export && args.files.filename.is_empty() {
        export(&mut found);
    }
    let mut left_out = Vec::new();
    if is_all {
        // What is built in is not stored.
        found.iter_mut().for_each(GetResult::leave_out_built_in);
        if matches!(format, GetFormat::Yaml | GetFormat::Json) {
            left_out = all::for_apply(&mut found);
        }
        found.retain(|one| !one.is_empty());
        if found.is_empty() && errors.is_empty() {
            session.terminal.note("there are no such objects in the store");
        }
    }
    let cluster = output::cluster(&client, &found, &format);
    let printing = printing(args, filter.is_some(), is_all, cluster, calico);
    output::print(&found, &format, &printing, session)?;
    access.mention_unread(session);
    if !left_out.is_empty() {
        session.terminal.note(format_args!("left out: {}", left_out.join("; ")));
    }
    for remark in &remarks {
        session.terminal.note(remark);
    }
    for error in &errors {
        session.terminal.error(error);
    }
    Ok(if errors.is_empty() { Exit::Done } else { Exit::Failed })
}

fn printing(
    args: &GetArgs,
    filtered: bool,
    with_kinds: bool,
    cluster: output::Cluster,
    calico: bool,
) -> output::Printing {
    output::Printing {
        all_namespaces: args.all_namespaces,
        filtered,
        namespace: args.store.namespace.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()),
        namespaces: args.all_namespaces
            || calico && args.store.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()),
        with_kinds,
        cluster,
    }
}

/// Prints what is there and what becomes of it.
fn watch(
    args: &GetArgs,
    access: &StoreAccess,
    format: &GetFormat,
    filter: Option<LabelFilter>,
    requests: Vec<Request>,
    with_kinds: bool,
    session: &mut Session,
) -> anyhow::Result<Exit> {
    if session.persona.is_calicoctl() || !args.files.filename.is_empty() || args.export {
        return Err(Usage("--watch takes KIND [NAME...], without -f and --export".to_owned()).into());
    }
    access.mention_absent(session);
    let store = access.store()?;
    let cluster = output::cluster(&access.reader()?, &[], format);
    let printing = printing(args, filter.is_some(), with_kinds, cluster, false);
    let rows = Rows::default();
    let mut watched = Watched { requests, filter, format, printing: &printing, rows, known: BTreeMap::new() };
    watched.run(&*store, session)
}

fn named(args: &GetArgs, session: &Session, errors: &mut Vec<String>) -> anyhow::Result<Vec<Request>> {
    let calico = session.persona.is_calicoctl();
    let targets = target::parse(&args.targets, session.persona);
    let targets =
        if calico { targets.map_err(|error| anyhow::anyhow!("failed to get resources: {error}"))? } else { targets? };
    let targets = targets.into_iter().map(|target| (target.kind, target.namespace, target.name));
    Ok(requests(targets, args, calico, errors))
}

fn requests(
    wishes: impl Iterator<Item = (Kind, String, Option<String>)>,
    args: &GetArgs,
    calico: bool,
    errors: &mut Vec<String>,
) -> Vec<Request> {
    let flags = NamespaceFlags { namespace: args.store.namespace.as_deref(), all: args.all_namespaces };
    let mut requests = Vec::new();
    for (kind, own, name) in wishes {
        match namespace::resolve(kind, &own, flags) {
            Ok(namespace) if namespace.is_empty() && kind.namespaced() && name.is_some() => {
                let text = "cannot use --all-namespace flag for getting a single resource";
                errors.push(
                    if calico { text } else { "-A lists all objects of a kind; leave out the names, or say -n" }
                        .to_owned(),
                );
            }
            Ok(namespace) => requests.push(Request { kind, namespace, name }),
            Err(problem) => errors.push(if calico { problem.reason } else { problem.text().to_owned() }),
        }
    }
    errors.dedup();
    requests
}

/// To calicoctl a manifest without a name means all of its kind.
fn named_in_file(name: String, calico: bool) -> Option<String> {
    Some(name).filter(|name| !calico || !name.is_empty())
}

/// What a request brought.
struct Answer {
    found: Result<GetResult, ClientError>,
    key: Key,
    /// What is worth knowing beside it.
    remarks: Vec<Problem>,
    /// What is stored and cannot be read.
    unreadable: Vec<ClientError>,
    /// What the store holds of a list.
    stored: Vec<Stored>,
}

/// Warnings of the objects of a list of which parts cannot be read: of the first ones, and how many more there are.
fn partly_unreadable(answer: &Answer) -> Vec<String> {
    let mut warnings = problem_text::unreadable_among(&answer.stored);
    for error in &answer.unreadable {
        if let ClientError::Unreadable { key, .. } = error {
            warnings.remove(key);
        }
    }
    let mut shown: Vec<String> = warnings.into_values().collect();
    let more = shown.len().saturating_sub(MAX_EXPLAINED);
    shown.truncate(MAX_EXPLAINED);
    if more > 0 {
        shown.push(format!("warning[unreadable]: {more} more of these objects cannot be read as they are stored; `tortie lint` lists them"));
    }
    shown
}

fn look_up(client: &Client, request: Request) -> Answer {
    let Request { kind, namespace, name } = request;
    let Some(name) = name else {
        let within = (!namespace.is_empty()).then(|| namespace.clone());
        let listed = client.list(&Selection { kind: Some(kind), namespace: within, ..Selection::default() });
        let key = Key { kind, namespace, name: String::new() };
        let remarks = Vec::new();
        return match listed {
            Ok(Objects { position, objects: items, unreadable, stored }) => {
                let found = Ok(GetResult::List { kind, revision: position.to_string(), items });
                Answer { found, key, remarks, unreadable, stored }
            }
            Err(error) => Answer { found: Err(error), key, remarks, unreadable: Vec::new(), stored: Vec::new() },
        };
    };
    let key = Key { kind, namespace, name };
    let (found, remarks) = match client.get(&key) {
        Ok(got) => (Ok(GetResult::One(Box::new(got.object))), got.notes),
        Err(error) => (Err(error), Vec::new()),
    };
    Answer { found, key, remarks, unreadable: Vec::new(), stored: Vec::new() }
}

/// Takes away what is of this store only. As with calicoctl this is for named objects, not for lists.
fn export(found: &mut [GetResult]) {
    for one in found {
        if let GetResult::One(object) = one {
            strip(object);
        }
    }
}

fn strip(object: &mut Object) {
    let metadata = &mut object.metadata;
    metadata.namespace.clear();
    metadata.uid.clear();
    metadata.resource_version.clear();
    metadata.creation_timestamp = None;
    metadata.deletion_timestamp = None;
    metadata.deletion_grace_period_seconds = None;
}
