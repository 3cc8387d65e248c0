//! Results of tests, for people and for the programs that collect them.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tortie_explain::claim::Counterexample;
use tortie_explain::json::header;

use super::{Outcome, Tested};
use crate::batch::quoted;
use crate::snapshot::SnapshotArgs;

impl Tested {
    /// What the result rests on; that of a line that does not hold is told with its packet.
    fn assumed(&self) -> &[String] {
        if let Outcome::Holds(_, assumed) = &self.result { assumed } else { &[] }
    }

    /// The command that tells every step of the packet for which the line does not hold.
    fn explain(&self, snapshot: &SnapshotArgs) -> Option<String> {
        let Outcome::Fails(found) = &self.result else { return None };
        let options = snapshot.words();
        let words: Vec<String> = found.ask.iter().chain(&options).map(|word| quoted(word)).collect();
        Some(format!("tortie explain {}", words.join(" ")))
    }

    /// What is wrong; none where the line holds.
    fn problem(&self) -> Option<String> {
        match &self.result {
            Outcome::Holds(..) => None,
            Outcome::Fails(found) => Some(found.text()),
            Outcome::Error(why) => Some(why.clone()),
        }
    }
}

/// How many hold, do not hold, and could not be checked.
pub(super) fn counts(tested: &[Tested]) -> [usize; 3] {
    let count = |wanted: fn(&Outcome) -> bool| tested.iter().filter(|one| wanted(&one.result)).count();
    [
        count(|result| matches!(result, Outcome::Holds(..))),
        count(|result| matches!(result, Outcome::Fails(_))),
        count(|result| matches!(result, Outcome::Error(_))),
    ]
}

/// A line each, with the packet that contradicts it below.
pub(super) fn text(tested: &[Tested], snapshot: &SnapshotArgs, quiet: bool) -> String {
    let mut text = String::new();
    for one in tested {
        let word = match &one.result {
            Outcome::Holds(..) if quiet => continue,
            Outcome::Holds(..) => "ok    ",
            Outcome::Fails(_) => "FAILED",
            Outcome::Error(_) => "ERROR ",
        };
        let _ = writeln!(text, "{word} {}:{} {}", one.file, one.line, one.text);
        if let Some(problem) = one.problem() {
            let _ = writeln!(text, "       {problem}");
        }
        if let Some(command) = one.explain(snapshot) {
            let _ = writeln!(text, "       {command}");
        }
        for assumed in one.assumed() {
            let _ = writeln!(text, "       {assumed}");
        }
    }
    let [holding, failing, errors] = counts(tested);
    let _ = write!(text, "{holding} of {} hold", tested.len());
    if failing > 0 {
        let _ = write!(text, ", {failing} failed");
    }
    if errors > 0 {
        let _ = write!(text, ", {errors} could not be checked");
    }
    text + "\n"
}

/// The Test Anything Protocol, version 14.
pub(super) fn tap(tested: &[Tested], snapshot: &SnapshotArgs) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", tested.len());
    for (index, one) in tested.iter().enumerate() {
        let word = if matches!(one.result, Outcome::Holds(..)) { "ok" } else { "not ok" };
        // A number sign would begin a directive; the lines have none.
        let _ = writeln!(text, "{word} {} - {}:{} {}", index + 1, one.file, one.line, one.text);
        if let Some(problem) = one.problem() {
            let severity = if matches!(one.result, Outcome::Error(_)) { "error" } else { "fail" };
            let explain = one.explain(snapshot).map(|command| format!("  explain: {}\n", json!(command)));
            let explain = explain.unwrap_or_default();
            let _ = writeln!(text, "  ---\n  message: {}\n  severity: {severity}\n{explain}  ...", json!(problem));
        }
        for assumed in one.assumed() {
            let _ = writeln!(text, "# {assumed}");
        }
    }
    text
}

/// JUnit's XML: a suite for each file.
pub(super) fn junit(tested: &[Tested], snapshot: &SnapshotArgs) -> String {
    let totals = |tested: &[Tested]| {
        let [_, failing, errors] = counts(tested);
        format!("tests=\"{}\" failures=\"{failing}\" errors=\"{errors}\"", tested.len())
    };
    let mut text =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"tortie\" {}>\n", totals(tested));
    for suite in tested.chunk_by(|a, b| a.file == b.file) {
        let file = escape(&suite[0].file);
        let _ = writeln!(text, "  <testsuite name=\"{file}\" {}>", totals(suite));
        for one in suite {
            let case = format!("classname=\"{file}\" name=\"line {}: {}\"", one.line, escape(&one.text));
            let element = match &one.result {
                Outcome::Holds(_, assumed) if assumed.is_empty() => {
                    let _ = writeln!(text, "    <testcase {case}/>");
                    continue;
                }
                Outcome::Holds(_, assumed) => {
                    let said = escape(&assumed.join("; "));
                    let _ =
                        writeln!(text, "    <testcase {case}>\n      <system-out>{said}</system-out>\n    </testcase>");
                    continue;
                }
                Outcome::Fails(_) => "failure",
                Outcome::Error(_) => "error",
            };
            let problem = escape(&one.problem().unwrap_or_default());
            let explain = one.explain(snapshot).map(|command| format!("\n{}", escape(&command))).unwrap_or_default();
            let _ = writeln!(
                text,
                "    <testcase {case}>\n      <{element} message=\"{problem}\">{file}:{}{explain}</{element}>\n    </testcase>",
                one.line
            );
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            // XML has no control characters.
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// One object: `docs/policy-tests.md` describes it.
pub(super) fn json(tested: &[Tested], snapshot: &SnapshotArgs) -> Value {
    let [passed, failed, errors] = counts(tested);
    json!({
        "passed": passed,
        "failed": failed,
        "errors": errors,
        "tests": tested.iter().map(|tested| one(tested, snapshot)).collect::<Vec<_>>(),
    })
}

fn one(tested: &Tested, snapshot: &SnapshotArgs) -> Value {
    let mut shown = json!({ "file": tested.file, "line": tested.line, "text": tested.text });
    match &tested.result {
        Outcome::Holds(traced, assumed) => {
            shown["result"] = json!("passed");
            shown["classes"] = json!(traced);
            shown["assumed"] = json!(assumed);
        }
        Outcome::Fails(found) => {
            shown["result"] = json!("failed");
            shown["counterexample"] = counterexample(found);
            shown["counterexample"]["explain"] = json!(tested.explain(snapshot));
        }
        Outcome::Error(why) => {
            shown["result"] = json!("error");
            shown["error"] = json!(why);
        }
    }
    shown
}

fn counterexample(found: &Counterexample) -> Value {
    let mut shown = json!({ "text": found.text() });
    if let (Value::Object(shown), Value::Object(header)) = (&mut shown, header(&found.packet)) {
        shown.extend(header);
    }
    shown["verdict"] = json!(found.verdict);
    shown["when"] = json!(found.when);
    shown["assumed"] = json!(found.assumed);
    shown
}
