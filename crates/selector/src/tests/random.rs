//! Random trees, written in random ways, against a model that is a plain recursive tree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::Selector;

#[derive(Clone, Debug)]
enum Tree {
    Call(&'static str),
    Has(String),
    Compare(String, &'static str, String),
    Among(String, &'static str, Vec<String>),
    Not(Box<Tree>),
    Join(&'static str, Vec<Tree>),
}

type Labels = BTreeMap<String, String>;

impl Tree {
    fn canonical(&self) -> String {
        let quoted = |value: &String| if value.contains('"') { format!("'{value}'") } else { format!("\"{value}\"") };
        match self {
            Tree::Call(name) => format!("{name}()"),
            Tree::Has(label) => format!("has({label})"),
            Tree::Compare(label, op, value) => format!("{label} {op} {}", quoted(value)),
            Tree::Among(label, op, values) => {
                let mut values = values.clone();
                values.sort();
                values.dedup();
                format!("{label} {op} {{{}}}", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
            }
            Tree::Not(inner) => format!("!{}", inner.canonical()),
            Tree::Join(op, inner) => {
                format!("({})", inner.iter().map(Tree::canonical).collect::<Vec<_>>().join(&format!(" {op} ")))
            }
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        match self {
            Tree::Call(_) => true,
            Tree::Has(label) => labels.contains_key(label),
            Tree::Compare(label, op, value) => match (labels.get(label), *op) {
                (None, op) => op == "!=",
                (Some(actual), "==") => actual == value,
                (Some(actual), "!=") => actual != value,
                (Some(actual), "contains") => actual.contains(value.as_str()),
                (Some(actual), "starts with") => actual.starts_with(value.as_str()),
                (Some(actual), _) => actual.ends_with(value.as_str()),
            },
            Tree::Among(label, op, values) => {
                labels.get(label).is_some_and(|actual| values.contains(actual)) == (*op == "in")
            }
            Tree::Not(inner) => !inner.matches(labels),
            Tree::Join("&&", inner) => inner.iter().all(|one| one.matches(labels)),
            Tree::Join(_, inner) => inner.iter().any(|one| one.matches(labels)),
        }
    }

    /// Writes the tree as a careless person might; `dice` decides on blanks, quotes and needless parentheses.
    fn careless(&self, dice: &mut impl FnMut(usize) -> usize) -> String {
        let mut blank = |least: usize| ["", " ", "\t", "  "][least + dice(4 - least)];
        let (a, b, c) = (blank(0), blank(0), blank(0));
        let apart = blank(1);
        let text = match self {
            Tree::Call(name) => format!("{name}({a})"),
            Tree::Has(label) => format!("has({a}{label}{b})"),
            Tree::Compare(label, op, value) => {
                let apart = if op.starts_with(['=', '!']) { a } else { apart };
                let op = op.replace(' ', b);
                format!("{label}{apart}{op}{c}{}", quoted(value, dice))
            }
            Tree::Among(label, op, values) => {
                let mut list = String::new();
                for (i, value) in values.iter().enumerate() {
                    let comma = if i + 1 < values.len() || dice(3) == 0 { "," } else { "" };
                    list += &format!("{a}{}{b}{comma}", quoted(value, dice));
                }
                format!("{label}{apart}{}{c}{{{list}{a}}}", op.replace(' ', b))
            }
            Tree::Not(inner) => format!("!{}{a}{}", "!!".repeat(dice(2)), inner.careless(dice)),
            Tree::Join(op, inner) => {
                let parts: Vec<String> = inner.iter().map(|one| one.careless(dice)).collect();
                format!("({a}{}{b})", parts.join(&format!("{c}{op}{a}")))
            }
        };
        if dice(5) == 0 && !matches!(self, Tree::Not(_)) { format!("({text}{b})") } else { text }
    }
}

fn quoted(value: &str, dice: &mut impl FnMut(usize) -> usize) -> String {
    if value.contains('"') || (dice(2) == 0 && !value.contains('\'')) {
        format!("'{value}'")
    } else {
        format!("\"{value}\"")
    }
}

fn any_label() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]", "in|not|has|all|contains|starts|pcns[.]a|0|-|x/y"].prop_map(String::from)
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof!["[xy]{0,3}", "[xy'é]{0,2}", "[xy\"&( ]{0,2}"].prop_map(String::from)
}

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map(any_label(), any_value(), 0..6)
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let compare = prop::sample::select(vec!["==", "!=", "contains", "starts with", "ends with"]);
    let among = prop::sample::select(vec!["in", "not in"]);
    let leaf = prop_oneof![
        1 => prop::sample::select(vec!["all", "global"]).prop_map(Tree::Call),
        3 => any_label().prop_map(Tree::Has),
        6 => (any_label(), compare, any_value()).prop_map(|(label, op, value)| Tree::Compare(label, op, value)),
        3 => (any_label(), among, prop::collection::vec(any_value(), 0..4))
            .prop_map(|(label, op, values)| Tree::Among(label, op, values)),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let join = prop::sample::select(vec!["&&", "||"]);
        prop_oneof![
            inner.clone().prop_map(|one| match one {
                // `!!` is read as nothing, so a double negation is not what its canonical text says.
                Tree::Not(_) => one,
                one => Tree::Not(Box::new(one)),
            }),
            (join, prop::collection::vec(inner, 2..5)).prop_map(|(op, inner)| Tree::Join(op, inner)),
        ]
    })
}

fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as usize % sides
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_way_to_write_a_tree_gives_its_canonical_text(tree in any_tree(), seed: u64) {
        let text = tree.careless(&mut dice(seed));
        let selector = Selector::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(selector.as_str(), tree.canonical());
    }

    #[test]
    fn parsing_canonical_text_changes_nothing(tree in any_tree()) {
        let once = Selector::parse(&tree.canonical()).unwrap();
        let twice = Selector::parse(once.as_str()).unwrap();
        prop_assert_eq!(once.id(), twice.id());
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_selector_matches_what_its_tree_matches(tree in any_tree(), worlds in prop::collection::vec(any_labels(), 8)) {
        let selector = Selector::parse(&tree.canonical()).unwrap();
        for labels in &worlds {
            prop_assert_eq!(selector.matches(labels), tree.matches(labels));
            prop_assert_eq!(selector.not().matches(labels), !tree.matches(labels));
        }
    }

    #[test]
    fn labels_outside_a_restriction_do_not_match(tree in any_tree(), worlds in prop::collection::vec(any_labels(), 8)) {
        let selector = Selector::parse(&tree.canonical()).unwrap();
        let restrictions = selector.restrictions();
        for labels in worlds.iter().filter(|labels| tree.matches(labels)) {
            for (label, restriction) in &restrictions {
                let value = labels.get(*label);
                prop_assert!(!restriction.present || value.is_some());
                prop_assert!(!restriction.absent || value.is_none());
                if let Some(values) = &restriction.values {
                    prop_assert!(value.is_some_and(|value| values.contains(value.as_str())));
                }
            }
        }
    }

    #[test]
    fn a_prefixed_selector_matches_prefixed_labels(tree in any_tree(), labels in any_labels()) {
        let selector = Selector::parse(&tree.canonical()).unwrap();
        let prefixed: Labels = labels.iter().map(|(label, value)| (format!("pcsa.{label}"), value.clone())).collect();
        prop_assert_eq!(selector.with_prefix("pcsa.").matches(&prefixed), tree.matches(&labels));
    }

    #[test]
    fn a_join_is_the_selector_of_the_joined_text(trees in prop::collection::vec(any_tree(), 0..5), labels in any_labels()) {
        let texts: Vec<String> = trees.iter().map(|tree| format!("({})", tree.canonical())).collect();
        let parts: Vec<Selector> = texts.iter().map(|text| Selector::parse(text).unwrap()).collect();
        let (joined, parsed) = (Selector::all_of(&parts), Selector::parse(&texts.join(" && ")).unwrap());
        prop_assert_eq!(joined.matches(&labels), trees.iter().all(|tree| tree.matches(&labels)));
        prop_assert_eq!(joined.id(), parsed.id());
        prop_assert_eq!(joined, parsed);
    }

    #[test]
    fn no_text_makes_it_panic_and_spans_are_whole_characters(
        text in prop_oneof![".*", "[ab'\"(){}!=&|, \t\nhinas“é]{0,30}", "(has\\(|all\\(|a|in|'|\"|[{}()]|==| |&&|!|,|\u{e9}){0,20}"]
    ) {
        match Selector::parse(&text) {
            Ok(selector) => {
                selector.matches(&[("a", "b")]);
                selector.restrictions();
                selector.with_prefix("p");
            }
            Err(error) => {
                let span = error.span();
                prop_assert!(text.get(span).is_some());
                prop_assert!(error.to_string().len() < 400);
            }
        }
    }
}
