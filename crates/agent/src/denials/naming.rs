//! Finds the endpoint, direction, policy and rule that denied a packet, from the log prefix, the hook and the interfaces.
//!
//! Endpoints share lists of rules, so the chain does not say which endpoint was being evaluated. The hook and the direction
//! leave at most two candidates; of these, in the kernel's order, the first one whose program at that stage contains the
//! policy denied the packet.

use tortie_dataplane::{Endpoint, Owner, Place, Program, ProgramId, RulesId, State};
use tortie_nft::Hook;
use tortie_policy::Direction;

/// The names for one denied packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) endpoint: Option<String>,
    pub(crate) direction: Option<Direction>,
    pub(crate) tier: Option<String>,
    /// The policy or profile: `gnp web`, `profile kns.shop`.
    pub(crate) policy: Option<String>,
    /// The number of its rule.
    pub(crate) rule: Option<u32>,
    /// What denied it, in words.
    pub(crate) by: String,
}

/// The hook and interfaces at which a packet was denied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DenialPoint<'a> {
    pub(crate) hook: Option<Hook>,
    /// The names of the interfaces; empty for none.
    pub(crate) in_name: &'a str,
    pub(crate) out_name: &'a str,
}

/// An endpoint whose program may have denied the packet: its place, the direction, and the stage.
struct EndpointHook<'a> {
    place: Place,
    direction: Direction,
    program: fn(&Endpoint) -> Option<ProgramId>,
    interface: &'a str,
}

/// Names a denial. `tag` is the first part of the chain's name, `comment` that of the line, which may be truncated.
pub(crate) fn name(tag: &str, comment: &str, at: DenialPoint<'_>, state: &State) -> Named {
    let rule = rule_of(comment, state);
    let hooks = candidate_hooks(tag, at);
    let of_rule = |hook: &&EndpointHook<'_>| match &rule {
        Some((_, id)) => hook.direction == id.direction && uses_list(hook, id, state),
        None => endpoint(hook, state).is_some(),
    };
    let hook = hooks.iter().find(of_rule);
    let direction = hook.map(|hook| hook.direction).or_else(|| rule.as_ref().map(|(_, id)| id.direction));
    let tier = |id: &RulesId| {
        let program = program(hook?, state)?;
        let Owner::Policy(policy) = &id.owner else { return None };
        program.tiers.iter().find(|tier| tier.policies.contains(policy)).map(|tier| tier.name.to_string())
    };
    let (policy, tier) = match &rule {
        Some((_, id)) => (Some(owner(id)), tier(id)),
        None => (None, comment.strip_prefix("end of tier ").map(str::to_owned)),
    };
    let by = match (&rule, &policy) {
        (Some((Some(number), _)), Some(policy)) => format!("rule {number} of {policy}"),
        (Some((None, _)), Some(policy)) => format!("the kernel refused {policy}, so all of it is denied"),
        _ if tier.is_some() => format!("the {comment}"),
        _ if comment.is_empty() => format!("chain {tag}"),
        _ => comment.to_owned(),
    };
    Named {
        endpoint: hook.and_then(|hook| endpoint(hook, state)).map(|endpoint| endpoint.id.to_string()),
        direction,
        tier,
        policy,
        rule: rule.and_then(|(number, _)| number),
        by,
    }
}

/// The list of rules and the number of the rule in a comment; none if the comment names no list.
fn rule_of(comment: &str, state: &State) -> Option<(Option<u32>, RulesId)> {
    let (number, list) = match comment.strip_prefix("refused: ") {
        Some(list) => (None, list),
        None => {
            let (number, list) = comment.strip_prefix("rule ")?.split_once(" of ")?;
            (Some(number.parse().ok()?), list)
        }
    };
    let whole = list.strip_suffix(": Deny").unwrap_or(list);
    let mut found = state.rules.keys().filter(|id| id.to_string() == whole);
    if let Some(id) = found.next() {
        return Some((number, id.clone()));
    }
    // It was truncated: it identifies a list if only one begins with it.
    let mut cut = state.rules.keys().filter(|id| format!("{id}: Deny").starts_with(list));
    cut.next().filter(|_| cut.next().is_none()).map(|id| (number, id.clone()))
}

fn owner(id: &RulesId) -> String {
    match &id.owner {
        Owner::Policy(policy) => policy.to_string(),
        Owner::Profile(name) => format!("profile {name}"),
    }
}

