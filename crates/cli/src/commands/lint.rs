//! `lint`: the warnings about everything in the store, or about manifests.
//!
//! Exit status 0: none, 1: some, 2: it could not be looked.

mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use tortie_agent::LocalFacts;
use tortie_api::{Key, Kind, Object, Path};
use tortie_client::{BatchMode, Client, ClientError, Mode, is_initial_tier};
use tortie_eval::Judge;
use tortie_explain::policy::{UnusedRule, rules_behind_failsafes, unused_rules};
use tortie_explain::{PolicyWarning, PolicyWarningKind, not_in_force, policy_warnings};
use tortie_manifest::{Problem, Severity, validate, warnings};
use tortie_policy::{Invalid, Policy, Snapshot, WorkloadId};
use tortie_store::memory::MemoryStore;
use tortie_store::{Listing, Purpose, Selection};
use tortie_sync::InForce;

use crate::args::{Files, StoreArgs, TextOrJson};
use crate::ask::Agent;
use crate::commands::apply;
use crate::in_force::{self, InForceRequest, Purpose as Asked, Sources};
use crate::input::KubernetesKinds;
use crate::plan::Plan;
use crate::problem_text;
use crate::session::Session;
use crate::snapshot::topology;
use crate::store::StoreAccess;
use crate::store_warnings::StoreContext;
use crate::terminal::{Exit, Usage};
use crate::translated_ports;
use report::Report;

pub(crate) use report::warnings_text;

/// Arguments of `lint`.
#[derive(Args, Debug)]
pub(crate) struct LintArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: StoreArgs,
    /// Only the manifests of -f, without the store
    #[arg(long, requires = "filename")]
    offline: bool,
    /// Only the store: the agent of this machine is not asked for its interfaces
    #[arg(long, conflicts_with = "offline")]
    from_store: bool,
    /// Codes of warnings that are counted and not told; may be given several times
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    allow: Vec<String>,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
}

/// How many policies are looked at with one look at all endpoints and sets.
const POLICIES_AT_ONCE: usize = 128;

/// The warnings of each object.
type Warnings = BTreeMap<Key, Vec<Problem>>;

/// Tells every warning. What keeps it from looking must not pass for a warning, which is exit status 1.
pub(crate) fn run(args: &LintArgs, session: &mut Session) -> anyhow::Result<Exit> {
    lint(args, session).or_else(|error| {
        session.terminal.fail(&error);
        Ok(Exit::Unanswered)
    })
}

fn lint(args: &LintArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if let Some(unknown) = args.allow.iter().find(|code| warnings::CODES.iter().all(|(known, _)| known != code)) {
        return Err(Usage(format!("--allow {unknown}: there is no such code; docs/warnings.md lists them")).into());
    }
    let Some(LookedAt { sources, listing, mut found, refused }) = looked_at(args, session)? else {
        return Ok(Exit::Unanswered);
    };
    let in_force = sources.in_force(&listing);
    let objects = listing.items.iter().filter(|stored| !is_own(&stored.key)).count();
    of_stored(listing, &in_force, &mut found)?;
    of_store(&in_force, sources.local_facts.as_ref(), None, &mut found);
    if let Some(local_facts) = &sources.local_facts {
        match LocalFacts::foreign_tables() {
            Ok(read) => {
                for (key, problem) in
                    translated_ports::warnings(&in_force.snapshot, local_facts, &read.tables, |_| true)
                {
                    found.entry(key).or_default().push(problem);
                }
            }
            Err(error) => {
                session.terminal.note(format_args!("the rules of other programs were not looked at: {error}"))
            }
        }
    }
    for (key, why) in &in_force.unreadable {
        let why = if args.output == TextOrJson::Json { why.in_full() } else { why.to_string() };
        found.entry(key.clone()).or_default().push(unreadable(key, why));
    }
    // Objects that count as deleted; of others `of_store` tells what is left out.
    for (key, why) in sources.left_out.iter().filter(|(key, _)| sources.listing.get(key).is_none()) {
        found.entry(key.clone()).or_default().push(left_out(why));
    }
    let is_whole = refused.is_empty();
    let report = Report::new(objects, found, &args.allow, refused);
    match args.output {
        TextOrJson::Text => session.terminal.print(&report.text()),
        TextOrJson::Json => session.terminal.line(format_args!("{:#}", report.json())),
    }
    Ok(match (is_whole, report.is_empty()) {
        (false, _) => Exit::Unanswered,
        (true, true) => Exit::Done,
        (true, false) => Exit::Failed,
    })
}

