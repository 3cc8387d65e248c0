//! Booleans in text, as Go reads them.

/// The boolean that a text says to Go's `strconv.ParseBool`; none if it says neither.
pub fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