/// The endpoints that may have denied the packet, in the kernel's order.
fn candidate_hooks<'a>(tag: &str, at: DenialPoint<'a>) -> Vec<EndpointHook<'a>> {
    use Direction::{Egress, Ingress};
    let host = |interface: &'a str, direction, program| EndpointHook {
        place: Place::Host(interface.to_owned()),
        direction,
        program,
        interface,
    };
    let workload = |interface: &'a str, direction, program| EndpointHook {
        place: Place::Workload(interface.to_owned()),
        direction,
        program,
        interface,
    };
    let (inside, outside) = (at.in_name, at.out_name);
    let normal_in = |endpoint: &Endpoint| Some(endpoint.programs.normal.ingress);
    let normal_out = |endpoint: &Endpoint| Some(endpoint.programs.normal.egress);
    let pre_dnat = || host(inside, Ingress, |endpoint| endpoint.programs.pre_dnat);
    let untracked_in = || host(inside, Ingress, |endpoint| endpoint.programs.untracked.ingress);
    let untracked_out = || host(outside, Egress, |endpoint| endpoint.programs.untracked.egress);
    let forward_in = || host(inside, Ingress, |endpoint| endpoint.programs.forward.ingress);
    let forward_out = || host(outside, Egress, |endpoint| endpoint.programs.forward.egress);
    let from_workload = || workload(inside, Egress, normal_out);
    let to_workload = || workload(outside, Ingress, normal_in);
    let host_in = || host(inside, Ingress, normal_in);
    let host_out = || host(outside, Egress, normal_out);
    match tag {
        "untracked-in" => vec![untracked_in()],
        "untracked-out" => vec![untracked_out()],
        "pre-dnat" => vec![pre_dnat()],
        "host-in" => vec![host_in()],
        "host-out" | "host-out-late" => vec![host_out()],
        "forward-in" => vec![forward_in()],
        "forward-out" => vec![forward_out()],
        "workload-out" | "source-check" | "encapsulation" | "workload-to-host" | "from-workload" => {
            vec![from_workload()]
        }
        "workload-in" | "to-workload" => vec![to_workload()],
        "policy-in" | "policy-out" | "profile-in" | "profile-out" => match at.hook {
            Some(Hook::Prerouting) => vec![untracked_in(), pre_dnat()],
            Some(Hook::Input) => vec![from_workload(), host_in()],
            Some(Hook::Forward) => vec![forward_in(), from_workload(), to_workload(), forward_out()],
            Some(Hook::Output) => vec![untracked_out(), host_out()],
            Some(Hook::Postrouting) => vec![host_out()],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The endpoint that governs this place.
fn endpoint<'a>(hook: &EndpointHook<'_>, state: &'a State) -> Option<&'a Endpoint> {
    let any = matches!(hook.place, Place::Host(_)) && !hook.interface.is_empty();
    state.endpoints.get(&hook.place).or_else(|| any.then(|| state.endpoints.get(&Place::AnyHost)).flatten())
}

fn program<'a>(hook: &EndpointHook<'_>, state: &'a State) -> Option<&'a Program> {
    state.programs.get(&(hook.program)(endpoint(hook, state)?)?)
}

/// Whether the endpoint's program contains a list of rules.
fn uses_list(hook: &EndpointHook<'_>, id: &RulesId, state: &State) -> bool {
    program(hook, state).is_some_and(|program| program.rules().any(|rules| rules == *id))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tortie_api::Kind;
    use tortie_policy::PolicyId;

    use super::*;

    fn list(name: &str) -> RulesId {
        let policy = PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: String::new(), name: name.to_owned() };
        RulesId { owner: Owner::Policy(Arc::new(policy)), direction: Direction::Ingress }
    }

    #[test]
    fn a_shortened_comment_names_the_only_policy_that_begins_so() {
        let long = "a".repeat(200);
        let mut state = State::default();
        state.rules.insert(list(&long), Vec::new());
        state.rules.insert(list("short"), Vec::new());
        assert_eq!(rule_of("rule 2 of gnp short ingress: Deny", &state), Some((Some(2), list("short"))));
        assert_eq!(rule_of(&format!("rule 12 of gnp {}", "a".repeat(90)), &state), Some((Some(12), list(&long))));
        assert_eq!(rule_of("refused: gnp short ingress", &state), Some((None, list("short"))));
        assert_eq!(rule_of("end of tier default", &state), None);
        state.rules.insert(list(&(long + "b")), Vec::new());
        assert_eq!(rule_of(&format!("rule 12 of gnp {}", "a".repeat(90)), &state), None);
    }

    #[test]
    fn decisions_before_policy_have_a_text_of_their_own() {
        let at = DenialPoint { hook: Some(Hook::Forward), in_name: "cali1", out_name: "eth0" };
        let named = name("from-workload", "unknown workload interface", at, &State::default());
        assert_eq!(named, Named { by: "unknown workload interface".to_owned(), ..Named::default() });
    }
}