/// What is looked at.
struct LookedAt {
    sources: Sources,
    listing: Listing,
    /// The warnings about the text of manifests.
    found: Warnings,
    /// The objects of manifests that `apply` would refuse.
    refused: Vec<String>,
}

/// The objects, and the warnings about the text of manifests. None when the manifests cannot be used; that has been said.
fn looked_at(args: &LintArgs, session: &mut Session) -> anyhow::Result<Option<LookedAt>> {
    let from_store = args.from_store;
    if args.files.filename.is_empty() {
        let request = InForceRequest { from_store, purpose: Asked::Answer };
        let sources = in_force::load(&StoreAccess::find(session, &args.store)?, request, &Agent::soon(), session)?;
        let listing = sources.listing.clone();
        return Ok(Some(LookedAt { sources, listing, found: Warnings::new(), refused: Vec::new() }));
    }
    let Some(manifests) = session.manifests_in_part("lint", &args.files, KubernetesKinds::Refused)? else {
        return Ok(None);
    };
    let plan = match args.offline {
        true => Plan::offline()?,
        false => {
            let request = InForceRequest { from_store, purpose: Asked::Apply };
            Plan::begin(&StoreAccess::find(session, &args.store)?, request, &Agent::soon(), session)?
        }
    };
    let planning = apply::Planning { in_part: true, ..apply::Planning::quiet("lint") };
    let Some(planned) = apply::planned(planning, &manifests, &args.store, &plan.client, session)? else {
        return Ok(None);
    };
    let missing = plan.missing_namespaces()?;
    if !missing.is_empty() {
        missing.iter().for_each(|line| session.terminal.error(line));
        return Ok(None);
    }
    let mut found = Warnings::new();
    for (key, _, at) in planned.done {
        found.entry(key).or_default().extend(apply::warnings_of(&manifests.items[at]));
    }
    let (listing, written) = plan.after_controllers()?;
    written.into_iter().for_each(|written| session.terminal.note(written));
    let refused = manifests.refused.into_iter().chain(planned.refused).collect();
    Ok(Some(LookedAt { sources: plan.sources, listing, found, refused }))
}

/// The warnings about the objects of a listing one by one.
fn of_stored(listing: Listing, in_force: &InForce, found: &mut Warnings) -> anyhow::Result<()> {
    let client = Client::new(Arc::new(MemoryStore::holding(listing)));
    let found_there = client.list(&Selection::default())?;
    for error in found_there.unreadable {
        // Of what is enforced `InForce` says it, with what is in force instead.
        let ClientError::Unreadable { key, .. } = &error else { continue };
        if is_unread(key.kind) {
            found.entry(key.clone()).or_default().push(Problem::warning("invalid", Path::root(), error.to_string()));
        } else if !in_force.unreadable.contains_key(key) {
            found.entry(key.clone()).or_default().push(not_shown(&error, key));
        }
    }
    let mut objects = found_there.objects;
    // Kubernetes' own kinds are not written as Calico's are.
    objects.retain(|object| Kind::ALL.contains(&object.kind));
    of_objects(objects, &client, found);
    Ok(())
}

/// The warnings that each object gets when it is written as it is.
fn of_objects(objects: Vec<Object>, client: &Client, found: &mut Warnings) {
    for object in &objects {
        found.entry(object.key()).or_default().extend(warnings::of(object).into_iter().chain(invalid(object)));
    }
    for outcome in client.write(objects, Mode::Apply, BatchMode::KeepGoing, None).outcomes {
        // What could not be written as it is was written by others, and is told where it cannot be read.
        if let Ok(done) = outcome.result {
            found.entry(outcome.key).or_default().extend(done.notes);
        }
    }
}

/// Whether no agent reads objects of this kind, so that `InForce` says nothing about what cannot be read of them.
fn is_unread(kind: Kind) -> bool {
    !Purpose::Enforcement { node: String::new() }.needs(kind)
}

