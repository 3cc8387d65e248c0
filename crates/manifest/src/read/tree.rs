//! From text to [`Node`]s, through the events of `saphyr-parser`. This is the only file that knows that library.
//!
//! Aliases become copies of what they name, and merges (`<<`) the entries they bring, both within limits: a few lines
//! of YAML can otherwise stand for more than fits into memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::node::{Entry, Node, Value};
use super::scalar;
use super::syntax;

/// How deep lists and maps may stand in each other. JSON readers stop soon after.
pub(crate) const MAX_DEPTH: usize = 100;
/// How many values aliases and merges of one text may add.
const MAX_COPIES: usize = 200_000;

/// Why a text is no YAML, or none that can be a resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// The bytes at fault.
    pub(crate) span: Range<usize>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

/// How many tabs behind a colon are made good in one text.
const MAX_TABS: usize = 100;

/// All documents of a part of a text; after a fault there are no more of that part.
pub(crate) fn parse(text: &str, part: Range<usize>) -> (Vec<Node>, Option<Fault>) {
    // The parser refuses a tab between a colon and a value, where YAML allows one. A blank takes its place then, which
    // moves nothing.
    let mut spaced = Cow::Borrowed(text);
    for _ in 0..MAX_TABS {
        match attempt(&spaced, part.clone()) {
            Err(tab) => spaced.to_mut().replace_range(tab..tab + 1, " "),
            Ok(result) => return result,
        }
    }
    let fault =
        Fault { span: part.start..part.start, message: "too many tabs stand behind colons".to_owned(), help: None };
    (Vec::new(), Some(fault))
}

