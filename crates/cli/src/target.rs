//! Objects named on the command line: kinds in every spelling, `KIND NAME...` and `KIND/NAME`.

use tortie_api::Kind;
use tortie_store_kube::convert::manifest::{KubernetesKind, Reference};

use crate::persona::Persona;
use crate::terminal::Usage;

/// What the words behind `get` or `delete` name: kinds, each with a name or without.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The kind.
    pub(crate) kind: Kind,
    /// The kind as it was typed.
    pub(crate) typed: String,
    /// The namespace that stands before the name, as in what we print; empty without one.
    pub(crate) namespace: String,
    /// The name; none means all.
    pub(crate) name: Option<String>,
}

impl Target {
    /// An object by name. As tortie, `NAMESPACE/NAME` is taken where a kind has namespaces.
    fn named(kind: Kind, typed: &str, name: &str, persona: Persona) -> anyhow::Result<Self> {
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) if !persona.is_calicoctl() && kind.namespaced() => (namespace, name),
            _ => ("", name),
        };
        if name.is_empty() {
            return Err(Usage("resource name may not be empty".to_owned()).into());
        }
        if !persona.is_calicoctl() && name.contains(',') {
            let names = name.split(',').map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
            return Err(Usage(format!("names have spaces between them, and no commas: {typed} {names}")).into());
        }
        Ok(Target { kind, typed: typed.to_owned(), namespace: namespace.to_owned(), name: Some(name.to_owned()) })
    }
}

/// The kind that a word means.
///
/// Beside calicoctl's names and aliases this takes what a user of kubectl types: `hostendpoints.projectcalico.org`,
/// `hostendpoint.v3.projectcalico.org`, `hostendpoint.p`.
pub(crate) fn kind(word: &str, persona: Persona) -> anyhow::Result<Kind> {
    let found = if persona.is_calicoctl() {
        Kind::from_alias(word).filter(|kind| !matches!(kind, Kind::LiveMigration | Kind::BlockAffinity))
    } else {
        let (name, group) = word.split_once('.').unwrap_or((word, ""));
        let group = group.to_ascii_lowercase();
        let group = group.strip_prefix("v3.").unwrap_or(&group);
        let ours = "projectcalico.org".starts_with(group) || group == "crd.projectcalico.org";
        // kubectl's short name, which calicoctl does not have.
        let short = name.eq_ignore_ascii_case("gns").then_some(Kind::GlobalNetworkSet);
        Kind::from_alias(name).or(short).filter(|_| ours)
    };
    found.ok_or_else(|| unknown(word, persona))
}

fn unknown(word: &str, persona: Persona) -> anyhow::Error {
    if persona.is_calicoctl() {
        return anyhow::anyhow!("resource type '{word}' is not supported");
    }
    let own = KubernetesKind::from_word(word);
    match nearest(word) {
        _ if own.is_some_and(|kind| kind.policies().is_some()) => Usage(of_kubernetes(word, own)).into(),
        _ if looks_like_file(word) => {
            Usage(format!("there is no kind '{word}'; manifests are given with -f: `-f {word}`")).into()
        }
        _ if word.eq_ignore_ascii_case("all") => {
            let text =
                "'all' stands alone: `get all` lists objects of every kind, and a list names the kinds: `get gnp,hep`";
            Usage(text.to_owned()).into()
        }
        Some(near) => Usage(format!("there is no kind '{word}'; did you mean '{near}'?")).into(),
        None => Usage(format!("there is no kind '{word}'\n\n{}", kinds())).into(),
    }
}

/// What shows, changes and explains the policies of Kubernetes.
fn of_kubernetes(word: &str, kind: Option<KubernetesKind>) -> String {
    let (name, example) = match kind {
        Some(KubernetesKind::ClusterNetworkPolicy) => ("ClusterNetworkPolicies", "kcnp/NAME"),
        _ => ("NetworkPolicies", "knp/NAMESPACE/NAME"),
    };
    format!(
        "'{word}' means {name} of Kubernetes, which tortie reads and does not write: kubectl lists, writes and deletes them; \
         `tortie explain {example}` and `tortie describe {example}` say what they do"
    )
}

