use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn objects_look_as_calicoctl_prints_them() {
    let value = json!({
        "spec": {"order": 10, "ports": [{"port": 80, "name": "http"}, [1, [2]], []], "empty": {}, "none": null, "selector": "role == 'web' && env in {'prod', 'test'} && has(zone) && region != 'nowhere' && x == 'y'"},
        "kind": "Tier",
        "metadata": {"labels": {"b": "true", "a10": "1e3", "a9": "", "c": "a: b", "d": "- x"}, "note": "two\nlines\n", "more": "  x\ny"},
    });
    let text = "kind: Tier
metadata:
  labels:
    a9: \"\"
    a10: \"1e3\"
    b: \"true\"
    c: 'a: b'
    d: '- x'
  more: |2-
      x
    y
  note: |
    two
    lines
spec:
  empty: {}
  none: null
  order: 10
  ports:
  - name: http
    port: 80
  - - 1
    - - 2
  - []
  selector: role == 'web' && env in {'prod', 'test'} && has(zone) && region != 'nowhere'
    && x == 'y'
";
    assert_eq!(yaml(&value), text);
    assert_eq!(crate::read::value(text), value);
}

#[test]
fn text_that_yaml_would_read_as_another_type_is_quoted() {
    for (text, written) in [
        ("true", "\"true\""),
        ("y", "\"y\""),
        ("0x1", "\"0x1\""),
        ("~", "\"~\""),
        ("", "\"\""),
        ("2001-01-01", "\"2001-01-01\""),
        ("12:30:45", "\"12:30:45\""),
        ("80:90", "80:90"),
        ("=", "="),
        (" a", "' a'"),
        ("#", "'#'"),
        ("a #b", "'a #b'"),
        ("a#b", "a#b"),
        ("*", "'*'"),
        ("it's: x", "'it''s: x'"),
        ("a\tb", "\"a\\tb\""),
        ("é日", "é日"),
        ("😀", "\"\\U0001F600\""),
        ("a\u{2028}b", "\"a\\Lb\""),
        ("\u{7f}", "\"\\x7F\""),
    ] {
        assert_eq!(yaml(&json!(text)), format!("{written}\n"));
    }
}

#[test]
fn numbers_look_as_go_prints_them() {
    for (value, written) in [
        (json!(1000000.0), "1000000"),
        (json!(1.5), "1.5"),
        (json!(1234567.5), "1.2345675e+06"),
        (json!(1e21), "1e+21"),
        (json!(1e20), "1e+20"),
        (json!(1e-7), "1e-07"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(i64::MIN), "-9223372036854775808"),
    ] {
        assert_eq!(yaml(&value), format!("{written}\n"));
    }
}

const NASTY: &[&str] = &[
    "true",
    "1e3",
    "0x1",
    "~",
    "",
    " a",
    "a: b",
    "- x",
    "#",
    "y",
    "=",
    "<<",
    "2001-01-01",
    "12:30",
    " ",
    "  ",
    "\n",
    "\n\n",
    "a\n",
    "a\n\n",
    "\na",
    " \na",
    "a \nb",
    "a\n b",
    "a\tb",
    "\t",
    "'",
    "\"",
    "\\",
    "---",
    "...",
    "--- a",
    "?",
    "? a",
    ":",
    "-",
    "a:",
    "a #",
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "`a",
    "|",
    ">",
    "{",
    "[",
    "]",
    ",",
    "\r",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{FEFF}",
    "\u{FEFF}a",
    "é",
    "日",
    "😀",
    "\u{0}",
    "\u{7f}",
    "\u{9b}",
    "a  b",
    "null",
    "0",
    ".5",
    "1_0",
    "+1",
    "0o7",
    ".inf",
    "word ",
    "longer words here ",
    "'quoted' ",
    "x\u{a0}y",
];

fn text() -> impl Strategy<Value = String> {
    let pieces =
        || proptest::collection::vec(proptest::sample::select(NASTY), 0..20).prop_map(|pieces| pieces.concat());
    prop_oneof![
        proptest::sample::select(NASTY).prop_map(str::to_owned),
        pieces(),
        ".{0,20}",
        "[a-z' ]{60,200}",
        "[ -~\n]{0,200}"
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from)
    ];
    let leaf = prop_oneof![3 => text().prop_map(Value::from), 1 => any::<bool>().prop_map(Value::from), 1 => number, 1 => Just(Value::Null)];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((text(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A float that is whole comes back as a whole number, and all others exactly.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_equal(value in any_value()) {
        let written = yaml(&value);
        let back = crate::read::value(&written);
        prop_assert!(same(&value, &back), "{value:?}\n{written}\n{back:?}");
    }
}
