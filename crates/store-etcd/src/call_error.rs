//! Why etcd did not do something: what to do about it, and how to say it.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};

/// What a failed call means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Another member, or the same one later, may do it. Whether it was done is not known.
    Away(String),
    /// The token is not valid any more, or permissions changed: say again who we are.
    Token,
    /// It makes no sense to try again soon.
    Fatal(String),
    /// What must be one transaction with its record is none, so nothing was written. etcd itself is sound.
    NotWhole(String),
    /// The user may not do this.
    Denied,
    /// The revision that was asked for is compacted.
    Compacted,
    /// The revision that was asked for is not reached.
    Future,
    /// The request or a value in it is too large; which limit, in etcd's words.
    TooLarge(String),
    /// More operations than this etcd takes in a transaction.
    TooMany,
}

impl CallError {
    /// What etcd's answer means.
    pub(crate) fn of(status: &Status) -> Self {
        let text = status.message();
        let has = |part: &str| text.contains(part);
        match code(status) {
            Code::PermissionDenied => Self::Denied,
            Code::Unauthenticated => Self::Token,
            Code::InvalidArgument if has("revision of auth store is old") => Self::Token,
            Code::InvalidArgument if has("user name is empty") => Self::Fatal(
                "it wants a user and a password, and none are given (ETCD_USERNAME, ETCD_PASSWORD)".to_owned(),
            ),
            Code::InvalidArgument if has("request is too large") => Self::TooLarge(text.to_owned()),
            Code::InvalidArgument if has("too many operations") => Self::TooMany,
            Code::OutOfRange if has("has been compacted") => Self::Compacted,
            Code::OutOfRange if has("future revision") => Self::Future,
            // gRPC's own limits, of this side and of that.
            Code::OutOfRange => Self::TooLarge(text.to_owned()),
            Code::ResourceExhausted if has("larger than max") => Self::TooLarge(text.to_owned()),
            Code::ResourceExhausted if has("database space exceeded") => Self::Fatal(
                "it is full (the quota of its database is used up) and takes no writes; compact and defragment it, \
                 then `etcdctl alarm disarm`"
                    .to_owned(),
            ),
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal => Self::Away(text_of(status)),
            code => Self::Fatal(format!("{code:?}: {text}")),
        }
    }

    /// A member did not answer in time.
    pub(crate) fn timed_out(after: Duration) -> Self {
        Self::Away(format!("no answer within {} s", after.as_secs_f32()))
    }

    /// In words, after the name of the place and a colon.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Away(text) | Self::Fatal(text) | Self::NotWhole(text) => text.clone(),
            Self::Token => "it does not accept the token that it gave us".to_owned(),
            Self::Denied => "permission denied for this user".to_owned(),
            Self::Compacted => "the revision is compacted".to_owned(),
            Self::Future => "the revision is not reached".to_owned(),
            Self::TooLarge(text) => format!("too large: {text}"),
            Self::TooMany => "too many operations in one transaction".to_owned(),
        }
    }
}

/// What kind of answer it is. Etcd's gRPC proxy passes on only the words.
fn code(status: &Status) -> Code {
    const CODES_BY_TEXT: [(&str, Code); 9] = [
        ("etcdserver: permission denied", Code::PermissionDenied),
        ("etcdserver: invalid auth token", Code::Unauthenticated),
        ("etcdserver: revision of auth store is old", Code::InvalidArgument),
        ("etcdserver: user name is empty", Code::InvalidArgument),
        ("etcdserver: request is too large", Code::InvalidArgument),
        ("etcdserver: too many operations", Code::InvalidArgument),
        ("etcdserver: mvcc: required revision has been compacted", Code::OutOfRange),
        ("etcdserver: mvcc: required revision is a future revision", Code::OutOfRange),
        ("etcdserver: mvcc: database space exceeded", Code::ResourceExhausted),
    ];
    let words = || CODES_BY_TEXT.iter().find(|(words, _)| status.message().starts_with(words));
    match status.code() {
        Code::Unknown => words().map_or(Code::Unknown, |(_, code)| *code),
        code => code,
    }
}

/// The member's own words, or the innermost reason why there are none.
fn text_of(status: &Status) -> String {
    match status.source() {
        Some(source) => reason(source),
        None => status.message().trim_start_matches("etcdserver: ").to_owned(),
    }
}

/// The innermost reason of an error, with what to do where we know it.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let text = text.trim_end_matches('.').replace(" (os error 111)", "");
    let hint = [
        ("UnknownIssuer", "its certificate is not signed by the given CA (ETCD_CA_CERT_FILE)"),
        ("BadSignature", "its certificate is not signed by the given CA (ETCD_CA_CERT_FILE)"),
        ("handshake eof", "it ended the TLS handshake; if it does not speak TLS, write http:// instead of https://"),
        ("NotValidForName", "its certificate is for another name; use a name that is in it"),
        ("not valid for name", "its certificate is for another name; use a name that is in it"),
        ("CertificateRequired", "it wants a client certificate (ETCD_CERT_FILE, ETCD_KEY_FILE)"),
        ("BadCertificate", "it does not accept our client certificate"),
        ("UnknownCA", "it does not accept our client certificate: another CA signed it"),
        ("InvalidContentType", "it does not speak TLS; write http:// instead of https://"),
        ("expired", "a certificate is not valid at this time"),
        ("Expired", "a certificate is not valid at this time"),
    ];
    match hint.iter().find(|(part, _)| text.contains(part)) {
        Some((_, hint)) => format!("{hint} ({text})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_etcd_are_recognised() {
        for (code, text, meant) in [
            (Code::PermissionDenied, "etcdserver: permission denied", CallError::Denied),
            (Code::Unauthenticated, "etcdserver: invalid auth token", CallError::Token),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old", CallError::Token),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", CallError::TooMany),
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", CallError::Compacted),
            (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision", CallError::Future),
            (Code::Unknown, "etcdserver: mvcc: required revision has been compacted", CallError::Compacted),
            (Code::Unknown, "etcdserver: permission denied", CallError::Denied),
            (Code::Unknown, "context canceled", CallError::Away("context canceled".into())),
            (Code::Unavailable, "etcdserver: leader changed", CallError::Away("leader changed".into())),
        ] {
            assert_eq!(CallError::of(&Status::new(code, text)), meant);
        }
        let empty = CallError::of(&Status::new(Code::InvalidArgument, "etcdserver: user name is empty"));
        assert!(matches!(empty, CallError::Fatal(text) if text.contains("ETCD_USERNAME")));
    }
}