/// Whether a word is probably the name of a manifest, which is given with `-f`.
pub(crate) fn looks_like_file(word: &str) -> bool {
    let path = std::path::Path::new(word);
    let manifest = path.extension().is_some_and(|found| ["yaml", "yml", "json"].iter().any(|known| found == *known));
    word == "-" || manifest || (!word.starts_with('-') && path.is_file())
}

/// Every kind with its short names, for messages.
pub(crate) fn kinds() -> String {
    let mut text = String::from("Kinds (short names in brackets; singular or plural, upper or lower case):\n");
    for kind in Kind::ALL {
        match kind.aliases().iter().min_by_key(|alias| alias.len()) {
            Some(short) => text.push_str(&format!("  {} [{short}]\n", kind.plural())),
            None => text.push_str(&format!("  {}\n", kind.plural())),
        }
    }
    text.pop();
    text
}

fn nearest(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    if matches!(word.as_str(), "pod" | "pods" | "po" | "vm" | "vms" | "container" | "containers") {
        return Some(Kind::WorkloadEndpoint.plural());
    }
    let names = Kind::ALL.iter().flat_map(|kind| [kind.plural()].into_iter().chain(kind.aliases().iter().copied()));
    // Short names are near to everything.
    let scored = names.filter(|name| name.len() > 4).map(|name| (strsim::damerau_levenshtein(&word, name), name));
    scored.min().filter(|(distance, name)| *distance * 3 <= name.len()).map(|(_, name)| name)
}

/// Reads `KIND`, `KIND NAME...` or `KIND/NAME...`.
pub(crate) fn parse(words: &[String], persona: Persona) -> anyhow::Result<Vec<Target>> {
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !persona.is_calicoctl() && words.iter().all(|word| word.contains('/')) {
        return words
            .iter()
            .map(|word| {
                let (typed, name) = word.split_once('/').unwrap_or((word, ""));
                Target::named(kind(typed, persona)?, typed, name, persona)
            })
            .collect();
    }
    if let (true, Some(word)) =
        (!persona.is_calicoctl() && first.contains('/'), words.iter().find(|word| !word.contains('/')))
    {
        return Err(Usage(format!(
            "'{word}' is not KIND/NAME: write every object as KIND/NAME, or one kind and then names"
        ))
        .into());
    }
    let found = kind(first, persona)?;
    if words.len() == 1 {
        return Ok(vec![Target { kind: found, typed: first.clone(), namespace: String::new(), name: None }]);
    }
    words.iter().skip(1).map(|name| Target::named(found, first, name, persona)).collect()
}

/// Takes the objects of Kubernetes' own kinds from what previews are asked about: these, and the words that are left. Those without a
/// namespace are in the given one.
pub(crate) fn split_kubernetes(words: &[String], namespace: &str) -> anyhow::Result<(Vec<Reference>, Vec<String>)> {
    let object = |kind: KubernetesKind, name: &str| {
        let (own, name) = match name.split_once('/') {
            Some((own, name)) if kind.has_namespace() => (own, name),
            _ => (namespace, name),
        };
        let own = if own.is_empty() { "default" } else { own };
        Reference::new(kind, own, name)
    };
    if let Some(kind) = words.first().and_then(|word| KubernetesKind::from_word(word)) {
        if words.len() == 1 {
            return Err(Usage(format!("{kind} needs the names of objects")).into());
        }
        return Ok((words.iter().skip(1).map(|name| object(kind, name)).collect(), Vec::new()));
    }
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for word in words {
        let meant = word.split_once('/').and_then(|(kind, name)| Some((KubernetesKind::from_word(kind)?, name)));
        match meant {
            Some((kind, name)) => found.push(object(kind, name)),
            None => others.push(word.clone()),
        }
    }
    Ok((found, others))
}

