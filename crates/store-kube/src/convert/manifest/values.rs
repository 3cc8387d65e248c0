//! The values of manifests of Kubernetes' own kinds: what an API server refuses in the parts that previews use.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};
use tortie_api::Path;
use tortie_manifest::Problem;
use tortie_manifest::validate::formats;
use tortie_net::parse_cidr;

use super::KubernetesKind;
use crate::convert::without_zeros;

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

/// What is wrong with an object that has the shape of its kind.
pub(super) fn check(kind: KubernetesKind, object: &Map<String, Value>) -> Vec<Problem> {
    let mut found = Found::default();
    let object = Value::Object(object.clone());
    found.metadata(kind, &object["metadata"]);
    let spec = &object["spec"];
    match kind {
        KubernetesKind::Pod => {
            found.pod(spec);
            found.status(&object["status"]);
        }
        KubernetesKind::NetworkPolicy => found.network_policy(spec),
        KubernetesKind::Service => found.service(spec),
        KubernetesKind::EndpointSlice => found.slice(&object),
        KubernetesKind::Node => found.node(spec),
        KubernetesKind::Namespace | KubernetesKind::ServiceAccount | KubernetesKind::ClusterNetworkPolicy => {}
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn wrong(&mut self, path: Path, message: String) {
        self.0.push(Problem::read(path, message));
    }

    fn metadata(&mut self, kind: KubernetesKind, metadata: &Value) {
        let at = Path::from("metadata");
        let name = text(&metadata["name"]);
        let is_label = matches!(kind, KubernetesKind::Namespace | KubernetesKind::Service);
        if name.is_empty() {
            self.wrong(at.key("name"), "`metadata.name` is missing".to_owned());
        } else if kind == KubernetesKind::Service
            && is_dns_label(name)
            && name.starts_with(|c: char| c.is_ascii_digit())
        {
            self.wrong(at.key("name"), format!("`{name}` cannot be the name of a service: it begins with a letter"));
        } else if !(if is_label { is_dns_label(name) } else { is_dns_name(name) }) {
            let and = if is_label { "" } else { " and `.`" };
            let message = format!(
                "`{name}` cannot be a name: it is made of a-z, 0-9, `-`{and}, and begins and ends with a letter or digit"
            );
            self.wrong(at.key("name"), message);
        }
        let namespace = text(&metadata["namespace"]);
        if !namespace.is_empty() && !is_dns_label(namespace) {
            self.wrong(at.key("namespace"), format!("`{namespace}` cannot be the name of a namespace"));
        }
        self.labels(&metadata["labels"], &at.key("labels"));
        for name in metadata["annotations"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if !formats::label_key_errors(&name.to_ascii_lowercase()).is_empty() {
                self.wrong(at.key("annotations").key(name), format!("`{name}` cannot be the name of an annotation"));
            }
        }
    }

    fn pod(&mut self, spec: &Value) {
        let at = Path::from("spec");
        let name = |found: &mut Self, field: &str| {
            let name = text(&spec[field]);
            if !name.is_empty() && !is_dns_name(name) {
                found.wrong(at.key(field), format!("`{name}` cannot be a name"));
            }
        };
        name(self, "nodeName");
        name(self, "serviceAccountName");
        for list in ["initContainers", "containers"] {
            let mut host_ports = BTreeSet::new();
            for (container, path) in items(&spec[list], &at.key(list)) {
                let mut names = BTreeSet::new();
                // Containers run together, and those that run before them one after the other.
                if list == "initContainers" {
                    host_ports.clear();
                }
                for (port, path) in items(&container["ports"], &path.key("ports")) {
                    self.protocol(&port["protocol"], &path.key("protocol"));
                    let number = port["containerPort"].as_u64().unwrap_or_default();
                    if number == 0 {
                        self.wrong(path.key("containerPort"), "a port from 1 to 65535 is missing".to_owned());
                    }
                    self.port_name(text(&port["name"]), formats::is_port_name, &mut names, &path);
                    let host = port["hostPort"].as_u64().filter(|host| *host != 0);
                    let Some(host) = host else { continue };
                    if spec["hostNetwork"] == true && host != number {
                        let message = "with `hostNetwork` it is the same as `containerPort`".to_owned();
                        self.wrong(path.key("hostPort"), message);
                    }
                    if !host_ports.insert((protocol(port), text(&port["hostIP"]), host)) {
                        self.wrong(path.key("hostPort"), format!("{}/{host} is given twice", protocol(port)));
                    }
                }
            }
        }
    }

    fn node(&mut self, spec: &Value) {
        let at = Path::from("spec");
        let first = Some((&spec["podCIDR"], at.key("podCIDR"))).filter(|(net, _)| !text(net).is_empty());
        for (net, path) in first.into_iter().chain(items(&spec["podCIDRs"], &at.key("podCIDRs"))) {
            if !text(net).contains('/') || parse_cidr(text(net)).is_err() {
                self.wrong(path, format!("`{}` is not a net in CIDR notation", text(net)));
            }
        }
    }

    /// The name of a port, which no other port has.
    fn port_name<'n>(
        &mut self,
        name: &'n str,
        is_name: impl Fn(&str) -> bool,
        names: &mut BTreeSet<&'n str>,
        path: &Path,
    ) {
        if name.is_empty() {
            return;
        }
        if !is_name(name) {
            self.wrong(path.key("name"), format!("`{name}` cannot be the name of a port"));
        }
        if !names.insert(name) {
            self.wrong(path.key("name"), format!("two ports are named `{name}`"));
        }
    }

    fn service(&mut self, spec: &Value) {
        let at = Path::from("spec");
        if !spec.is_object() {
            return self.wrong(at, "`spec` is missing".to_owned());
        }
        self.choice(&spec["type"], &at.key("type"), &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]);
        let kind = Some(text(&spec["type"])).filter(|kind| !kind.is_empty()).unwrap_or("ClusterIP");
        let is_headless = spec["clusterIP"] == "None";
        self.service_ports(spec, kind, is_headless);
        for (address, path) in items(&spec["clusterIPs"], &at.key("clusterIPs")) {
            if address != "None" {
                self.address(address, &path);
            }
        }
        let external = items(&spec["externalIPs"], &at.key("externalIPs"));
        let is_reached_from_outside = matches!(kind, "NodePort" | "LoadBalancer") || !external.is_empty();
        for (address, path) in external {
            self.unicast(address, &path);
        }
        if !is_headless {
            self.address(&spec["clusterIP"], &at.key("clusterIP"));
        }
        if !text(&spec["externalTrafficPolicy"]).is_empty() && !is_reached_from_outside {
            let message =
                "it is for services of type NodePort and LoadBalancer and for those with externalIPs".to_owned();
            self.wrong(at.key("externalTrafficPolicy"), message);
        }
        for field in ["externalTrafficPolicy", "internalTrafficPolicy"] {
            self.choice(&spec[field], &at.key(field), &["Cluster", "Local"]);
        }
        let ranges = items(&spec["loadBalancerSourceRanges"], &at.key("loadBalancerSourceRanges"));
        if !ranges.is_empty() && kind != "LoadBalancer" {
            let message = "it is for services of type LoadBalancer".to_owned();
            self.wrong(at.key("loadBalancerSourceRanges"), message);
        }
        for (range, path) in ranges {
            self.net(&Value::from(text(range).trim()), &path);
        }
    }

    fn service_ports(&mut self, spec: &Value, kind: &str, is_headless: bool) {
        let at = Path::from("spec.ports");
        let ports = items(&spec["ports"], &at);
        if ports.is_empty() && !is_headless && kind != "ExternalName" {
            self.wrong(at, "a service has a port, unless it is of type ExternalName or has no address".to_owned());
        }
        let needs_names = ports.len() > 1;
        let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for (port, path) in ports {
            self.protocol(&port["protocol"], &path.key("protocol"));
            let number = port["port"].as_u64().unwrap_or_default();
            if number == 0 {
                self.wrong(path.key("port"), "a port from 1 to 65535 is missing".to_owned());
            }
            let name = text(&port["name"]);
            if needs_names && name.is_empty() {
                self.wrong(path.key("name"), "of several ports each has a name".to_owned());
            }
            self.port_name(name, is_dns_label, &mut names, &path);
            if !numbers.insert((protocol(port), number)) {
                self.wrong(path.key("port"), format!("{}/{number} is given twice", protocol(port)));
            }
            if kind == "ClusterIP" && port["nodePort"].as_u64().unwrap_or_default() != 0 {
                let message = "a service of type ClusterIP has no port at its nodes; write `type: NodePort`".to_owned();
                self.wrong(path.key("nodePort"), message);
            }
            let target = &port["targetPort"];
            let is_target = match target {
                Value::String(name) => name.is_empty() || formats::is_port_name(name),
                target => target.is_null() || target.as_u64().is_some_and(|number| number <= u16::MAX.into()),
            };
            if !is_target {
                self.wrong(path.key("targetPort"), format!("{target} is neither a port number nor the name of a port"));
            }
        }
    }

    /// An address that one machine can have.
    fn unicast(&mut self, value: &Value, path: &Path) {
        self.address(value, path);
        let is_special = |address: &IpAddr| {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || match address {
                    IpAddr::V4(address) => address.is_link_local(),
                    IpAddr::V6(address) => address.is_unicast_link_local(),
                }
        };
        if text(value).parse().is_ok_and(|address: IpAddr| is_special(&address)) {
            let message = format!("`{}` is an unspecified, loopback, link-local or multicast address", text(value));
            self.wrong(path.clone(), message);
        }
    }

    /// What a node writes. Other fields of it are not looked at.
    fn status(&mut self, status: &Value) {
        let at = Path::from("status");
        if !status.is_object() && !status.is_null() {
            return self.wrong(at, "`status` takes a map".to_owned());
        }
        let phases = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
        self.choice(&status["phase"], &at.key("phase"), &phases);
        self.address(&status["podIP"], &at.key("podIP"));
        let all = &status["podIPs"];
        if !all.is_array() && !all.is_null() {
            self.wrong(at.key("podIPs"), "`status.podIPs` takes a list".to_owned());
        }
        for (one, path) in items(all, &at.key("podIPs")) {
            match one.get("ip") {
                Some(ip) => self.address(ip, &path.key("ip")),
                None => self.wrong(path, "write an address of the pod as `ip: ADDRESS`".to_owned()),
            }
        }
    }

    fn network_policy(&mut self, spec: &Value) {
        let at = Path::from("spec");
        self.selector(&spec["podSelector"], &at.key("podSelector"));
        for (list, peers) in [("ingress", "from"), ("egress", "to")] {
            for (rule, path) in items(&spec[list], &at.key(list)) {
                for (port, path) in items(&rule["ports"], &path.key("ports")) {
                    self.protocol(&port["protocol"], &path.key("protocol"));
                    self.port(port, &path);
                }
                for (peer, path) in items(&rule[peers], &path.key(peers)) {
                    self.peer(peer, &path);
                }
            }
        }
        let types = items(&spec["policyTypes"], &at.key("policyTypes"));
        if types.len() > 2 {
            self.wrong(at.key("policyTypes"), "at most two directions can be named".to_owned());
        }
        for (direction, path) in types {
            if !matches!(text(direction), "Ingress" | "Egress") {
                self.wrong(path, format!("`{}` is not one of Ingress, Egress", text(direction)));
            }
        }
    }

    fn port(&mut self, port: &Value, path: &Path) {
        let number = port["port"].as_i64();
        match &port["port"] {
            Value::String(name) if !formats::is_port_name(name) => {
                self.wrong(path.key("port"), format!("`{name}` is neither a number nor the name of a port"));
            }
            _ if number.is_some_and(|number| !(1..=65535).contains(&number)) => {
                self.wrong(path.key("port"), "a port is a number from 1 to 65535".to_owned());
            }
            _ => {}
        }
        let Some(last) = port["endPort"].as_i64() else { return };
        match number {
            None => self.wrong(path.key("endPort"), "`endPort` needs a number in `port`".to_owned()),
            Some(first) if last < first || last > 65535 => {
                self.wrong(path.key("endPort"), format!("`endPort` is a number from `port` ({first}) to 65535"));
            }
            Some(_) => {}
        }
    }

    fn peer(&mut self, peer: &Value, path: &Path) {
        let selectors = ["podSelector", "namespaceSelector"];
        let has_selector = selectors.iter().any(|name| !peer[*name].is_null());
        for name in selectors {
            self.selector(&peer[name], &path.key(name));
        }
        let block = &peer["ipBlock"];
        match (has_selector, block.is_null()) {
            (false, true) => {
                let text = "this names no peer: write podSelector, namespaceSelector or ipBlock".to_owned();
                self.wrong(path.clone(), text);
            }
            (true, false) => {
                self.wrong(path.clone(), "`ipBlock` cannot stand beside a selector; write two peers".to_owned());
            }
            _ => {}
        }
        if block.is_null() {
            return;
        }
        let path = path.key("ipBlock");
        let net = self.net(&block["cidr"], &path.key("cidr"));
        for (except, path) in items(&block["except"], &path.key("except")) {
            let (Some(net), Some(hole)) = (net, self.net(except, &path)) else { continue };
            if !net.contains(&hole) || net == hole {
                self.wrong(path, format!("`{}` is not a part of `{net}`", text(except)));
            }
        }
    }

    fn slice(&mut self, slice: &Value) {
        let types = ["IPv4", "IPv6", "FQDN"];
        let family = text(&slice["addressType"]);
        let at = Path::from("addressType");
        match family {
            "" => self.wrong(at, "`addressType` is missing: write IPv4, IPv6 or FQDN".to_owned()),
            _ => self.choice(&slice["addressType"], &at, &types),
        }
        for (endpoint, path) in items(&slice["endpoints"], &Path::from("endpoints")) {
            let addresses = items(&endpoint["addresses"], &path.key("addresses"));
            if addresses.is_empty() {
                self.wrong(path.key("addresses"), "an endpoint has an address".to_owned());
            }
            for (address, path) in addresses {
                let is_of = match (family, text(address).parse::<IpAddr>()) {
                    ("IPv4", found) => found.is_ok_and(|address| address.is_ipv4()),
                    ("IPv6", found) => found.is_ok_and(|address| address.is_ipv6()),
                    _ => true,
                };
                if !is_of {
                    self.wrong(path, format!("`{}` is not an {family} address", text(address)));
                } else if matches!(family, "IPv4" | "IPv6") {
                    self.unicast(address, &path);
                }
            }
            let node = text(&endpoint["nodeName"]);
            if !node.is_empty() && !is_dns_name(node) {
                self.wrong(path.key("nodeName"), format!("`{node}` cannot be the name of a node"));
            }
        }
        let (mut names, mut has_nameless) = (BTreeSet::new(), false);
        for (port, path) in items(&slice["ports"], &Path::from("ports")) {
            self.protocol(&port["protocol"], &path.key("protocol"));
            let name = text(&port["name"]);
            if name.is_empty() && std::mem::replace(&mut has_nameless, true) {
                self.wrong(path.key("name"), "two ports have no name".to_owned());
            }
            self.port_name(name, is_dns_label, &mut names, &path);
        }
    }

    fn selector(&mut self, selector: &Value, path: &Path) {
        self.labels(&selector["matchLabels"], &path.key("matchLabels"));
        for (one, path) in items(&selector["matchExpressions"], &path.key("matchExpressions")) {
            let key = text(&one["key"]);
            if !formats::label_key_errors(key).is_empty() {
                self.wrong(path.key("key"), format!("`{key}` cannot be the name of a label"));
            }
            let values = items(&one["values"], &path.key("values"));
            match (text(&one["operator"]), values.is_empty()) {
                ("In" | "NotIn", true) => self.wrong(path.key("values"), "In and NotIn need values".to_owned()),
                ("Exists" | "DoesNotExist", false) => {
                    self.wrong(path.key("values"), "Exists and DoesNotExist have no values".to_owned());
                }
                ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
                (other, _) => {
                    let text = format!("`{other}` is not one of In, NotIn, Exists, DoesNotExist");
                    self.wrong(path.key("operator"), text);
                }
            }
            for (value, path) in values {
                self.label_value(text(value), path);
            }
        }
    }

    fn labels(&mut self, labels: &Value, path: &Path) {
        for (name, value) in labels.as_object().into_iter().flatten() {
            if !formats::label_key_errors(name).is_empty() {
                self.wrong(path.key(name), format!("`{name}` cannot be the name of a label"));
            }
            self.label_value(text(value), path.key(name));
        }
    }

    fn label_value(&mut self, value: &str, path: Path) {
        if !formats::label_value_errors(value).is_empty() {
            self.wrong(path, format!("`{value}` cannot be the value of a label"));
        }
    }

    fn protocol(&mut self, value: &Value, path: &Path) {
        self.choice(value, path, PROTOCOLS);
    }

    fn choice(&mut self, value: &Value, path: &Path, choices: &[&str]) {
        let is_one = value.is_null() || value.as_str().is_some_and(|text| choices.contains(&text));
        if !is_one {
            let found = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.wrong(path.clone(), format!("`{found}` is not one of {}", choices.join(", ")));
        }
    }

    fn address(&mut self, value: &Value, path: &Path) {
        let found = text(value);
        let is_absent = value.is_null() || value.as_str().is_some_and(str::is_empty);
        if !is_absent && found.parse::<IpAddr>().is_err() {
            let found = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.wrong(path.clone(), format!("`{found}` is not an IP address"));
        }
    }

    fn net(&mut self, value: &Value, path: &Path) -> Option<IpNet> {
        let found = text(value);
        // An API server takes zeros before the numbers of an address (what follows for a rule is told where it is converted).
        let plain = found.split('.').map(without_zeros).collect::<Vec<_>>().join(".");
        let net = parse_cidr(if found.contains(':') { found } else { &plain }).ok().filter(|_| found.contains('/'));
        if net.is_none() {
            self.wrong(path.clone(), format!("`{found}` is not a CIDR, such as 10.0.0.0/8"));
        }
        net.map(|net| net.trunc())
    }
}

/// The items of a list with their places; none if it is no list.
fn items<'a>(list: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().enumerate().map(|(index, item)| (item, path.index(index))).collect()
}

/// The protocol of a port.
fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= formats::MAX_NAME && formats::is_subdomain(name)
}

fn is_dns_label(name: &str) -> bool {
    name.len() <= formats::MAX_LABEL && formats::is_label(name)
}
