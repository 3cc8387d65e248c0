//! The log: lines on standard error, with the time, or for the journal with its mark of severity.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::status_cell;

struct Lines {
    journal: bool,
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (mark, word) = match record.level() {
            Level::Error => (3, "error"),
            Level::Warn => (4, "warning"),
            Level::Info => (6, "info"),
            Level::Debug | Level::Trace => (7, "debug"),
        };
        let text = if self.journal {
            format!("<{mark}>{}\n", record.args())
        } else {
            format!("{} {word}: {}\n", status_cell::now(), record.args())
        };
        // There is nobody to tell that the log is gone.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }

    fn flush(&self) {}
}

/// Begins to log.
pub(crate) fn start() {
    let lines = Lines { journal: std::env::var_os("JOURNAL_STREAM").is_some() };
    // A second agent in one process, as in tests, logs with the first one's.
    drop(log::set_boxed_logger(Box::new(lines)));
    log::set_max_level(LevelFilter::Info);
}