/// One object: what `patch` and `label` work on.
#[derive(Debug)]
pub(crate) struct Named {
    /// The kind.
    pub(crate) kind: Kind,
    /// The namespace that stands before the name; empty without one.
    pub(crate) namespace: String,
    /// The name.
    pub(crate) name: String,
}

/// Reads `KIND NAME` or `KIND/NAME`.
pub(crate) fn one(words: &[String], persona: Persona) -> anyhow::Result<Named> {
    let mut targets = parse(words, persona)?;
    match (targets.pop(), targets.is_empty()) {
        (Some(Target { kind, namespace, name: Some(name), .. }), true) => Ok(Named { kind, namespace, name }),
        _ => Err(Usage("name one object: KIND NAME, or KIND/NAME".to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_every_name() {
        for word in [
            "HostEndpoint",
            "hostendpoint",
            "HOSTENDPOINTS",
            "hep",
            "heps",
            "hostendpoints.projectcalico.org",
            "hostendpoint.p",
            "hostendpoints.v3.projectcalico.org",
            "hostendpoints.crd.projectcalico.org",
        ] {
            assert_eq!(kind(word, Persona::Tortie).unwrap(), Kind::HostEndpoint, "{word}");
        }
        for word in ["", "host", "gnetset", "netset", "nps", "hep.example.org", "livemigration.x"] {
            assert!(kind(word, Persona::Tortie).is_err(), "{word}");
        }
    }

    #[test]
    fn calicoctl_knows_its_own_names_only() {
        assert!(kind("heps", Persona::Calicoctl).is_ok());
        for word in ["hep.p", "livemigration", "blockaffinity", "foo"] {
            let text = kind(word, Persona::Calicoctl).unwrap_err().to_string();
            assert_eq!(text, format!("resource type '{word}' is not supported"));
        }
    }

    #[test]
    fn a_near_miss_is_named() {
        let text = kind("hostendpiont", Persona::Tortie).unwrap_err().to_string();
        assert!(text.starts_with("there is no kind 'hostendpiont'; did you mean 'hostendpoints'?"), "{text}");
    }

    #[test]
    fn words_name_objects_in_both_forms() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let names = |list: &[&str]| {
            let targets = parse(&words(list), Persona::Tortie).unwrap();
            targets.into_iter().map(|target| (target.kind, target.name)).collect::<Vec<_>>()
        };
        assert_eq!(names(&["hep"]), [(Kind::HostEndpoint, None)]);
        assert_eq!(names(&["hep", "a"]), [(Kind::HostEndpoint, Some("a".into()))]);
        assert_eq!(
            names(&["hep/a", "tier/b"]),
            [(Kind::HostEndpoint, Some("a".into())), (Kind::Tier, Some("b".into())),]
        );
        let spaces = |list: &[&str], persona| {
            let targets = parse(&words(list), persona).unwrap();
            targets.into_iter().map(|target| (target.namespace, target.name.unwrap())).collect::<Vec<_>>()
        };
        for list in [&["np", "a/b"][..], &["networkpolicy/a/b"]] {
            assert_eq!(spaces(list, Persona::Tortie), [("a".to_owned(), "b".to_owned())]);
        }
        assert_eq!(spaces(&["hep", "a/b"], Persona::Tortie), [(String::new(), "a/b".to_owned())]);
        assert_eq!(spaces(&["np", "a/b"], Persona::Calicoctl), [(String::new(), "a/b".to_owned())]);
        assert!(parse(&words(&["np", "a/"]), Persona::Tortie).is_err());
        let mixed = parse(&words(&["gnp/a", "np/nope", "gnp"]), Persona::Tortie).unwrap_err().to_string();
        assert!(mixed.starts_with("'gnp' is not KIND/NAME"), "{mixed}");
        assert!(parse(&words(&["hep", ""]), Persona::Tortie).is_err());
        assert!(parse(&words(&["hep/"]), Persona::Tortie).is_err());
    }
}
