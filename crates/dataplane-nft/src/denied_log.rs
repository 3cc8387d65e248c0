//! Lines that log denied packets to an nflog group, while somebody watches.
//!
//! Before each line that denies stands one that matches the same packets, at most [`RATE`] a second of them, and logs
//! them. So a flood of denied packets costs no more than the match, and without a watcher there are no such lines. The
//! prefix says which line denies: the first part of its chain's name, [`SEPARATOR`], and its comment.
//!
//! A line with a limit of its own cannot be asked twice about one packet, so it logs what it denies itself.

use std::collections::BTreeMap;

use tortie_nft::expr::{Immediate, Limit, LimitKind, Log};
use tortie_nft::{Expr, Verdict};

use crate::options::TableOptions;
use crate::table_content::{ChainContent, Line};

/// What stands in a prefix between the chain and the comment.
pub const SEPARATOR: char = '|';
/// How many packets a line logs each second.
const RATE: u64 = 10;
/// How many it logs at once.
const BURST: u32 = 20;
/// The longest log prefix that the kernel takes.
const PREFIX_MAX: usize = 127;

/// Adds the lines to all chains, if denied packets are to be logged.
pub(crate) fn add(chains: &mut BTreeMap<String, ChainContent>, options: &TableOptions) {
    let Some(group) = options.denied_group else { return };
    for (name, form) in chains {
        if !form.lines.iter().any(denies) {
            continue;
        }
        let lines = std::mem::take(&mut form.lines);
        form.lines = lines.into_iter().flat_map(|line| with_log(name, line, group)).collect();
    }
}

/// Whether a line ends in a denial.
fn denies(line: &Line) -> bool {
    matches!(line.exprs.last(), Some(Expr::Immediate(Immediate::Verdict(Verdict::Drop)) | Expr::Reject(_)))
}

fn with_log(chain: &str, mut line: Line, group: u16) -> Vec<Line> {
    if !denies(&line) {
        return vec![line];
    }
    let log = Log::group(group, prefix(chain, line.comment.as_deref().unwrap_or_default()));
    if line.exprs.iter().any(|expr| matches!(expr, Expr::Limit(_) | Expr::Connlimit(_))) {
        line.exprs.insert(line.exprs.len() - 1, log.into());
        return vec![line];
    }
    let limit = Limit { rate: RATE, unit: 1, burst: BURST, kind: LimitKind::Packets, inverted: false };
    let matches = line.exprs.iter().take_while(|expr| !matches!(expr, Expr::Counter(_))).cloned();
    let exprs = matches.chain([limit.into(), log.into()]).collect();
    let logs = Line { exprs, sets: line.sets.clone(), comment: None };
    vec![logs, line]
}

/// What names the line that denies: the first part of its chain's name and its comment, cut where the kernel's limit is.
fn prefix(chain: &str, comment: &str) -> String {
    let tag = chain.split('/').next().unwrap_or_default();
    let text = format!("{tag}{SEPARATOR}{comment}");
    text[..text.floor_char_boundary(PREFIX_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::match_expr::{DenyAction, Side};

    fn with_group(lines: Vec<Line>) -> Vec<Line> {
        let mut chains = BTreeMap::from([("policy-in/gnp/web".to_owned(), ChainContent::new(lines))]);
        add(&mut chains, &TableOptions { denied_group: Some(9), ..TableOptions::default() });
        chains.into_values().next().unwrap().lines
    }

    #[test]
    fn a_denial_is_logged_by_a_line_before_it_and_other_lines_are_not() {
        let deny =
            Line::new().port(Side::Destination, 22).deny(DenyAction::Reject).note("rule 1 of gnp web ingress: Deny");
        let allow = Line::new().count().accept();
        let lines = with_group(vec![deny.clone(), allow.clone()]);
        assert_eq!(lines[1..], [deny.clone(), allow]);
        let matches = deny.exprs.len() - 2;
        assert_eq!(lines[0].exprs[..matches], deny.exprs[..matches]);
        let log = lines[0].exprs.last().unwrap();
        assert_eq!(*log, Log::group(9, "policy-in|rule 1 of gnp web ingress: Deny").into());
        assert!(lines[0].exprs.iter().any(|expr| matches!(expr, Expr::Limit(_))));
    }

    #[test]
    fn a_line_with_a_limit_of_its_own_logs_what_it_denies() {
        let limit = Limit { rate: 1, unit: 1, burst: 5, kind: LimitKind::Packets, inverted: true };
        let drop = Line::new().expr(limit).count().verdict(Verdict::Drop).note("too many packets");
        let lines = with_group(vec![drop]);
        assert_eq!(lines.len(), 1);
        assert!(matches!(lines[0].exprs[..], [Expr::Limit(_), Expr::Counter(_), Expr::Log(_), Expr::Immediate(_)]));
    }

    #[test]
    fn a_prefix_is_as_long_as_the_kernel_takes() {
        assert_eq!(prefix("a/b", &"ä".repeat(200)).len(), PREFIX_MAX - 1);
    }
}
