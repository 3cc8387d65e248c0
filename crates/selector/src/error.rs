//! What is wrong with a selector, and where.

use std::borrow::Cow;
use std::ops::Range;

/// Why a text is not a selector.
///
/// ```
/// let error = tortie_selector::Selector::parse("role = 'db'").unwrap_err();
/// assert_eq!(error.to_string(), "`=` is not an operator");
/// assert_eq!(error.span(), 5..6);
/// assert_eq!(error.hint(), Some("did you mean `==`?"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    span: Range<usize>,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
}

impl ParseError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<Cow<'static, str>>) -> Self {
        ParseError { span, message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        ParseError { hint: Some(hint.into()), ..self }
    }

    /// The bytes of the text that are wrong; empty, at the text's end, if something is missing there. Always
    /// whole characters.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What to write instead, if that can be guessed.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
