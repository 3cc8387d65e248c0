use proptest::prelude::*;
use tortie_api::Kind;

use super::resource::{OF_KUBERNETES, PREVIEWS};
use super::*;

const TIER: &str = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: NAME}\n";

fn tier(name: &str) -> String {
    TIER.replace("NAME", name)
}

fn names(text: impl Into<Vec<u8>>) -> Vec<String> {
    let name = |located: Located| match located.object {
        Some(object) => object.metadata.name,
        None => located.problems[0].text().to_owned(),
    };
    read(&Source::new("f", text)).into_iter().map(name).collect()
}

fn only(text: &str) -> Problem {
    let mut all = read(&Source::new("f", text));
    assert_eq!(all.len(), 1, "{text}");
    let located = all.remove(0);
    assert!(located.object.is_none());
    assert_eq!(located.problems.len(), 1, "{text}");
    located.problems[0].clone()
}

#[test]
fn nothing_is_read_from_blank_documents() {
    for text in [
        "",
        " \n",
        "# only a comment\n",
        "---\n",
        "---\n---\n",
        "null\n",
        "~",
        "...\n",
        "\u{FEFF}",
        "\n---\n# a\n---\n\n",
        "[]",
    ] {
        assert_eq!(names(text), [] as [String; 0], "{text:?}");
    }
}

#[test]
fn blank_documents_between_others_are_skipped() {
    assert_eq!(names(format!("---\n{}---\n---\n# x\n---\nnull\n---\n{}", tier("a"), tier("b"))), ["a", "b"]);
}

#[test]
fn every_separator_that_calico_accepts_separates() {
    for separator in ["---", "----", "--- # note", "---\t", "---\r"] {
        assert_eq!(names(format!("{}{separator}\n{}", tier("a"), tier("b"))), ["a", "b"], "{separator}");
    }
    for separator in ["---x", "--- {}"] {
        let all = read(&Source::new("f", format!("{}{separator}\n{}", tier("a"), tier("b"))));
        assert_eq!(all.iter().filter(|located| located.object.is_some()).count(), 2, "{separator}");
        assert_eq!(all[1].problems[0].severity, crate::Severity::Warning("text-after-separator"));
    }
    assert_eq!(names(format!("{}--- {{kind: Tier}}\n", tier("a"))), ["a", "the text after `---` is ignored"]);
}

#[test]
fn text_that_calico_silently_loses_is_read() {
    assert_eq!(names(format!("{}...\n{}", tier("a"), tier("b"))), ["a", "b"]);
    let json = |name: &str| {
        format!(r#"{{"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {{"name": "{name}"}}}}"#)
    };
    assert_eq!(names(format!("{}\n{}{}", json("a"), json("b"), json("c"))), ["a", "b", "c"]);
    assert_eq!(names(format!("%YAML 1.1\n---\n{}", tier("a"))), ["a"]);
}

#[test]
fn a_document_that_is_not_yaml_does_not_hide_those_after_it() {
    assert_eq!(
        names(format!("{}---\na: [\n---\n{}", tier("a"), tier("b"))),
        ["a", "this bracket is never closed", "b"]
    );
}

#[test]
fn other_encodings_are_read_and_invalid_ones_refused() {
    let text = format!("{}---\n{}", tier("a"), tier("b"));
    let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(names(utf16), ["a", "b"]);
    assert_eq!(names(format!("\u{FEFF}{text}")), ["a", "b"]);
    assert_eq!(names(b"a: \xFF\n".to_vec()), ["these bytes are no text (UTF-8)"]);
    assert_eq!(names("a: \u{1}\n"), ["control characters are not allowed"]);
    assert_eq!(names("a: \u{9b}\n"), ["control characters are not allowed"]);
}

#[test]
fn arrays_and_lists_hold_resources() {
    let item = "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: NAME}}";
    assert_eq!(names(format!("[{}, {}]", item.replace("NAME", "a"), item.replace("NAME", "b"))), ["a", "b"]);
    let list = "apiVersion: projectcalico.org/v3\nkind: TierList\nmetadata: {resourceVersion: '5'}\nitems:\n- metadata: {name: a}\n- kind: Tier\n  apiVersion: projectcalico.org/v3\n  metadata: {name: b}\n";
    assert_eq!(names(list), ["a", "b"]);
    let all = read(&Source::new("f", list));
    assert_eq!(all[1].about, "Tier b (items[1])");
    assert_eq!(all[0].object.as_ref().unwrap().kind, Kind::Tier);
    assert_eq!(names("apiVersion: projectcalico.org/v3\nkind: TierList\nitems:\n"), [] as [String; 0]);
}

#[test]
fn an_item_of_another_kind_is_an_error() {
    let list = |item: &str| {
        format!("apiVersion: projectcalico.org/v3\nkind: TierList\nitems:\n- {item}\n- metadata: {{name: b}}\n")
    };
    assert_eq!(
        names(list("{kind: Node, metadata: {name: a}}")),
        ["a TierList cannot hold an item of kind `Node`", "b"]
    );
    assert_eq!(
        names(list("{apiVersion: v1, metadata: {name: a}}")),
        ["a TierList cannot hold an item of apiVersion `v1`", "b"]
    );
    assert_eq!(names(list("null")), ["an item of a TierList is a map", "b"]);
    assert_eq!(names(list("{metadata: {name: a}, spec: {x: 1}}")), ["there is no field `x` in `spec`", "b"]);
    assert_eq!(
        names("apiVersion: projectcalico.org/v3\nkind: TierList\nitems: {}\nmore: 1\n"),
        ["there is no field `more` here", "`items` takes a list of resources"]
    );
}

#[test]
fn a_list_of_kubernetes_is_read_as_its_items() {
    let text = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod}\n";
    let found = super::read(&Source::new("list.yaml", text));
    let kinds: Vec<_> = found.iter().map(|located| located.object.as_ref().map(|object| object.kind)).collect();
    assert_eq!(kinds, [Some(Kind::Tier), None]);
    let found = super::read(&Source::new("list.yaml", "kind: List\napiVersion: v1\nitems: none\n"));
    assert_eq!(found[0].problems[0].message.as_deref(), Some("`items` takes a list of resources"));
}

