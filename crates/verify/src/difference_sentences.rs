//! Differences of a table as sentences in the terms of its users: interfaces, endpoints, policies and their rules, selectors.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use tortie_dataplane::{End, Owner, Rule, RulesId, SetId, State};
use tortie_dataplane_nft::{
    Difference, DifferenceKind, Line, Origin, comment_text, element_text, element_verdict, interface_of, last_word,
};
use tortie_nft::{Data, Element, Set, kept_comment};
use tortie_policy::{EndpointId, PortMatch, Snapshot};

/// The data for the names in sentences.
pub(crate) struct Names<'a> {
    snapshot: &'a Snapshot,
    /// The purpose of each set of the desired state.
    sets: HashMap<&'a str, String>,
    /// The comments of all endpoints of the snapshot, as the kernel keeps them.
    endpoints: OnceCell<HashSet<String>>,
}

/// The sentence about the elements of one interface, which may be in several maps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Governing {
    Missing,
    Extra,
    /// It is in the kernel, and its comment is not the name of an endpoint.
    Nameless,
}

impl<'a> Names<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, state: &'a State) -> Self {
        let mut sets: HashMap<&str, String> = HashMap::new();
        for (id, rules) in &state.rules {
            for rule in rules {
                for (side, end) in [("source", &rule.source), ("destination", &rule.destination)] {
                    for (set, text) in sets_of(snapshot, id, rule, side, end) {
                        sets.entry(set.as_str())
                            .or_insert_with(|| format!("{text} ({side} of rule {} of {id})", rule.number));
                    }
                }
            }
        }
        for (name, text) in [
            (SetId::IPIP_PEERS, "the addresses of nodes that use IPIP"),
            (SetId::VXLAN_PEERS, "the addresses of nodes that use VXLAN"),
            (SetId::POOLS, "the IP pools"),
            (SetId::TRANSLATED_POOLS, "the IP pools with outgoing NAT"),
        ] {
            sets.insert(name, text.to_owned());
        }
        Self { snapshot, sets, endpoints: OnceCell::new() }
    }

    /// One sentence for each difference, what concerns users most first. The elements that one interface has in several maps
    /// are told together.
    pub(crate) fn sentences(&self, differences: &[Difference]) -> Vec<(String, String)> {
        let mut differences: Vec<&Difference> = differences.iter().collect();
        differences.sort_by_key(|difference| rank(&difference.kind));
        let mut sentences: Vec<(String, String)> = Vec::new();
        let mut interfaces: Vec<(Governing, String, String, usize)> = Vec::new();
        for Difference { kind: what, origin } in differences {
            let raw = what.to_string();
            let Some((governing, interface, endpoint, map)) = governing(what) else {
                sentences.push((self.sentence(what, origin), raw));
                continue;
            };
            let same = |one: &&(Governing, String, String, usize)| {
                (one.0, one.1.as_str(), one.2.as_str()) == (governing, &interface, endpoint)
            };
            match interfaces.iter().find(same) {
                Some((.., at)) => {
                    let (sentence, kernel) = &mut sentences[*at];
                    sentence.insert_str(sentence.len() - 1, &format!(", {map}"));
                    *kernel += &format!("; {raw}");
                }
                None => {
                    let sentence = match governing {
                        Governing::Missing => format!("interface {interface} is not governed by {endpoint} ({map})"),
                        Governing::Extra => {
                            format!(
                                "interface {interface} is still governed by {endpoint}, {} ({map})",
                                self.why(endpoint)
                            )
                        }
                        Governing::Nameless => {
                            format!(
                                "interface {interface} has an element that names no endpoint, and nothing in force asks for it ({map})"
                            )
                        }
                    };
                    interfaces.push((governing, interface, endpoint.to_owned(), sentences.len()));
                    sentences.push((sentence, raw));
                }
            }
        }
        sentences
    }

    /// Why an endpoint should not govern an interface.
    fn why(&self, endpoint: &str) -> &'static str {
        let endpoints = self.endpoints.get_or_init(|| {
            let hosts = self.snapshot.host_endpoints.keys().map(|name| EndpointId::Host(name.clone()));
            let workloads = self.snapshot.workload_endpoints.keys().map(|id| EndpointId::Workload(id.clone()));
            hosts.chain(workloads).map(|id| kept_comment(&id.to_string()).to_owned()).collect()
        });
        match endpoints.contains(kept_comment(endpoint)) {
            true => "which should not govern it",
            false if endpoint.starts_with("wep/") => "which does not exist or has no address",
            false => "which does not exist",
        }
    }

    /// The purpose of a set.
    fn set(&self, set: &Set, origin: &Origin) -> String {
        let known = set.comment.as_deref().and_then(|comment| self.sets.get(comment));
        match (known, &origin.rule) {
            (Some(text), _) => text.clone(),
            (None, Some(rule)) => format!("set `{}` ({rule})", set.name),
            (None, None) => format!("set `{}`", set.name),
        }
    }

    /// A set itself.
    fn whole_set(&self, set: &Set, origin: &Origin) -> String {
        let text = self.set(set, origin);
        if text.starts_with("set `") { text } else { format!("the set of {text}") }
    }

    /// How an element differs from what is asked for.
    fn other_element(&self, set: &Set, wanted: &Element, found: &Element, origin: &Origin) -> Option<String> {
        let interface = interface_of(set, wanted);
        let it = match &interface {
            Some(interface) => format!("the element of interface {interface} in {}", set.name),
            None => format!("set member {} of {}", element_text(set, wanted), self.set(set, origin)),
        };
        let verdicts = element_verdict(wanted).zip(element_verdict(found));
        // Chains are compared by their rules, whatever their names.
        let word = |verdict: &str| verdict.split(' ').next().map(str::to_owned);
        let ends = verdicts.filter(|(asked, there)| word(asked) != word(there));
        let ends = ends.map(|(asked, there)| format!("ends in `{there}` instead of `{asked}`"));
        Some(match [wanted, found].map(|element| comment_text(element.comment.as_ref())) {
            [Some(endpoint), Some(other)] if is_named(endpoint, other) => format!("{it} for {endpoint} {}", ends?),
            [Some(endpoint), Some(other)] if names_endpoint(other) => {
                let interface = interface?;
                format!("interface {interface} is governed by {other} instead of {endpoint} ({})", set.name)
            }
            [Some(endpoint), _] => {
                let ends = ends.map_or_else(String::new, |ends| format!(", and {ends}"));
                format!("{it} does not name {endpoint}{ends}")
            }
            [None, Some(other)] => format!("{it} has the comment \"{other}\", and nothing in force asks for it"),
            [None, None] => format!("{it} {}", ends.unwrap_or_else(|| "has an empty comment".to_owned())),
        })
    }

    fn sentence(&self, what: &DifferenceKind, origin: &Origin) -> String {
        match what {
            DifferenceKind::SetMissing { set } => format!("{} is missing", self.whole_set(set, origin)),
            DifferenceKind::SetOther { wanted, .. } => format!("{} has another type", self.whole_set(wanted, origin)),
            DifferenceKind::ElementMissing { set, element } => {
                format!("set member {} of {} is missing", element_text(set, element), self.set(set, origin))
            }
            DifferenceKind::ElementExtra { set, element } => {
                let member = element_text(set, element);
                format!(
                    "set member {member} of {} is in the kernel, and nothing in force asks for it",
                    self.set(set, origin)
                )
            }
            DifferenceKind::ElementOther { set, wanted, found } => {
                self.other_element(set, wanted, found, origin).unwrap_or_else(|| what.to_string())
            }
            DifferenceKind::RuleMissing { chain, line } => {
                format!("{} is missing{}", rule(line), place(chain, origin))
            }
            DifferenceKind::RuleExtra { chain, line } => {
                format!("{} is in the kernel, and nothing in force asks for it{}", rule(line), place(chain, origin))
            }
            DifferenceKind::BaseChainExtra { .. } => {
                let text = what.to_string();
                let what = text.strip_suffix(" is not asked for").unwrap_or(&text);
                format!("{what} is in the table, and nothing in force asks for it: every packet of its hook meets it")
            }
            DifferenceKind::RuleOther { chain, wanted, found } => {
                let (asked, there) = (last_word(wanted), last_word(found));
                let what = if asked == there {
                    "has other conditions or effects than asked for".to_owned()
                } else {
                    format!("ends in `{there}` instead of `{asked}`")
                };
                format!("{} {what}{}", rule(wanted), place(chain, origin))
            }
            DifferenceKind::RuleOrder { chain, first, then } => {
                format!("{} comes before {} instead of after it{}", rule(first), rule(then), place(chain, origin))
            }
            DifferenceKind::ChainMissing { chain, base: None } => {
                let origin = reached_from(origin).map_or_else(String::new, |origin| format!(" (used by {origin})"));
                format!("chain `{chain}` is missing{origin}")
            }
            other => other.to_string(),
        }
    }
}

