//! `explain`: what decides a packet and why; what applies to an endpoint; what a policy or a tier decides; what can be
//! reached.
//!
//! Exit status 0: allowed (or something was told), 1: denied, or dropped by another program for certain, or either on one of
//! the ways that the packet may take, 2: the question could not be answered, or another program translates the packet for certain
//! and that could not be followed.

pub(crate) mod about;
mod reach;

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use serde_json::Value;
use tortie_explain::{AskError, Dnat, Question, State, Topology, TrafficSpec, json, suggest, text};

use crate::args::TextOrJson;
use crate::foreign_tables;
use crate::session::Session;
use crate::snapshot::{Beside, SnapshotArgs};
use crate::target;
use crate::terminal::{Exit, Usage};

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Who sends: an address, node/NAME, hep/NAME, pod/NAMESPACE/NAME, wep/NAMESPACE/NAME, each also with one of its addresses as
    /// in hep/NAME@ADDRESS, labels:KEY=VALUE,...;
    /// or many addresses: any, a net, set/NAME, set/NAMESPACE/NAME; or alone a policy, a tier or a set: gnp/NAME, np/NAMESPACE/NAME, knp/NAMESPACE/NAME, kcnp/NAME, tier/NAME, set/NAME
    #[arg(value_name = "FROM", required_unless_present = "log")]
    from: Option<String>,
    /// To whom, in the same forms; without it, what applies to the endpoint FROM, or what the policy decides, is told
    #[arg(value_name = "TO")]
    to: Option<String>,
    /// Over what: tcp/443, https, a port's name, icmp/8/0, proto/253; without it, all that can be reached is told
    #[arg(value_name = "PROTOCOL/PORT")]
    what: Option<String>,
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// A node that the packet passes between its ends, and that neither end is on: its policies judge the packet too. Also the node
    /// of a workload that is not there yet
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The interface it comes in by: of --node, where no end is on it
    #[arg(long, value_name = "NAME")]
    in_interface: Option<String>,
    /// The interface it leaves by: of --node, where no end is on it
    #[arg(long, value_name = "NAME")]
    out_interface: Option<String>,
    /// The source port
    #[arg(long, value_name = "PORT")]
    source_port: Option<u16>,
    /// A translation of the destination by someone else's rule: on TO's node, else FROM's, else --node; none: there is none, not
    /// even for hostPort of a pod or an address of a service
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    dnat: Option<String>,
    /// What connection tracking says of the packet
    #[arg(long, value_name = "STATE", default_value = "new")]
    state: StateArg,
    /// A line of the kernel's log, instead of FROM, TO and PROTOCOL/PORT
    #[arg(long, value_name = "LINE", conflicts_with_all = ["from", "to", "what"])]
    log: Option<String>,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
    /// Only the last line
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    New,
    Established,
    Invalid,
    Untracked,
}

/// Answers. What keeps it from an answer must not pass for a denial, which is exit status 1.
pub(crate) fn run(args: &ExplainArgs, session: &mut Session) -> anyhow::Result<Exit> {
    explain(args, session).or_else(|error| {
        session.terminal.fail(&error);
        Ok(Exit::Unanswered)
    })
}

fn explain(args: &ExplainArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if let Some(file) = ends(args).find(|word| word.contains('.') && target::looks_like_file(word)) {
        return Err(
            Usage(format!("'{file}' is not an end of a packet; manifests are given with -f: `-f {file}`")).into()
        );
    }
    if let (Some(what), None) = (&args.to, &args.what)
        && names_protocol(what)
    {
        return Err(Usage(format!("FROM and TO are needed before {what}: `tortie explain FROM TO {what}`")).into());
    }
    let answered = args
        .snapshot
        .topology("explain", session, |topology, beside, session| Ok(answer(args, topology, beside, session)?))?;
    Ok(answered.unwrap_or(Exit::Unanswered))
}

/// Whether a word says a protocol, so that it is not TO.
fn names_protocol(word: &str) -> bool {
    let protocol = word.split_once('/').map_or(word, |(protocol, _)| protocol).to_ascii_lowercase();
    matches!(protocol.as_str(), "tcp" | "udp" | "sctp" | "icmp" | "icmpv6" | "proto")
        && word.parse::<TrafficSpec>().is_ok()
}

/// The words of the question.
fn ends(args: &ExplainArgs) -> impl Iterator<Item = &String> {
    [&args.from, &args.to, &args.what].into_iter().flatten()
}

