//! The names of automatic host endpoints.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tortie_manifest::validate::formats::MAX_NAME;

/// What every name ends with.
const SUFFIX: &str = "auto-hep";

/// The name of a node's endpoint: of the default one (both empty), of a template's, or of a template's for an interface.
pub(super) fn of(node: &str, template: &str, interface: &str) -> String {
    let parts = [node, template, interface, SUFFIX];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let name = parts.join("-");
    if name.len() <= MAX_NAME { name } else { shortened(&name) }
}

/// A hash in the place of a name that is too long.
fn shortened(name: &str) -> String {
    let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(name));
    let hash: String = hash.chars().filter(|letter| !"-_.".contains(*letter)).collect();
    format!("{}-{SUFFIX}", hash.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kube_controllers() {
        for (node, template, interface, name) in [
            ("n1", "", "", "n1-auto-hep"),
            ("n1", "external", "", "n1-external-auto-hep"),
            ("n1", "external", "eth0", "n1-external-eth0-auto-hep"),
        ] {
            assert_eq!(of(node, template, interface), name);
        }
    }

    #[test]
    fn a_name_is_replaced_by_its_hash_only_beyond_253_letters() {
        let node = "n".repeat(244);
        assert_eq!(of(&node, "", ""), format!("{node}-auto-hep"));
        let node = "n".repeat(245);
        // sha256 of the name in URL-safe base64, without -, _ and ., in lower case
        assert_eq!(of(&node, "", ""), "ewp5m34lkguin2xxvhr9f29ne8lioon3aplebjdzam-auto-hep");
    }
}
