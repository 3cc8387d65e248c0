//! Manifests: from `-f` to objects with their places.
//!
//! Everything is read before anything is done. A mistake in the text of any file (syntax, unknown fields, wrong
//! types) ends the command there; all of them are reported.

mod files;

use std::collections::BTreeMap;

use tortie_api::{API_VERSION, Kind, Object, Path};
use tortie_manifest::read::{Located, Source, is_of_another_kind_of_kubernetes, read_part};
use tortie_manifest::{Problem, diagnostic};
use tortie_store_kube::convert::manifest::{reference, strictly};

use crate::args::Files;
use crate::problem_text;
use crate::session::Session;
use crate::terminal::Usage;

/// What the files hold.
#[derive(Default)]
pub(crate) struct Manifests {
    /// The files.
    pub(crate) sources: Vec<Source>,
    /// The objects, in the order in which they are written.
    pub(crate) items: Vec<Item>,
    /// Manifests of Kubernetes' own kinds, where they are asked for.
    pub(crate) kubernetes: Vec<serde_json::Value>,
    /// What they name, and where.
    kubernetes_places: BTreeMap<String, String>,
    /// Something was warned of that belongs to no object.
    pub(crate) has_remarks: bool,
    /// What was left out because of mistakes in its text.
    pub(crate) refused: Vec<String>,
}

/// What becomes of manifests of Kubernetes' own kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KubernetesKinds {
    /// They are mistakes: nobody writes them here.
    Refused,
    /// They are taken for a preview.
    Taken,
}

/// One object of a file.
pub(crate) struct Item {
    /// The file.
    pub(crate) source: usize,
    /// The object and its places.
    pub(crate) located: Located,
}

impl Manifests {
    /// Keeps a manifest of one of Kubernetes' own kinds, or what is wrong with it.
    fn take_kubernetes(&mut self, manifest: serde_json::Value, mut item: Item) {
        if let Some(name) = reference(&manifest, "").map(|name| name.to_string())
            && !item.located.problems.iter().any(Problem::is_error)
        {
            let at = Path::from("metadata.name");
            let place = diagnostic::problem_place(&Problem::read(at.clone(), ""), &item.located, self.source(&item));
            if let Some(first) = self.kubernetes_places.get(&name) {
                let message = format!("{name} is described twice, here and at {first}");
                item.located.problems.push(Problem::read(at, message).help("keep one of the two"));
            }
            self.kubernetes_places.insert(name, place);
        }
        if !item.located.problems.iter().any(Problem::is_error) {
            self.kubernetes.push(manifest);
        }
        if !item.located.problems.is_empty() {
            self.items.push(item);
        }
    }

    /// Leaves out the items that are faulty; none if nothing is left.
    pub(crate) fn without(mut self, faulty: &[bool]) -> Option<Self> {
        let mut kept = Vec::new();
        for (item, is_faulty) in self.items.into_iter().zip(faulty) {
            match (is_faulty, item.located.about.is_empty()) {
                (true, true) => self.refused.push(self.sources[item.source].name.clone()),
                (true, false) => self.refused.push(item.located.about),
                // What is no object is a remark about the text, which was printed.
                (false, _) => kept.extend(item.located.object.is_some().then_some(item)),
            }
        }
        self.items = kept;
        (!self.items.is_empty() || !self.kubernetes.is_empty()).then_some(self)
    }

    /// The file of an object.
    pub(crate) fn source(&self, item: &Item) -> &Source {
        &self.sources[item.source]
    }
}

impl Item {
    /// The object; reading has made sure that there is one.
    pub(crate) fn object(&self) -> &Object {
        self.located.object.as_ref().expect("an item without an object is a mistake that ends the command")
    }
}

/// Why there is nothing to work on.
pub(crate) enum InputError {
    /// A file cannot be read, or holds nothing.
    File(FileError),
    /// The files hold mistakes; here they are, with the objects that could be read.
    Mistakes(Manifests),
}

/// What is wrong with a file as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be opened or read. The text is Go's, which scripts know: `open x: no such file or directory`.
    #[error("open {path}: {what}")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why not.
        what: String,
    },
    /// There is nothing in it.
    #[error("no resources specified in {what} {name}")]
    Empty {
        /// `file` or `directory`.
        what: &'static str,
        /// Its name as it was given.
        name: String,
    },
}

/// The text of a file, or with `-` of standard input.
pub(crate) fn text(name: &str) -> std::io::Result<String> {
    match name {
        "-" => std::io::read_to_string(std::io::stdin().lock()),
        name => std::fs::read_to_string(name),
    }
}

/// The manifests that a folder gives; none where it is no folder or cannot be read.
pub(crate) fn manifests_in(folder: &str, recursive: bool) -> Vec<String> {
    if !std::path::Path::new(folder).is_dir() {
        return Vec::new();
    }
    files::find(folder, recursive).map(|found| found.paths).unwrap_or_default()
}

