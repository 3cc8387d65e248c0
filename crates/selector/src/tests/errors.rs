//! How errors read: the marked part of the text, what is wrong with it, and what to write instead.

use crate::Selector;

/// Marks the span in the text with brackets, so that a table shows all of an error.
fn error_text(text: &str) -> String {
    let error = Selector::parse(text).unwrap_err();
    let span = error.span();
    let (before, marked, after) = (&text[..span.start], &text[span.clone()], &text[span.end..]);
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{before}[{marked}]{after} -> {error}{hint}")
}

#[test]
fn errors_mark_the_place_and_suggest_a_correction() {
    for expected in [
        "a [=] 'b' -> `=` is not an operator; did you mean `==`?",
        "a == [b] && has(c) -> values are quoted, found `b`; did you mean `\"b\"`?",
        "(a == [10.0.0.0:80]) -> values are quoted, found `10.0.0.0:80`; did you mean `\"10.0.0.0:80\"`?",
        "has(a) [AND] has(b) -> expected `&&`, `||` or the end, found `AND`; did you mean `&&`?",
        "has(a) [or] has(b) -> expected `&&`, `||` or the end, found `or`; did you mean `||`?",
        "has(a) [&] has(b) -> expected `&&`, `||` or the end, found `&`; did you mean `&&`?",
        "has(a) [has](b) -> expected `&&`, `||` or the end, found `has`; conditions are joined with `&&` or `||`",
        "has(a)[\n]&& has(b) -> expected `&&`, `||` or the end, found a line break; a selector is one line: use a space instead (in YAML, `>-` joins lines with spaces)",
        "has(a) &&[\r\n]has(b) -> expected a condition, found a line break; a selector is one line: use a space instead (in YAML, `>-` joins lines with spaces)",
        "has(a)[\n] -> expected `&&`, `||` or the end, found a line break; the text ends with a line break: in YAML, `>-` and `|-` leave it out, `>` and `|` keep it",
        "has(a) && [\u{A0}]has(b) -> expected a condition, found a no-break space (U+00A0); only spaces and tabs may stand between words",
        "has(a) [\u{200B}] -> expected `&&`, `||` or the end, found the invisible character U+200B; only spaces and tabs may stand between words",
        "all[] -> expected an operator after label `all`, but the selector ends; did you mean `all()`?",
        "Global [&&] has(a) -> expected an operator after label `Global`, found `&&`; did you mean `global()`?",
        "has(a) &&[] -> expected a condition, but the selector ends",
        "has(a) && [&&] has(b) -> expected a condition, found `&&`",
        "has(a)[)] -> this `)` closes nothing",
        "[(]has(a) || (has(b)) -> this `(` is never closed",
        "([)] -> expected a condition, found `)`",
        "['a'] == 'b' -> expected a label name, found `'a'`; label names are not quoted: did you mean `a`?",
        "[*] -> expected a condition, found `*`; `all()` selects everything",
        "a[] -> expected an operator after label `a`, but the selector ends; write `has(a)` for a label `a` of any value, \
         or compare a label with it: `LABEL == \"a\"`",
        "a [&&] has(b) -> expected an operator after label `a`, found `&&`; write `has(a)` for a label `a` of any value, \
         or compare a label with it: `LABEL == \"a\"`",
        "has [(]a) -> expected an operator after label `has`, found `(`; no space may come between `has` and `(`",
        "HAS[(]a) -> expected an operator after label `HAS`, found `(`; did you mean `has(`?",
        "not [has](a) -> expected an operator after label `not`, found `has`; did you mean `!`?",
        "hsa[(]a) -> expected an operator after label `hsa`, found `(`; the functions are `has(label)`, `all()` and `global()`",
        "a [IN] {'b'} -> expected an operator after label `a`, found `IN`; operators are in lower case: `in`",
        "a [is] 'b' -> expected an operator after label `a`, found `is`; did you mean `==`?",
        "a [not] contains 'b' -> expected an operator after label `a`, found `not`; `!` before the label negates a comparison",
        "a[:] b -> expected an operator after label `a`, found `:`; a label is compared like this: `label == \"value\"`",
        "has([\"a\"]) -> expected a label name, found `\"a\"`; label names are not quoted: did you mean `a`?",
        "has([)] -> expected a label name, found `)`",
        "has(a [==] 'b') -> expected `)`, found `==`; `has()` takes the name of one label",
        "[has(a] -> `has(` is never closed",
        "all([a]) -> expected `)`, found `a`; `all()` takes nothing",
        "a == [{]'b'} -> expected a quoted value, found `{`; a set is compared with `in` or `not in`",
        "a ==[=] 'b' -> expected a quoted value, found `=`; `==` and `!=` are the operators",
        "a == ['b] -> this quote is never closed",
        "a == [“]b” -> expected a quoted value, found `“`; quotes are `\"` or `'`",
        "a in ['b'] -> expected a set such as `{\"a\", \"b\"}`, found `'b'`; did you mean `{'b'}`?",
        "a in [(]'b') -> expected a set such as `{\"a\", \"b\"}`, found `(`; a set is written in braces, `{` and `}`",
        "a in {'b' ['c']} -> expected `,` or `}`, found `'c'`; values in a set are separated by commas",
        "a in {[b], c} -> values are quoted, found `b`; did you mean `\"b\"`?",
        "a in [{]'b', -> this `{` is never closed",
        "a in {'b', ['c}] -> this quote is never closed",
        "has(a) [‐] -> expected `&&`, `||` or the end, found `‐`",
    ] {
        let (marked, _) = expected.rsplit_once(" -> ").unwrap();
        let open = marked.find('[').unwrap();
        let close = marked.rfind(']').unwrap();
        let text = format!("{}{}{}", &marked[..open], &marked[open + 1..close], &marked[close + 1..]);
        assert_eq!(error_text(&text), expected);
    }
}

#[test]
fn errors_stay_short_however_long_the_text() {
    let long = "a".repeat(600);
    let error = Selector::parse(&format!("has({long})")).unwrap_err();
    assert_eq!(error.to_string(), "a label name has at most 512 bytes, this has 600");
    assert_eq!(error.span(), 4..604);
    let error = Selector::parse(&format!("a == {long}")).unwrap_err();
    assert!(error.to_string().len() < 100 && error.hint().unwrap().len() < 100);
    assert!(Selector::parse(&" ".repeat(crate::MAX_LENGTH + 1)).is_err());
}
