//! Validates the manifests of standard input, one a line in JSON or flow YAML, and prints what calicoctl would say of
//! each: `validate` looks at it as it stands, `create` fills in the defaults first and shows what would be stored.
//! `speed` says how long defaults and validation of each take.

#![allow(clippy::print_stdout)]

use std::io::{BufRead, stdin};

use serde_json::{Value, json};
use tortie_api::{Object, defaults, encode};
use tortie_manifest::read::{Source, read};
use tortie_manifest::{validate, warnings};

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    for line in stdin().lock().lines().map_while(Result::ok) {
        match mode.as_str() {
            "speed" => println!("{}", speed(&line)),
            mode => println!("{}", answer(&line, mode == "create")),
        }
    }
}

fn speed(line: &str) -> String {
    const TIMES: u32 = 20_000;
    let located = read(&Source::new("<stdin>", line.as_bytes()));
    let Some(object) = located.into_iter().next().and_then(|first| first.object) else {
        return "unreadable".to_owned();
    };
    let mut spent = std::time::Duration::ZERO;
    for _ in 0..TIMES {
        let mut object = object.clone();
        let start = std::time::Instant::now();
        defaults::apply(&mut object);
        assert!(validate::validate(&object).is_empty());
        spent += start.elapsed();
    }
    format!("{}: {:?}", object.key(), spent / TIMES)
}

fn answer(line: &str, create: bool) -> Value {
    let located = read(&Source::new("<stdin>", line.as_bytes()));
    let Some(first) = located.into_iter().next() else { return json!({ "phase": "read", "err": "nothing to read" }) };
    let Some(mut object) = first.object else {
        return json!({ "phase": "read", "err": validate::calico_text(&first.problems), "ours": texts(&first.problems) });
    };
    let problems = if create {
        fill_name(&mut object);
        defaults::apply(&mut object);
        validate::create(&object)
    } else {
        validate::validate(&object)
    };
    let stored: Value = serde_json::from_slice(&encode::stored(&object)).unwrap_or_default();
    if problems.is_empty() {
        json!({ "phase": "ok", "err": "", "obj": stored, "warnings": texts(&warnings::of(&object)) })
    } else {
        json!({ "phase": "validate", "err": validate::calico_text(&problems), "obj": stored, "ours": texts(&problems) })
    }
}

fn fill_name(object: &mut Object) {
    if object.kind == tortie_api::Kind::WorkloadEndpoint
        && object.metadata.name.is_empty()
        && let Ok(spec) = object.spec()
        && let Ok(name) = tortie_api::names::workload::compose(&spec)
    {
        object.metadata.name = name;
        defaults::workload_labels(object);
    }
}

fn texts(problems: &[tortie_manifest::Problem]) -> Vec<String> {
    let text = |problem: &tortie_manifest::Problem| {
        let help = problem.help.as_deref().map_or_else(String::new, |help| format!(" | {help}"));
        let span = problem.span.as_ref().map_or_else(String::new, |span| format!(" @{span:?}"));
        format!("{}{span}: {}{help}", problem.path, problem.text())
    };
    problems.iter().map(text).collect()
}
