//! Who we are for this call: `tortie`, or `calicoctl` when started under that name.
//!
//! One binary, two manners. What is done is the same; what is printed, how it ends and which store is meant when
//! nothing says so are the persona's.

use std::ffi::OsStr;
use std::path::Path;

/// The name we were started under, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persona {
    /// Ourselves.
    Tortie,
    /// `calicoctl`, also with a suffix such as `calicoctl-linux-amd64`.
    Calicoctl,
    /// `kubectl-calico`: calicoctl as a plugin of kubectl.
    KubectlPlugin,
}

impl Persona {
    /// The persona of a program started as `argv0`.
    pub(crate) fn of(argv0: &OsStr) -> Self {
        let file = Path::new(argv0).file_name().unwrap_or_default().to_string_lossy();
        if file.starts_with("kubectl-") {
            Self::KubectlPlugin
        } else if file.starts_with("calicoctl") {
            Self::Calicoctl
        } else {
            Self::Tortie
        }
    }

    /// The name in help and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tortie => "tortie",
            Self::Calicoctl => "calicoctl",
            Self::KubectlPlugin => "kubectl-calico",
        }
    }

    /// Whether messages, tables and exit codes are calicoctl's.
    pub(crate) fn is_calicoctl(self) -> bool {
        self != Self::Tortie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_decides() {
        for (argv0, persona) in [
            ("tortie", Persona::Tortie),
            ("/usr/local/bin/tortie", Persona::Tortie),
            ("/opt/calicoctl/tortie", Persona::Tortie),
            ("calicoctl", Persona::Calicoctl),
            ("./bin/calicoctl-linux-amd64", Persona::Calicoctl),
            ("/usr/bin/kubectl-calico", Persona::KubectlPlugin),
            ("", Persona::Tortie),
        ] {
            assert_eq!(Persona::of(OsStr::new(argv0)), persona, "{argv0}");
        }
    }
}
