//! The file that is edited: only its user can read it, and it stays until its text is written to the store.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tortie_api::Key;

/// The file that is edited.
pub(super) struct EditedFile {
    path: PathBuf,
}

impl EditedFile {
    /// Creates one, in the directory for temporary files (`TMPDIR`, otherwise /tmp).
    pub(super) fn create(key: &Key, text: &str) -> anyhow::Result<Self> {
        let plain = |char: char| if char.is_alphanumeric() || "-.".contains(char) { char } else { '-' };
        let name: String = key.as_argument().chars().map(plain).take(100).collect();
        let own = std::process::id();
        for attempt in 0..100 {
            let path = std::env::temp_dir().join(format!("tortie-edit-{name}-{own}-{attempt}.yaml"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            }
        }
        anyhow::bail!("no file for the editor can be made in {}", std::env::temp_dir().display())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> anyhow::Result<String> {
        let bytes = fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn write(&self, text: &str) -> anyhow::Result<()> {
        fs::write(&self.path, text).with_context(|| format!("cannot write {}", self.path.display()))
    }

    pub(super) fn remove(&self) {
        // A file that cannot be removed is in a directory for temporary files.
        let _ = fs::remove_file(&self.path);
    }
}

/// A text without the comments above it.
pub(super) fn body(text: &str) -> &str {
    let above: usize = text.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    &text[above..]
}

/// The comments above a text that has these errors.
pub(super) fn commented(header: &str, errors: &str) -> String {
    let mut text = format!("{header}#\n");
    for line in errors.trim_end().lines() {
        text += format!("# {line}").trim_end();
        text.push('\n');
    }
    text + "#\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comments_above_a_text_are_no_part_of_it_and_those_within_it_are() {
        assert_eq!(body("# a\n#\nkind: X\n# b\nspec: {}\n"), "kind: X\n# b\nspec: {}\n");
        assert_eq!(body("kind: X\n"), "kind: X\n");
        assert_eq!(body("# a"), "");
        assert_eq!(body(&format!("{}kind: X\n", commented("# h\n", "error: a\n |\n"))), "kind: X\n");
    }
}