/// Why `apply` would refuse a stored object that no agent reads: other programs, or `tortie controllers`, do without these parts.
fn invalid(object: &Object) -> Vec<Problem> {
    // Programs that manage addresses mark what they delete, which users may not.
    if !is_unread(object.kind) || object.kind == Kind::BlockAffinity {
        return Vec::new();
    }
    let errors = validate::validate(object).into_iter().filter(Problem::is_error);
    errors.map(|problem| Problem { severity: Severity::Warning("invalid"), ..problem }).collect()
}

/// The warnings about one object of a store that this client reads a copy of: those that `lint` has, but neither `unreadable` nor
/// `translated-port`.
pub(crate) fn of_one(
    object: &Object,
    client: &Client,
    in_force: &InForce,
    local_facts: Option<&LocalFacts>,
) -> Vec<Problem> {
    let key = object.key();
    let mut found = Warnings::new();
    of_objects(vec![object.clone()], client, &mut found);
    of_store(in_force, local_facts, Some(&key), &mut found);
    validate::distinct(found.remove(&key).unwrap_or_default())
}

/// The warnings about what all objects mean together. If only those of one object are asked for, those of others may be missing.
fn of_store(in_force: &InForce, local_facts: Option<&LocalFacts>, only: Option<&Key>, found: &mut Warnings) {
    let snapshot = &in_force.snapshot;
    let is_asked = |key: &Key| only.is_none_or(|only| only == key);
    let context = StoreContext::new(snapshot, snapshot.nodes.keys().cloned().collect());
    let keys: Vec<&Key> = found.keys().collect();
    let found_there = tortie_parallel::map(&keys, |key| context.warnings(key));
    for (warnings, found_there) in found.values_mut().zip(found_there) {
        warnings.extend(found_there);
    }
    let enforced = snapshot.policies.values().filter(|policy| !policy.staged && is_asked(&key(policy)));
    let enforced: Vec<&Policy> = enforced.collect();
    let chunks: Vec<&[&Policy]> = enforced.chunks(POLICIES_AT_ONCE).collect();
    let unused = tortie_parallel::map(&chunks, |policies| never_matches(snapshot, policies));
    let behind = tortie_parallel::map(&chunks, |policies| behind_failsafes(snapshot, policies, ""));
    let unused = unused.into_iter().flatten().zip(behind.into_iter().flatten());
    for (policy, (unused, behind)) in enforced.iter().zip(unused) {
        if !unused.is_empty() || !behind.is_empty() {
            found.entry(key(policy)).or_default().extend(unused.into_iter().chain(behind));
        }
    }
    for warning in policy_warnings(&Judge::new(snapshot)) {
        let Some(policy) = snapshot.policies.get(&warning.policy) else { continue };
        found.entry(key(policy)).or_default().push(of_policy(warning));
    }
    for (policy, message) in snapshot.in_missing_tiers() {
        missing_tier(message, found.entry(key(policy)).or_default());
    }
    for (key, warnings) in &snapshot.left_out {
        found.entry(key.clone()).or_default().extend(warnings.iter().map(|message| left_out(message)));
    }
    for (name, why) in &in_force.invalid_settings {
        let key = Key::cluster(Kind::FelixConfiguration, name);
        of_setting(why, found.entry(key).or_default());
    }
    if local_facts.is_some() {
        of_places(in_force, local_facts, found);
    }
}

/// A setting that cannot be used, unless a warning says already that the settings have no effect because of it.
fn of_setting(why: &Invalid, found: &mut Vec<Problem>) {
    if !found.iter().any(|one| one.path == why.path && one.severity == Severity::Warning("no-effect")) {
        found.push(Problem::warning("unreadable", Path::root(), why.to_string()));
    }
}

/// The rules that no packet matches, of each of some policies.
pub(crate) fn never_matches(snapshot: &Snapshot, policies: &[&Policy]) -> Vec<Vec<Problem>> {
    let problem = |(direction, number, why): UnusedRule| {
        let message = format!("{direction} rule {number} {why}");
        Problem::warning("never-matches", rule(direction.name(), number - 1), message)
    };
    let problems = |unused: Vec<UnusedRule>| unused.into_iter().map(problem).collect();
    unused_rules(snapshot, policies).into_iter().map(problems).collect()
}

