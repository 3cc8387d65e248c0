//! What the language accepts, what texts become, and what they select.

use std::collections::BTreeMap;

use crate::{Selector, from_fn};

fn canonical(text: &str) -> Option<String> {
    Selector::parse(text).ok().map(|selector| selector.to_string())
}

#[test]
fn texts_become_calicos_canonical_texts() {
    for (text, expected) in [
        ("", "all()"),
        (" \t ", "all()"),
        ("all()", "all()"),
        ("all( )", "all()"),
        ("global( \t)", "global()"),
        ("has( a )", "has(a)"),
        ("! (has( b)|| !has(a ))", "!(has(b) || !has(a))"),
        ("a in {\"z\", \"z\", \"x\"}", "a in {\"x\", \"z\"}"),
        ("a=='b'", "a == \"b\""),
        ("a!='b'", "a != \"b\""),
        ("a==''", "a == \"\""),
        ("a == 'say \"x\"'", "a == 'say \"x\"'"),
        ("a == \"it's\"", "a == \"it's\""),
        ("a == \"line\nbreak, é\"", "a == \"line\nbreak, é\""),
        ("a in{'x'}", "a in {\"x\"}"),
        ("a in {}", "a in {}"),
        ("a in {'x',}", "a in {\"x\"}"),
        ("a in {'y\"','x'}", "a in {\"x\", 'y\"'}"),
        ("a not in {'x'}", "a not in {\"x\"}"),
        ("a notin{'x'}", "a not in {\"x\"}"),
        ("a not \t in {'x'}", "a not in {\"x\"}"),
        ("a contains'x'", "a contains \"x\""),
        ("a startswith 'x'", "a starts with \"x\""),
        ("a starts\t with'x'", "a starts with \"x\""),
        ("a endswith 'x'", "a ends with \"x\""),
        ("a ends  with 'x'", "a ends with \"x\""),
        ("contains contains 'contains'", "contains contains \"contains\""),
        ("in in {'x'}", "in in {\"x\"}"),
        ("not not in {'x'}", "not not in {\"x\"}"),
        ("has == 'x'", "has == \"x\""),
        ("0 == 'x'", "0 == \"x\""),
        ("./-_ == 'x'", "./-_ == \"x\""),
        ("xhas == 'x'", "xhas == \"x\""),
        ("has(has)", "has(has)"),
        ("has(a)&&has(b)", "(has(a) && has(b))"),
        ("has(a)&&has(b)||has(c)", "((has(a) && has(b)) || has(c))"),
        ("has(a)||has(b)&&has(c)", "(has(a) || (has(b) && has(c)))"),
        ("has(a)&&has(b)&&has(c)", "(has(a) && has(b) && has(c))"),
        ("(has(a)&&has(b))&&has(c)", "((has(a) && has(b)) && has(c))"),
        ("((((has(a)))))", "has(a)"),
        ("(all())", "all()"),
        ("!!has(a)", "has(a)"),
        ("!!!has(a)", "!has(a)"),
        ("! ! ! ! has(a)", "has(a)"),
        ("!a == 'b' && c == 'd'", "(!a == \"b\" && c == \"d\")"),
        ("!(!has(a))", "!!has(a)"),
        ("!(((has(a) || has(b))))", "!(has(a) || has(b))"),
    ] {
        assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn texts_that_calico_refuses_are_refused() {
    for text in [
        "a",
        "a ==",
        "a == b",
        "b == b",
        "a = 'b'",
        "a === 'b'",
        "a =! 'b'",
        "== 'b'",
        "'a' == 'b'",
        "a == 'b",
        "a == \"b'",
        "a == {'b'}",
        "a in 'b'",
        "a in ('b')",
        "a in {b}",
        "a in {'b'",
        "a in {,}",
        "a in {'b',,}",
        "a in {'b' 'c'}",
        "a inf",
        "a inx {'b'}",
        "a IN {'b'}",
        "a not contains 'b'",
        "a not starts with 'b'",
        "a startswithx 'b'",
        "a !in {'b'}",
        "has",
        "has()",
        "has( )",
        "has (a)",
        "has(a",
        "has(a b)",
        "has('a')",
        "has(a == 'b')",
        "all",
        "all(",
        "all(a)",
        "all ()",
        "global",
        "global(a)",
        "HAS(a)",
        "has(a) has(b)",
        "has(a) & has(b)",
        "has(a) | has(b)",
        "has(a) and has(b)",
        "has(a) AND has(b)",
        "has(a) &&",
        "has(a) ||",
        "&& has(a)",
        "has(a) && || has(b)",
        "has(a) has",
        "a has(b)",
        "!",
        "!!",
        "()",
        "(",
        ")",
        "(has(a)",
        "has(a))",
        "((has(a))",
        "a == 'b'\n",
        "\na == 'b'",
        "a\n== 'b'",
        "a == 'b' \u{a0}",
        "a == 'b';",
        "é == 'b'",
        "a b == 'c'",
        "a@b == 'c'",
        "a == 'b' 'c'",
        "\0",
    ] {
        assert_eq!(canonical(text), None, "{text}");
    }
}

#[test]
fn a_double_negation_reads_back_as_none_as_it_does_for_calico() {
    let written = Selector::parse("!(!has(a))").unwrap();
    let again = Selector::parse(written.as_str()).unwrap();
    assert_eq!((written.as_str(), again.as_str()), ("!!has(a)", "has(a)"));
    assert_ne!(written.id(), again.id());
}

#[test]
fn label_names_have_at_most_512_bytes() {
    let longest = "a".repeat(512);
    assert!(Selector::parse(&format!("has({longest})")).is_ok());
    assert!(Selector::parse(&format!("{longest} == 'x'")).is_ok());
    assert!(Selector::parse(&format!("has({longest}a)")).is_err());
    assert!(Selector::parse(&format!("{longest}a == 'x'")).is_err());
    let prefixed = Selector::parse(&format!("has({longest})")).unwrap().with_prefix("pcns.");
    assert_eq!(prefixed.as_str(), format!("has(pcns.{longest})"));
}

#[test]
fn ids_are_calicos() {
    for (text, id) in [
        ("", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"),
        ("all()", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"),
        ("! (has( b)|| ! has(a ))", "s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q"),
        ("!(a == \"b\" && !c != \"d\")", "s:lh3haoY1ikTRkd4UZu0nWSaIBknYLPJLX16d-w"),
        ("a == 'b'", "s:flMh0m0X_BowkAK_W3j3MgH8oQOsj3WxGDoXCQ"),
        ("a in {'y', 'x', 'y'}", "s:gSrnDEFVR3CxDEQZzJb9ixSZpe7eM3tOO6L77Q"),
    ] {
        assert_eq!(Selector::parse(text).unwrap().id(), id, "{text}");
    }
    assert_eq!(Selector::all(), Selector::parse("").unwrap());
}

#[test]
fn a_missing_label_satisfies_only_negative_comparisons() {
    for (text, missing, empty, xyz) in [
        ("a == 'xyz'", false, false, true),
        ("a == ''", false, true, false),
        ("a != 'xyz'", true, true, false),
        ("a in {'w', 'xyz'}", false, false, true),
        ("a in {}", false, false, false),
        ("a not in {'xyz', 'w'}", true, true, false),
        ("a not in {}", true, true, true),
        ("a contains 'y'", false, false, true),
        ("a contains ''", false, true, true),
        ("a starts with 'xy'", false, false, true),
        ("a starts with 'y'", false, false, false),
        ("a ends with 'yz'", false, false, true),
        ("a ends with ''", false, true, true),
        ("a == 'XYZ'", false, false, false),
        ("has(a)", false, true, true),
        ("!has(a)", true, false, false),
        ("!(a == 'xyz')", true, true, false),
        ("all()", true, true, true),
        ("global()", true, true, true),
        ("!all()", false, false, false),
    ] {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.matches(&from_fn(|_| None)), missing, "{text}, missing");
        assert_eq!(selector.matches(&[("a", "")]), empty, "{text}, empty");
        assert_eq!(selector.matches(&from_fn(|_| Some("xyz"))), xyz, "{text}, xyz");
    }
}

#[test]
fn a_prefix_is_added_to_every_label_name() {
    let selector = Selector::parse("a == 'a' && (has(a) || !b in {'y', 'x'}) && all() && global()").unwrap();
    let prefixed = selector.with_prefix("pcns.");
    assert_eq!(
        prefixed.as_str(),
        "(pcns.a == \"a\" && (has(pcns.a) || !pcns.b in {\"x\", \"y\"}) && all() && global())"
    );
    assert_eq!(prefixed, Selector::parse(prefixed.as_str()).unwrap());
    assert!(prefixed.matches(&[("pcns.a", "a")]));
    // Calico parses the prefixed text again, in which `!!` is nothing.
    for text in ["!(!has(a))", "!(!(!a == 'x'))", "has(b) && !(!(!(!(has(a) || has(b)))))", "!(!has(a)) || !has(b)"] {
        let prefixed = Selector::parse(text).unwrap().with_prefix("pcns.");
        let text = text.replace("has(", "has(pcns.").replace("a ==", "pcns.a ==");
        let parsed = Selector::parse(Selector::parse(&text).unwrap().as_str()).unwrap();
        assert_eq!(prefixed, parsed);
    }
}

#[test]
fn selectors_are_joined_as_if_each_were_in_parentheses() {
    let a = Selector::parse("has(a) && b in {'x'}").unwrap();
    let b = Selector::parse("c not in {'y', 'z'} || !has(d)").unwrap();
    let c = Selector::parse("!(!has(e))").unwrap();
    let all_of = |parts: &[&Selector]| Selector::all_of(&parts.iter().copied().cloned().collect::<Vec<_>>());
    for (joined, text) in [
        (all_of(&[]), String::new()),
        (all_of(&[&a]), format!("({a})")),
        (all_of(&[&a, &b]), format!("({a}) && ({b})")),
        (all_of(&[&b, &a, &b]), format!("({b}) && ({a}) && ({b})")),
        (all_of(&[&all_of(&[&a, &b]), &a]), format!("(({a}) && ({b})) && ({a})")),
        (all_of(&[&c, &c.not()]), "(!(!has(e))) && (!(!(!has(e))))".to_owned()),
        (b.not(), format!("!({b})")),
    ] {
        assert_eq!(joined, Selector::parse(&text).unwrap());
        assert_eq!(joined.id(), Selector::parse(&text).unwrap().id());
    }
}

#[test]
fn selectors_can_be_built_without_a_text() {
    for (made, text) in [
        (Some(Selector::has("a")), "has(a)"),
        (Selector::equals("a", "x"), "a == 'x'"),
        (Selector::equals("a", "x' || has(b) || c == 'x"), "a == \"x' || has(b) || c == 'x\""),
        (Selector::equals("a", "\""), "a == '\"'"),
        (Selector::one_of("a", ["y", "x", "y"]), "a in {'x', 'y'}"),
        (Selector::one_of("a", ["'", "\""]), "a in {'\"', \"'\"}"),
        (Selector::one_of("a", []), "a in {}"),
    ] {
        let (made, parsed) = (made.unwrap(), Selector::parse(text).unwrap());
        assert_eq!(made.id(), parsed.id(), "{text}");
        assert_eq!(made, parsed);
    }
    // The language has no way to write these, so their text would say something else.
    assert!(Selector::equals("a", "\"'").is_none() && Selector::one_of("a", ["x", "'\""]).is_none());
}

#[test]
fn restrictions_are_what_a_match_needs() {
    for (text, expected) in [
        ("a == 'x'", "a present x"),
        ("a in {'x', 'y'}", "a present x|y"),
        ("a in {}", "a present "),
        ("has(a)", "a present"),
        ("a contains 'x' && b starts with 'y' && c ends with 'z'", "a present, b present, c present"),
        ("!has(a)", "a absent"),
        ("a != 'x' && b not in {'x'} && all() && global()", ""),
        ("!(a == 'x')", ""),
        ("a in {'x', 'y'} && a in {'y', 'z'}", "a present y"),
        ("a == 'x' && a == 'y'", "a present "),
        ("has(a) && a == 'x' && b == 'y'", "a present x, b present y"),
        ("a == 'x' || a == 'y'", "a present x|y"),
        ("a == 'x' || has(a)", "a present"),
        ("a == 'x' || b == 'x'", ""),
        ("a == 'x' && has(b) || has(b) && has(c)", "b present"),
        ("!has(a) || !has(a) && has(b)", "a absent"),
        ("has(a) && !has(a)", "a present absent"),
        ("!(a != 'x' || !has(b))", "a present x, b present"),
        ("!(!has(a) && b not in {'x'})", ""),
        ("!!has(a)", "a present"),
    ] {
        let selector = Selector::parse(text).unwrap();
        let restrictions = selector.restrictions().into_iter().map(|(label, r)| {
            let mut words = label.to_owned();
            words += if r.present { " present" } else { "" };
            words += if r.absent { " absent" } else { "" };
            if let Some(values) = r.values {
                words += " ";
                words += &values.into_iter().collect::<Vec<_>>().join("|");
            }
            words
        });
        assert_eq!(restrictions.collect::<Vec<_>>().join(", "), expected, "{text}");
    }
}

#[test]
fn nesting_is_limited_only_by_length() {
    let n = 100_000;
    let labels: BTreeMap<&str, &str> = BTreeMap::new();
    let parentheses = format!("{}has(a){}", "(".repeat(n), ")".repeat(n));
    assert_eq!(canonical(&parentheses).as_deref(), Some("has(a)"));
    assert_eq!(canonical(&format!("{}has(a)", "!".repeat(n + 1))).as_deref(), Some("!has(a)"));
    assert!(Selector::parse(&"(".repeat(n)).is_err());
    assert!(Selector::parse(&"!(".repeat(n)).is_err());

    let negations = Selector::parse(&format!("{}has(a){}", "!(".repeat(n), ")".repeat(n))).unwrap();
    assert!(!negations.matches(&labels));
    assert!(negations.restrictions()["a"].present);
    let nested = Selector::parse(&format!("{}has(a){}", "!(all()&&".repeat(n), ")".repeat(n))).unwrap();
    assert!(!nested.matches(&labels));
    assert!(Selector::all_of(&[nested.clone(), nested.clone()]).not().with_prefix("x").matches(&labels));
    assert!(nested.restrictions().len() <= 1);
}
