//! Without a protocol: everything between two ends, grouped by what decides.
//!
//! The answer for a port holds up to the next one that something on the packet's way names: that one is asked then, and
//! what is decided alike is told together.

#[cfg(test)]
mod tests;
mod turns;

use tortie_eval::By;
use tortie_net::Protocol;

use self::turns::turns;
use crate::ask::{AskError, Question, What};
use crate::journey::{Answer, every_way};
use crate::place::Places;
use crate::text::decided_by;

/// One line: what, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// `tcp 80,443`, `udp`, `icmp`, `protocol 253`.
    pub what: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The verdict in words.
    pub verdict: String,
}

/// The lines, allowed ones first; what is denied by one and the same thing is told as "everything else".
pub fn reach(places: &Places<'_>, question: &Question) -> Result<Vec<Line>, AskError> {
    let mut groups = Vec::new();
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
        groups.extend(ports(places, question, protocol)?);
    }
    for (what, name) in [(What::Icmp(None), "icmp (echo)"), (What::Other(253), "other protocols")] {
        let (answer, _) = every_way(places, &Question { what, ..question.clone() })?;
        groups.push((answer, name.to_owned()));
    }
    let line = |(answer, what): (Answer, String)| Line {
        what,
        allowed: answer.allowed(),
        verdict: by_all_failsafes(decided_by(places.snapshot(), &answer), &answer),
    };
    let (allowed, denied): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(answer, _)| answer.allowed());
    let mut lines: Vec<Line> = allowed.into_iter().map(line).collect();
    let mut denied = denied.into_iter();
    if let Some((first, what)) = denied.next() {
        let rest: Vec<_> = denied.collect();
        if !rest.is_empty() && rest.iter().all(|(answer, _)| alike(answer, &first)) {
            let what = if lines.is_empty() { "everything" } else { "everything else" };
            lines.push(line((first, what.to_owned())));
        } else {
            lines.push(line((first, what)));
            lines.extend(rest.into_iter().map(line));
        }
    }
    Ok(lines)
}

/// What one failsafe decides is told with what others do.
fn by_all_failsafes(verdict: String, answer: &Answer) -> String {
    let steps = answer.legs.iter().flat_map(|leg| &leg.verdict.path);
    let named = steps.filter_map(|step| match &step.decision.by {
        By::Failsafe(text) => Some(format!("failsafe {text},")),
        _ => None,
    });
    named.fold(verdict, |text, one| text.replace(&one, "failsafes,"))
}

/// Ports from the first to the last.
type Stretch = (u16, u16);

/// The answers of one protocol, each with the ports that have it, in words.
fn ports(places: &Places<'_>, question: &Question, protocol: Protocol) -> Result<Vec<(Answer, String)>, AskError> {
    let name = protocol.name().unwrap_or("protocol").to_ascii_lowercase();
    let what = |ranges: &[Stretch]| match ranges {
        [(1, u16::MAX)] => name.clone(),
        _ => format!("{name} {}", ranges_text(ranges)),
    };
    let groups = stretches(places, question, protocol)?;
    Ok(groups.into_iter().map(|(answer, ranges)| (answer, what(&ranges))).collect())
}

/// The answers of one protocol, each with the ports that have it.
fn stretches(
    places: &Places<'_>,
    question: &Question,
    protocol: Protocol,
) -> Result<Vec<(Answer, Vec<Stretch>)>, AskError> {
    let mut groups: Vec<(Answer, Vec<Stretch>)> = Vec::new();
    // Nothing listens on port 0.
    let mut first = 1;
    loop {
        let asked = Question { what: What::Port(protocol, first), ..question.clone() };
        let (answer, elsewhere) = every_way(places, &asked)?;
        let mut next: Option<u16> = None;
        for leg in answer.legs.iter().chain(&elsewhere) {
            turns(places.snapshot(), leg, protocol, |turn| {
                if turn > first && next.is_none_or(|next| turn < next) {
                    next = Some(turn);
                }
            });
        }
        let last = next.map_or(u16::MAX, |next| next - 1);
        match groups.iter_mut().find(|(other, _)| alike(other, &answer)) {
            Some((_, ranges)) => match ranges.last_mut() {
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => ranges.push((first, last)),
            },
            None => groups.push((answer, vec![(first, last)])),
        }
        match next {
            Some(next) => first = next,
            None => return Ok(groups),
        }
    }
}

/// Decided by the same things all the way; which failsafe it is does not count.
fn alike(a: &Answer, b: &Answer) -> bool {
    let decisions = |answer: &Answer| {
        let steps = answer.legs.iter().flat_map(|leg| leg.verdict.path.iter());
        steps
            .map(|step| match &step.decision.by {
                By::Failsafe(_) => By::Failsafe(String::new()),
                by => by.clone(),
            })
            .collect::<Vec<_>>()
    };
    a.allowed() == b.allowed() && decisions(a) == decisions(b)
}

fn ranges_text(ranges: &[Stretch]) -> String {
    let one = |(first, last): &Stretch| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}