/// The rules that no packet comes to because of failsafes, of each of some policies, with what is said of the settings.
pub(crate) fn behind_failsafes(snapshot: &Snapshot, policies: &[&Policy], settings: &str) -> Vec<Vec<Problem>> {
    let problem = |(direction, number, why): UnusedRule| {
        let message = format!("{direction} rule {number} {why}{settings}");
        let problem = Problem::warning("behind-failsafe", rule(direction.name(), number - 1), message);
        problem.help("take the port out of the failsafe ports if the rule is to decide")
    };
    let problems = |behind: Vec<UnusedRule>| behind.into_iter().map(problem).collect();
    rules_behind_failsafes(snapshot, policies).into_iter().map(problems).collect()
}

/// That an object cannot be read, in this text, and what is in force instead.
pub(crate) fn unreadable(key: &Key, why: String) -> Problem {
    let help = problem_text::repair(key, &why);
    Problem::warning("unreadable", Path::root(), why).help(help)
}

/// That commands which show or edit an object cannot read it, though everything that decides about packets can be read.
pub(crate) fn not_shown(error: &ClientError, key: &Key) -> Problem {
    let why = match error {
        ClientError::Unreadable { reason, .. } => reason.clone(),
        error => problem_text::line(error, key),
    };
    unreadable(
        key,
        format!("{why}; what the object decides can be read and is in force, and get, label, patch and edit refuse it"),
    )
}

fn left_out(message: &str) -> Problem {
    Problem::warning("left-out", Path::root(), message.to_owned())
}

/// Says that the tier of a policy does not exist, unless the warnings of the policy say so already.
fn missing_tier(message: String, warnings: &mut Vec<Problem>) {
    const CODE: &str = "unknown-tier";
    if !warnings.iter().any(|problem| problem.severity == Severity::Warning(CODE)) {
        warnings.push(Problem::warning(CODE, Path::from("spec.tier"), message));
    }
}

/// A warning about policies together, as a problem of its policy.
pub(crate) fn of_policy(warning: PolicyWarning) -> Problem {
    let path = match warning.rule {
        Some(index) => rule(warning.field, index),
        None => Path::from("spec").key(warning.field),
    };
    match warning.kind {
        PolicyWarningKind::NeverReached => Problem::warning("never-reached", path, warning.message),
        PolicyWarningKind::OnlyCloses => Problem::warning("only-closes", path, warning.message).help(
            "right if it is meant to deny by default; otherwise add rules, or leave the direction out of `types`",
        ),
        PolicyWarningKind::UntrackedOneWay => Problem::warning("untracked-one-way", path, warning.message)
            .help("add the mirrored rule, with source and destination exchanged"),
    }
}

/// Host endpoints that govern no interface of this machine, and workload endpoints whose packets pass by their policies, as its agent sees it.
fn of_places(in_force: &InForce, local_facts: Option<&LocalFacts>, found: &mut Warnings) {
    let topology = topology(&in_force.snapshot, local_facts);
    for (endpoint, why) in not_in_force::all_passed_by(&topology) {
        let WorkloadId { namespace, name } = &endpoint.id;
        let warnings = found
            .entry(Key { kind: Kind::WorkloadEndpoint, namespace: namespace.clone(), name: name.clone() })
            .or_default();
        let message = format!("packets pass by the policies of the endpoint: {why}");
        warnings.push(Problem::warning("placement", Path::from("spec.interfaceName"), message));
    }
    for (name, not_in_force) in not_in_force::all_host_endpoints(&topology) {
        let warnings = found.entry(Key::cluster(Kind::HostEndpoint, &name)).or_default();
        let is_told = |code| warnings.iter().any(|one| one.severity == Severity::Warning(code));
        if !is_told("same-interface") && !is_told("unknown-node") {
            let message = format!("the endpoint {not_in_force}");
            let at = if not_in_force.has_unknown_node { "spec.node" } else { "spec" };
            warnings.push(Problem::warning(not_in_force.code(), Path::from(at), message));
        }
    }
}

/// What a store has by itself.
fn is_own(key: &Key) -> bool {
    key.kind == Kind::ClusterInformation || key.kind == Kind::Tier && is_initial_tier(&key.name)
}

fn rule(field: &str, index: usize) -> Path {
    Path::from("spec").key(field).index(index)
}

pub(crate) fn key(policy: &Policy) -> Key {
    let id = policy.id.clone();
    Key { kind: id.kind, namespace: id.namespace, name: id.name }
}
