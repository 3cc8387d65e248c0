//! What keeps an automatic host endpoint from being as it should.

use std::fmt;

/// Something that people have to mend, in their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What it is about: `KubeControllersConfiguration(default)`, `HostEndpoint(n1-auto-hep)`.
    pub about: String,
    /// What is wrong, what follows, and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.text)
    }
}
