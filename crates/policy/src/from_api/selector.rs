//! Selectors as policies and rules write them, and how several become one.
//!
//! Calico joins the texts and parses the whole. Here each part is parsed once and the trees are joined; the canonical
//! text and so the id are the same.

use tortie_selector::Selector;

use super::read::Read;

/// The longest selector that is read, in bytes. Calico's schema lets one be 1,024 characters long; before it there was no limit.
pub const MAX_SELECTOR_BYTES: usize = 65_536;

/// Labels of namespaces have this prefix.
pub(super) const NAMESPACE_PREFIX: &str = "pcns.";
/// Labels of service accounts have this prefix.
pub(super) const SERVICE_ACCOUNT_PREFIX: &str = "pcsa.";
/// The label of everything that is in a namespace.
const NAMESPACE: &str = "projectcalico.org/namespace";
/// The label of everything that has a service account.
pub(super) const SERVICE_ACCOUNT: &str = "projectcalico.org/serviceaccount";
/// A piece of a selector's text, and its replacement when the selector is joined with others.
pub(super) type Rewriting = (&'static str, &'static str);
/// In a selector of namespaces `all()` means "in any namespace", and `global()` "in none".
pub(super) const ALL_NAMESPACES: Rewriting = ("all()", "has(projectcalico.org/namespace)");
/// In a policy's selector of service accounts `all()` means "with any service account".
pub(super) const ALL_ACCOUNTS: Rewriting = ("all()", "has(projectcalico.org/serviceaccount)");
pub(super) const NO_NAMESPACE: Rewriting = ("global()", "!has(projectcalico.org/namespace)");

/// A selector, or all when it is empty.
pub(super) fn selector(text: &str) -> Read<Selector> {
    if text.len() > MAX_SELECTOR_BYTES {
        return Err(format!("a selector of {} bytes is longer than {MAX_SELECTOR_BYTES}", text.len()).into());
    }
    Selector::parse(text).map_err(|error| error.to_string().into())
}

/// What `text` says after these changes; `parsed` is what it says before. Calico changes the text and parses it again,
/// so `all( )` stays as it is.
pub(super) fn rewritten(parsed: Selector, text: &str, changes: &[Rewriting]) -> Read<Selector> {
    if changes.iter().all(|(from, _)| !text.contains(from)) {
        return Ok(parsed);
    }
    let text = changes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    Selector::parse(&text).map_err(|error| error.to_string().into())
}

/// What is in this namespace.
pub(super) fn in_namespace(namespace: &str) -> Read<Selector> {
    Selector::equals(NAMESPACE, namespace).ok_or_else(|| format!("{namespace:?} is not a name of a namespace").into())
}

/// A policy's selector, its namespace and its selectors of namespaces and service accounts, as one selector. Calico appends
/// one after the other. Where no namespace is given it rewrites `all()` in the whole text each time, so that even the
/// policy's own `all()` means "in any namespace" beside a namespace selector.
pub(super) fn joined(
    own: Option<(String, Selector)>,
    namespace: &str,
    scopes: &[(Selector, Rewriting)],
) -> Read<Selector> {
    let scopes: Vec<(&Selector, &[Rewriting])> = scopes
        .iter()
        .map(|(scope, all)| (scope, if namespace.is_empty() { std::slice::from_ref(all) } else { &[] }))
        .collect();
    let mut parts = Vec::new();
    if let Some((text, selector)) = own {
        parts.push(rewritten(selector, text.trim(), scopes.first().map_or(&[], |(_, all)| all))?);
    }
    if !namespace.is_empty() {
        parts.push(in_namespace(namespace)?);
    }
    for (scope, all) in scopes {
        parts.push(rewritten(scope.clone(), scope.as_str(), all)?);
    }
    Ok(parts.into_iter().reduce(|a, b| Selector::all_of(&[a, b])).unwrap_or_else(Selector::all))
}

#[cfg(test)]
mod tests;
