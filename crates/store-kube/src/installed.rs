//! Which definitions an API server has, for users: none, those of the group that is used, or those of both groups.

use std::collections::BTreeSet;

use tortie_api::{Key, Kind, decode};
use tortie_store::{Definitions, Purpose, Stored};

use crate::client::{Call, CallError};
use crate::custom::Group;
use crate::discovery::Age;
use crate::item::Page;
use crate::shared::Shared;
use crate::source::Source;

/// The kinds that are compared where both groups exist.
const COMPARED: [Kind; 5] =
    [Kind::GlobalNetworkPolicy, Kind::NetworkPolicy, Kind::HostEndpoint, Kind::GlobalNetworkSet, Kind::NetworkSet];
/// How many objects of each are.
const PAGE: usize = 500;

/// Whether the definitions of the group that is used exist, and whether those of the other do.
pub(crate) async fn definitions(shared: &Shared) -> Result<Definitions, CallError> {
    let group = shared.group_of_now().await?;
    let (used, other) = (group.api_version(), group.other());
    let settings = shared.client().settings();
    let (server, is_set) = (&settings.server, settings.group.is_some());
    let has_other = shared.serves_group(other, Age::Now).await?;
    if !shared.serves_group(group, Age::Now).await? {
        let file = if is_set { group } else { Group::Native }.name();
        let install = format!("`kubectl apply --server-side -f packaging/kubernetes/{file}.yaml` installs them");
        let nothing = format!("the Kubernetes at {server} has no definitions of Calico's resources in {used}");
        let other = other.api_version();
        return Ok(Definitions::Missing(match (is_set, has_other) {
            (false, _) => format!("{nothing} and none in {other}: {install}"),
            (true, false) => format!("{nothing}, which CALICO_API_GROUP names, and none in {other}: {install}"),
            (true, true) => format!(
                "{nothing}, which CALICO_API_GROUP names, and has them in {other}: CALICO_API_GROUP={other} uses these; {install}"
            ),
        }));
    }
    if is_set || !has_other {
        return Ok(Definitions::Installed);
    }
    let unread = only_in_other(shared, group).await;
    let other = other.api_version();
    let both = format!(
        "the Kubernetes at {server} has definitions of both {used} and {other}; as in Calico those of {used} are used then"
    );
    let choose = format!("CALICO_API_GROUP={other} uses the other");
    Ok(match unread {
        None => Definitions::Twice { text: format!("{both}; {choose}"), has_unread: false },
        Some((objects, is)) => Definitions::Twice {
            text: format!(
                "{both}, and {objects} only in {other} {is} NOT enforced; {choose}, and deleting the definitions of the group that is not \
                 meant ends this"
            ),
            has_unread: true,
        },
    })
}

/// The objects that only the other group has, in words, and their verb; none if there are none or they cannot be read. Calico's API server serves
/// the one group from the other: there every object is in both, with the same UID.
async fn only_in_other(shared: &Shared, used: Group) -> Option<(String, &'static str)> {
    let (mut count, mut first) = (0, None);
    for kind in COMPARED {
        let unused = page(shared, used.other(), kind).await.ok()?;
        if unused.is_empty() {
            continue;
        }
        let known: BTreeSet<_> = page(shared, used, kind).await.ok()?.iter().map(identity).collect();
        for one in unused.iter().filter(|one| !known.contains(&identity(one))) {
            count += 1;
            first = first.or_else(|| Some(one.key.clone()));
        }
    }
    let first: Key = first?;
    Some(match count {
        1 => (first.to_string(), "is"),
        _ => (format!("{count} objects (the first is {first})"), "are"),
    })
}

/// What tells an object from others of its name. The packed group may have the name with its tier.
fn identity(stored: &Stored) -> (String, String, Option<String>) {
    let Key { namespace, name, .. } = &stored.key;
    let uid = decode::stored(&stored.key, &stored.value).ok().map(|object| object.metadata.uid);
    (namespace.clone(), name.strip_prefix("default.").unwrap_or(name).to_owned(), uid)
}

/// The first objects of a kind in a group.
async fn page(shared: &Shared, group: Group, kind: Kind) -> Result<Vec<Stored>, CallError> {
    let decoder = shared.decoder_of(group, Purpose::Anything);
    let source = Source::Custom(kind);
    let call = Call::get(format!("{}?limit={PAGE}", source.path(group, None)));
    let Some(body) = shared.client().find(&call).await? else { return Ok(Vec::new()) };
    let Page { items, .. } = decoder.page(source, &body).map_err(CallError::Away)?;
    Ok(items)
}
