//! Times as people read them: in UTC, to the second.

use jiff::Timestamp;

/// `2026-11-29T13:20:31Z`.
pub fn of(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time in milliseconds since 1970; empty for one that is out of range.
pub fn of_milliseconds(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
    time.map_or_else(String::new, of)
}

/// The time now.
pub fn now() -> String {
    of(Timestamp::now())
}
