//! Members of sets that do not follow from labels: peers of tunnels, IP pools, endpoints of services.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use ipnet::IpNet;
use tortie_dataplane::{PortMember, SetId};
use tortie_policy::{EndpointSlice, Node, Pool, ServiceId, Settings, SliceId};

use crate::engine::Engine;
use crate::faults;
use crate::members::differences;
use crate::sets::SetKey;

/// The nodes, pools and slices that give these members.
#[derive(Debug, Default)]
pub(crate) struct UnlabelledMembers {
    /// By node: its addresses as a peer of IPIP and of VXLAN.
    nodes: HashMap<String, [Vec<IpNet>; 2]>,
    /// By pool: its net in each of the two sets of pools, or none.
    pools: HashMap<String, [Vec<IpNet>; 2]>,
    slices: HashMap<SliceId, EndpointSlice>,
    /// The slices of each service.
    services: HashMap<ServiceId, BTreeSet<SliceId>>,
}

impl UnlabelledMembers {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() + self.pools.len() + self.slices.len() + self.services.len()
    }
}

impl Engine {
    pub(crate) fn create_well_known_sets(&mut self) {
        for name in SetId::WELL_KNOWN {
            let key = SetKey::WellKnown(name);
            self.members.sets.acquire(&key, &mut self.shared.selectors, &mut self.shared.names);
        }
    }

    /// Replaces members of a set that always exists.
    fn replace_members(&mut self, set: &'static str, old: &[IpNet], new: &[IpNet]) {
        let (gone, is_added) = differences(old, new);
        let Some(index) = self.members.sets.find(&SetKey::WellKnown(set)) else { return };
        is_added.into_iter().for_each(|net| self.members.sets.net(index, net, true, &mut self.shared.cost));
        gone.into_iter().for_each(|net| self.members.sets.net(index, net, false, &mut self.shared.cost));
    }

    pub(crate) fn put_node(&mut self, node: Node) {
        let nets =
            |addresses: &[std::net::IpAddr]| addresses.iter().map(|&address| IpNet::from(address)).collect::<Vec<_>>();
        let new = [nets(&node.addresses), nets(&node.vxlan_peers)];
        let old = self.unlabelled.nodes.remove(&node.name).unwrap_or_default();
        self.replace_members(SetId::IPIP_PEERS, &old[0], &new[0]);
        self.replace_members(SetId::VXLAN_PEERS, &old[1], &new[1]);
        self.unlabelled.nodes.insert(node.name, new);
    }

    pub(crate) fn delete_node(&mut self, name: &str) {
        let old = self.unlabelled.nodes.remove(name).unwrap_or_default();
        self.replace_members(SetId::IPIP_PEERS, &old[0], &[]);
        self.replace_members(SetId::VXLAN_PEERS, &old[1], &[]);
        if self.unlabelled.nodes.is_empty() {
            self.unlabelled.nodes = HashMap::new();
        }
    }

    pub(crate) fn put_pool(&mut self, pool: Pool) {
        let net = |counts: bool| if counts { vec![pool.net] } else { Vec::new() };
        let new = [net(!pool.load_balancer_only), net(!pool.load_balancer_only && pool.nat_outgoing)];
        let old = self.unlabelled.pools.remove(&pool.name).unwrap_or_default();
        self.replace_members(SetId::POOLS, &old[0], &new[0]);
        self.replace_members(SetId::TRANSLATED_POOLS, &old[1], &new[1]);
        self.unlabelled.pools.insert(pool.name, new);
    }

    pub(crate) fn delete_pool(&mut self, name: &str) {
        let old = self.unlabelled.pools.remove(name).unwrap_or_default();
        self.replace_members(SetId::POOLS, &old[0], &[]);
        self.replace_members(SetId::TRANSLATED_POOLS, &old[1], &[]);
        if self.unlabelled.pools.is_empty() {
            self.unlabelled.pools = HashMap::new();
        }
    }

    pub(crate) fn put_slice(&mut self, slice: EndpointSlice) {
        // A member of both is never removed.
        self.count_members(&slice, true);
        self.delete_slice(&slice.id);
        self.unlabelled.services.entry(slice.service.clone()).or_default().insert(slice.id.clone());
        self.unlabelled.slices.insert(slice.id.clone(), slice);
    }

    pub(crate) fn delete_slice(&mut self, id: &SliceId) {
        let Some(slice) = self.unlabelled.slices.remove(id) else { return };
        if !faults::is_on("slice-gives-forever") {
            self.count_members(&slice, false);
        }
        let UnlabelledMembers { slices, services, .. } = &mut self.unlabelled;
        if let Some(of_service) = services.get_mut(&slice.service) {
            of_service.remove(id);
            if of_service.is_empty() {
                services.remove(&slice.service);
            }
        }
        if slices.is_empty() {
            (*slices, *services) = (HashMap::new(), HashMap::new());
        }
    }

    /// Adds the members of a slice to the sets of its service, or removes them, if such sets are in use.
    fn count_members(&mut self, slice: &EndpointSlice, is_added: bool) {
        for with_port in [false, true] {
            let key = SetKey::service(&slice.service, with_port);
            let sets = &mut self.members.sets;
            if let Some(index) = sets.find(&key) {
                sets.count_members(index, slice, is_added, &mut self.shared.cost);
            }
        }
    }

    /// Fills the sets of services that are new.
    pub(crate) fn fill_services(&mut self, new: &[u32]) {
        let UnlabelledMembers { slices, services, .. } = &self.unlabelled;
        for &index in new {
            let sets = &mut self.members.sets;
            let (SetKey::Service(id) | SetKey::ServicePorts(id)) = &sets.get(index).key else { continue };
            for slice in services.get(id).into_iter().flatten().filter_map(|id| slices.get(id)) {
                sets.count_members(index, slice, true, &mut self.shared.cost);
            }
        }
    }

    pub(crate) fn put_settings(&mut self, settings: Settings) {
        if settings == self.settings {
            return;
        }
        let old = std::mem::replace(&mut self.settings, settings);
        let new = self.settings.external_nodes.clone();
        self.replace_members(SetId::IPIP_PEERS, &old.external_nodes, &new);
        self.locals.settings_changed();
        self.pending.host = true;
    }
}

impl crate::sets::Sets {
    fn count_members(&mut self, index: u32, slice: &EndpointSlice, is_added: bool, cost: &mut crate::Cost) {
        if slice.incomplete {
            self.count_incomplete(index, is_added);
        }
        match self.get(index).key {
            SetKey::ServicePorts(_) => {
                for (address, protocol, port) in slice.members() {
                    self.port(index, PortMember { address, protocol: protocol.number(), port }, is_added, cost);
                }
            }
            _ => slice.addresses.iter().for_each(|&address| self.net(index, address.into(), is_added, cost)),
        }
    }
}
