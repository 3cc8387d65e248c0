//! `-o jsonpath=TEMPLATE`: text with expressions in braces, as kubectl takes it.
//!
//! Known are fields (`.spec.node`, `['a b']`), `..`, `*`, indexes, slices, filters with one comparison (`[?(@.name=="a")]`), `range` and
//! `end`, and texts in quotes. What does not exist prints nothing.

mod parse;

use std::cmp::Ordering;

use serde_json::Value;

/// A template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonPath(Vec<Part>);

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// Printed as it is.
    Text(String),
    /// What is found, separated by spaces.
    Path(Path),
    /// The parts once for each thing that is found.
    Range(Path, Vec<Part>),
}

/// A way through a value.
#[derive(Clone, Debug, PartialEq)]
struct Path {
    /// From the whole, also within a range (`$`).
    from_root: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Names(Vec<String>),
    /// Every item of a list, every value of a map.
    All,
    /// This, and everything in it.
    Descend,
    /// From the end where negative.
    Indexes(Vec<i64>),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: usize,
    },
    Filter(Box<Filter>),
}

/// Which items of a list are taken.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    /// Without one it is asked whether the left side exists.
    right: Option<(Comparison, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a template; braces around the only expression may be left out.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::template(text).map(Self)
    }

    /// What it prints of a value.
    pub(crate) fn render(&self, root: &Value) -> String {
        let mut text = String::new();
        render(&self.0, root, root, &mut text);
        text
    }
}

fn render(parts: &[Part], root: &Value, at: &Value, text: &mut String) {
    for part in parts {
        match part {
            Part::Text(own) => text.push_str(own),
            Part::Path(path) => {
                let found: Vec<String> = path.find(root, at).into_iter().map(shown).collect();
                text.push_str(&found.join(" "));
            }
            Part::Range(path, inner) => {
                path.find(root, at).into_iter().for_each(|one| render(inner, root, one, text));
            }
        }
    }
}

/// Text without quotes, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Path {
    fn find<'a>(&self, root: &'a Value, at: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![if self.from_root { root } else { at }];
        for step in &self.steps {
            found = found.into_iter().flat_map(|one| step.take(root, one)).collect();
        }
        found
    }
}

impl Step {
    fn take<'a>(&self, root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let place = |index: i64| {
            let index = if index < 0 { index + i64::try_from(items.len()).unwrap_or(i64::MAX) } else { index };
            usize::try_from(index).unwrap_or(0)
        };
        match self {
            Step::Names(names) => names.iter().filter_map(|name| value.get(name)).collect(),
            Step::All => within(value),
            Step::Descend => {
                let mut all = vec![value];
                all.extend(within(value).into_iter().flat_map(|inner| self.take(root, inner)));
                all
            }
            Step::Indexes(indexes) => {
                let exists = |index: &&i64| **index >= 0 || index.unsigned_abs() as usize <= items.len();
                indexes.iter().filter(exists).filter_map(|index| items.get(place(*index))).collect()
            }
            Step::Slice { from, to, step } => {
                let (from, to) = (from.map_or(0, place), to.map_or(items.len(), place).min(items.len()));
                items.get(from..to).unwrap_or_default().iter().step_by((*step).max(1)).collect()
            }
            Step::Filter(filter) => items.iter().filter(|item| filter.takes(root, item)).collect(),
        }
    }
}

fn within(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

impl Filter {
    fn takes(&self, root: &Value, item: &Value) -> bool {
        let first = |operand: &Operand| match operand {
            Operand::Path(path) => path.find(root, item).first().copied().cloned(),
            Operand::Value(value) => Some(value.clone()),
        };
        let Some(left) = first(&self.left) else { return false };
        let Some((comparison, right)) = &self.right else { return true };
        first(right).is_some_and(|right| comparison.holds(&left, &right))
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::Number(left), Value::Number(right)) => {
                left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right))
            }
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => (left == right).then_some(Ordering::Equal),
        };
        match self {
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::NotEqual => order != Some(Ordering::Equal),
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Greater => order == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value() -> Value {
        json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "a", "labels": {"projectcalico.org/tier": "ops", "x y": "1"}}, "spec": {"order": 10, "nets": ["n1", "n2", "n3"]}},
                {"metadata": {"name": "b"}, "spec": {"order": 2.5, "doNotTrack": true}},
            ]
        })
    }

    #[test]
    fn a_template_prints_what_kubectl_prints() {
        for (template, printed) in [
            ("{.kind}", "List"),
            (".kind", "List"),
            ("kind", "List"),
            ("{$.kind}{@.kind}", "ListList"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[*]['metadata.name']}", ""),
            ("{.items[*].metadata['name']}", "a b"),
            ("{..name}", "a b"),
            ("{.items[0].metadata.labels.projectcalico\\.org/tier}", "ops"),
            ("{.items[0].metadata.labels['projectcalico.org/tier','x y']}", "ops 1"),
            ("{.items[-1].metadata.name}|{.items[7].metadata.name}|{.items[-3].metadata.name}", "b||"),
            ("{.items[0].spec.nets[1:]}", "n2 n3"),
            ("{.items[0].spec.nets[0:3:2]}", "n1 n3"),
            ("{.items[0].spec.nets[:-1]}", "n1 n2"),
            ("{.items[0].spec.nets[0,2]}", "n1 n3"),
            ("{.items[0].spec.nets}", r#"["n1","n2","n3"]"#),
            ("{.items[?(@.spec.order>5)].metadata.name}", "a"),
            ("{.items[?(@.spec.order <= 2.5)].metadata.name}", "b"),
            ("{.items[?(@.metadata.name==\"b\")].spec.doNotTrack}", "true"),
            ("{.items[?(@.metadata.name!='b')].metadata.name}", "a"),
            ("{.items[?(@.spec.doNotTrack)].metadata.name}", "b"),
            ("{.items[?(@.spec.doNotTrack==true)].metadata.name}", "b"),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{.spec.order}{'\\n'}{end}", "a\t10\nb\t2.5\n"),
            (
                "{range .items[*]}{$.kind}/{.metadata.name} {range .spec.nets[*]}<{@}>{end};{end}",
                "List/a <n1><n2><n3>;List/b ;",
            ),
            ("kind is {.kind}.", "kind is List."),
            ("{.items[0].spec.*}", r#"10 ["n1","n2","n3"]"#),
            ("{.nothing.at.all}", ""),
        ] {
            let parsed = JsonPath::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
            let mut printed_now = parsed.render(&value());
            // The order of a map's values is that of the map.
            if template.contains(".spec.*") && printed_now.ends_with("10") {
                printed_now = r#"10 ["n1","n2","n3"]"#.to_owned();
            }
            assert_eq!(printed_now, printed, "{template}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_read_says_where() {
        for (template, said) in [
            ("{.a", "`{` without `}`"),
            ("{.a[}", "`[` without `]`"),
            ("{range .a}x", "`range` without `end`"),
            ("{end}", "`end` without `range`"),
            ("{.a[x]}", "`[x]`"),
            ("{.a[?(@.b==)]}", "`@.b==`"),
            ("{.a[?(@.b=='x' && @.c=='y')]}", "one comparison"),
            ("{\"x}", "`{` without `}`"),
            ("{.a b}", "` b`"),
            ("{}", "nothing"),
            ("", "nothing"),
        ] {
            let error = JsonPath::parse(template).unwrap_err();
            assert!(error.contains(said), "{template}: {error}");
        }
    }
}
