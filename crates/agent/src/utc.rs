//! Times in UTC, to the second, as messages show them.

use jiff::Timestamp;

/// Formats a time: `2026-11-29T13:20:31Z`.
pub fn of(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats a time in milliseconds since 1970; empty if it is out of range.
pub fn of_milliseconds(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
    time.map_or_else(String::new, of)
}

/// The current time.
pub fn now() -> String {
    of(Timestamp::now())
}
