//! Converts the keys of objects to etcd paths and back. Names are in paths verbatim.

use tortie_api::{Key, Kind};
use tortie_store::Selection;

/// What every path of a resource begins with.
pub(crate) const ROOT: &str = "/calico/resources/v3/projectcalico.org/";

/// The path of a key; none if the key has none: a `/` in it would make it another object's.
pub(crate) fn of(key: &Key) -> Option<String> {
    let fits = key.kind.is_calico()
        && !key.name.contains('/')
        && !key.namespace.contains('/')
        && (key.kind.namespaced() || key.namespace.is_empty());
    fits.then(|| key.path())
}

/// The key of a path; none if no kind that we know has such paths.
pub(crate) fn key(path: &[u8]) -> Option<Key> {
    let rest = std::str::from_utf8(path).ok()?.strip_prefix(ROOT)?;
    let (plural, rest) = rest.split_once('/')?;
    let kind = Kind::from_plural(plural)?;
    let (namespace, name) = if kind.namespaced() { rest.split_once('/')? } else { ("", rest) };
    (!name.contains('/')).then(|| Key { kind, namespace: namespace.to_owned(), name: name.to_owned() })
}

/// The longest prefix that all objects of a selection share.
pub(crate) fn prefix(selection: &Selection) -> String {
    match (selection.kind, &selection.namespace) {
        (Some(kind), Some(namespace)) if kind.namespaced() && !namespace.contains('/') => {
            format!("{ROOT}{}/{namespace}/", kind.plural())
        }
        (Some(kind), _) => format!("{ROOT}{}/", kind.plural()),
        (None, _) => ROOT.to_owned(),
    }
}

/// The end of the range that holds everything with this prefix: the first that comes after all of them.
pub(crate) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // The prefix ends with `/`, so its last byte has a successor.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_path_and_comes_back_from_it() {
        for &kind in Kind::ALL {
            let namespace = if kind.namespaced() { "shop" } else { "" };
            let it = Key { kind, namespace: namespace.into(), name: "a.b-c".into() };
            let path = of(&it).unwrap();
            let expected = match kind.namespaced() {
                true => format!("/calico/resources/v3/projectcalico.org/{}/shop/a.b-c", kind.plural()),
                false => format!("/calico/resources/v3/projectcalico.org/{}/a.b-c", kind.plural()),
            };
            assert_eq!(path, expected);
            assert_eq!(key(path.as_bytes()), Some(it));
        }
    }

    #[test]
    fn paths_that_calico_writes_are_read() {
        for (path, shown) in [
            ("hostendpoints/host1-eth0", "HostEndpoint(host1-eth0)"),
            (
                "workloadendpoints/default/node--1-k8s-nginx--1-eth0",
                "WorkloadEndpoint(default/node--1-k8s-nginx--1-eth0)",
            ),
            ("clusterinformations/default", "ClusterInformation(default)"),
        ] {
            let path = format!("{ROOT}{path}");
            let key = key(path.as_bytes()).unwrap();
            assert_eq!(key.to_string(), shown);
            assert_eq!(of(&key), Some(path));
        }
    }

    #[test]
    fn a_path_that_names_no_object_is_not_a_key() {
        for path in
            ["tiers", "tiers/a/b", "networkpolicies/a", "networkpolicies/a/b/c", "ipamconfigs/default", "Tiers/a"]
        {
            assert_eq!(key(format!("{ROOT}{path}").as_bytes()), None, "{path}");
        }
        assert_eq!(key(b"/calico/v1/Ready"), None);
        assert_eq!(key(b"\xff"), None);
        let slashed = Key::namespaced(Kind::NetworkPolicy, "a/b", "c");
        assert_eq!(of(&slashed), None);
        assert_eq!(of(&Key::namespaced(Kind::Tier, "a", "b")), None);
    }

    #[test]
    fn a_prefix_holds_its_selection_and_no_neighbour() {
        let within = |selection: Selection, path: &str| {
            let prefix = prefix(&selection);
            let path = format!("{ROOT}{path}");
            path.as_bytes() >= prefix.as_bytes() && path.as_bytes() < end_of(&prefix).as_slice()
        };
        let of_namespace = || {
            let namespace = Some("prod".to_owned());
            Selection { namespace, ..Selection::kind(Kind::NetworkPolicy) }
        };
        assert!(within(of_namespace(), "networkpolicies/prod/a"));
        assert!(!within(of_namespace(), "networkpolicies/prod-2/a"));
        assert!(within(Selection::kind(Kind::Tier), "tiers/\u{10ffff}"));
        assert!(!within(Selection::kind(Kind::NetworkSet), "networkpolicies/a/b"));
        assert!(within(Selection::default(), "unknowns/a"));
    }
}
