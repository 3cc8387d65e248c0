//! What every command gets: the persona (`tortie` or `calicoctl`), the flags that all commands have, and the terminal.

use tortie_manifest::Problem;

use crate::args::{Files, Global};
use crate::calicoctl_messages;
use crate::input::{self, FileError, InputError, KubernetesKinds, Manifests};
use crate::persona::Persona;
use crate::problem_text;
use crate::terminal::Terminal;
use crate::workload_endpoint_name;

/// One call of the program.
pub(crate) struct Session {
    /// Who we are.
    pub(crate) persona: Persona,
    /// The flags that every command takes.
    pub(crate) global: Global,
    /// Where to print.
    pub(crate) terminal: Terminal,
}

impl Session {
    /// Reads the manifests of a command. None when they cannot be used; that has been said.
    pub(crate) fn manifests(&mut self, verb: &str, files: &Files) -> anyhow::Result<Option<Manifests>> {
        self.read_manifests(verb, files, KubernetesKinds::Refused)
    }

    /// Reads manifests, and leaves out what has mistakes in its text, which are printed. None if nothing is left.
    pub(crate) fn manifests_in_part(
        &mut self,
        verb: &str,
        files: &Files,
        kubernetes: KubernetesKinds,
    ) -> anyhow::Result<Option<Manifests>> {
        self.load(verb, files, kubernetes, |session, manifests| {
            let (count, faulty) = session.show_mistakes(&manifests);
            let kept = manifests.without(&faulty);
            let follows = match &kept {
                Some(_) => "apply would write nothing, and what follows is about the other objects alone",
                None => "there is no answer",
            };
            session.terminal.error(format_args!("{} in the manifests; {follows}", mistakes(count)));
            kept
        })
    }

    /// Reads the manifests of a preview, which also accepts Kubernetes' own kinds.
    pub(crate) fn manifests_of_preview(&mut self, verb: &str, files: &Files) -> anyhow::Result<Option<Manifests>> {
        self.read_manifests(verb, files, KubernetesKinds::Taken)
    }

    fn read_manifests(
        &mut self,
        verb: &str,
        files: &Files,
        kubernetes: KubernetesKinds,
    ) -> anyhow::Result<Option<Manifests>> {
        self.load(verb, files, kubernetes, |session, manifests| {
            session.mistakes(verb, &manifests);
            None
        })
    }

    /// Reads manifests. A file that cannot be read is told; `in_spite_of` tells mistakes and says what is left.
    fn load(
        &mut self,
        verb: &str,
        files: &Files,
        kubernetes: KubernetesKinds,
        in_spite_of: impl FnOnce(&mut Self, Manifests) -> Option<Manifests>,
    ) -> anyhow::Result<Option<Manifests>> {
        match input::load(files, kubernetes, self)? {
            Ok(manifests) => Ok(Some(manifests)),
            Err(InputError::File(error)) => {
                self.unread_file(verb, &error);
                Ok(None)
            }
            Err(InputError::Mistakes(manifests)) => Ok(in_spite_of(self, manifests)),
        }
    }

    fn unread_file(&mut self, verb: &str, error: &FileError) {
        if self.persona.is_calicoctl() {
            self.terminal.error(calicoctl_messages::no_file(verb, error));
            return;
        }
        match error {
            FileError::Unreadable { path, what } => self.terminal.error(format_args!("cannot open {path}: {what}")),
            FileError::Empty { name, .. } if name == "-" => {
                self.terminal.error("there is no object on standard input (--skip-empty accepts that)");
            }
            FileError::Empty { what: "file", name } => {
                self.terminal.error(format_args!("there is no object in {name} (--skip-empty accepts that)"));
            }
            FileError::Empty { name, .. } => self.terminal.error(format_args!(
                "there is no manifest (*.yaml, *.yml, *.json) in {name} (--skip-empty accepts that; -R looks deeper)"
            )),
        }
    }

    fn mistakes(&mut self, verb: &str, manifests: &Manifests) {
        let all = || manifests.items.iter().flat_map(|item| item.located.problems.iter().map(move |p| (item, p)));
        if self.persona.is_calicoctl()
            && let Some((item, first)) = all().find(|(_, problem)| problem.is_error())
        {
            let text = calicoctl_messages::bad_file(first, &item.located, manifests.source(item));
            self.terminal.error(text);
        }
        let (count, _) = self.show_mistakes(manifests);
        if !self.persona.is_calicoctl() {
            let nothing = match verb {
                "get" => "nothing was looked up",
                "validate" => "no object was validated",
                "delete" => "nothing was deleted",
                "create" | "apply" | "replace" => "nothing was written",
                _ => "there is no answer",
            };
            self.terminal.error(format_args!("{} in the manifests; {nothing}", mistakes(count)));
        }
    }

    /// Prints the mistakes of manifests with what validation finds. Returns how many there are, and which items have some.
    fn show_mistakes(&mut self, manifests: &Manifests) -> (usize, Vec<bool>) {
        let mut count = 0;
        let mut faulty = Vec::with_capacity(manifests.items.len());
        for item in &manifests.items {
            let mut problems = item.located.problems.clone();
            // What validation finds is shown as well, so that all can be mended at once.
            let partial = item.located.partial.as_ref();
            if let Some(object) = item.located.object.as_ref().or(partial.map(|partial| &partial.object)) {
                let mut found = tortie_manifest::validate::validate(&workload_endpoint_name::filled(object.clone()));
                found.retain(|problem| problem.is_error() && !partial.is_some_and(|one| one.explains(problem)));
                problems.append(&mut found);
            }
            faulty.push(problems.iter().any(Problem::is_error));
            count += problem_text::show_all(&problems, manifests, item, &mut self.terminal);
        }
        (count, faulty)
    }
}

fn mistakes(count: usize) -> String {
    if count == 1 { "a mistake".to_owned() } else { format!("{count} mistakes") }
}
