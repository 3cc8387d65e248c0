//! Reading claims: a line each.
//!
//! ```text
//! # comment
//! permits any -> hep/web1 tcp/80,443
//! forbids any except set/office,10.0.3.7 -> hep/db tcp/5432
//! permits node/web1 -> any udp/53 ntp --out-interface eth0
//! ```

use super::{Claim, Traffic};
use crate::question::{AskError, EndSpec, Question, TrafficSpec};
use crate::topology::Topology;
use crate::{reach, suggest};

/// A line of a file, with what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// The words, with one space between them and without comment.
    pub text: String,
    /// The claim, or what is wrong with the line.
    pub claim: Result<Claim, AskError>,
}

/// How a line is written.
const FORM: &str = "permits|forbids FROM [except END,...] -> TO [except END,...] [PROTOCOL/PORT ...]";

/// Reads every line except comments and empty ones. Names are looked up in the topology.
pub fn parse(topology: &Topology<'_>, text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.is_empty() {
            lines.push(Line { number: index + 1, text: words.join(" "), claim: claim(topology, &words) });
        }
    }
    lines
}

fn claim(topology: &Topology<'_>, words: &[&str]) -> Result<Claim, AskError> {
    let wrong = |what: &str| AskError(format!("{what}; a line is {FORM}"));
    let (verb, rest) = words.split_first().ok_or_else(|| wrong("an empty line"))?;
    let permits = match *verb {
        "permits" => true,
        "forbids" => false,
        other => return Err(wrong(&format!("{other:?} is neither permits nor forbids"))),
    };
    let arrow =
        rest.iter().position(|word| *word == "->").ok_or_else(|| wrong("there is no -> between the two ends"))?;
    let (from, from_except, left) = end(topology, &rest[..arrow])?;
    if let Some(word) = left.first() {
        return Err(wrong(&format!("{word:?} stands before ->")));
    }
    let (to, to_except, left) = end(topology, &rest[arrow + 1..])?;
    let mut question = Question::new(from, to, TrafficSpec::Icmp(None));
    let mut traffic_words = Vec::new();
    let mut left = left.iter();
    while let Some(word) = left.next() {
        let Some(option) = word.strip_prefix("--") else {
            traffic_words.push(*word);
            continue;
        };
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, left.next().copied()),
        };
        let value = Some(value.ok_or_else(|| wrong(&format!("--{name} has no value")))?.to_owned());
        match name {
            "node" => question.node = value,
            "in-interface" => question.in_interface = value,
            "out-interface" => question.out_interface = value,
            _ => return Err(wrong(&format!("--{name} is none of --node, --in-interface, --out-interface"))),
        }
    }
    let named = |what: &TrafficSpec| reach::named(topology, &question, what);
    let mut traffic = Vec::new();
    for word in traffic_words {
        traffic.extend(Traffic::parse(word, named)?);
    }
    if traffic.is_empty() {
        traffic.push(Traffic::all());
    }
    Ok(Claim { permits, question, from_except, to_except, traffic })
}

/// An end with its exceptions, and the words after them.
fn end<'a, 'b>(
    topology: &Topology<'_>,
    words: &'b [&'a str],
) -> Result<(EndSpec, Vec<EndSpec>, &'b [&'a str]), AskError> {
    let (first, rest) = words.split_first().ok_or_else(|| AskError(format!("an end is missing; a line is {FORM}")))?;
    let party = suggest::end(topology, first)?;
    match rest {
        ["except", list, rest @ ..] => {
            let except = list.split(',').filter(|one| !one.is_empty()).map(|one| suggest::end(topology, one));
            Ok((party, except.collect::<Result<_, _>>()?, rest))
        }
        ["except"] => Err(AskError(format!("nothing follows except; a line is {FORM}"))),
        _ => Ok((party, Vec::new(), rest)),
    }
}
