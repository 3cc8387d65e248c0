//! Reading what people write: YAML and JSON, strictly, with the place of everything.
//!
//! ```text
//! Source ──documents──> parts ──tree──> Node ──resource──> kind ──decode──> Object
//! (text)                (`---`)  (YAML)  (values, places)        (shape)    and problems
//! ```
//!
//! Every mistake of a text is found, not only the first: a document that is no YAML does not hide those after it, and
//! a wrong field not those beside it. What other programs wrote into stores is read elsewhere, and tolerantly.

mod decode;
mod documents;
mod node;
mod other_field;
mod resource;
mod scalar;
mod source;
mod special;
mod suggest;
mod syntax;
pub(crate) mod template;
mod timestamp;
mod tree;
mod wrong_form;

pub use documents::Part;
pub use node::{Entry, Found, Node, Value};
pub use resource::is_of_another_kind_of_kubernetes;
pub(crate) use scalar::{float64_text, is_text};
pub use source::{Position, Source};
pub(crate) use suggest::port_range;
pub(crate) use syntax::unseen_name;

use std::ops::Range;

use tortie_api::shape::Shape;
use tortie_api::{Kind, Object, Path, Step};

use crate::problem::Problem;

/// One resource of a text, or a part of the text that is none.
#[derive(Clone, Debug)]
pub struct Located {
    /// The object, if it could be read without errors. Validation comes after this.
    pub object: Option<Object>,
    /// In spite of errors, what could be read.
    pub partial: Option<Partial>,
    /// How messages name it: `HostEndpoint web1`; empty where it is unknown.
    pub about: String,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Its tree, which knows the places of [`Path`]s.
    pub tree: Node,
}

/// What could be read of an object: good for validation, so that its findings are shown together with those of reading, and
/// for nothing else.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The object, with gaps.
    pub object: Object,
    /// Where the gaps are.
    pub unread: Vec<Path>,
}

impl Partial {
    /// Whether what validation has found may be no more than a consequence of a gap. It lies in one or on the way to one; or
    /// what was looked at has one, beside it or in the same item of a list of the spec (the same rule, say).
    /// A gap in a list of values has no consequences outside of the list, and the syntax of a text follows from nothing else.
    pub fn explains(&self, found: &Problem) -> bool {
        if found.span.is_some() {
            return false;
        }
        let scope = found.scope;
        // The name of a workload endpoint is made of fields of its spec.
        if self.object.kind == Kind::WorkloadEndpoint && !self.unread.is_empty() && scope == 0 {
            return true;
        }
        self.unread.iter().any(|gap| {
            let (gap, found) = (&gap.0, &found.path.0);
            let shared = gap.iter().zip(found).take_while(|(a, b)| a == b).count();
            let beside = shared + 1 == gap.len() && gap.len() == found.len() && shared > 0;
            let in_a_list = matches!(gap.last(), Some(Step::Index(_)));
            shared == gap.len().min(found.len()) || shared >= scope && !in_a_list && (beside || shared >= 3)
        })
    }
}

impl Located {
    fn failed(tree: Node, about: String, problem: Problem) -> Self {
        Self { object: None, partial: None, about, problems: vec![problem], tree }
    }

    fn at(span: Range<usize>, problem: Problem) -> Self {
        Self::failed(Node { value: Value::Null, span }, String::new(), problem)
    }
}

/// Reads everything in a text. Blank documents and comments are nothing; so an empty answer is no mistake of its own.
pub fn read(source: &Source) -> Vec<Located> {
    parts(source).iter().flat_map(|part| read_part(source, part)).collect()
}

/// The parts of a text between its separators, each of which can be read alone: [`read_part`] of all, in their order, is
/// what [`read`] gives.
pub fn parts(source: &Source) -> Vec<Part> {
    match source.broken_at() {
        // Nothing is looked for in what is no text.
        Some(at) => vec![Part { span: at..at, dropped: None }],
        None => documents::split(source.text()),
    }
}

/// Reads one of the [`parts`] of a text.
pub fn read_part(source: &Source, part: &Part) -> Vec<Located> {
    let mut out = Vec::new();
    for document in trees_of(source, part) {
        match document {
            Ok(node) => resource::read(node, source.text(), &mut out),
            Err(trouble) => out.push(trouble),
        }
    }
    out
}

