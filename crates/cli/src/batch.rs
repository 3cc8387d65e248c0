//! What `delete` and the commands that write manifests share about batches of objects: how the objects depend on each other, which
//! object is given twice, and the last line of a call that wrote nothing or not everything.

use tortie_api::{Key, Path};
use tortie_client::{BatchMode, ClientError, Extent};
use tortie_manifest::Problem;
use tortie_manifest::diagnostic;

use crate::input::{Item, Manifests};
use crate::persona::Persona;
use crate::problem_text;
use crate::session::Session;

/// How the objects of this call depend on each other.
pub(crate) fn batch_mode(session: &Session, keep_going: bool) -> BatchMode {
    match (session.persona.is_calicoctl(), keep_going) {
        (true, _) => BatchMode::Calico,
        (false, true) => BatchMode::KeepGoing,
        (false, false) => BatchMode::AllOrNothing,
    }
}

/// The problems of an object; `other` finds the manifest of another object of the batch.
pub(crate) fn problems<'a>(
    error: &ClientError,
    key: &Key,
    manifests: &Manifests,
    other: impl Fn(usize) -> Option<&'a Item>,
) -> Vec<Problem> {
    match error {
        ClientError::Twice { other: at, .. } => vec![twice(key, other(*at), manifests)],
        ClientError::Unfinished { .. } => Vec::new(),
        error => problem_text::problems(error, key),
    }
}

/// The problem that another manifest describes the same object.
pub(crate) fn twice(key: &Key, other: Option<&Item>, manifests: &Manifests) -> Problem {
    let at = Path::from("metadata.name");
    let problem = Problem::read(at.clone(), format!("{key} is given twice"));
    match other {
        None => problem.message(format!("{} is named twice", key.as_argument())),
        Some(item) => {
            let place = Problem::read(at, String::new());
            let place = diagnostic::problem_place(&place, &item.located, manifests.source(item));
            problem
                .message(format!("{} is described twice, here and at {place}", key.as_argument()))
                .help("keep one of the two")
        }
    }
}

/// Prints why an object without a problem of its own was not done. An error of the store is printed once.
pub(crate) fn say(key: &Key, extent: Extent, kept: &KeptBack, said: &mut Vec<String>, session: &mut Session) {
    if let KeptBack::Store(text) = kept
        && !said.contains(text)
    {
        session.terminal.error(text);
        said.push(text.clone());
    }
    if extent == Extent::Part {
        let was = if *kept == KeptBack::Unreached { "was not reached" } else { "was perhaps not reached" };
        session.terminal.error(format_args!("{} {was}", key.as_argument()));
    }
}

/// Why an object without a problem of its own was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeptBack {
    /// The store failed with this error.
    Store(String),
    /// The store stopped before this object.
    Unreached,
}

impl KeptBack {
    /// The reason in an error that is not about the object itself.
    pub(crate) fn of(error: &ClientError) -> Option<Self> {
        match error {
            ClientError::Store(error) => Some(Self::Store(error.to_string())),
            ClientError::Unfinished { .. } => Some(Self::Unreached),
            _ => None,
        }
    }
}

/// The outcome of a batch.
pub(crate) struct Count {
    pub(crate) total: usize,
    pub(crate) failed: usize,
    /// The participle for a message: `written`, `deleted`.
    pub(crate) past: &'static str,
    /// The verb for a message: `writes`, `deletes`.
    pub(crate) does: &'static str,
    pub(crate) dry_run: bool,
    /// The flag that makes the command do what can be done, if it has one.
    pub(crate) flag: Option<&'static str>,
    /// The flag with which the same command finishes after only some transactions were made.
    pub(crate) again: Option<&'static str>,
}

impl Count {
    /// The last line of a call that did not do everything.
    pub(crate) fn last_line(&self, extent: Extent, persona: Persona) -> Option<String> {
        let Self { total, failed, past, does, flag, .. } = self;
        let was = if self.dry_run { "would be" } else { "was" };
        match extent {
            Extent::Part => {
                let done = total - failed;
                let finish = command(persona, self.again);
                Some(format!("{done} of {total} objects were {past}; this finishes the rest: {finish}"))
            }
            _ if *total == 1 || *failed == 0 => None,
            Extent::Each => {
                let were = if *failed == 1 { "was" } else { "were" };
                Some(format!("{failed} of {total} objects {were} not {past}"))
            }
            Extent::Nothing if failed == total => Some(format!("nothing {was} {past}")),
            Extent::Nothing => {
                let of = if *failed == 1 { "one".to_owned() } else { failed.to_string() };
                let way = flag.map(|flag| format!("; {flag} {does} what can be {past}")).unwrap_or_default();
                Some(format!("nothing {was} {past}, because of {of} of {total} objects{way}"))
            }
        }
    }
}

/// The command line of this call, with another flag.
pub(crate) fn command(persona: Persona, flag: Option<&str>) -> String {
    let mut words = vec![persona.name().to_owned()];
    words.extend(std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy())));
    if let Some(flag) = flag.filter(|flag| !words.iter().any(|word| word == flag)) {
        words.push(flag.to_owned());
    }
    words.join(" ")
}

/// A word, quoted for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(total: usize, failed: usize) -> Count {
        Count {
            total,
            failed,
            past: "written",
            does: "writes",
            dry_run: false,
            flag: Some("--keep-going"),
            again: Some("--skip-exists"),
        }
    }

    #[test]
    fn the_last_line_says_what_was_done_and_what_helps() {
        let line = |given: Count, extent| given.last_line(extent, Persona::Tortie).unwrap_or_default();
        assert_eq!(
            line(count(3, 1), Extent::Nothing),
            "nothing was written, because of one of 3 objects; --keep-going writes what can be written"
        );
        assert_eq!(
            line(Count { dry_run: true, ..count(3, 2) }, Extent::Nothing),
            "nothing would be written, because of 2 of 3 objects; --keep-going writes what can be written"
        );
        assert_eq!(
            line(Count { flag: None, ..count(3, 1) }, Extent::Nothing),
            "nothing was written, because of one of 3 objects"
        );
        assert_eq!(line(count(2, 2), Extent::Nothing), "nothing was written");
        assert_eq!(line(count(1, 1), Extent::Nothing), "");
        assert_eq!(line(count(3, 2), Extent::Each), "2 of 3 objects were not written");
        let part = line(count(300, 100), Extent::Part);
        assert!(part.starts_with("200 of 300 objects were written; this finishes the rest: tortie "), "{part}");
        assert!(part.ends_with(" --skip-exists"), "{part}");
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_change_it() {
        assert_eq!(quoted("a/b-c.yaml"), "a/b-c.yaml");
        assert_eq!(quoted("my file's"), r"'my file'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
