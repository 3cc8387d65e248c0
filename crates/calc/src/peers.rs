//! The sets that are not about labels: peers of tunnels, pools, services.

use hashbrown::HashMap;
use ipnet::IpNet;
use tortie_dataplane::{PortMember, SetId};
use tortie_policy::{Node, Pool, Service, ServiceId, ServiceMember, Settings};

use crate::engine::Engine;
use crate::members::differences;
use crate::sets::SetKey;

/// What the members of those sets come from.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// By node: peers of IPIP and of VXLAN.
    nodes: HashMap<String, [Vec<IpNet>; 2]>,
    /// By pool: itself, where it counts, for each of the two sets.
    pools: HashMap<String, [Vec<IpNet>; 2]>,
    services: HashMap<ServiceId, Vec<ServiceMember>>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() + self.pools.len() + self.services.len()
    }
}

impl Engine {
    pub(crate) fn make_known_sets(&mut self) {
        for name in SetId::WELL_KNOWN {
            let key = SetKey::Known(name);
            self.members.sets.acquire(&key, &mut self.shared.selectors, &mut self.shared.names);
        }
    }

    /// Members of a set that is always there are others now.
    fn exchange(&mut self, set: &'static str, old: &[IpNet], new: &[IpNet]) {
        let (gone, come) = differences(old, new);
        let Some(index) = self.members.sets.find(&SetKey::Known(set)) else { return };
        come.into_iter().for_each(|net| self.members.sets.net(index, net, true, &mut self.shared.cost));
        gone.into_iter().for_each(|net| self.members.sets.net(index, net, false, &mut self.shared.cost));
    }

    pub(crate) fn put_node(&mut self, node: Node) {
        let nets =
            |addresses: &[std::net::IpAddr]| addresses.iter().map(|&address| IpNet::from(address)).collect::<Vec<_>>();
        let new = [nets(&node.addresses), nets(&node.vxlan_peers)];
        let old = self.peers.nodes.remove(&node.name).unwrap_or_default();
        self.exchange(SetId::IPIP_PEERS, &old[0], &new[0]);
        self.exchange(SetId::VXLAN_PEERS, &old[1], &new[1]);
        self.peers.nodes.insert(node.name, new);
    }

    pub(crate) fn delete_node(&mut self, name: &str) {
        let old = self.peers.nodes.remove(name).unwrap_or_default();
        self.exchange(SetId::IPIP_PEERS, &old[0], &[]);
        self.exchange(SetId::VXLAN_PEERS, &old[1], &[]);
        if self.peers.nodes.is_empty() {
            self.peers.nodes = HashMap::new();
        }
    }

    pub(crate) fn put_pool(&mut self, pool: Pool) {
        let net = |counts: bool| if counts { vec![pool.net] } else { Vec::new() };
        let new = [net(!pool.load_balancer_only), net(!pool.load_balancer_only && pool.nat_outgoing)];
        let old = self.peers.pools.remove(&pool.name).unwrap_or_default();
        self.exchange(SetId::POOLS, &old[0], &new[0]);
        self.exchange(SetId::TRANSLATED_POOLS, &old[1], &new[1]);
        self.peers.pools.insert(pool.name, new);
    }

    pub(crate) fn delete_pool(&mut self, name: &str) {
        let old = self.peers.pools.remove(name).unwrap_or_default();
        self.exchange(SetId::POOLS, &old[0], &[]);
        self.exchange(SetId::TRANSLATED_POOLS, &old[1], &[]);
        if self.peers.pools.is_empty() {
            self.peers.pools = HashMap::new();
        }
    }

    pub(crate) fn put_service(&mut self, service: Service) {
        let Service { id, members } = service;
        let old = self.peers.services.remove(&id).unwrap_or_default();
        self.serve(&id, &members, true);
        self.serve(&id, &old, false);
        self.peers.services.insert(id, members);
    }

    pub(crate) fn delete_service(&mut self, id: &ServiceId) {
        let old = self.peers.services.remove(id).unwrap_or_default();
        self.serve(id, &old, false);
        if self.peers.services.is_empty() {
            self.peers.services = HashMap::new();
        }
    }

    /// Puts members into the sets of a service, or takes them out, where there are such sets.
    fn serve(&mut self, id: &ServiceId, members: &[ServiceMember], come: bool) {
        for with_port in [false, true] {
            let key = SetKey::service(id, with_port);
            let sets = &mut self.members.sets;
            if let Some(index) = sets.find(&key) {
                members.iter().for_each(|member| sets.serve(index, member, come, &mut self.shared.cost));
            }
        }
    }

    /// Fills the sets of a service that are new.
    pub(crate) fn fill_services(&mut self, new: &[u32]) {
        for &index in new {
            let sets = &mut self.members.sets;
            let (SetKey::Service(id) | SetKey::ServicePorts(id)) = &sets.get(index).key else { continue };
            for member in self.peers.services.get(id).into_iter().flatten() {
                sets.serve(index, member, true, &mut self.shared.cost);
            }
        }
    }

    pub(crate) fn put_settings(&mut self, settings: Settings) {
        if settings == self.settings {
            return;
        }
        let old = std::mem::replace(&mut self.settings, settings);
        let new = self.settings.external_nodes.clone();
        self.exchange(SetId::IPIP_PEERS, &old.external_nodes, &new);
        self.locals.settings_changed();
        self.pending.host = true;
    }
}

impl crate::sets::Sets {
    fn serve(&mut self, index: u32, member: &ServiceMember, come: bool, cost: &mut crate::Cost) {
        match self.get(index).key {
            SetKey::ServicePorts(_) => {
                let (protocol, port) = (member.protocol.number(), member.port);
                self.port(index, PortMember { address: member.address, protocol, port }, come, cost);
            }
            _ => self.net(index, member.address.into(), come, cost),
        }
    }
}