/// Reads a resource of Kubernetes' own, which [`read`] only found, against its shape: as an API server reads it, with names of
/// fields in their case and no number for a text. What is wrong becomes the problems of the resource.
pub fn of_kubernetes(
    located: &mut Located,
    source: &Source,
    shape: &'static Shape,
) -> serde_json::Map<String, serde_json::Value> {
    resource::of_kubernetes(located, source.text(), shape)
}

/// The documents of a text without regard to what they mean, and what is no document.
pub fn trees(source: &Source) -> Vec<Result<Node, Located>> {
    parts(source).iter().flat_map(|part| trees_of(source, part)).collect()
}

fn trees_of(source: &Source, part: &Part) -> Vec<Result<Node, Located>> {
    let text = source.text();
    if let Some(at) = source.broken_at() {
        let problem = Problem::read(Path::root(), "invalid UTF-8").message("these bytes are no text (UTF-8)");
        return vec![Err(Located::at(one(text, at), problem))];
    }
    let mut out = Vec::new();
    match unreadable(text, &part.span) {
        Some(trouble) => out.push(Err(trouble)),
        None => {
            let (nodes, fault) = tree::parse(text, part.span.clone());
            out.extend(nodes.into_iter().map(Ok));
            if let Some(found) = fault.as_ref().and_then(|fault| template::before(text, &part.span, fault.span.start)) {
                let name = &text[found.clone()];
                let problem = Problem::read(Path::root(), fault.map_or_else(String::new, |fault| fault.message));
                let problem = problem.message(format!("`{name}` is a placeholder of a template, not YAML"));
                out.push(Err(Located::at(found.clone(), problem.help(template::render(name)))));
            } else if let Some(fault) = fault {
                let mut problem = Problem::read(Path::root(), fault.message);
                problem.help = fault.help;
                out.push(Err(Located::at(fault.span, problem)));
            }
        }
    }
    if let Some(span) = part.dropped.clone() {
        out.push(Err(dropped(text, span)));
    }
    out
}

/// Why a part of a text is not even looked at.
fn unreadable(text: &str, part: &Range<usize>) -> Option<Located> {
    if part.len() > documents::MAX_SIZE {
        let problem = Problem::read(Path::root(), "token too long")
            .message("this document is larger than 10 MB")
            .help("separate its resources with lines `---`");
        return Some(Located::at(part.start..part.start, problem));
    }
    let at = part.start + control(&text[part.clone()])?;
    let problem = Problem::read(Path::root(), "control characters are not allowed")
        .help("in double quotes, write it as an escape such as \\x1b");
    Some(Located::at(one(text, at), problem))
}

/// Text on a separator line is not read. A mapping there was surely meant to be.
fn dropped(text: &str, span: Range<usize>) -> Located {
    let message = "the text after `---` is ignored";
    let problem = if text[span.clone()].contains(':') {
        Problem::read(Path::root(), message).help("put it on a line of its own")
    } else {
        Problem::warning("text-after-separator", Path::root(), message)
    };
    Located::at(span, problem)
}

/// The first character that YAML does not allow.
fn control(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().find_map(|(at, byte)| {
        let bad = match byte {
            b' '..=b'~' | b'\t' | b'\n' | b'\r' => false,
            ..0x20 | 0x7F => true,
            0xC2 => bytes.get(at + 1).is_some_and(|next| *next < 0xA0 && *next != 0x85),
            0xEF => matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])),
            _ => false,
        };
        bad.then_some(at)
    })
}

fn one(text: &str, at: usize) -> Range<usize> {
    at..at + text[at..].chars().next().map_or(0, char::len_utf8)
}

/// The only document of a text, of any kind.
#[cfg(test)]
pub(crate) fn value(text: &str) -> serde_json::Value {
    let (nodes, fault) = tree::parse(text, 0..text.len());
    assert_eq!((nodes.len(), fault), (1, None), "{text:?}");
    nodes[0].to_json()
}

#[cfg(test)]
mod tests;
