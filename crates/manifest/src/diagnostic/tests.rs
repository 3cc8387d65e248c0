use super::*;
use crate::read::read;

fn first(text: &str, problem: impl FnOnce(&Located) -> Problem) -> String {
    let source = Source::new("f.yaml", text);
    let located = read(&source).remove(0);
    render(&problem(&located), &located, &source, Style::Plain)
}

const TEXT: &str = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: x}\nspec:\n  selector: >-\n    has(a) &&\n    b == \n  order: 1\n  ingress:\n  - action: Allow\n    source: {selector: 'a = ''b'''}\n";

#[test]
fn a_part_of_a_selector_is_marked_in_its_own_line() {
    let shown = first(TEXT, |_| Problem::field("spec.selector".into(), "", "", "nothing after `==`").span(15..15));
    assert_eq!(
        shown,
        "error: nothing after `==`\n --> f.yaml:7:9  GlobalNetworkPolicy x  spec.selector\n  |\n7 |     b ==\n  |         ^\n"
    );
    let shown =
        first(TEXT, |_| Problem::field("spec.ingress[0].source.selector".into(), "", "", "write `==`").span(2..3));
    assert!(shown.ends_with("11 |     source: {selector: 'a = ''b'''}\n   |                           ^\n"), "{shown}");
}

#[test]
fn a_missing_field_is_shown_at_its_parent() {
    let shown = first(TEXT, |_| Problem::schema("spec.egress[0].action".into(), "required"));
    assert!(shown.ends_with("4 | spec:\n  | ^^^^ there is no `egress` in it\n"), "{shown}");
    let shown = first(TEXT, |_| Problem::schema("status.x".into(), "required"));
    assert!(
        shown.contains("f.yaml:1:1")
            && shown.ends_with("1 | apiVersion: projectcalico.org/v3\n  | ^^^^^^^^^^ there is no `status`\n"),
        "{shown}"
    );
    let shown = first(TEXT, |_| Problem::schema("spec.ingress[0].protocol".into(), "required"));
    assert!(shown.ends_with("10 |   - action: Allow\n   |     ^^^^^^ there is no `protocol` in it\n"), "{shown}");
}

#[test]
fn values_of_several_lines_are_shown_by_their_key() {
    let shown = first(TEXT, |_| Problem::field("spec.selector".into(), "", "", "bad"));
    assert!(shown.ends_with("5 |   selector: >-\n  |   ^^^^^^^^\n"), "{shown}");
    let shown = first(TEXT, |_| Problem::field("spec.ingress".into(), "", "", "bad"));
    assert!(shown.ends_with("9 |   ingress:\n  |   ^^^^^^^\n"), "{shown}");
    let shown = first(TEXT, |_| Problem::field(Path::root(), "", "", "bad"));
    assert!(shown.contains("f.yaml:1:1  GlobalNetworkPolicy x\n"), "{shown}");
}

#[test]
fn further_places_have_their_own_lines() {
    let shown = first(TEXT, |_| {
        let mut problem = Problem::warning("no-effect", "spec.order".into(), "this comes too early").help("swap them");
        problem.also.push(("spec.ingress[0].action".into(), "because of this".into()));
        problem
    });
    let expected = "warning[no-effect]: this comes too early\n  --> f.yaml:8:10  GlobalNetworkPolicy x  spec.order\n   |\n 8 |   order: 1\n   |          ^\n10 |   - action: Allow\n   |             ----- because of this\n   = help: swap them\n";
    assert_eq!(shown, expected);
}

#[test]
fn colours_are_only_around_the_text() {
    let source = Source::stdin(TEXT);
    let located = read(&source).remove(0);
    let problem = Problem::schema("spec.order".into(), "bad").help("good");
    let colour = render(&problem, &located, &source, Style::Colour);
    let mut plain = String::new();
    let mut rest = colour.as_str();
    while let Some(at) = rest.find('\x1b') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + rest[at..].find('m').unwrap() + 1..];
    }
    assert_eq!(plain + rest, render(&problem, &located, &source, Style::Plain));
    assert!(colour.contains("<stdin>:8:10"));
}

#[test]
fn problems_are_shown_at_the_place_of_their_path() {
    let source = Source::new("f.yaml", TEXT);
    let located = read(&source).remove(0);
    assert_eq!(place(&"spec.order".into(), &located, &source), "f.yaml:8:10");
    assert_eq!(place(&"metadata.labels.a".into(), &located, &source), "f.yaml:3:1");
    assert_eq!(place(&Path::root(), &located, &source), "f.yaml:1:1");
    let problem = Problem::field("spec.selector".into(), "", "", "").span(10..11);
    assert_eq!(problem_place(&problem, &located, &source), "f.yaml:7:5");
}