/// Reads all files. No items at all only with `--skip-empty`.
pub(crate) fn load(
    files: &Files,
    kubernetes: KubernetesKinds,
    session: &mut Session,
) -> anyhow::Result<Result<Manifests, InputError>> {
    if files.filename.iter().filter(|name| *name == "-").count() > 1 {
        return Err(Usage("standard input (-f -) can be read only once".to_owned()).into());
    }
    let mut manifests = Manifests::default();
    // What policies do not look at.
    let mut left_out = Vec::new();
    for name in &files.filename {
        let found = match files::find(name, files.recursive) {
            Ok(found) => found,
            Err(error) => return Ok(Err(InputError::File(error))),
        };
        if found.paths.is_empty() && !files.skip_empty {
            return Ok(Err(InputError::File(FileError::Empty { what: "directory", name: name.clone() })));
        }
        for path in found.paths {
            let source = match files::read(&path) {
                Ok(source) => source,
                Err(error) => return Ok(Err(InputError::File(error))),
            };
            let located = read(&source);
            if located.is_empty() && !files.skip_empty {
                return Ok(Err(InputError::File(FileError::Empty { what: "file", name: path })));
            }
            let source_at = manifests.sources.len();
            if source_at > 0 && source_at % 100 == 0 {
                session.terminal.status(format_args!("reading: {source_at} files, {} objects", manifests.items.len()));
            }
            manifests.sources.push(source);
            for mut located in located {
                if kubernetes == KubernetesKinds::Taken
                    && located.object.is_none()
                    && let Some(manifest) = strictly(&mut located, &manifests.sources[source_at])
                {
                    manifests.take_kubernetes(manifest, Item { source: source_at, located });
                    continue;
                }
                if kubernetes == KubernetesKinds::Taken && is_of_another_kind_of_kubernetes(&located) {
                    left_out.push(Item { source: source_at, located });
                    continue;
                }
                if session.persona.is_calicoctl() {
                    known_to_calicoctl(&mut located);
                }
                manifests.items.push(Item { source: source_at, located });
            }
        }
    }
    if manifests.items.is_empty() && manifests.kubernetes.is_empty() {
        // Nothing is left to preview, so these are mistakes.
        manifests.items.append(&mut left_out);
    }
    for item in &left_out {
        session
            .terminal
            .note(format_args!("left out of the preview: {}: no policy looks at this kind", item.located.about));
    }
    if manifests.items.iter().any(|item| item.located.problems.iter().any(Problem::is_error)) {
        return Ok(Err(InputError::Mistakes(manifests)));
    }
    // What is no object by now is only a remark about the text.
    let (items, remarks) = manifests.items.into_iter().partition(|item| item.located.object.is_some());
    let remarks: Vec<Item> = remarks;
    let manifests = Manifests { items, has_remarks: !remarks.is_empty(), ..manifests };
    for item in &remarks {
        problem_text::show_all(&item.located.problems, &manifests, item, &mut session.terminal);
    }
    Ok(Ok(manifests))
}

/// The objects of a text, with all that is wrong with them.
pub(crate) fn of_text(name: &str, text: &str) -> Manifests {
    let source = Source::new(name, text);
    let items = read(&source).into_iter().map(|located| Item { source: 0, located }).collect();
    Manifests { sources: vec![source], items, ..Manifests::default() }
}

/// Reads everything in a file.
fn read(source: &Source) -> Vec<Located> {
    let parts = tortie_manifest::read::parts(source);
    tortie_parallel::map(&parts, |part| read_part(source, part)).into_iter().flatten().collect()
}

/// Two kinds have no commands in calicoctl.
fn known_to_calicoctl(located: &mut Located) {
    let Some(kind) = located.object.as_ref().map(|object| object.kind) else { return };
    if matches!(kind, Kind::LiveMigration | Kind::BlockAffinity) {
        let reason = format!("unknown resource type ({kind}) and/or version ({API_VERSION})");
        let problem = Problem::read(Path::from("kind"), reason).message(format!("calicoctl does not manage a {kind}"));
        located.problems.push(problem.help("tortie, under its own name, does"));
        located.object = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_reads_like_its_documents_in_their_order() {
        let document = |n: usize| match n {
            300 => "a: [b\n".to_owned(),
            n => format!("{{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {{name: t{n}}}, spce: {{}}}}\n"),
        };
        let text = (0..600).map(document).collect::<Vec<_>>().join("---\n");
        let source = Source::new("large.yaml", text);
        let shown = |located: Vec<Located>| -> Vec<String> {
            located.iter().map(|located| format!("{} {:?}", located.about, located.problems)).collect()
        };
        let seen = shown(read(&source));
        assert_eq!(seen.len(), 600);
        assert_eq!(seen, shown(tortie_manifest::read::read(&source)));
    }
}
