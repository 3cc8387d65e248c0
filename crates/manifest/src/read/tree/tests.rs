use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn all(text: &str) -> (Vec<Json>, Option<Fault>) {
    let (nodes, fault) = parse(text, 0..text.len());
    (nodes.iter().map(Node::to_json).collect(), fault)
}

fn json(text: &str) -> Json {
    let (mut values, fault) = all(text);
    assert_eq!(fault, None, "{text}");
    assert_eq!(values.len(), 1, "{text}");
    values.remove(0)
}

fn fault(text: &str) -> (String, String) {
    let fault = all(text).1.unwrap();
    (fault.message, text[fault.span].to_owned())
}

#[test]
fn every_style_of_scalar_and_collection_is_read() {
    assert_eq!(
        json("a: 1\nb: [x, 'it''s', \"q\\u0041\"]\nc:\n- {k: v,}\n-\n"),
        json!({"a": 1, "b": ["x", "it's", "qA"], "c": [{"k": "v"}, null]})
    );
    assert_eq!(json("a: |\n  x\n   y\nb: >-\n  x\n  y\n"), json!({"a": "x\n y\n", "b": "x y"}));
    assert_eq!(json("? a\n: b\n"), json!({"a": "b"}));
    assert_eq!(json("{\"a\": [1, 2,], \"b\": {},}"), json!({"a": [1, 2], "b": {}}), "JSON with commas at the end");
    assert_eq!(json("a: b c\n  d\n"), json!({"a": "b c d"}));
}

#[test]
fn a_tab_may_stand_between_a_colon_and_a_value() {
    assert_eq!(
        json("a:\tb\nc:\t\td\ne: {f:\tg}\nh: \"i:\tj\"\n"),
        json!({"a": "b", "c": "d", "e": {"f": "g"}, "h": "i:\tj"})
    );
    assert_eq!(fault("a:\tb: c\n").0, "a `:` that makes no sense here");
    assert!(all(&"a:\tb\n".repeat(1000)).1.is_some());
}

#[test]
fn a_block_scalar_at_the_very_end_has_no_line_break_of_its_own() {
    assert_eq!(json("a: |\n  x\n"), json!({"a": "x\n"}));
    assert_eq!(json("a: |\n  x"), json!({"a": "x"}));
    assert_eq!(json("a: |+\n  x\n\n"), json!({"a": "x\n\n"}));
    let (nodes, _) = parse("a: >\n  x\n---\n", 0..8);
    assert_eq!(nodes[0].to_json(), json!({"a": "x"}), "the separator takes the line break before it");
}

#[test]
fn keys_become_text() {
    assert_eq!(json("0x10: a\nyes: b\n1.50: c\n.inf: d\n"), json!({"16": "a", "true": "b", "1.5": "c", ".inf": "d"}));
    assert_eq!(fault("~: a").0, "a key is missing before the `:`");
    assert_eq!(fault("[a]: b"), ("a list or a map cannot be a key".into(), "[a]".into()));
}

#[test]
fn anchors_aliases_and_merges_are_resolved() {
    assert_eq!(json("a: &x {k: 1}\nb: *x\n"), json!({"a": {"k": 1}, "b": {"k": 1}}));
    assert_eq!(json("a: &x {k: 1}\nb:\n  <<: *x\n  l: 2\n"), json!({"a": {"k": 1}, "b": {"k": 1, "l": 2}}));
    let (nodes, _) = parse("a: &x {k: 1}\nb: {<<: [*x, {m: 3}], k: 2}\n", 0..41);
    let keys: Vec<&str> = nodes[0].get("b").unwrap().value.entries().iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["m", "k", "k"], "an overridden key stands twice");
    assert_eq!(json("'<<': 1"), json!({"<<": 1}), "with quotes it is a key like others");
    assert_eq!(fault("<<: 1").0, "`<<` takes a map or a list of maps");
    assert_eq!(fault("a: &x [*x]").0, "`*x` stands for nothing here, or for a value that contains it");
    assert_eq!(fault("a: &x 1\n...\n---\nb: *x").1, "*x", "anchors end with their document");
}

#[test]
fn a_tag_is_never_ignored() {
    assert_eq!(json("a: !!str 1\nb: !!int '5'\nc: !!map {}\n"), json!({"a": "1", "b": 5, "c": {}}));
    let message = "without quotes, YAML takes `!has(role)` for a tag, not for text";
    assert_eq!(fault("a: !has(role)"), (message.into(), "!has(role)".into()));
    assert_eq!(fault("a: ! has(role)").0, "without quotes, YAML takes `!` for a tag, not for text");
    assert_eq!(fault("a: !x {}").0, "without quotes, YAML takes `!x` for a tag, not for text");
    assert_eq!(fault("a: !!int x").0, "`x` cannot be read as `!!int`");
}

#[test]
fn text_after_the_end_of_a_document_is_read() {
    assert_eq!(all("a: 1\n...\nb: 2\n"), (vec![json!({"a": 1}), json!({"b": 2})], None));
    assert_eq!(
        all("{\"a\": 1} {\"b\": 2}\n[3]\n{é: 4}{\n}"),
        (vec![json!({"a": 1}), json!({"b": 2}), json!([3]), json!({"é": 4}), json!({})], None)
    );
    assert_eq!(fault("{a: 1}\nb: 2").0, "text goes on after the end of the document");
}

