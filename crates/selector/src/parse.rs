//! From text to terms.
//!
//! The grammar needs no look-back but one: that `a && b` is a connective shows only after `a`. So a place is
//! kept for an "or" and an "and" at the start of every parenthesis, each counts its operands, and those that end
//! with a single one are left out when the selector is built. Open parentheses are a list, not a call stack.

use crate::build::Builder;
use crate::diagnose as wrong;
use crate::error::ParseError;
use crate::lexer::Lexer;
use crate::node::{Kind, index};
use crate::{MAX_LABEL_LENGTH, MAX_LENGTH};

/// Reads a selector and builds its canonical text and nodes.
pub(crate) fn parse(text: &str) -> Result<Builder<'static>, ParseError> {
    if text.len() > MAX_LENGTH {
        return Err(wrong::too_long(text));
    }
    let mut lexer = Lexer { text, at: 0 };
    if lexer.peek().is_none() {
        let mut builder = Builder::new("", 5, 1);
        builder.call(Kind::All, "");
        return Ok(builder);
    }
    let mut parser = Parser { lexer, terms: Vec::with_capacity(16), values: Vec::new() };
    parser.run()?;
    Ok(parser.build())
}

/// One term, in the order of the text.
enum Term<'a> {
    /// A negation, or a place for a connective with the operands it has so far.
    Group(Kind, u32),
    /// A call or a comparison; a call has no value.
    Test(Kind, &'a str, &'a str),
    /// A membership: the range of its values in the list of values.
    Set(Kind, &'a str, usize, usize),
}

/// Where the places of an open parenthesis (or of the whole) are among the terms.
struct Open {
    or: usize,
    and: usize,
    /// The offset of the parenthesis.
    at: usize,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    terms: Vec<Term<'a>>,
    values: Vec<&'a str>,
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), ParseError> {
        let text = self.lexer.text;
        let mut outer: Vec<Open> = Vec::new();
        let mut inner = self.open(0);
        loop {
            // A condition is due.
            let mut negated = false;
            while self.lexer.eat("!") {
                negated = !negated;
            }
            if negated {
                self.terms.push(Term::Group(Kind::Not, 1));
            }
            if self.lexer.peek() == Some(b'(') {
                let opened = self.open(self.lexer.at);
                outer.push(std::mem::replace(&mut inner, opened));
                self.lexer.at += 1;
                continue;
            }
            self.condition()?;
            // A condition has ended; so may parentheses, each of which ends one in turn.
            loop {
                let Some(next) = self.lexer.peek() else {
                    return if outer.is_empty() { Ok(()) } else { Err(wrong::unclosed(inner.at)) };
                };
                if next == b')'
                    && let Some(around) = outer.pop()
                {
                    self.lexer.at += 1;
                    inner = around;
                } else if self.lexer.eat("&&") {
                    self.count(inner.and);
                    break;
                } else if self.lexer.eat("||") {
                    self.count(inner.or);
                    inner.and = self.place(Kind::And);
                    break;
                } else {
                    return Err(wrong::connective(text, self.lexer.at));
                }
            }
        }
    }

    fn open(&mut self, at: usize) -> Open {
        Open { or: self.place(Kind::Or), and: self.place(Kind::And), at }
    }

    fn place(&mut self, kind: Kind) -> usize {
        self.terms.push(Term::Group(kind, 1));
        self.terms.len() - 1
    }

    fn count(&mut self, place: usize) {
        if let Term::Group(_, operands) = &mut self.terms[place] {
            *operands += 1;
        }
    }

    /// A call or a comparison.
    fn condition(&mut self) -> Result<(), ParseError> {
        let lexer = &mut self.lexer;
        let text = lexer.text;
        lexer.peek();
        let start = lexer.at;
        for (call, kind) in [("has(", Kind::Has), ("all(", Kind::All), ("global(", Kind::Global)] {
            if lexer.eat_attached(call) {
                let label = if kind == Kind::Has { name(lexer)? } else { "" };
                if !lexer.eat(")") {
                    return Err(wrong::call(text, start, lexer.at));
                }
                self.terms.push(Term::Test(kind, label, ""));
                return Ok(());
            }
        }
        let label = name(lexer)?;
        let Some(kind) = lexer.operator() else {
            return Err(wrong::operator(text, label, lexer.at));
        };
        if matches!(kind, Kind::In | Kind::NotIn) {
            return self.set(kind, label);
        }
        let value = lexer.value().ok_or_else(|| wrong::value(text, lexer.at))?;
        self.terms.push(Term::Test(kind, label, value));
        Ok(())
    }

    /// The braces of `in` and `not in`; a comma may come after the last value.
    fn set(&mut self, kind: Kind, label: &'a str) -> Result<(), ParseError> {
        let lexer = &mut self.lexer;
        let first = self.values.len();
        if !lexer.eat("{") {
            return Err(wrong::set(lexer.text, lexer.at));
        }
        let open = lexer.at - 1;
        while !lexer.eat("}") {
            let value = lexer.value().ok_or_else(|| wrong::member(lexer.text, open, lexer.at))?;
            self.values.push(value);
            if !lexer.eat(",") && lexer.peek() != Some(b'}') {
                return Err(wrong::member(lexer.text, open, lexer.at));
            }
        }
        self.values[first..].sort_unstable();
        self.terms.push(Term::Set(kind, label, first, self.values.len()));
        Ok(())
    }

    fn build(self) -> Builder<'static> {
        let length = self.lexer.text.len();
        let mut builder = Builder::new("", length + length / 4 + 8, self.terms.len());
        for term in &self.terms {
            match *term {
                Term::Group(Kind::And | Kind::Or, 1) => {}
                Term::Group(kind, operands) => builder.group(kind, operands),
                Term::Test(kind @ (Kind::Has | Kind::All | Kind::Global), label, _) => builder.call(kind, label),
                Term::Test(kind, label, value) => builder.comparison(kind, label, value),
                Term::Set(kind, label, first, last) => {
                    builder.membership(kind, label, self.values[first..last].iter().copied());
                }
            }
        }
        debug_assert!(builder.nodes.first().is_some_and(|root| root.end == index(builder.nodes.len())));
        builder
    }
}

fn name<'a>(lexer: &mut Lexer<'a>) -> Result<&'a str, ParseError> {
    let name = lexer.name();
    match name.len() {
        0 => Err(wrong::condition(lexer.text, lexer.at)),
        1..=MAX_LABEL_LENGTH => Ok(name),
        _ => Err(wrong::long_label(lexer.at - name.len()..lexer.at)),
    }
}