/// One attempt; an error is the place of a tab that the parser should not have minded.
fn attempt(text: &str, part: Range<usize>) -> std::result::Result<(Vec<Node>, Option<Fault>), usize> {
    let mut documents = Vec::new();
    let offsets = Offsets::new(&text[part.clone()]);
    let mut first = 0;
    loop {
        let mut builder = Builder::new(text, part.clone(), &offsets, first);
        let before = documents.len();
        let Err(fault) = builder.documents(&mut documents) else { return Ok((documents, None)) };
        if let Some(tab) = builder.tab {
            return Err(tab);
        }
        // JSON objects one after the other, which YAML does not have but people do.
        let flow = |at: usize| text.as_bytes().get(at).is_some_and(|byte| matches!(byte, b'{' | b'['));
        let stopped = builder.stopped.max(first);
        let at = builder.byte(stopped);
        let Some(last) = documents[before..].last() else { return Ok((documents, Some(fault))) };
        if !(stopped > first && flow(at) && flow(last.span.start) && last.span.end <= at) {
            return Ok((documents, Some(fault)));
        }
        first = stopped;
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    part: Range<usize>,
    offsets: &'a Offsets,
    /// How many characters of the part stand before what the parser sees.
    first: usize,
    /// The character of the part at which the parser gave up.
    stopped: usize,
    /// A tab behind a colon at which it gave up.
    tab: Option<usize>,
    /// Where the event before the last one ended, and where the last one did.
    previous: usize,
    end: usize,
    anchors: HashMap<usize, Anchor>,
    copies: usize,
}

struct Anchor {
    node: Node,
    height: usize,
    size: usize,
}

/// A node with how deep it is and how many values it has, itself included.
struct Built {
    node: Node,
    height: usize,
    size: usize,
}

type Result<T> = std::result::Result<T, Fault>;

impl<'a> Builder<'a> {
    fn new(text: &'a str, part: Range<usize>, offsets: &'a Offsets, first: usize) -> Self {
        let start = part.start + offsets.byte(&text[part.clone()], first);
        Self {
            parser: Parser::new_from_str(&text[start..part.end]),
            text,
            part,
            offsets,
            first,
            stopped: first,
            tab: None,
            previous: start,
            end: start,
            anchors: HashMap::new(),
            copies: 0,
        }
    }

    /// The byte of a character of the part.
    fn byte(&self, char: usize) -> usize {
        self.part.start + self.offsets.byte(&self.text[self.part.clone()], char)
    }

    fn documents(&mut self, documents: &mut Vec<Node>) -> Result<()> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) => self.anchors.clear(),
                event => documents.push(self.node(event, span, 0)?.node),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Range<usize>)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let start = self.byte(self.first + span.start.index());
                let end = self.byte(self.first + span.end.index());
                self.previous = std::mem::replace(&mut self.end, end.max(start));
                Ok((event, start..end.max(start)))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, self.part.end..self.part.end)),
        }
    }

    fn syntax(&mut self, error: &ScanError) -> Fault {
        self.stopped = self.first + error.marker().index();
        let at = self.byte(self.stopped);
        if error.info().starts_with("':' must be followed") {
            let before = self.text[self.part.start..at].trim_end_matches([' ', '\t']);
            let tab = self.part.start + before.len();
            self.tab = Some(tab).filter(|tab| self.text[*tab..].starts_with('\t'));
        }
        syntax::explain(self.text, &self.part, at, error.info())
    }

    fn node(&mut self, event: Event<'a>, span: Range<usize>, depth: usize) -> Result<Built> {
        if depth >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        let (anchor, built) = match event {
            Event::Alias(id) => return self.alias(id, &span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let text = if block { self.block_text(text, &span) } else { text };
                let value = scalar(text, style, tag.as_deref(), &span)?;
                let span = if block { self.block(span) } else { span };
                (anchor, Built { node: Node { value, span }, height: 1, size: 1 })
            }
            Event::SequenceStart(anchor, tag) => {
                known_tag(tag.as_deref(), &span)?;
                let span = self.dash(span);
                (anchor, self.list(span, depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                known_tag(tag.as_deref(), &span)?;
                (anchor, self.map(span, depth)?)
            }
            _ => return Err(Fault { span, message: "a value is missing here".to_owned(), help: None }),
        };
        if anchor > 0 {
            self.copy(&built.node.span, built.size)?;
            let anchored = Anchor { node: built.node.clone(), height: built.height, size: built.size };
            self.anchors.insert(anchor, anchored);
        }
        Ok(built)
    }

    /// The bytes of a block scalar. For the parser they begin behind its `|` and end where the next line begins.
    fn block(&self, span: Range<usize>) -> Range<usize> {
        let before = &self.text[self.previous.min(span.start)..span.start];
        let start = before.find(['|', '>']).map_or(span.start, |sign| span.start - before.len() + sign);
        start..start + self.text[start..span.end].trim_end_matches(['\n', '\r', ' ']).len()
    }

    /// The text of a block scalar. The last line has a line break only if the text has one, which before a separator
    /// does not: it belongs to the separator.
    fn block_text<'t>(&self, text: Cow<'t, str>, span: &Range<usize>) -> Cow<'t, str> {
        let unfinished = span.end >= self.part.end && !self.text[self.part.clone()].ends_with(['\n', '\r']);
        match text.strip_suffix('\n').filter(|_| unfinished) {
            Some(rest) => Cow::Owned(rest.to_owned()),
            None => text,
        }
    }

    /// The bytes of a list's beginning; of a list not indented the parser leaves out the first `-`.
    fn dash(&self, span: Range<usize>) -> Range<usize> {
        let before = &self.text[self.previous.min(span.start)..span.start];
        let start = before.trim_end().ends_with('-').then(|| self.previous + before.trim_end().len() - 1);
        start.unwrap_or(span.start)..span.end
    }

    fn list(&mut self, start: Range<usize>, depth: usize) -> Result<Built> {
        let mut items = Vec::with_capacity(4);
        let (mut height, mut size, mut end) = (0, 1, start.end);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let span = start.start..self.close(b']', end, span);
                return Ok(Built { node: Node { value: Value::List(items), span }, height: height + 1, size });
            }
            let item = self.node(event, span, depth + 1)?;
            height = height.max(item.height);
            size += item.size;
            end = end.max(item.node.span.end);
            items.push(item.node);
        }
    }

    fn map(&mut self, start: Range<usize>, depth: usize) -> Result<Built> {
        let mut entries = Vec::with_capacity(4);
        let (mut height, mut size, mut end) = (0, 1, start.end);
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let span = start.start..self.close(b'}', end, span);
                return Ok(Built { node: Node { value: Value::Map(entries), span }, height: height + 1, size });
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<")
                || matches!(&event, Event::Scalar(_, _, _, Some(tag)) if tag_name(tag) == "tag:yaml.org,2002:merge");
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value_is_alias = matches!(event, Event::Alias(_));
            let value = self.node(event, span, depth + 1)?;
            height = height.max(value.height);
            size += value.size + 1;
            if !value_is_alias {
                end = end.max(value.node.span.end);
            }
            end = end.max(key.node.span.end);
            if merge {
                self.merge(&key.node.span, value.node, &mut entries)?;
            } else {
                let key_span = key.node.span.clone();
                entries.push(Entry {
                    key: key_text(key.node)?,
                    key_span,
                    faulty: false,
                    merged: false,
                    value: value.node,
                });
            }
        }
    }

    /// Where a collection ends: at its bracket, or with its last value.
    fn close(&self, bracket: u8, end: usize, event: Range<usize>) -> usize {
        let bracketed = event.end > event.start && self.text.as_bytes().get(event.end - 1) == Some(&bracket);
        if bracketed { event.end } else { end }
    }

    fn alias(&mut self, id: usize, span: &Range<usize>, depth: usize) -> Result<Built> {
        let Some(anchor) = self.anchors.get(&id) else {
            let name = self.text[span.clone()].trim_start_matches('*').to_owned();
            let message = format!("`*{name}` stands for nothing here, or for a value that contains it");
            let help = Some(format!("give the value before, as `&{name} ...`, in the same document"));
            return Err(Fault { span: span.clone(), message, help });
        };
        let (height, size) = (anchor.height, anchor.size);
        if depth + height > MAX_DEPTH {
            return Err(too_deep(span.clone()));
        }
        let node = anchor.node.clone();
        self.copy(span, size)?;
        Ok(Built { node, height, size })
    }

    fn copy(&mut self, span: &Range<usize>, size: usize) -> Result<()> {
        self.copies += size;
        if self.copies > MAX_COPIES {
            let message = "the document grows too large through its aliases (`*name`)".to_owned();
            return Err(Fault { span: span.clone(), message, help: None });
        }
        Ok(())
    }

    fn merge(&mut self, span: &Range<usize>, value: Node, entries: &mut Vec<Entry>) -> Result<()> {
        match value.value {
            Value::Map(more) => entries.extend(merged(more)),
            // Of several, the last is taken in first.
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                for item in items.into_iter().rev() {
                    if let Value::Map(more) = item.value {
                        entries.extend(merged(more));
                    }
                }
            }
            _ => {
                let message = "`<<` takes a map or a list of maps".to_owned();
                return Err(Fault { span: span.clone(), message, help: None });
            }
        }
        Ok(())
    }
}