#[test]
fn unknown_kinds_and_versions_are_refused_with_what_to_write() {
    for (kind, version, text, help) in [
        ("Tier", "v3", "", "write `apiVersion: projectcalico.org/v3`"),
        ("tier", "projectcalico.org/v3", "", "did you mean `Tier`?"),
        ("HostEndpiont", "projectcalico.org/v3", "", "did you mean `HostEndpoint`?"),
        ("hep", "projectcalico.org/v3", "", "did you mean `HostEndpoint`?"),
        ("hostendpointList", "projectcalico.org/v3", "", "did you mean `HostEndpointList`?"),
        ("Deployment", "apps/v1", OF_KUBERNETES, &format!("use kubectl for it; {PREVIEWS}")),
        ("EndpointSlice", "discovery.k8s.io/v1beta1", OF_KUBERNETES, &format!("use kubectl for it; {PREVIEWS}")),
        (
            "Node",
            "v1",
            OF_KUBERNETES,
            "`diff -f`, `explain -f` and `test -f` take it as a preview; use kubectl for it; a Node of Calico has `apiVersion: projectcalico.org/v3`",
        ),
        (
            "Service",
            "v1",
            OF_KUBERNETES,
            "`diff -f`, `explain -f` and `test -f` take it as a preview; use kubectl for it",
        ),
        ("Widget", "example.com/v1", "", ""),
        (
            "Tier",
            "crd.projectcalico.org/v1",
            "this is how Calico keeps the resource inside Kubernetes, not how it is written",
            "write `apiVersion: projectcalico.org/v3`; the spec is the same",
        ),
        (
            "NetworkPolicy",
            "networking.k8s.io/v1",
            OF_KUBERNETES,
            "`diff -f`, `explain -f` and `test -f` take it as a preview; use kubectl for it; or write one with `apiVersion: projectcalico.org/v3`, whose spec has selectors and rules",
        ),
        (
            "node",
            "v1",
            "this is the format of Calico before version 3",
            "write `apiVersion: projectcalico.org/v3`; its metadata and spec differ",
        ),
    ] {
        let problem = only(&format!("kind: {kind}\napiVersion: {version}\n"));
        let reason = format!("unknown resource type ({kind}) and/or version ({version})");
        assert_eq!(problem.reason, reason);
        assert_eq!(problem.text(), if text.is_empty() { &reason } else { text });
        assert_eq!(problem.help.unwrap_or_default(), help);
    }
    assert_eq!(only("apiVersion: projectcalico.org/v3\n").text(), "`kind` is missing");
    assert_eq!(only("kind: Tier\n").text(), "`apiVersion` is missing");
    assert_eq!(only("Kind: Tier\napiVersion: projectcalico.org/v3\n").text(), "`Kind` has to be spelled `kind`");
    assert_eq!(only("just text\n").text(), "this is not a resource");
    assert_eq!(only("[5]\n").reason, "cannot unmarshal number into Go value of type map[string]interface {}");
}