/// The order of differences: that nothing is enforced, endpoints, sets and rules of policies, then the rest of the table, then
/// what is unused.
fn rank(what: &DifferenceKind) -> u8 {
    let of_policy = |line: &Line| line.comment.as_ref().is_some_and(|comment| comment.starts_with("rule "));
    match what {
        DifferenceKind::Dormant => 0,
        _ if governing(what).is_some() => 1,
        DifferenceKind::ElementMissing { .. }
        | DifferenceKind::ElementExtra { .. }
        | DifferenceKind::ElementOther { .. } => 2,
        DifferenceKind::RuleMissing { line, .. } | DifferenceKind::RuleExtra { line, .. } if of_policy(line) => 2,
        DifferenceKind::RuleOther { wanted: line, .. } | DifferenceKind::RuleOrder { then: line, .. }
            if of_policy(line) =>
        {
            2
        }
        DifferenceKind::ChainUnused { .. } | DifferenceKind::SetUnused { .. } => 4,
        DifferenceKind::ChainMissing { .. }
        | DifferenceKind::BaseChainExtra { .. }
        | DifferenceKind::BaseOther { .. }
        | DifferenceKind::SetMissing { .. }
        | DifferenceKind::SetOther { .. }
        | DifferenceKind::RuleMissing { .. }
        | DifferenceKind::RuleExtra { .. }
        | DifferenceKind::RuleOther { .. }
        | DifferenceKind::RuleOrder { .. } => 3,
    }
}