fn merged(entries: Vec<Entry>) -> impl Iterator<Item = Entry> {
    entries.into_iter().map(|entry| Entry { merged: true, ..entry })
}

fn too_deep(span: Range<usize>) -> Fault {
    Fault { span, message: format!("lists and maps stand in each other more than {MAX_DEPTH} deep"), help: None }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, span: &Range<usize>) -> Result<Value> {
    if let Some(tag) = known_tag(tag, span)? {
        return scalar::resolve_tagged(&tag, &text).map_err(|message| Fault {
            span: span.clone(),
            message,
            help: None,
        });
    }
    if style == ScalarStyle::Plain { Ok(scalar::resolve(text)) } else { Ok(Value::Text(text.into_owned())) }
}

fn tag_name(tag: &Tag) -> String {
    format!("{}{}", tag.handle, tag.suffix)
}

/// The name of a tag, if there is one. Only YAML's own are taken: `!has(role)` without quotes is a tag too, on an
/// empty text, and a selector that selects everything is the last thing its author wants.
fn known_tag(tag: Option<&Tag>, span: &Range<usize>) -> Result<Option<String>> {
    let Some(name) = tag.map(tag_name) else { return Ok(None) };
    if name.starts_with(scalar::TAGS) {
        return Ok(Some(name));
    }
    let message =
        format!("without quotes, YAML takes `{}` for a tag, not for text", if name == "!" { "!" } else { &name });
    Err(Fault { span: span.clone(), message, help: Some("put the whole value in quotes".to_owned()) })
}

/// A key as text, as in JSON. Null and collections cannot be keys.
fn key_text(key: Node) -> Result<String> {
    Ok(match key.value {
        Value::Text(text) => text,
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Big(value) => value.to_string(),
        Value::Float(value) if value.is_finite() => scalar::float32_text(value),
        Value::Float(value) => if value.is_nan() {
            ".nan"
        } else if value > 0.0 {
            ".inf"
        } else {
            "-.inf"
        }
        .to_owned(),
        Value::Null => return Err(bad_key(key.span, "a key is missing before the `:`")),
        Value::List(_) | Value::Map(_) => return Err(bad_key(key.span, "a list or a map cannot be a key")),
    })
}

fn bad_key(span: Range<usize>, message: &str) -> Fault {
    Fault { span, message: message.to_owned(), help: None }
}

/// From the parser's count of characters to bytes.
enum Offsets {
    /// They are the same.
    Ascii,
    /// The byte of every 64th character.
    Marks(Vec<usize>),
}

const STRIDE: usize = 64;

impl Offsets {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        Self::Marks(text.char_indices().step_by(STRIDE).map(|(at, _)| at).collect())
    }

    fn byte(&self, text: &str, index: usize) -> usize {
        match self {
            Self::Ascii => index.min(text.len()),
            Self::Marks(marks) => match marks.get(index / STRIDE) {
                Some(mark) => text[*mark..].char_indices().nth(index % STRIDE).map_or(text.len(), |(at, _)| mark + at),
                None => text.len(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
