//! `top`: the rules that match most packets, again and again.
//!
//! Exit status: 2 when no agent answers, or when it ends; 0 when its reader goes away.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tortie_agent::socket::{Reply, Request};
use tortie_agent::status::RuleCount;
use tortie_agent::utc;
use tortie_api::duration;

use crate::args::TextOrJson;
use crate::ask::Agent;
use crate::session::Session;
use crate::terminal::Exit;

/// Arguments of `top`.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// How many rules to show; 0 for all
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    count: usize,
    /// For how long packets are counted before they are shown: 500ms, 2s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::at_least(SHORTEST))]
    interval: Duration,
    /// Show them once, and end
    #[arg(long)]
    once: bool,
    /// text or json: an object a line
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
}

/// The shortest interval: the agent reads all rules of the kernel each time.
const SHORTEST: Duration = Duration::from_millis(100);

/// A rule and how fast it counts.
struct Rate {
    count: RuleCount,
    packets: f64,
    bytes: f64,
}

/// Shows them until the reader goes away.
pub(crate) fn run(args: &TopArgs, session: &mut Session) -> anyhow::Result<Exit> {
    show(args, session).or_else(|error| {
        session.terminal.fail(&error);
        Ok(Exit::Unanswered)
    })
}

fn show(args: &TopArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let (mut before, mut at) = (counts()?, Instant::now());
    loop {
        std::thread::sleep(args.interval.saturating_sub(at.elapsed()));
        let (now, seconds) = (counts()?, at.elapsed().as_secs_f64());
        at = Instant::now();
        let mut rates = rates(&before, &now, seconds);
        if args.count > 0 {
            rates.truncate(args.count);
        }
        match args.output {
            TextOrJson::Json => session.terminal.line(as_json(&rates, seconds)),
            TextOrJson::Text => {
                if !args.once && stdout().is_terminal() {
                    session.terminal.print("\x1b[H\x1b[2J");
                }
                session.terminal.print(&text(&rates, now.len()));
            }
        }
        session.terminal.flush();
        if args.once || session.terminal.is_broken() {
            return Ok(Exit::Done);
        }
        if args.output == TextOrJson::Text && !stdout().is_terminal() {
            session.terminal.line("");
        }
        before = now;
    }
}

fn counts() -> anyhow::Result<Vec<RuleCount>> {
    match Agent::patient().ask(&Request::RuleCounts)? {
        Reply::RuleCounts { rules } => Ok(rules),
        other => anyhow::bail!("{}", other.unexpected()),
    }
}

/// The name of a rule.
type Name<'a> = (&'a str, &'a str, &'a str);

fn name(count: &RuleCount) -> Name<'_> {
    (&count.policy, &count.direction, &count.rule)
}

/// How fast each rule counts, the fastest first, then those that have counted most. A rule that is new counts from nothing.
fn rates(before: &[RuleCount], now: &[RuleCount], seconds: f64) -> Vec<Rate> {
    let before: BTreeMap<Name<'_>, &RuleCount> = before.iter().map(|count| (name(count), count)).collect();
    let rate = |count: &RuleCount| {
        let (packets, bytes) = before.get(&name(count)).map_or((0, 0), |before| (before.packets, before.bytes));
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        Rate {
            packets: per_second(count.packets, packets),
            bytes: per_second(count.bytes, bytes),
            count: count.clone(),
        }
    };
    let mut rates: Vec<Rate> = now.iter().map(rate).collect();
    rates.sort_by(|a, b| {
        b.packets.total_cmp(&a.packets).then_with(|| Reverse(a.count.packets).cmp(&Reverse(b.count.packets)))
    });
    rates
}

fn as_json(rates: &[Rate], seconds: f64) -> Value {
    let rule = |rate: &Rate| {
        let RuleCount { policy, direction, rule, action, packets, bytes } = &rate.count;
        json!({
            "policy": policy, "direction": direction, "rule": rule, "action": action, "packets": packets, "bytes": bytes,
            "packetsPerSecond": rate.packets, "bytesPerSecond": rate.bytes,
        })
    };
    json!({ "time": utc::now(), "seconds": seconds, "rules": rates.iter().map(rule).collect::<Vec<_>>() })
}

fn text(rates: &[Rate], all: usize) -> String {
    let mut text =
        format!("{:>12} {:>14} {:>14}  RULE ({} of {all})\n", "PACKETS/S", "BYTES/S", "PACKETS", rates.len());
    for Rate { count, packets, bytes } in rates {
        text += &format!(
            "{packets:>12.1} {bytes:>14.0} {:>14}  {} {} rule {}: {}\n",
            count.packets, count.policy, count.direction, count.rule, count.action
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(policy: &str, packets: u64) -> RuleCount {
        RuleCount { policy: policy.to_owned(), packets, bytes: packets * 100, ..RuleCount::default() }
    }

    #[test]
    fn the_fastest_rule_comes_first_and_one_that_counts_anew_is_not_negative() {
        let before = [count("gnp a", 100), count("gnp b", 1000), count("gnp d", 50)];
        let now = [count("gnp a", 300), count("gnp b", 1000), count("gnp c", 20), count("gnp d", 10)];
        let rates = rates(&before, &now, 2.0);
        let rows: Vec<(&str, f64, f64)> =
            rates.iter().map(|rate| (&*rate.count.policy, rate.packets, rate.bytes)).collect();
        assert_eq!(
            rows,
            [("gnp a", 100.0, 10_000.0), ("gnp c", 10.0, 1000.0), ("gnp b", 0.0, 0.0), ("gnp d", 0.0, 0.0)]
        );
    }
}
