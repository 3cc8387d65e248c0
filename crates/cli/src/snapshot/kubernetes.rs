//! Manifests of Kubernetes' own kinds in previews: what the store would hold once kubectl has applied them.

use serde_json::Value;
use tortie_api::{Kind, Object, decode, encode};
use tortie_store::{Listing, Revision, Stored};
use tortie_store_kube::convert::{manifest, pod};

use crate::session::Session;

/// Puts the objects of these manifests into what the store holds. False when one cannot be; the reason was printed.
pub(super) fn add(manifests: &[Value], namespace: &str, listing: &mut Listing, session: &mut Session) -> bool {
    let prefix = std::env::var("FELIX_INTERFACEPREFIX").ok().filter(|prefixes| !prefixes.is_empty());
    let prefix = prefix.as_deref().and_then(|prefixes| prefixes.split(',').next());
    let prefix = prefix.unwrap_or(pod::DEFAULT_INTERFACE_PREFIX);
    listing.items.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let mut is_whole = true;
    for one in manifests {
        let name = manifest::name(one, namespace);
        match manifest::convert(one, namespace, prefix, |namespace, pod| endpoint(listing, namespace, pod)) {
            Ok(converted) => {
                for warning in converted.warnings {
                    session.terminal.note(format_args!("warning[left-out]: {name}: {warning}"));
                }
                put(listing, &converted.object);
            }
            Err(error) => {
                session.terminal.error(format_args!("{name} cannot be previewed: {error}"));
                is_whole = false;
            }
        }
    }
    is_whole
}

/// The workload endpoint that there is of a pod.
fn endpoint(listing: &Listing, namespace: &str, pod: &str) -> Option<Object> {
    let of_namespace = listing.items.iter().filter(|it| {
        it.key.kind == Kind::WorkloadEndpoint && it.key.namespace == namespace && it.value.unreadable().is_none()
    });
    let mut objects = of_namespace.filter_map(|it| decode::stored(&it.key, &it.value).ok());
    objects.find(|object| object.body.get("spec").is_some_and(|spec| spec["pod"] == pod))
}

fn put(listing: &mut Listing, object: &Object) {
    let key = object.key();
    let stored = Stored { key: key.clone(), revision: Revision::default(), value: encode::stored(object).into() };
    match listing.items.binary_search_by(|it| it.key.cmp(&key)) {
        Ok(at) => listing.items[at] = stored,
        Err(at) => listing.items.insert(at, stored),
    }
}
