//! Userdata: bytes that the kernel keeps with an object and never reads.
//!
//! libnftables' convention is a row of entries, each a byte of type, a byte of length and a value; with
//! it `nft list ruleset` shows our comments, and knows the byte order of keys that it has no type for.
//! Types differ by object, so the callers name them. What is not a comment is passed over on reading.
//!
//! Source: `NFT_USERDATA_MAXLEN` of `linux/netfilter/nf_tables.h`.

/// The longest comment, in bytes, that `nft` writes and this crate keeps.
pub const COMMENT_MAX: usize = 127;

/// The comment's type in tables, chains, rules and elements.
pub(crate) const COMMENT: u8 = 0;
/// The comment's type in sets.
pub(crate) const SET_COMMENT: u8 = 7;
/// The byte order of a set's key.
pub(crate) const SET_KEY_ORDER: u8 = 0;
/// The byte order of a map's value.
pub(crate) const SET_DATA_ORDER: u8 = 1;

/// Appends a comment, cut at [`COMMENT_MAX`] bytes between characters, and at a NUL.
pub(crate) fn push_comment(userdata: &mut Vec<u8>, kind: u8, comment: &str) {
    let comment = kept(comment);
    userdata.extend_from_slice(&[kind, (comment.len() + 1) as u8]);
    userdata.extend_from_slice(comment.as_bytes());
    userdata.push(0);
}

/// Appends a host-order number.
pub(crate) fn push_number(userdata: &mut Vec<u8>, kind: u8, number: u32) {
    userdata.extend_from_slice(&[kind, 4]);
    userdata.extend_from_slice(&number.to_ne_bytes());
}

/// The userdata of an object that carries at most a comment.
pub(crate) fn comment_only(comment: Option<&str>) -> Option<Vec<u8>> {
    let mut userdata = Vec::new();
    push_comment(&mut userdata, COMMENT, comment?);
    Some(userdata)
}

/// The comment in some userdata; none also if the bytes are someone else's.
pub(crate) fn comment(userdata: Option<&[u8]>, kind: u8) -> Option<String> {
    let mut rest = userdata?;
    while let [found, len, behind @ ..] = rest {
        let value = behind.get(..usize::from(*len))?;
        if *found == kind {
            let text = value.strip_suffix(&[0])?;
            return std::str::from_utf8(text).ok().map(str::to_owned);
        }
        rest = &behind[value.len()..];
    }
    None
}

/// What is kept of a comment: callers that compare what they wrote with what they read use this.
pub fn kept(comment: &str) -> &str {
    let comment = comment.split('\0').next().unwrap_or_default();
    &comment[..comment.floor_char_boundary(COMMENT_MAX)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_comment_is_cut_between_characters() {
        let long = "ä".repeat(100);
        let bytes = comment_only(Some(&long)).unwrap();
        assert!(bytes.len() <= 2 + COMMENT_MAX + 1);
        assert_eq!(comment(Some(&bytes), COMMENT).unwrap(), "ä".repeat(63));
    }

    #[test]
    fn a_comment_is_found_after_other_entries() {
        let mut bytes = Vec::new();
        push_number(&mut bytes, SET_KEY_ORDER, 2);
        push_comment(&mut bytes, SET_COMMENT, "members of a set");
        assert_eq!(comment(Some(&bytes), SET_COMMENT).as_deref(), Some("members of a set"));
        assert_eq!(comment(Some(&bytes), 9), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 0u8..9) {
            let _ = comment(Some(&bytes), kind);
        }

        #[test]
        fn stored_data_is_read_back(text in "\\PC{0,200}") {
            let bytes = comment_only(Some(&text)).unwrap();
            prop_assert_eq!(comment(Some(&bytes), COMMENT).unwrap(), kept(&text));
        }
    }
}