#[test]
fn every_value_has_its_range_of_bytes() {
    let text = "é: ü\nl:\n- 'a b'\n- {k: [1, 2]}\nt: |\n  x\n  y\n\nz: *a";
    let end = text.len() - 5;
    let (nodes, fault) = parse(text, 0..end);
    assert_eq!(fault, None);
    let at = |path: &str| &text[nodes[0].find(&path.into(), 0).node.span.clone()];
    assert_eq!(at("é"), "ü");
    assert_eq!(at("l[0]"), "'a b'");
    assert_eq!(at("l[1]"), "{k: [1, 2]}");
    assert_eq!(at("l[1].k"), "[1, 2]");
    assert_eq!(at("l[1].k[1]"), "2");
    assert_eq!(at("t"), "|\n  x\n  y");
    assert_eq!(at("l"), "- 'a b'\n- {k: [1, 2]}");
    assert_eq!(&text[nodes[0].get("t").unwrap().key_span.clone()], "t");
    assert_eq!(nodes[0].span, 0..text.find("\n\nz").unwrap());
}

#[test]
fn syntax_errors_are_explained_at_their_place() {
    for (text, message, at) in [
        ("a: \"x\nb: y\n", "this quote is never closed", "\""),
        ("a:\n  b: 'x\n y'\n", "a line of a quoted text has to be indented further than its key", "'"),
        ("a: 'it's'\n", "text goes on after the closing quote", "s"),
        ("a: \"x\" == y\n", "text goes on after the closing quote", "="),
        ("a: \"\\q\"\n", "an unknown escape in double quotes", "\\"),
        ("a: [1, 2\nb: 3\n", "this bracket is never closed", "["),
        ("a: ]\n", "a bracket that nothing opened", "]"),
        ("a: [1 {2}]\n", "a comma or a closing bracket is missing before this", "{"),
        ("a: b: c\n", "a `:` that makes no sense here", ":"),
        ("a:\n\tb: c\n", "a tab indents this line; YAML indents with spaces only", "\t"),
        ("a: *\n", "without quotes, YAML takes `*` for a reference to another value", "*"),
        ("a: &\n", "without quotes, YAML takes `&` for a reference to another value", "&"),
        ("a: *b\n", "without quotes, YAML takes `*b` for a reference to another value", "*b"),
        ("a: @b\n", "an unquoted value cannot begin with `@`", "@"),
        ("a: `b`\n", "an unquoted value cannot begin with ``", "`"),
        ("a: 1\nb\nc: 2\n", "there is no `:` on this line", "b"),
        ("a:\n  b: 1\n c: 2\n", "this line is not indented like those it belongs to", "c: 2"),
        ("a:\n  - 1\n - 2\n", "this line is not indented like those it belongs to", "- 2"),
        ("a: - b\n", "a list cannot begin here", "-"),
    ] {
        let (said, under) = fault(text);
        assert_eq!((said.replace("```", "``").as_str(), under.as_str()), (message, at), "{text}");
    }
}

#[test]
fn depth_and_copies_have_limits() {
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    assert_eq!(all(&deep("[", "]", MAX_DEPTH)).1, None);
    assert!(all(&deep("[", "]", MAX_DEPTH + 1)).1.is_some());
    assert!(all(&deep("[", "]", 100_000)).1.is_some());
    assert!(all(&"- ".repeat(100_000)).1.is_some());
    assert!(all(&"{a: ".repeat(100_000)).1.is_some());
    assert!(all(&"? ".repeat(100_000)).1.is_some());

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "));
    }
    assert!(fault(&bomb).0.contains("grows too large"));
    let mut chain = "a0: &a0 []\n".to_owned();
    for n in 1..3000 {
        chain += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    assert!(fault(&chain).0.contains("deep"));
    let mut merges = "a0: &a0 {x0: 1}\n".to_owned();
    for n in 1..60 {
        merges += &format!("a{n}: &a{n} {{x{n}: 1, <<: [*a{0}, *a{0}]}}\n", n - 1);
    }
    assert!(fault(&merges).0.contains("grows too large"));
}

#[test]
fn large_texts_take_time_in_proportion() {
    let objects = "{\"a\": \"é\"}".repeat(50_000);
    assert_eq!(all(&objects).0.len(), 50_000);
    let items = format!("[{}]", "{\"a\": [1, \"é\"]}, ".repeat(50_000));
    assert_eq!(json(&items).as_array().unwrap().len(), 50_000);
}

const PIECES: &[&str] = &[
    "a",
    "b: ",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "\\",
    "|",
    ">",
    "|-\n  ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x ",
    "#",
    " # c",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "\t",
    "\r\n",
    "\r",
    "é",
    "日",
    "\u{2028}",
    "\u{85}",
    "\u{FEFF}",
    "\0",
    "? ",
    "?",
    "%",
    "@",
    "`",
    "~",
    "1",
    "0x1",
    "\\x4",
    "\\u",
    "=",
    "&",
    "*",
    "!",
    "!<",
    "--- ",
    "\n---\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        _ = parse(&text, 0..text.len());
    }

    #[test]
    fn no_pieces_of_yaml_make_it_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        let text = pieces.concat();
        let (nodes, fault) = parse(&text, 0..text.len());
        for span in nodes.iter().map(|node| &node.span).chain(fault.iter().map(|fault| &fault.span)) {
            prop_assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
        }
    }
}