#[test]
fn a_document_has_a_limit() {
    let text = format!("{}---\n{}# {}\n", tier("a"), tier("b"), "x".repeat(documents::MAX_SIZE));
    assert_eq!(names(text), ["a", "this document is larger than 10 MB"]);
}

const VALID: &str = include_str!("../../tests/reading_mistakes/valid.yaml");

#[test]
fn the_sample_that_is_mutated_is_valid() {
    let all = read(&Source::new("f", VALID));
    assert!(all.len() >= 5);
    for located in all {
        assert!(located.object.is_some(), "{}: {:?}", located.about, located.problems);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_reading_or_rendering_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        show(bytes);
    }

    #[test]
    fn no_change_of_a_valid_text_makes_it_panic(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..3usize, any::<prop::sample::Index>()), 1..6)
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, action, other) in cuts {
            let (at, other) = (at.index(bytes.len()), other.index(bytes.len()));
            match action {
                0 => drop(bytes.drain(at.min(other)..at.max(other).min(at.min(other) + 20))),
                1 => bytes.insert(at, bytes[other]),
                _ => bytes.swap(at, other),
            }
            if bytes.is_empty() {
                break;
            }
        }
        show(bytes);
    }
}

fn show(bytes: Vec<u8>) {
    let source = Source::new("f", bytes);
    for located in read(&source) {
        for problem in &located.problems {
            let text = crate::diagnostic::render(problem, &located, &source, crate::diagnostic::Style::Colour);
            assert!(text.contains("-->"));
        }
    }
}

#[test]
fn an_unreadable_part_explains_problems_of_its_own_field_and_rule_only() {
    let text = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\n\
                spec: {order: first, ingress: [{protocol: [TCP]}, {action: Allow}]}";
    let located = read(&Source::new("p.yaml", text));
    let partial = located[0].partial.as_ref().unwrap();
    let unread: Vec<_> = partial.unread.iter().map(ToString::to_string).collect();
    assert_eq!(unread, ["spec.order", "spec.ingress[0].protocol"]);
    for explained in ["", "spec", "spec.order", "spec.types", "spec.ingress[0]", "spec.ingress[0].destination.ports"] {
        assert!(partial.explains(&Problem::read(Path::from(explained), "")), "{explained}");
    }
    for other in ["metadata.name", "spec.ingress[1].action", "spec.egress[0].action"] {
        assert!(!partial.explains(&Problem::read(Path::from(other), "")), "{other}");
    }
    let syntax = Problem { span: Some(0..1), ..Problem::read(Path::from("spec.selector"), "") };
    assert!(!partial.explains(&syntax));
    assert_eq!(partial.object.body["spec"]["ingress"][1]["action"], "Allow", "what follows keeps its place");
}

#[test]
fn an_unreadable_part_of_a_rule_does_not_hide_its_other_mistakes() {
    let rule = |fields: &str| {
        let text = format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p}}\nspec: {{ingress: [{{{fields}}}]}}"
        );
        let located = read(&Source::new("p.yaml", text));
        let partial = located[0].partial.as_ref().unwrap();
        let found = crate::validate::distinct(crate::validate::validate(&partial.object));
        let messages = found.into_iter().filter(|problem| !partial.explains(problem));
        messages.map(|problem| problem.path.to_string().replace("spec.ingress[0].", "")).collect::<Vec<_>>()
    };
    for (fields, mistakes) in [
        // A port of a list says nothing of the rest of the rule.
        (
            "action: Alow, source: {ports: [70000, 0], nets: [x]}, destination: {ports: [80]}, icmp: {type: 3}",
            &["action", "icmp", "source.nets[0]", "source.ports[1]", "destination.ports"][..],
        ),
        // Whether these ports need a protocol is not known: one may be a name.
        ("action: Allow, destination: {ports: [a, 70000]}", &[]),
        // A protocol that cannot be read may be right for ports and ICMP, but not for an action.
        (
            "action: Alow, protocol: [TCP], source: {ports: [80], notNets: [y]}, icmp: {type: 300}",
            &["action", "icmp.type", "source.notNets[0]"],
        ),
        // Nor for a code without its type.
        ("action: Allow, protocol: [TCP], icmp: {code: 3}", &["icmp.code"]),
        ("action: Allow, icmp: {type: [], code: 3}, protocol: ICMP", &[]),
    ] {
        let mut found = rule(fields);
        found.sort();
        let mut mistakes = mistakes.to_vec();
        mistakes.sort_unstable();
        assert_eq!(found, mistakes, "{fields}");
    }
}
