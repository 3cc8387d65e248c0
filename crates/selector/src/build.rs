//! Writes the canonical text and the flat nodes, side by side, from terms given in order.

use crate::node::{FAILS, HOLDS, Kind, Node, Span, index};

/// Text, nodes and set members of a selector that is being made.
#[derive(Default)]
pub(crate) struct Builder<'p> {
    pub(crate) text: String,
    pub(crate) nodes: Vec<Node>,
    /// The members of all sets: pieces of the text, sorted within each set.
    pub(crate) members: Vec<Span>,
    prefix: &'p str,
    open: Vec<Open>,
}

/// A node that still waits for operands.
struct Open {
    node: usize,
    missing: u32,
}

impl<'p> Builder<'p> {
    /// One that puts `prefix` before each label name.
    pub(crate) fn new(prefix: &'p str, text_length: usize, nodes: usize) -> Self {
        Builder {
            text: String::with_capacity(text_length),
            nodes: Vec::with_capacity(nodes),
            prefix,
            ..Builder::default()
        }
    }

    /// Begins a negation or connective; the next `operands` terms are its own.
    pub(crate) fn group(&mut self, kind: Kind, operands: u32) {
        let mut node = node_of(kind);
        node.operands = operands;
        self.open.push(Open { node: self.nodes.len(), missing: operands });
        self.nodes.push(node);
        self.text.push(if kind == Kind::Not { '!' } else { '(' });
    }

    /// `all()`, `global()` or `has(label)`.
    pub(crate) fn call(&mut self, kind: Kind, label: &str) {
        let mut node = node_of(kind);
        self.text.push_str(match kind {
            Kind::All => "all(",
            Kind::Global => "global(",
            _ => "has(",
        });
        if kind == Kind::Has {
            node.label = self.label(label);
        }
        self.text.push(')');
        self.done(node);
    }

    /// A label compared with a value.
    pub(crate) fn comparison(&mut self, kind: Kind, label: &str, value: &str) {
        let mut node = node_of(kind);
        node.label = self.label(label);
        self.text.push_str(kind.operator());
        node.value = self.quoted(value);
        self.done(node);
    }

    /// A label looked up in a set; the values are sorted, and given once however often they come.
    pub(crate) fn membership<'v>(&mut self, kind: Kind, label: &str, values: impl Iterator<Item = &'v str>) {
        let mut node = node_of(kind);
        node.label = self.label(label);
        self.text.push_str(kind.operator());
        self.text.push('{');
        node.value.start = index(self.members.len());
        let mut before = None;
        for value in values {
            if before == Some(value) {
                continue;
            }
            if before.is_some() {
                self.text.push_str(", ");
            }
            let member = self.quoted(value);
            self.members.push(member);
            before = Some(value);
        }
        node.value.end = index(self.members.len());
        self.text.push('}');
        self.done(node);
    }

    /// Gives again all terms of a selector that was built before.
    pub(crate) fn replay(&mut self, text: &str, nodes: &[Node], members: &[Span]) {
        for node in nodes {
            match node.kind {
                Kind::Not | Kind::And | Kind::Or => self.group(node.kind, node.operands),
                Kind::All | Kind::Global | Kind::Has => self.call(node.kind, node.label.of(text)),
                Kind::In | Kind::NotIn => {
                    let values = node.value.of(members).iter().map(|member| member.of(text));
                    self.membership(node.kind, node.label.of(text), values);
                }
                _ => self.comparison(node.kind, node.label.of(text), node.value.of(text)),
            }
        }
    }

    fn label(&mut self, name: &str) -> Span {
        let start = index(self.text.len());
        self.text.push_str(self.prefix);
        self.text.push_str(name);
        Span { start, end: index(self.text.len()) }
    }

    /// A value never holds both kinds of quotes: the language has no way to write it.
    fn quoted(&mut self, value: &str) -> Span {
        let quote = if value.as_bytes().contains(&b'"') { '\'' } else { '"' };
        self.text.push(quote);
        let start = index(self.text.len());
        self.text.push_str(value);
        let end = index(self.text.len());
        self.text.push(quote);
        Span { start, end }
    }

    /// A condition is complete; with it every connective that only waited for it.
    fn done(&mut self, mut node: Node) {
        node.end = index(self.nodes.len() + 1);
        self.nodes.push(node);
        while let Some(open) = self.open.last_mut() {
            open.missing -= 1;
            let parent = &mut self.nodes[open.node];
            if open.missing > 0 {
                self.text.push_str(parent.kind.operator());
                return;
            }
            if parent.kind != Kind::Not {
                self.text.push(')');
            }
            parent.end = node.end;
            self.open.pop();
        }
    }
}

/// A node of which only the kind is known yet.
fn node_of(kind: Kind) -> Node {
    Node { kind, label: Span::default(), value: Span::default(), operands: 0, end: 0, yes: HOLDS, no: FAILS }
}
