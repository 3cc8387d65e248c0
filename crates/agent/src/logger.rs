//! The log, on standard error: lines with the time for people, lines with the severity for the journal, or a JSON object on each
//! line.
//!
//! Each line is of one of the events in [`log_event`], which is the target of its `log` call. [docs/log.md](../../../docs/log.md) lists
//! them; a test compares it with the calls.

use std::io::Write;

use log::kv::VisitSource;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::{Map, Value};

use crate::{log_event, utc};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, and for the journal where it reads standard error.
    #[default]
    Text,
    /// A JSON object on each line: `time`, `level`, `event`, `message`, and further fields of some events.
    Json,
}

/// The form of the lines.
#[derive(Clone, Copy)]
enum Form {
    Terminal,
    Journal,
    Json,
}

struct Logger {
    form: Form,
    events: &'static [&'static str],
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = line(self.form, self.events, record, jiff::Timestamp::now());
        // If the log cannot be written, there is no other place to report that.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }

    fn flush(&self) {}
}

fn line(form: Form, events: &[&str], record: &Record<'_>, now: jiff::Timestamp) -> String {
    let (mark, word) = match record.level() {
        Level::Error => (3, "error"),
        Level::Warn => (4, "warning"),
        Level::Info => (6, "info"),
        Level::Debug | Level::Trace => (7, "debug"),
    };
    match form {
        Form::Terminal => format!("{} {word}: {}\n", utc::of(now), record.args()),
        Form::Journal => format!("<{mark}>{}\n", record.args()),
        Form::Json => {
            let object = serde_json::json!({
                "time": now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
                "level": word,
                // Libraries log without an event.
                "event": if events.contains(&record.target()) { record.target() } else { "other" },
                "message": record.args().to_string(),
            });
            let Value::Object(mut fields) = object else { return String::new() };
            // Nothing stops the visit.
            drop(record.key_values().visit(&mut JsonFields(&mut fields)));
            format!("{}\n", Value::Object(fields))
        }
    }
}

/// Adds the fields that some events have beside the message. Fields without a value are left out.
struct JsonFields<'a>(&'a mut Map<String, Value>);

impl<'kvs> VisitSource<'kvs> for JsonFields<'_> {
    fn visit_pair(&mut self, key: log::kv::Key<'kvs>, value: log::kv::Value<'kvs>) -> Result<(), log::kv::Error> {
        let value = value.to_u64().map_or_else(|| Value::from(value.to_string()), Value::from);
        if value.as_str().is_none_or(|text| !text.is_empty()) {
            self.0.insert(key.as_str().to_owned(), value);
        }
        Ok(())
    }
}

/// Logs why the agent does not run, in this format. It also works before [`start`].
pub fn log_failure(format: LogFormat, reason: &str) {
    start(format, log_event::ALL);
    log::error!(target: log_event::AGENT_FAILED, "{reason}");
}

/// Begins to log. `events` are the names of all events of the program.
pub fn start(format: LogFormat, events: &'static [&'static str]) {
    let form = match format {
        LogFormat::Json => Form::Json,
        LogFormat::Text if std::env::var_os("JOURNAL_STREAM").is_some() => Form::Journal,
        LogFormat::Text => Form::Terminal,
    };
    // A second agent in one process, as in tests, uses the logger of the first one.
    drop(log::set_boxed_logger(Box::new(Logger { form, events })));
    log::set_max_level(LevelFilter::Info);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn written(form: Form, target: &str, level: Level) -> String {
        let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
        line(
            form,
            log_event::ALL,
            &Record::builder().target(target).level(level).args(format_args!("a \"b\"\nc")).build(),
            now,
        )
    }

    #[test]
    fn a_json_line_is_one_object_with_time_level_event_and_message() {
        let line = written(Form::Json, log_event::STORE_LOST, Level::Warn);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let expected = serde_json::json!({
            "time": "2026-01-02T03:04:05.678Z", "level": "warning", "event": "store-lost", "message": "a \"b\"\nc",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
        assert!(written(Form::Json, "some::library", Level::Error).contains(r#""event":"other""#));
    }

    #[test]
    fn the_values_of_an_event_are_fields_of_their_own_and_left_out_if_empty() {
        let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let fields = [("generation", log::kv::Value::from(7u64)), ("author", "root".into()), ("command", "".into())];
        let mut record = Record::builder();
        record.target(log_event::PLACEMENT_CHANGED).level(Level::Info).key_values(&fields);
        let line = line(Form::Json, log_event::ALL, &record.args(format_args!("m")).build(), now);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["generation"], &read["author"]), (&7.into(), &"root".into()));
        assert!(read.get("command").is_none() && read["message"] == "m", "{line}");
    }

    #[test]
    fn terminals_get_the_time_and_the_journal_gets_the_severity() {
        assert_eq!(
            written(Form::Terminal, log_event::STORE_LOST, Level::Warn),
            "2026-01-02T03:04:05Z warning: a \"b\"\nc\n"
        );
        assert_eq!(written(Form::Journal, log_event::STORE_LOST, Level::Error), "<3>a \"b\"\nc\n");
    }

    /// The files of this crate.
    fn sources(folder: &Path, all: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else {
                all.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn every_line_of_the_log_is_of_a_documented_event() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = Vec::new();
        sources(&root.join("src"), &mut all);
        let mut used = Vec::new();
        for (path, text) in &all {
            for level in ["error", "warn", "info", "debug", "trace"] {
                for call in text.split(&format!("log::{level}!(")).skip(1) {
                    let Some(rest) = call.trim_start().strip_prefix("target: log_event::") else {
                        panic!("{path} logs without an event: {}", &call[..call.len().min(60)]);
                    };
                    used.push(rest.split(',').next().unwrap().to_lowercase().replace('_', "-"));
                }
            }
        }
        used.sort();
        used.dedup();
        assert_eq!(used, log_event::ALL.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        let page = std::fs::read_to_string(root.join("../../docs/log.md")).unwrap();
        let table = page.split("| Event |").nth(1).unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        assert_eq!(rows.map(|(name, _)| name).collect::<Vec<_>>(), log_event::ALL);
    }
}
