use serde_json::json;

use super::*;
use crate::Severity;
use crate::read::{Located, Source, read};

fn one(text: &str) -> Located {
    let mut all = read(&Source::new("f", text));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn policy(spec: &str) -> Located {
    one(&format!("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: x}}\nspec: {spec}\n"))
}

fn spec(text: &str) -> Json {
    let located = policy(text);
    assert_eq!(located.problems, [], "{text}");
    located.object.unwrap().body["spec"].clone()
}

/// Path, Calico's words and ours, and the help of each problem.
fn problems(located: &Located) -> Vec<(String, &str, &str, &str)> {
    let parts =
        |p: &'static Problem| (p.path.to_string(), p.reason.as_str(), p.text(), p.help.as_deref().unwrap_or_default());
    let problems: &'static [Problem] = Box::leak(located.problems.clone().into_boxed_slice());
    problems.iter().map(parts).collect()
}

#[test]
fn other_scalars_become_text_in_text_fields() {
    for (written, text) in [
        ("0x10", "16"),
        ("017", "15"),
        ("1.50", "1.5"),
        ("1e6", "1e+06"),
        ("yes", "true"),
        ("on", "true"),
        ("y", "true"),
        ("n", "false"),
        ("null", ""),
        ("~", ""),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1000"),
        (".inf", "+Inf"),
        ("'yes'", "yes"),
    ] {
        let text_of = |written: &str| {
            let located = one(&format!(
                "{{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {{name: t, labels: {{a: {written}}}}}}}"
            ));
            located.object.unwrap().metadata.labels["a"].clone()
        };
        assert_eq!(text_of(written), text, "{written}");
    }
}

#[test]
fn numbers_may_be_written_in_every_notation() {
    assert_eq!(spec("{order: 0x10}"), json!({"order": 16}));
    assert_eq!(spec("{order: 1.50}"), json!({"order": 1.5}));
    assert_eq!(spec("{order: 1e3}"), json!({"order": 1000}));
    let rule = |port: &str| spec(&format!("{{ingress: [{{protocol: '6', destination: {{ports: [{port}]}}}}]}}"));
    for (written, port) in [
        ("80", json!(80)),
        ("'080'", json!(80)),
        ("80.0", json!(80)),
        ("0x50", json!(80)),
        ("80:90", json!("80:90")),
        ("http", json!("http")),
    ] {
        assert_eq!(rule(written), json!({"ingress": [{"protocol": 6, "destination": {"ports": [port]}}]}));
    }
}

#[test]
fn null_is_an_absent_field_and_a_zero_item_of_a_list() {
    assert_eq!(spec("{order: null, selector: ~, types:, ingress: null}"), json!({}));
    assert_eq!(spec("{types: [null], ingress: [null]}"), json!({"types": [""], "ingress": [{}]}));
    assert_eq!(policy("null").object.unwrap().body.get("spec"), None);
}

#[test]
fn field_names_fold_case_also_beyond_ascii() {
    assert_eq!(spec("{\u{17F}elector: all(), ORDER: 1}"), json!({"selector": "all()", "order": 1}));
    let located = one("apiVersion: projectcalico.org/v3\nkind: Tier\nMETADATA: {NAME: t}\n");
    assert_eq!(located.object.unwrap().metadata.name, "t");
}

#[test]
fn keys_given_twice_are_one_problem_with_all_places() {
    let located = policy("\n  order: 1\n  selector: a\n  ORDER: 2\n  order: 3");
    let [problem] = located.problems.as_slice() else { panic!("{:?}", located.problems) };
    assert_eq!(
        (problem.reason.as_str(), problem.text()),
        ("key \"order\" already set in map", "`order` is given 3 times")
    );
    assert_eq!(problem.also.len(), 2);
    assert!(located.object.is_none() && located.partial.is_some());
    let located =
        one("{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: t, labels: {a: 1, A: 2, 'a': 3}}}");
    assert_eq!(located.problems[0].text(), "`a` is given twice", "keys of maps do not fold");
    let located =
        one("{apiVersion: projectcalico.org/v3, kind: Tier, metadata: &m {name: t}, spec: {<<: {order: 1}, order: 2}}");
    let text = "`order` is given twice: here and by `<<`, which it does not override";
    assert_eq!(located.problems[0].text(), text);
}

#[test]
fn an_unknown_field_gets_a_suggestion() {
    for (spec, path, help) in [
        ("{ordr: 1}", "spec.ordr", "did you mean `order`?"),
        ("{pre_dnat: true}", "spec.pre_dnat", "did you mean `preDNAT`?"),
        ("{name: x}", "spec.name", "`name` belongs under `metadata`"),
        (
            "{nets: []}",
            "spec.nets",
            "`nets` belongs in a rule, an item of `ingress` or `egress`: under `source` (where packets come from) or \
             `destination` (where they go to)",
        ),
        (
            "{egress: [{ports: [1]}]}",
            "spec.egress[0].ports",
            "`ports` belongs under `spec.egress[].source` (where packets come from) or under \
             `spec.egress[].destination` (where they go to)",
        ),
        ("{kind: x}", "spec.kind", "`kind` belongs at the top, beside `apiVersion`; check its indentation"),
        ("{ingress: [{icmp: {typ: 1}}]}", "spec.ingress[0].icmp.typ", "did you mean `type`?"),
        ("{ingress: [{icmp: {zzzzzz: 1}}]}", "spec.ingress[0].icmp.zzzzzz", "the fields here are type, code"),
    ] {
        let located = policy(spec);
        let name = path.rsplit('.').next().unwrap();
        let reason = format!("field in document is not recognized or is in the wrong location: {name}");
        let found = problems(&located);
        assert_eq!((found[0].0.as_str(), found[0].1, found[0].3), (path, reason.as_str(), help));
    }
}

#[test]
fn wrong_types_say_which_type_is_expected() {
    for (spec, reason, text) in [
        (
            "{selector: [a]}",
            "cannot unmarshal array into Go struct field .spec.selector of type string",
            "`spec.selector` takes text, not a list",
        ),
        (
            "{types: Ingress}",
            "cannot unmarshal string into Go struct field .spec.types of type []string",
            "`spec.types` takes a list, not text",
        ),
        (
            "{preDNAT: 'yes'}",
            "cannot unmarshal string into Go struct field .spec.preDNAT of type bool",
            "`spec.preDNAT` takes true or false, not text",
        ),
        (
            "{order: true}",
            "cannot unmarshal bool into Go struct field .spec.order of type float64",
            "`spec.order` takes a number, not `true`",
        ),
        (
            "{order: .nan}",
            "cannot unmarshal number NaN into Go struct field .spec.order of type float64",
            "`spec.order` takes a number, not NaN",
        ),
        (
            "{ingress: [a]}",
            "cannot unmarshal string into Go struct field .spec.ingress of type struct",
            "`spec.ingress[0]` takes a map, not text",
        ),
        ("5", "cannot unmarshal number into Go struct field .spec of type struct", "`spec` takes a map, not 5"),
        (
            "{ingress: [{destination: {ports: ['1:65536']}}]}",
            "invalid maximum port number in range (1:65536)",
            "`1:65536` is not a port: use a number from 1 to 65535, a range `first:last`, or the name of a port",
        ),
        (
            "{ingress: [{icmp: {type: 1.5}}]}",
            "cannot unmarshal number 1.5 into Go struct field .spec.ingress.icmp.type of type int",
            "1.5 is not a number that `spec.ingress[0].icmp.type` can hold",
        ),
    ] {
        let located = policy(spec);
        let found = problems(&located);
        assert_eq!((found.len(), found[0].1, found[0].2), (1, reason, text), "{spec}");
        assert!(located.object.is_none() && located.partial.is_some());
    }
}

#[test]
fn text_that_yaml_changes_gets_a_warning() {
    for (tier, read) in
        [("no", "false"), ("1.10", "1.1"), ("0x10", "16"), ("on", "true"), ("1_0", "10"), ("1e3", "1000")]
    {
        let located = policy(&format!("{{tier: {tier}}}"));
        assert_eq!(located.object.unwrap().body["spec"]["tier"], read);
        let warning = &located.problems[0];
        assert_eq!(warning.severity, Severity::Warning("unquoted"), "{tier}");
        assert!(warning.text().contains(&format!("`{tier}`")) && warning.text().ends_with(&format!("`{read}`")));
    }
    for tier in ["true", "10", "1.5", "'no'", "\"1.10\"", "~", "12:30:45", "!!str no"] {
        assert!(policy(&format!("{{tier: {tier}}}")).problems.is_empty(), "{tier}");
    }
}

#[test]
fn all_problems_of_an_object_are_found_in_the_order_of_the_text() {
    let located = policy(
        "\n  types: x\n  foo: 1\n  ingress:\n  - action: [1]\n    bar: 2\n  - source: {nets: a}\n  order: b\n  order: c\nbaz: 1",
    );
    let paths: Vec<String> = located.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(
        paths,
        [
            "spec.types",
            "spec.foo",
            "spec.ingress[0].action",
            "spec.ingress[0].bar",
            "spec.ingress[1].source.nets",
            "spec.order",
            "spec.order",
            "spec.order",
            "baz"
        ]
    );
}

#[test]
fn thousands_of_problems_are_counted_not_listed() {
    let fields: String = (0..20_000).map(|n| format!("\n  field{n}: 1\n  field{n}: 2")).collect();
    let located = policy(&fields);
    assert_eq!(located.problems.len(), MAX_PROBLEMS + 1);
    assert!(located.problems.iter().any(|problem| problem.reason.contains("more problems")));
}

#[test]
fn numbers_that_begin_with_0_are_read_in_base_8_with_a_warning() {
    for (port, warned) in
        [("0443", true), ("00443", true), ("443", false), ("0", false), ("'0443'", false), ("0x50", false)]
    {
        let located =
            policy(&format!("{{ingress: [{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}]}}"));
        let octal = |problem: &Problem| problem.severity == crate::Severity::Warning("octal");
        assert_eq!(located.problems.iter().any(octal), warned, "{port}: {:?}", located.problems);
    }
}
