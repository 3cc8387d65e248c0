//! The selector: parsed once, shared freely, compared by what it says.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha224};

use crate::build::Builder;
use crate::error::ParseError;
use crate::labels::Labels;
use crate::node::{Kind, Node, Span, index};
use crate::restrict::{Restriction, restrictions};
use crate::{matching, parse};

/// A label selector. Cloning shares it; equality, order and hash are those of the canonical text.
#[derive(Clone)]
pub struct Selector(Arc<Inner>);

/// What all clones of a selector share.
#[derive(Debug)]
pub(crate) struct Inner {
    text: Box<str>,
    nodes: Box<[Node]>,
    members: Box<[Span]>,
    id: OnceLock<Box<str>>,
}

impl Inner {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn members(&self) -> &[Span] {
        &self.members
    }
}

impl Selector {
    /// Reads a selector. A blank text selects everything.
    pub fn parse(text: &str) -> Result<Selector, ParseError> {
        parse::parse(text).map(Selector::from)
    }

    /// `all()`: selects everything.
    pub fn all() -> Selector {
        let mut builder = Builder::new("", 5, 1);
        builder.call(Kind::All, "");
        builder.into()
    }

    /// `has(label)`.
    pub fn has(label: &str) -> Selector {
        let mut builder = Builder::new("", label.len() + 5, 1);
        builder.call(Kind::Has, label);
        builder.into()
    }

    /// `label == "value"`. None for a value with both kinds of quotes, which the language cannot write.
    pub fn equals(label: &str, value: &str) -> Option<Selector> {
        let mut builder = Builder::new("", label.len() + value.len() + 6, 1);
        builder.comparison(Kind::Equal, label, can_be_quoted(value)?);
        Some(builder.into())
    }

    /// `label in {"value", ...}`. None if a value has both kinds of quotes, which the language cannot write.
    pub fn one_of<'v>(label: &str, values: impl IntoIterator<Item = &'v str>) -> Option<Selector> {
        let mut values: Vec<&str> = values.into_iter().map(can_be_quoted).collect::<Option<_>>()?;
        values.sort_unstable();
        let length = values.iter().map(|value| value.len() + 4).sum::<usize>();
        let mut builder = Builder::new("", label.len() + length + 6, 1);
        builder.membership(Kind::In, label, values.into_iter());
        Some(builder.into())
    }

    /// Selects what all of `parts` select: an "and" of them, as if each stood in parentheses, so that nothing is
    /// merged. A single part stays as it is; none is `all()`.
    pub fn all_of(parts: &[Selector]) -> Selector {
        let [_, _, ..] = parts else { return parts.first().cloned().unwrap_or_else(Selector::all) };
        let length = parts.iter().map(|part| part.0.text.len() + 4).sum();
        let nodes = parts.iter().map(|part| part.0.nodes.len()).sum::<usize>();
        let mut builder = Builder::new("", length, nodes + 1);
        builder.group(Kind::And, index(parts.len()));
        for part in parts {
            part.replay(&mut builder);
        }
        builder.into()
    }

    /// The canonical text.
    ///
    /// Read again it gives itself, with one exception that is Calico's: the negation of a parenthesised negation,
    /// `!(!has(a))`, is written `!!has(a)`, which reads as `has(a)`. The two select the same under different ids.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The identity that Calico gives to what this selects: `s:` and a hash of the canonical text.
    pub fn id(&self) -> &str {
        self.0.id.get_or_init(|| {
            let hash = Sha224::new().chain_update("s:").chain_update(self.as_str()).finalize();
            let mut id = String::from("s:");
            URL_SAFE_NO_PAD.encode_string(hash, &mut id);
            id.into()
        })
    }

    /// Whether it selects what has these labels.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        #[cfg(feature = "counts")]
        crate::counts::count();
        matching::holds(&self.0.text, &self.0.nodes, &self.0.members, labels)
    }

    /// The same selector with `prefix` before each label name: how selectors of namespaces (`pcns.`) and service
    /// accounts (`pcsa.`) are matched against the labels of an endpoint. `all()` and `global()` stay as they are.
    ///
    /// Calico parses the prefixed text again. So the negation of a parenthesised negation is left out here.
    pub fn with_prefix(&self, prefix: &str) -> Selector {
        let nodes = &self.0.nodes;
        let mut builder = Builder::new(prefix, self.0.text.len() + prefix.len(), nodes.len());
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let next_too = nodes.get(at + 1).is_some_and(|next| next.kind == Kind::Not);
            if node.kind == Kind::Not && next_too {
                at += 2;
            } else {
                builder.replay(&self.0.text, &nodes[at..=at], &self.0.members);
                at += 1;
            }
        }
        builder.into()
    }

    /// Selects what this one does not.
    pub fn not(&self) -> Selector {
        let mut builder = Builder::new("", self.0.text.len() + 1, self.0.nodes.len() + 1);
        builder.group(Kind::Not, 1);
        self.replay(&mut builder);
        builder.into()
    }

    /// What labels must be like for a match to be possible; a label that is not named here may be anything.
    ///
    /// This is for indexes: labels that break a restriction cannot match, labels that keep all of them may still
    /// not match.
    pub fn restrictions(&self) -> BTreeMap<&str, Restriction<'_>> {
        restrictions(&self.0)
    }

    fn replay(&self, builder: &mut Builder<'_>) {
        builder.replay(&self.0.text, &self.0.nodes, &self.0.members);
    }
}

/// The value, if one kind of quotes can stand around it.
fn can_be_quoted(value: &str) -> Option<&str> {
    (!value.contains('"') || !value.contains('\'')).then_some(value)
}

impl From<Builder<'_>> for Selector {
    fn from(mut builder: Builder<'_>) -> Self {
        matching::link(&mut builder.nodes);
        Selector(Arc::new(Inner {
            text: builder.text.into(),
            nodes: builder.nodes.into(),
            members: builder.members.into(),
            id: OnceLock::new(),
        }))
    }
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Selector::parse(text)
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Selector {}

impl PartialOrd for Selector {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Selector {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Selector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Selector").field(&self.as_str()).finish()
    }
}
