//! Which namespace an object is in, of what its manifest and the command line say.

use tortie_api::{Kind, Path};
use tortie_manifest::Problem;

/// What the command line says of namespaces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NamespaceFlags<'a> {
    /// `-n`.
    pub(crate) namespace: Option<&'a str>,
    /// `-A`.
    pub(crate) all: bool,
}

/// The namespace of an object that names `own` itself (or nothing); empty for all and for cluster-scoped kinds.
pub(crate) fn resolve(kind: Kind, own: &str, flags: NamespaceFlags<'_>) -> Result<String, Box<Problem>> {
    let given = flags.namespace.unwrap_or_default();
    let at = || Path::from("metadata.namespace");
    if !kind.namespaced() {
        if !own.is_empty() {
            let reason = format!(
                "namespace should not be specified for a non-namespaced resource. {kind} is not a namespaced resource"
            );
            let problem = Problem::read(at(), reason).message(format!("a {kind} is in no namespace"));
            return Err(problem.help("remove metadata.namespace").into());
        }
        if flags.all || !given.is_empty() {
            let flag = if flags.all { "-A" } else { "-n" };
            let problem = Problem::read(at(), format!("{kind} is not namespaced"));
            return Err(problem.message(format!("a {kind} is in no namespace, so {flag} has no meaning here")).into());
        }
        return Ok(String::new());
    }
    match (own, given) {
        (_, given) if flags.all && !given.is_empty() => {
            let reason = "cannot use both --namespace and --all-namespaces flags at the same time";
            Err(Problem::read(at(), reason).message("use -n or -A, not both").into())
        }
        _ if flags.all => Ok(String::new()),
        ("", "") => Ok("default".to_owned()),
        ("", given) => Ok(given.to_owned()),
        (own, given) if given.is_empty() || own == given => Ok(own.to_owned()),
        (own, given) => {
            let reason = format!("resource namespace does not match client namespace. {own} != {given}");
            let problem = Problem::read(at(), reason)
                .message(format!("namespace {own} is given with the object, and namespace {given} with -n"));
            Err(problem.help("leave out one of the two, or make them agree").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_its_answer() {
        let np = Kind::NetworkPolicy;
        let hep = Kind::HostEndpoint;
        let both = "cannot use both --namespace and --all-namespaces flags at the same time";
        let differ = "resource namespace does not match client namespace. a != b";
        let not = "HostEndpoint is not namespaced";
        let should_not = "namespace should not be specified for a non-namespaced resource. \
                          HostEndpoint is not a namespaced resource";
        for (kind, own, namespace, all, answer) in [
            (np, "", None, false, Ok("default")),
            (np, "", Some("b"), false, Ok("b")),
            (np, "a", None, false, Ok("a")),
            (np, "a", Some("a"), false, Ok("a")),
            (np, "a", Some("b"), false, Err(differ)),
            (np, "", None, true, Ok("")),
            (np, "a", None, true, Ok("")),
            (np, "", Some("b"), true, Err(both)),
            (hep, "", None, false, Ok("")),
            (hep, "", Some("b"), false, Err(not)),
            (hep, "", None, true, Err(not)),
            (hep, "a", None, false, Err(should_not)),
        ] {
            let got = resolve(kind, own, NamespaceFlags { namespace, all });
            let got = got.as_deref().map_err(|problem| problem.reason.as_str());
            assert_eq!(got, answer, "{kind} {own:?} {namespace:?} {all}");
        }
    }
}
