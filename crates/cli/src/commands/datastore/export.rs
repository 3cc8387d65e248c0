//! The content of a locked store in the form that `calicoctl datastore migrate import` reads: YAML lists, one a kind,
//! then ClusterInformation, then the data of address management, which tortie's stores do not have.
//!
//! calicoctl exports staged policies of the namespace `default` only; tortie exports all.

use std::collections::HashMap;

use serde_json::Value;
use tortie_api::{Key, Kind, Object, encode, names};
use tortie_client::Client;
use tortie_manifest::write;
use tortie_store::Selection;

use crate::session::Session;
use crate::terminal::Exit;

/// The kinds, in the order of the export: objects that others refer to come first.
pub(super) const KINDS: [Kind; 17] = [
    Kind::IPPool,
    Kind::BGPPeer,
    Kind::Tier,
    Kind::GlobalNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
    Kind::GlobalNetworkSet,
    Kind::HostEndpoint,
    Kind::KubeControllersConfiguration,
    Kind::NetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
    Kind::NetworkSet,
    Kind::Node,
    Kind::BGPConfiguration,
    Kind::FelixConfiguration,
    Kind::IPReservation,
    Kind::BGPFilter,
];

/// Prints everything, or an error: all is read before anything is printed.
pub(super) fn run(client: &Client, session: &mut Session) -> anyhow::Result<Exit> {
    let name = session.persona.name();
    let calico = session.persona.is_calicoctl();
    let information = client.get(&Key::cluster(Kind::ClusterInformation, "default")).map_err(|error| {
        if error.is_missing() && !calico {
            return anyhow::anyhow!("the store is empty: there is nothing to export");
        }
        anyhow::anyhow!("error while checking if datastore was locked: error retrieving ClusterInformation: {error}")
    })?;
    let information = information.object;
    let ready = information.body.get("spec").and_then(|spec| spec.get("datastoreReady")).and_then(Value::as_bool);
    if ready != Some(false) {
        anyhow::bail!(
            "datastore is not locked. Run the `{name} datastore migrate lock` command in order to begin migration"
        );
    }
    let mut text = String::new();
    let mut nodes = HashMap::new();
    for kind in KINDS {
        let listed = client.list(&Selection::kind(kind))?;
        if let Some(error) = listed.unreadable.first() {
            anyhow::bail!("the export would be incomplete: {error}");
        }
        let mut items = Vec::new();
        for mut object in listed.objects {
            if kind == Kind::NetworkPolicy && object.metadata.name.starts_with(names::kubernetes::NETWORK_POLICY) {
                continue;
            }
            strip(&mut object);
            match kind {
                Kind::Node => rename_node(&mut object, &mut nodes)?,
                Kind::FelixConfiguration => {
                    follow_node(&mut object, &nodes);
                    spell_actions(&mut object);
                }
                Kind::BGPConfiguration => follow_node(&mut object, &nodes),
                _ => {}
            }
            items.push(encode::shown(&object));
        }
        text.push_str(&write::yaml(&encode::shown_list(kind, &listed.position.to_string(), items)));
        text.push_str("---\n");
    }
    text.push_str("===\n");
    text.push_str(&encode::go_json(&encode::shown(&information), true));
    text.push_str("\n===\n{}\n");
    session.terminal.print(&text);
    Ok(Exit::Done)
}

/// Removes the fields that belong to this store.
fn strip(object: &mut Object) {
    object.metadata.uid.clear();
    object.metadata.resource_version.clear();
    object.metadata.creation_timestamp = None;
    object.metadata.deletion_timestamp = None;
    object.metadata.deletion_grace_period_seconds = None;
}

/// Renames nodes to the names that Kubernetes has for them.
fn rename_node(object: &mut Object, nodes: &mut HashMap<String, String>) -> anyhow::Result<()> {
    let references = object.body.get("spec").and_then(|spec| spec.get("orchRefs")).and_then(Value::as_array);
    let name = references
        .into_iter()
        .flatten()
        .filter(|reference| reference.get("orchestrator").is_some_and(|orchestrator| orchestrator == "k8s"))
        .filter_map(|reference| reference.get("nodeName").and_then(Value::as_str))
        .rfind(|name| !name.is_empty());
    let old = object.metadata.name.clone();
    let Some(name) = name else {
        anyhow::bail!(
            "unable to process metadata for export for Node resource: node {old} missing a 'k8s' orchestrator \
             reference. Unable to export data unless every node has a 'k8s' orchestrator reference"
        );
    };
    let name = name.to_owned();
    object.metadata.name.clone_from(&name);
    nodes.insert(old, name);
    Ok(())
}

/// Renames `node.<name>` configurations like their nodes.
fn follow_node(object: &mut Object, nodes: &HashMap<String, String>) {
    let renamed = object.metadata.name.strip_prefix("node.").and_then(|node| nodes.get(node));
    if let Some(name) = renamed {
        object.metadata.name = format!("node.{name}");
    }
}

/// `ACCEPT` and `accept` of old stores are `Accept` in Kubernetes.
fn spell_actions(object: &mut Object) {
    const FIELDS: [&str; 4] = [
        "defaultEndpointToHostAction",
        "iptablesFilterAllowAction",
        "iptablesMangleAllowAction",
        "iptablesFilterDenyAction",
    ];
    let Some(spec) = object.body.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for field in FIELDS {
        if let Some(Value::String(text)) = spec.get_mut(field) {
            let mut lower = text.to_lowercase();
            if let Some(first) = lower.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            *text = lower;
        }
    }
}
