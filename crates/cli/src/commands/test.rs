//! `test`: whether claims about packets hold, each proven for all packets that it is about.
//!
//! Exit status 0: all hold, 1: one does not, 2: one could not be checked, or there is none.

mod formats;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tortie_explain::Topology;
use tortie_explain::claim::{self, Counterexample};

use crate::input;
use crate::session::Session;
use crate::snapshot::SnapshotArgs;
use crate::terminal::{Exit, Usage};

/// Arguments of `test`.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Files of lines such as `forbids any except set/office -> hep/db tcp/5432`, or - for standard input
    #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
    tests: Vec<String>,
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// How the results are written
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TestFormat,
    /// Only what does not hold, and the last line
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    Text,
    Tap,
    Junit,
    Json,
}

/// A line of a file, and whether it holds.
struct Tested {
    file: String,
    line: usize,
    text: String,
    result: Outcome,
}

/// What was found.
enum Outcome {
    /// It holds for all packets; one of each of so many classes was traced, and this was assumed of them.
    Holds(usize, Vec<String>),
    /// It does not hold for this packet.
    Fails(Box<Counterexample>),
    /// It could not be checked.
    Error(String),
}

/// Checks every line of every file.
pub(crate) fn run(args: &TestArgs, session: &mut Session) -> anyhow::Result<Exit> {
    test(args, session).or_else(|error| {
        session.terminal.fail(&error);
        Ok(Exit::Unanswered)
    })
}

fn test(args: &TestArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let files = args.tests.iter().map(|name| Ok((name.as_str(), read(name)?)));
    let files: Vec<(&str, String)> = files.collect::<anyhow::Result<_>>()?;
    let tested = args.snapshot.topology("test", session, |topology, _, _| {
        Ok(files.iter().flat_map(|(name, text)| check(topology, name, text)).collect::<Vec<_>>())
    })?;
    let Some(tested) = tested else { return Ok(Exit::Unanswered) };
    if tested.is_empty() {
        return Err(Usage(
            "there is no test in the files: a line is `permits FROM -> TO tcp/443` or `forbids ...`".to_owned(),
        )
        .into());
    }
    let written = match args.output {
        TestFormat::Text => formats::text(&tested, &args.snapshot, args.quiet),
        TestFormat::Tap => formats::tap(&tested, &args.snapshot),
        TestFormat::Junit => formats::junit(&tested, &args.snapshot),
        TestFormat::Json => format!("{:#}\n", formats::json(&tested, &args.snapshot)),
    };
    session.terminal.print(&written);
    let [_, failing, errors] = formats::counts(&tested);
    Ok(match (errors, failing) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Failed,
        _ => Exit::Unanswered,
    })
}

fn read(name: &str) -> anyhow::Result<String> {
    let what = if name == "-" { "standard input" } else { name };
    input::text(name).with_context(|| format!("cannot read {what}"))
}

fn check(topology: &Topology<'_>, file: &str, text: &str) -> Vec<Tested> {
    let lines = claim::parse(topology, text).into_iter();
    let tested = lines.map(|line| {
        let result = match line.claim.and_then(|claim| claim::check(topology, &claim)) {
            Err(error) => Outcome::Error(error.0),
            Ok(checked) => match checked.counterexample {
                Some(found) => Outcome::Fails(Box::new(found)),
                None => Outcome::Holds(checked.traced, checked.assumed.into_iter().collect()),
            },
        };
        Tested { file: file.to_owned(), line: line.number, text: line.text, result }
    });
    tested.collect()
}
