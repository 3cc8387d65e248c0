//! The warnings as people and programs read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tortie_api::Key;
use tortie_manifest::{Problem, Severity};

use super::Warnings;
use crate::terminal::counted;

/// What `lint` found.
pub(super) struct Report {
    /// How many objects were looked at.
    objects: usize,
    /// The warnings that are told.
    found: Vec<(Key, Vec<Problem>)>,
    /// How many warnings are allowed, by code.
    allowed: BTreeMap<&'static str, usize>,
    /// The objects of manifests that were not looked at, because `apply` would refuse them.
    refused: Vec<String>,
}

impl Report {
    pub(super) fn new(objects: usize, found: Warnings, allow: &[String], refused: Vec<String>) -> Self {
        let mut report = Self { objects, found: Vec::new(), allowed: BTreeMap::new(), refused };
        for (key, mut warnings) in found {
            let mut seen = Vec::new();
            warnings.retain(|warning| {
                let it = (warning.severity, warning.path.clone(), warning.text().to_owned());
                let is_new = !seen.contains(&it);
                seen.push(it);
                is_new
            });
            warnings.retain(|warning| {
                let code = code(warning);
                let is_allowed = allow.iter().any(|one| one == code);
                if is_allowed {
                    *report.allowed.entry(code).or_default() += 1;
                }
                !is_allowed
            });
            if !warnings.is_empty() {
                report.found.push((key, warnings));
            }
        }
        report
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (key, warnings) in &self.found {
            let _ = writeln!(text, "{}", key.as_argument());
            text += &warnings_text(warnings);
            text.push('\n');
        }
        let count = self.found.iter().map(|(_, warnings)| warnings.len()).sum();
        let summary = match count {
            0 => format!("no warnings about {}", counted(self.objects, "object")),
            _ => format!(
                "{} about {} of {}",
                counted(count, "warning"),
                self.found.len(),
                counted(self.objects, "object")
            ),
        };
        let allowed: Vec<String> = self.allowed.iter().map(|(code, count)| format!("{code} ({count})")).collect();
        let allowed = if allowed.is_empty() { String::new() } else { format!("; allowed: {}", allowed.join(", ")) };
        let _ = writeln!(text, "{summary}{allowed}");
        text
    }

    pub(super) fn json(&self) -> Value {
        let warnings = self.found.iter().flat_map(|(key, warnings)| {
            let (api_version, kind) = key.kind.in_manifests();
            warnings.iter().map(move |warning| {
                json!({
                    "apiVersion": api_version,
                    "kind": kind,
                    "namespace": key.namespace,
                    "name": key.name,
                    "code": code(warning),
                    "path": warning.path.to_string(),
                    "message": warning.text().trim(),
                    "help": warning.help,
                })
            })
        });
        json!({
            "objects": self.objects,
            "warnings": warnings.collect::<Vec<_>>(),
            "allowed": self.allowed,
            "refused": self.refused,
        })
    }
}

/// The warnings of one object.
pub(crate) fn warnings_text(warnings: &[Problem]) -> String {
    let mut text = String::new();
    for warning in warnings {
        let _ = writeln!(text, "  warning[{}]: {}", code(warning), warning.text().trim());
        if !warning.path.0.is_empty() {
            let _ = writeln!(text, "    at {}", warning.path);
        }
        if let Some(help) = &warning.help {
            let _ = writeln!(text, "    help: {help}");
        }
    }
    text
}

fn code(warning: &Problem) -> &'static str {
    match warning.severity {
        Severity::Warning(code) => code,
        Severity::Error => "unreadable",
    }
}
