//! Tells the program the commit that it is built from: `TORTIE_COMMIT` where the builder says it, else what git says of
//! this checkout. Without either (a source archive) the program says `unknown`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=TORTIE_COMMIT");
    // The log of HEAD grows with each commit and each checkout.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let said = std::env::var("TORTIE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = said.or_else(|| git(&["rev-parse", "--short=12", "HEAD"])).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=TORTIE_COMMIT={commit}");
}

/// What git answers; none where it, or a repository, does not exist.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
