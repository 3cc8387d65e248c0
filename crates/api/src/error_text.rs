//! Errors as text.

use std::error::Error;

/// An error with all its causes in one line. A cause that the text before it contains is not repeated.
pub fn error_with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Caused {
        text: &'static str,
        source: Option<Box<Caused>>,
    }

    #[test]
    fn every_cause_is_named_once() {
        let cause = |text, source: Option<Caused>| Caused { text, source: source.map(Box::new) };
        let innermost = cause("connection refused", None);
        let error = cause("etcd does not answer", Some(cause("no stream: connection refused", Some(innermost))));
        assert_eq!(error_with_causes(&error), "etcd does not answer: no stream: connection refused");
        let error = cause("the table cannot be read", Some(cause("netlink", Some(cause("no buffer space", None)))));
        assert_eq!(error_with_causes(&error), "the table cannot be read: netlink: no buffer space");
    }
}