/// An element that says which endpoint governs an interface: that, the interface, the endpoint and the map.
fn governing(what: &DifferenceKind) -> Option<(Governing, String, &str, &str)> {
    let (set, element, is_missing): (&Set, &Element, bool) = match what {
        DifferenceKind::ElementMissing { set, element } => (set, element, true),
        DifferenceKind::ElementExtra { set, element } => (set, element, false),
        _ => return None,
    };
    let is_only_field = set.key.iter().len() == 1;
    let interface = interface_of(set, element).filter(|_| is_only_field)?;
    debug_assert!(!matches!(element.data, Some(Data::Value(_))));
    let comment = element.comment.as_deref().unwrap_or_default();
    let governing = match is_missing {
        true => Governing::Missing,
        false if names_endpoint(comment) => Governing::Extra,
        false => Governing::Nameless,
    };
    Some((governing, interface, comment, &set.name))
}

/// Whether a comment is the name of an endpoint, as tortie writes it.
fn names_endpoint(comment: &str) -> bool {
    comment.starts_with("hep/") || comment.starts_with("wep/")
}

/// Whether a comment in the kernel names an endpoint: long names are cut there.
fn is_named(endpoint: &str, comment: &str) -> bool {
    kept_comment(endpoint) == kept_comment(comment)
}

/// A rule by its comment, or by what it ends in.
fn rule(line: &Line) -> String {
    match comment_text(line.comment.as_ref()) {
        Some(comment) if comment.starts_with("rule ") => comment.to_owned(),
        Some(comment) => format!("rule \"{comment}\""),
        None => format!("a rule that ends in `{}`", last_word(line)),
    }
}

/// The place of a rule.
fn place(chain: &str, origin: &Origin) -> String {
    match reached_from(origin) {
        Some(origin) => format!(" (chain `{chain}`, used by {origin})"),
        None => format!(" (chain `{chain}`)"),
    }
}

/// The rule or map that jumps to a chain.
fn reached_from(origin: &Origin) -> Option<String> {
    let Origin { endpoint, interface, .. } = origin;
    Some(match (endpoint, interface) {
        (Some(endpoint), Some(interface)) => format!("{endpoint} at {interface}"),
        (Some(endpoint), None) => endpoint.clone(),
        _ => return None,
    })
}

/// The sets of one end of a rule with what each is for.
fn sets_of<'a>(
    snapshot: &Snapshot,
    id: &RulesId,
    rule: &'a Rule,
    side: &str,
    end: &'a End,
) -> Vec<(&'a SetId, String)> {
    let written = written(snapshot, id, rule.number);
    let written = written.map(|rule| if side == "source" { &rule.source } else { &rule.destination });
    let mut found = Vec::new();
    if let Some(peers) = &end.peers {
        let selector = written.and_then(|end| end.peers.as_ref()).map(|peers| peers.written.as_str());
        found.push((&peers.set, selector.map_or_else(|| "a selector".to_owned(), |text| format!("selector {text}"))));
    }
    let named = |ports: Option<&Vec<PortMatch>>| {
        let names = ports.into_iter().flatten().filter_map(|port| match port {
            PortMatch::Named(name) => Some(name.as_str()),
            PortMatch::Range(_) => None,
        });
        format!("named port {}", names.collect::<Vec<_>>().join(" or "))
    };
    let ports = named(written.map(|end| &end.ports));
    found.extend(end.ports.named.iter().map(|set| (set, ports.clone())));
    let not_ports = named(written.map(|end| &end.not_ports));
    found.extend(end.not_ports.named.iter().map(|set| (set, not_ports.clone())));
    if let Some(set) = &end.service {
        let service = written.and_then(|end| end.service.as_ref());
        let name = service.map(|id| format!("service {}/{}", id.namespace, id.name));
        found.push((set, name.unwrap_or_else(|| "a service".to_owned())));
    }
    found
}

/// A rule as the snapshot has it.
fn written<'a>(snapshot: &'a Snapshot, id: &RulesId, number: u32) -> Option<&'a tortie_policy::Rule> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    match &id.owner {
        Owner::Policy(policy) => snapshot.policies.get(&**policy)?.rules(id.direction).get(at),
        Owner::Profile(name) => {
            let profile = snapshot.profiles.get(&**name)?;
            match id.direction {
                tortie_policy::Direction::Ingress => profile.ingress.get(at),
                tortie_policy::Direction::Egress => profile.egress.get(at),
            }
        }
    }
}
