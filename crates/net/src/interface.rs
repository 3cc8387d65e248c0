//! Names of network interfaces in settings: one rule for manifests, stored objects, the environment and the file of the agent.

/// How long the name of an interface can be, in bytes.
const MAX_NAME: usize = 15;

/// What is not the beginning of an interface's name in a list of such beginnings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The list is empty.
    #[error("{0:?} contains no prefix")]
    None(String),
    /// A prefix is too long, or has other characters.
    #[error("{0:?} is no prefix of interface names: 1 to 15 letters, digits, `_`, `.` and `-`")]
    Unusable(String),
}

/// Reads the value of `interfacePrefix`, a list with commas: the prefixes that can be used, and the first problem.
pub fn interface_prefixes(text: &str) -> (Vec<&str>, Option<PrefixError>) {
    let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let usable: Vec<&str> = items().filter(|item| is_prefix(item)).collect();
    let problem = match items().find(|item| !is_prefix(item)) {
        Some(wrong) => Some(PrefixError::Unusable(wrong.to_owned())),
        None => usable.is_empty().then(|| PrefixError::None(text.to_owned())),
    };
    (usable, problem)
}

/// Calico's own rule. The kernel would accept some other characters, with which Calico's agent does not start.
fn is_prefix(text: &str) -> bool {
    is_name_of(text, b"_-.")
}

/// Whether a text limits something to outgoing interfaces (`iptablesNATOutgoingInterfaceFilter`): a name, or the
/// beginning of names with `+` as its end. `+` alone stands for every interface.
pub fn is_interface_filter(text: &str) -> bool {
    is_name_of(text, b":._+-")
}

/// Whether a text has letters, digits and `others` only, and is as long as a name can be.
fn is_name_of(text: &str, others: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_no_name_begins_with_is_left_out_and_said() {
        for (text, usable, problem) in [
            ("cali", vec!["cali"], None),
            (" cali , tap", vec!["cali", "tap"], None),
            ("cali,", vec!["cali"], None),
            ("a_b-c.d", vec!["a_b-c.d"], None),
            ("fifteen-letters", vec!["fifteen-letters"], None),
            ("sixteen-letters-", vec![], Some("\"sixteen-letters-\"")),
            ("cali*", vec![], Some("\"cali*\"")),
            ("tap,cali*,a b", vec!["tap"], Some("\"cali*\"")),
            ("ä", vec![], Some("\"ä\"")),
            (" , ", vec![], Some("\" , \" contains no prefix")),
            ("", vec![], Some("\"\" contains no prefix")),
        ] {
            let (found, told) = interface_prefixes(text);
            assert_eq!(found, usable, "{text}");
            assert_eq!(told.is_some(), problem.is_some(), "{text}");
            if let (Some(told), Some(problem)) = (told, problem) {
                assert!(told.to_string().starts_with(problem), "{told}");
            }
        }
    }
}
