//! Lists of names, shortened if they are too long to read.

use std::fmt::Display;

/// `a, b and 3 more`: the first names, at most so many, and how many are left out.
pub fn shortened<T: Display>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(most).map(|name| name.to_string()).collect();
    let more = names.count();
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        assert_eq!(shortened(["a", "b"], 2), "a, b");
        assert_eq!(shortened(["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(shortened([""; 0], 2), "");
    }
}