fn answer(
    args: &ExplainArgs,
    topology: &Topology<'_>,
    beside: &Beside<'_>,
    session: &mut Session,
) -> Result<Exit, AskError> {
    let snapshot = topology.snapshot();
    if let (Some(one), None) = (&args.from, &args.to) {
        return about::answer(args, topology, one, beside, session);
    }
    if let (Some(kind), Some(name), None) = (&args.from, &args.to, &args.what)
        && let Some(one) = about::joined(kind, name)
    {
        return about::answer(args, topology, &one, beside, session);
    }
    about::refuse_policies(ends(args))?;
    let question = question(args, topology)?;
    if args.log.is_none() && (args.what.is_none() || question.from.is_many() || question.to.is_many()) {
        return reach::answer(args, topology, &question, beside, session);
    }
    let answer = foreign_tables::answer(topology, &question, beside, args.snapshot.offline)?;
    match args.output {
        TextOrJson::Json => print_json(json::render(snapshot, &answer), beside, session),
        TextOrJson::Text if args.quiet => session.terminal.line(text::verdict_line(snapshot, &answer)),
        TextOrJson::Text => session.terminal.print(&text::render(snapshot, &answer)),
    }
    Ok(match (&answer.others.unanswered, answer.arrives()) {
        (Some(_), _) => Exit::Unanswered,
        (None, true) => Exit::Done,
        (None, false) => Exit::Failed,
    })
}

fn print_json(answer: Value, beside: &Beside<'_>, session: &mut Session) {
    session.terminal.line(format_args!("{:#}", with_basis(answer, beside)));
}

/// The answer with why what it is judged by is not what the store says, in each object of it. Empty where it is.
fn with_basis(mut answer: Value, beside: &Beside<'_>) -> Value {
    let objects = match &mut answer {
        Value::Array(rows) => rows.iter_mut().collect(),
        one => vec![one],
    };
    for object in objects.into_iter().filter_map(Value::as_object_mut) {
        object.insert("notFromStore".to_owned(), beside.not_from_store.into());
        if let Some(why) = &beside.sources.not_compared {
            object.insert("notCompared".to_owned(), why.as_str().into());
        }
    }
    answer
}

fn question(args: &ExplainArgs, topology: &Topology<'_>) -> Result<Question, AskError> {
    let state = match args.state {
        StateArg::New => State::New,
        StateArg::Established => State::Established,
        StateArg::Invalid => State::Invalid,
        StateArg::Untracked => State::Untracked,
    };
    if let Some(line) = &args.log {
        return logged(line, args, state);
    }
    let end = |text: &Option<String>| suggest::end(topology, text.as_deref().unwrap_or_default());
    Ok(Question {
        from: end(&args.from)?,
        to: end(&args.to)?,
        what: args.what.as_deref().map_or(Ok(TrafficSpec::Icmp(None)), str::parse)?,
        node: args.node.clone(),
        in_interface: args.in_interface.clone(),
        out_interface: args.out_interface.clone(),
        source_port: args.source_port,
        dnat: args.dnat.as_deref().map_or(Ok(Dnat::default()), translation)?,
        state,
        exempt_on: None,
        translated_on: None,
    })
}

fn translation(text: &str) -> Result<Dnat, AskError> {
    if text == "none" {
        return Ok(Dnat::Never);
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok(Dnat::To(socket.ip(), Some(socket.port())));
    }
    let address = text.trim_matches(['[', ']']).parse();
    let wrong = |_| AskError(format!("'{text}' is not ADDRESS, ADDRESS:PORT or none"));
    address.map(|address| Dnat::To(address, None)).map_err(wrong)
}

/// The packet of a kernel log line: `... IN=eth0 OUT= ... SRC=1.2.3.4 DST=5.6.7.8 ... PROTO=TCP SPT=1 DPT=2 ...`.
fn logged(line: &str, args: &ExplainArgs, state: State) -> Result<Question, AskError> {
    let field = |name: &str| {
        line.split_whitespace()
            .filter_map(|word| word.split_once('='))
            .find(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| value)
    };
    let missing = |name: &str| AskError(format!("the line has no {name}=: is it a line of the kernel's packet log?"));
    let needed = |name: &str| field(name).ok_or_else(|| missing(name));
    let protocol = needed("PROTO")?;
    let what = match (protocol, field("DPT"), field("TYPE")) {
        (_, Some(port), _) => format!("{protocol}/{port}"),
        (_, None, Some(kind)) => format!("icmp/{kind}/{}", field("CODE").unwrap_or("0")),
        _ => format!("proto/{protocol}"),
    };
    Ok(Question {
        from: needed("SRC")?.parse()?,
        to: needed("DST")?.parse()?,
        what: what.parse()?,
        node: args.node.clone(),
        in_interface: args.in_interface.clone().or_else(|| field("IN").map(str::to_owned)),
        out_interface: args.out_interface.clone().or_else(|| field("OUT").map(str::to_owned)),
        source_port: args.source_port.or_else(|| field("SPT").and_then(|port| port.parse().ok())),
        dnat: args.dnat.as_deref().map_or(Ok(Dnat::default()), translation)?,
        state,
        exempt_on: None,
        translated_on: None,
    })
}
