//! What is wrong (or doubtful) about an object, and where in the object.
//!
//! A problem knows a [`Path`], not a file: the same validator serves files, the command line and stores. Whoever
//! has the text turns the path into line and column ([`crate::read`]).

use std::ops::Range;

use tortie_api::Path;
use tortie_api::names::workload::IdentifierError;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object is taken; the code names the kind (`unknown-profile`).
    Warning(&'static str),
}

/// Which of Calico's two layers of validation speaks; their texts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// While reading the text: syntax, unknown fields, wrong types.
    Read,
    /// Field tags and struct rules.
    Struct,
    /// The schema of the CRD and its rules.
    Schema,
}

/// One thing wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Which layer found it.
    pub layer: Layer,
    /// Where in the object.
    pub path: Path,
    /// Which bytes of the text at `path`, when only a part is wrong (a selector).
    pub span: Option<Range<usize>>,
    /// The name Calico's message gives the field: `InterfaceName`, `spec.ingress[0]`.
    pub field: String,
    /// The value as Calico's message shows it; the schema layer shows none.
    pub value: Option<String>,
    /// Calico's reason, word for word where scripts match on it.
    pub reason: String,
    /// What we say instead of `reason` where Calico's words do not help.
    pub message: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that belong to it, each with a word.
    pub also: Vec<(Path, String)>,
    /// How many steps of `path` lead to the value or record that was looked at: nothing outside of it is a reason.
    pub scope: usize,
}

impl Problem {
    /// An error of the struct layer.
    pub fn field(path: Path, field: impl Into<String>, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(Severity::Error, Layer::Struct, path, field.into(), Some(value.into()), reason.into())
    }

    /// An error of the schema layer, whose field name is the path.
    pub fn schema(path: Path, reason: impl Into<String>) -> Self {
        let field = path.to_string();
        Self::new(Severity::Error, Layer::Schema, path, field, None, reason.into())
    }

    /// An error of reading.
    pub fn read(path: Path, reason: impl Into<String>) -> Self {
        let field = path.to_string();
        Self::new(Severity::Error, Layer::Read, path, field, None, reason.into())
    }

    /// A warning.
    pub fn warning(code: &'static str, path: Path, message: impl Into<String>) -> Self {
        debug_assert!(crate::warnings::CODES.iter().any(|(known, _)| *known == code), "{code} is not listed");
        let field = path.to_string();
        Self::new(Severity::Warning(code), Layer::Struct, path, field, None, message.into())
    }

    fn new(severity: Severity, layer: Layer, path: Path, field: String, value: Option<String>, reason: String) -> Self {
        let (span, message, help, also) = (None, None, None, Vec::new());
        Self { severity, layer, path, span, field, value, reason, message, help, also, scope: 0 }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets tortie's own message; Calico's text stays in `reason`.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Narrows it to some bytes of the text at its path.
    #[must_use]
    pub fn span(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Whether this refuses the object.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// What to show a person.
    pub fn text(&self) -> &str {
        self.message.as_deref().unwrap_or(&self.reason)
    }
}

/// An endpoint cannot be named by its spec.
impl From<IdentifierError> for Problem {
    fn from(error: IdentifierError) -> Self {
        let (field, value) = (error.field(), error.value());
        let mut problem =
            Problem::field(Path::from("spec").key(field), field, value.unwrap_or_default(), error.to_string());
        if value.is_none() {
            problem.value = None;
        }
        match &error {
            IdentifierError::Edge { value, word, .. } => problem
                .message(format!("`{field}` is part of the endpoint's name and cannot {word} with `-`"))
                .help(format!("write `{}`", value.trim_matches('-'))),
            IdentifierError::Missing { orchestrator, .. } => {
                let problem = problem.message(format!("`{field}` is missing; it is part of the endpoint's name"));
                match (field, orchestrator.as_str()) {
                    ("workload", orchestrator) if !orchestrator.is_empty() => problem.help(format!(
                        "endpoints of the orchestrator `{orchestrator}` are named by node, orchestrator, workload and endpoint"
                    )),
                    (_, "k8s") => problem.help("endpoints of `k8s` are named by node, orchestrator, pod and endpoint"),
                    (_, "cni") => {
                        problem.help("endpoints of `cni` are named by node, orchestrator, containerID and endpoint")
                    }
                    _ => problem,
                }
            }
        }
    }
}
