//! The selector: parsed once, shared freely, compared by what it says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha224};

use crate::build::Builder;
use crate::error::ParseError;
use crate::expr::Part;
use crate::labels::Labels;
use crate::node::{Kind, Node, Span};
use crate::restrict::{Restriction, restrictions};
use crate::{link, parse};

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
        link::holds(&self.0.text, &self.0.nodes, &self.0.members, 0, labels)
    }

    /// The whole of it, to look into.
    pub fn root(&self) -> Part<'_> {
        Part::root(&self.0)
    }

    /// The same selector with `prefix` before each label name: how selectors of namespaces (`pcns.`) and service
    /// accounts (`pcsa.`) are matched against the labels of an endpoint. `all()` and `global()` stay as they are.
    pub fn with_prefix(&self, prefix: &str) -> Selector {
        let mut builder = Builder::new(prefix, self.0.text.len() + prefix.len(), self.0.nodes.len());
        self.replay(&mut builder);
        builder.into()
    }

    /// Selects what both select. Like a parenthesis around each, so that nothing is merged.
    pub fn and(&self, other: &Selector) -> Selector {
        self.join(Kind::And, other)
    }

    /// Selects what either selects.
    pub fn or(&self, other: &Selector) -> Selector {
        self.join(Kind::Or, other)
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

    /// The names of all labels that it looks at.
    pub fn label_names(&self) -> BTreeSet<&str> {
        let labelled = self.0.nodes.iter().filter(|node| node.label.end > 0);
        labelled.map(|node| node.label.of(&*self.0.text)).collect()
    }

    /// Whether `global()` stands anywhere in it.
    pub fn mentions_global(&self) -> bool {
        self.0.nodes.iter().any(|node| node.kind == Kind::Global)
    }

    fn join(&self, kind: Kind, other: &Selector) -> Selector {
        let length = self.0.text.len() + other.0.text.len() + 6;
        let mut builder = Builder::new("", length, self.0.nodes.len() + other.0.nodes.len() + 1);
        builder.group(kind, 2);
        self.replay(&mut builder);
        other.replay(&mut builder);
        builder.into()
    }

    fn replay(&self, builder: &mut Builder<'_>) {
        builder.replay(&self.0.text, &self.0.nodes, &self.0.members);
    }
}

/// The canonical text of a selector, without the white space around it; a text that cannot be read stays as it is
/// but for that white space.
pub fn normalise(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    match Selector::parse(text) {
        Ok(selector) if selector.as_str() == text => Cow::Borrowed(text),
        Ok(selector) => Cow::Owned(selector.as_str().to_owned()),
        Err(_) => Cow::Borrowed(text),
    }
}

impl From<Builder<'_>> for Selector {
    fn from(mut builder: Builder<'_>) -> Self {
        link::link(&mut builder.nodes);
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
