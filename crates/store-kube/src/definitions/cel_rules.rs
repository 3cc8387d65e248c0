//! The validator's rules about several fields at once, as CEL rules of the definitions, with the words of Calico's own.
//!
//! An API server bounds what a rule may cost in the worst case, by the longest list and text that the schema allows. So the
//! rules ask whether lists are empty, and look at items only where there can be few. `tests/refusals.rs` names what the
//! validator refuses and these rules cannot.

use serde_json::{Value, json};
use tortie_api::Kind;

use super::schema_bounds::PORT;
use crate::custom::Group;

/// A rule at a place: the CEL expression that must hold, and what is said when it does not.
type Rule = (&'static str, &'static str);

/// Adds the rules of a kind to its schema.
pub(super) fn add(group: Group, kind: Kind, schema: &mut Value) {
    if group == Group::Native {
        // In the packed group the name of a custom resource need not be that of the resource.
        put(schema, "", &names(kind));
    }
    for (path, limits) in limits(kind) {
        for path in paths(path) {
            if let (Some(at), Value::Object(limits)) = (schema_at(schema, &path).as_object_mut(), limits.clone()) {
                at.extend(limits);
            }
        }
    }
    for (path, rules) in of(kind) {
        for path in paths(path) {
            put(schema, &path, rules);
        }
    }
    if matches!(
        kind,
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy | Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy
    ) {
        for path in paths("spec.{ingress,egress}[].{source,destination}.{nets,notNets}") {
            // Without a message of its own: as a rule it would cost more than there is for all lists.
            schema_at(schema, &path)["anyOf"] =
                json!([{ "items": { "pattern": ":" } }, { "items": { "not": { "pattern": ":" } } }]);
        }
        for path in paths("spec.{ingress,egress}[]") {
            let names = json!({ "items": { "not": { "pattern": "^[0-9:]+$" } } });
            let side = json!({ "properties": { "ports": names, "notPorts": names } });
            // Text is too long for a rule that reads each port.
            schema_at(schema, &path)["anyOf"] = json!([
                { "required": ["protocol"] },
                { "properties": { "source": side, "destination": side } },
            ]);
        }
        for path in paths("spec.{ingress,egress}[]") {
            put(schema, &path, &families());
        }
    }
}

/// All nets of a rule are of one family, and of the rule's own where it names one. Each list is of one family by itself, so
/// its first net speaks for it.
fn families() -> Vec<(String, &'static str)> {
    let lists = ["source.nets", "source.notNets", "destination.nets", "destination.notNets"];
    let none = |list: &str| {
        let (side, _) = list.split_once('.').unwrap_or_default();
        format!("!has(self.{side}) || !has(self.{list}) || size(self.{list}) == 0")
    };
    let is_v6 = |list: &str| format!("self.{list}[0].contains(':')");
    let mut rules = Vec::new();
    for (at, list) in lists.iter().enumerate() {
        let rule = format!("!has(self.ipVersion) || {} || {} == (self.ipVersion == 6)", none(list), is_v6(list));
        rules.push((rule, "rule IP version doesn't match CIDR version"));
        for other in &lists[..at] {
            let rule = format!("{} || {} || {} == {}", none(list), none(other), is_v6(list), is_v6(other));
            rules.push((rule, BOTH_FAMILIES));
        }
    }
    rules
}

/// `spec.{ingress,egress}[]` stands for both.
fn paths(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (choices, after) = rest.split_once('}').unwrap_or((rest, ""));
    choices.split(',').flat_map(|choice| paths(&format!("{before}{choice}{after}"))).collect()
}

fn put<T: AsRef<str>>(schema: &mut Value, path: &str, rules: &[(T, &str)]) {
    let at = schema_at(schema, path);
    if rules.is_empty() {
        return;
    }
    let list = &mut at["x-kubernetes-validations"];
    if list.is_null() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut() {
        list.extend(rules.iter().map(|(rule, message)| json!({ "rule": rule.as_ref(), "message": message })));
    }
}

/// The schema of what is at a place.
fn schema_at<'a>(schema: &'a mut Value, path: &str) -> &'a mut Value {
    let mut at = schema;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, is_list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        at = &mut at["properties"][name];
        if is_list {
            at = &mut at["items"];
        }
    }
    at
}

/// What the name of an object of this kind must be.
fn names(kind: Kind) -> Vec<Rule> {
    let only_default = |message| vec![("self.metadata.name == 'default'", message)];
    match kind {
        Kind::Tier => vec![
            (
                "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",
                TIER_NAME,
            ),
            (
                "self.metadata.name != 'default' || (has(self.spec.order) && self.spec.order == 1000000.0)",
                "default tier order must be 1000000",
            ),
            (
                "self.metadata.name != 'default' || !has(self.spec.defaultAction) || self.spec.defaultAction == 'Deny'",
                "The 'default' tier must have default action 'Deny'",
            ),
            (
                "self.metadata.name != 'kube-admin' || (has(self.spec.order) && self.spec.order == 1000.0)",
                "kube-admin tier order must be 1000",
            ),
            (
                "self.metadata.name != 'kube-admin' || (has(self.spec.defaultAction) && self.spec.defaultAction == 'Pass')",
                "The 'kube-admin' tier must have default action 'Pass'",
            ),
            (
                "self.metadata.name != 'kube-baseline' || (has(self.spec.order) && self.spec.order == 10000000.0)",
                "kube-baseline tier order must be 10000000",
            ),
            (
                "self.metadata.name != 'kube-baseline' || (has(self.spec.defaultAction) && self.spec.defaultAction == 'Pass')",
                "The 'kube-baseline' tier must have default action 'Pass'",
            ),
        ],
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy => vec![(
            r"self.metadata.name.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            POLICY_NAME,
        )],
        Kind::NetworkPolicy | Kind::StagedNetworkPolicy => vec![(
            r"self.metadata.name.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?$|^(knp|ossg)[.]default[.]')",
            POLICY_NAME,
        )],
        Kind::IPAMConfiguration => only_default("the only IPAMConfiguration is named `default`"),
        Kind::KubeControllersConfiguration => only_default("the only KubeControllersConfiguration is named `default`"),
        Kind::ClusterInformation => only_default("the only ClusterInformation is named `default`"),
        Kind::FelixConfiguration => vec![(
            "!has(self.spec.nodeSelector) || (self.metadata.name != 'default' && !self.metadata.name.startsWith('node.'))",
            "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration",
        )],
        Kind::BGPConfiguration => vec![(
            "self.metadata.name == 'default' || !(has(self.spec.nodeToNodeMeshEnabled) || has(self.spec.asNumber) || has(self.spec.nodeMeshPassword) || has(self.spec.nodeMeshMaxRestartTime) || (has(self.spec.serviceLoadBalancerIPs) && size(self.spec.serviceLoadBalancerIPs) > 0) || (has(self.spec.serviceExternalIPs) && size(self.spec.serviceExternalIPs) > 0) || (has(self.spec.serviceClusterIPs) && size(self.spec.serviceClusterIPs) > 0))",
            "nodeToNodeMeshEnabled, asNumber, serviceLoadBalancerIPs, serviceExternalIPs, serviceClusterIPs, nodeMeshPassword and nodeMeshMaxRestartTime can be set on the BGPConfiguration `default` only",
        )],
        _ => Vec::new(),
    }
}

/// What schemas can say themselves of fields whose rules the validator has in code.
fn limits(kind: Kind) -> Vec<(&'static str, Value)> {
    match kind {
        Kind::NetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy => {
            vec![
                ("spec.{ingress,egress}[].{source,destination}.{nets,notNets}[]", json!({ "format": "cidr" })),
                ("spec.{ingress,egress}[].http.methods", json!({ "x-kubernetes-list-type": "set" })),
                ("spec.{ingress,egress}[].http.paths[].{exact,prefix}", json!({ "pattern": "^(/[^?#]*)?$" })),
            ]
        }
        Kind::HostEndpoint => {
            vec![("spec.ports[].protocol", json!({ "enum": ["TCP", "UDP", "SCTP", 6, 17, 132, "6", "17", "132"] }))]
        }
        Kind::IPReservation => vec![("spec.reservedCIDRs[]", json!({ "format": "cidr" }))],
        Kind::StagedKubernetesNetworkPolicy => {
            vec![("spec.{ingress,egress}[].ports[].port", json!({ "maximum": 65535 }))]
        }
        Kind::FelixConfiguration => vec![
            ("spec.externalNodesList[]", json!({ "pattern": "^[^:]*$" })),
            ("spec.kubeNodePortRanges[]", json!({ "pattern": format!("^{PORT}(:{PORT})?$") })),
            ("spec.interfacePrefix", json!({ "pattern": INTERFACE_PREFIXES })),
            ("spec.healthTimeoutOverrides[].name", json!({ "pattern": "^[a-zA-Z0-9_ -]+$" })),
            ("spec.healthTimeoutOverrides[].timeout", json!({ "pattern": "^[^-]" })),
        ],
        Kind::BGPPeer => vec![("spec.peerIP", json!({ "pattern": peer_address() }))],
        Kind::KubeControllersConfiguration => vec![
            (
                "spec.controllers.node.hostEndpoint.templates",
                json!({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["generateName"] }),
            ),
            (
                "spec.controllers.node.hostEndpoint.templates[]",
                json!({ "required": ["generateName"], "anyOf": [
                    { "required": ["interfacePattern"], "properties": { "interfacePattern": { "minLength": 1 } } },
                    { "required": ["interfaceCIDRs"], "properties": { "interfaceCIDRs": { "minItems": 1 } } },
                ] }),
            ),
            (
                "spec.controllers.node.hostEndpoint.templates[].generateName",
                json!({ "minLength": 1, "maxLength": 253 }),
            ),
        ],
        _ => Vec::new(),
    }
}

/// An address of a BGP peer, with a port or without; or nothing.
fn peer_address() -> String {
    let v6 = "[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*";
    format!(r"^([0-9.]+(:{PORT})?|{v6}|\[{v6}\]:{PORT})?$")
}

/// Prefixes of interfaces with commas between them, of which one at least is not empty; or nothing.
const INTERFACE_PREFIXES: &str = r"^([\s,]*[A-Za-z0-9_.-]{1,15}\s*(,[\s,]*[A-Za-z0-9_.-]{1,15}\s*)*(,[\s,]*)?)?$";

const TIER_NAME: &str = "the name of a tier has lower-case letters, digits and inner `-`, and at most 63 characters";
const POLICY_NAME: &str = "the name of a policy has lower-case letters, digits and inner `-`, and at most one `.`";

type Place = (&'static str, &'static [Rule]);

fn of(kind: Kind) -> Vec<Place> {
    let policy = [POLICY, RULES];
    match kind {
        Kind::NetworkPolicy => policy.concat(),
        Kind::StagedNetworkPolicy => [&policy.concat()[..], STAGED].concat(),
        Kind::GlobalNetworkPolicy => [&policy.concat()[..], GLOBAL].concat(),
        Kind::StagedGlobalNetworkPolicy => [&policy.concat()[..], GLOBAL, STAGED, STAGED_GLOBAL].concat(),
        Kind::HostEndpoint => HOST_ENDPOINT.to_vec(),
        Kind::IPPool => IP_POOL.to_vec(),
        Kind::BGPPeer => BGP_PEER.to_vec(),
        Kind::BGPConfiguration => BGP_CONFIGURATION.to_vec(),
        Kind::BGPFilter => BGP_FILTER.to_vec(),
        Kind::FelixConfiguration => FELIX.to_vec(),
        Kind::StagedKubernetesNetworkPolicy => STAGED_KUBERNETES.to_vec(),
        Kind::IPAMConfiguration => {
            vec![(
                "spec",
                &[("!has(self.maxBlocksPerHost) || self.maxBlocksPerHost >= 0", "must be greater than or equal to 0")],
            )]
        }
        _ => Vec::new(),
    }
}

const GLOBAL_SELECTOR: &str = "global() can only be used in an EntityRule namespaceSelector";

const POLICY: &[Place] = &[(
    "spec",
    &[
        ("!has(self.types) || size(self.types) < 2 || self.types[0] != self.types[1]", "type specified more than once"),
        ("!has(self.selector) || !self.selector.contains('global(')", GLOBAL_SELECTOR),
        ("!has(self.serviceAccountSelector) || !self.serviceAccountSelector.contains('global(')", GLOBAL_SELECTOR),
    ],
)];

const GLOBAL: &[Place] = &[
    (
        "spec",
        &[
            (
                "!(has(self.doNotTrack) && self.doNotTrack && has(self.preDNAT) && self.preDNAT)",
                "preDNAT and doNotTrack cannot both be true",
            ),
            (
                "!(has(self.preDNAT) && self.preDNAT) || !has(self.egress) || size(self.egress) == 0",
                "preDNAT policy cannot have any egress rules",
            ),
            (
                "!(has(self.preDNAT) && self.preDNAT) || !has(self.types) || !('Egress' in self.types)",
                "preDNAT policy cannot have 'Egress' type",
            ),
            (
                "!((has(self.doNotTrack) && self.doNotTrack) || (has(self.preDNAT) && self.preDNAT)) || (has(self.applyOnForward) && self.applyOnForward)",
                "applyOnForward must be true if either preDNAT or doNotTrack is true",
            ),
            ("!has(self.namespaceSelector) || !self.namespaceSelector.contains('global(')", GLOBAL_SELECTOR),
        ],
    ),
    (
        "spec.ingress[].source",
        &[(
            "!has(self.services) || (has(self.services.__namespace__) && self.services.__namespace__ != '')",
            "must specify a namespace",
        )],
    ),
    (
        "spec.egress[].destination",
        &[(
            "!has(self.services) || (has(self.services.__namespace__) && self.services.__namespace__ != '')",
            "must specify a namespace",
        )],
    ),
];

/// A staged deletion says what is deleted and nothing more.
const STAGED: &[Place] = &[(
    "spec",
    &[(
        "!has(self.stagedAction) || self.stagedAction != 'Delete' || !(has(self.order) || has(self.ingress) || has(self.egress) || has(self.performanceHints) || (has(self.selector) && self.selector != '') || (has(self.serviceAccountSelector) && self.serviceAccountSelector != ''))",
        "Spec fields, except Tier, should all be zero-value if stagedAction is Delete",
    )],
)];

/// The same of what only global policies have.
const STAGED_GLOBAL: &[Place] = &[(
    "spec",
    &[(
        "!has(self.stagedAction) || self.stagedAction != 'Delete' || !((has(self.namespaceSelector) && self.namespaceSelector != '') || (has(self.doNotTrack) && self.doNotTrack) || (has(self.preDNAT) && self.preDNAT) || (has(self.applyOnForward) && self.applyOnForward))",
        "Spec fields, except Tier, should all be zero-value if stagedAction is Delete",
    )],
)];

const STAGED_KUBERNETES: &[Place] = &[
    (
        "spec",
        &[(
            "!has(self.stagedAction) || self.stagedAction != 'Delete' || !(has(self.ingress) || has(self.egress) || has(self.policyTypes) || (has(self.podSelector) && (has(self.podSelector.matchLabels) || has(self.podSelector.matchExpressions))))",
            "Spec fields should all be zero-value if stagedAction is Delete",
        )],
    ),
    (
        "spec.{ingress,egress}[].ports[]",
        &[("!has(self.endPort) || !has(self.port) || type(self.port) == int", "a range of ports begins with a number")],
    ),
];

const HAS_NO_PORTS: &str = "rules that specify ports must set protocol to TCP or UDP or SCTP";
const NUMERIC_PORTS: &str = "rules with numeric port or port range must set protocol to TCP or UDP or SCTP";
const BOTH_FAMILIES: &str = "rule contains both IPv4 and IPv6 CIDRs";

const RULES: &[Place] = &[
    (
        "spec.egress[]",
        &[
            ("!has(self.http)", "HTTP: not allowed in egress rules"),
            ("!has(self.source) || !has(self.source.services)", "Services: not allowed in egress rule source"),
        ],
    ),
    (
        "spec.ingress[]",
        &[(
            "!has(self.destination) || !has(self.destination.services)",
            "Services: not allowed in ingress rule destination",
        )],
    ),
    (
        "spec.{ingress,egress}[]",
        &[
            (
                "!has(self.http) || !has(self.protocol) || self.protocol == 'TCP' || self.protocol == 6 || self.protocol == '6'",
                "rules with HTTP match must have protocol TCP or unset",
            ),
            ("!has(self.http) || self.action == 'Allow'", "HTTP match is only valid on Allow rules"),
            (
                "!has(self.destination) || !has(self.destination.services) || ((!has(self.destination.ports) || size(self.destination.ports) == 0) && (!has(self.destination.notPorts) || size(self.destination.notPorts) == 0))",
                "ports and notPorts cannot be specified with services",
            ),
            (
                "!has(self.icmp) || (has(self.protocol) && (self.protocol == 'ICMP' || self.protocol == 'ICMPv6' || self.protocol == 1 || self.protocol == 58 || self.protocol == '1' || self.protocol == '58'))",
                "ICMP fields require protocol to be ICMP or ICMPv6",
            ),
            (
                "!has(self.ipVersion) || self.ipVersion == 4 || !((has(self.protocol) && (self.protocol == 'ICMP' || self.protocol == 1 || self.protocol == '1')) || (has(self.notProtocol) && (self.notProtocol == 'ICMP' || self.notProtocol == 1 || self.notProtocol == '1')))",
                "protocol ICMP requires ipVersion 4",
            ),
            (
                "!has(self.ipVersion) || self.ipVersion == 6 || !((has(self.protocol) && (self.protocol == 'ICMPv6' || self.protocol == 58 || self.protocol == '58')) || (has(self.notProtocol) && (self.notProtocol == 'ICMPv6' || self.notProtocol == 58 || self.notProtocol == '58')))",
                "protocol ICMPv6 requires ipVersion 6",
            ),
            (
                "!has(self.protocol) || self.protocol in ['TCP', 'UDP', 'SCTP', '6', '17', '132'] || self.protocol == 6 || self.protocol == 17 || self.protocol == 132 || ((!has(self.source) || ((!has(self.source.ports) || size(self.source.ports) == 0) && (!has(self.source.notPorts) || size(self.source.notPorts) == 0))) && (!has(self.destination) || ((!has(self.destination.ports) || size(self.destination.ports) == 0) && (!has(self.destination.notPorts) || size(self.destination.notPorts) == 0))))",
                HAS_NO_PORTS,
            ),
            (
                "has(self.protocol) || !has(self.source) || !has(self.source.ports) || self.source.ports.all(p, type(p) == string)",
                NUMERIC_PORTS,
            ),
            (
                "has(self.protocol) || !has(self.source) || !has(self.source.notPorts) || self.source.notPorts.all(p, type(p) == string)",
                NUMERIC_PORTS,
            ),
            (
                "has(self.protocol) || !has(self.destination) || !has(self.destination.ports) || self.destination.ports.all(p, type(p) == string)",
                NUMERIC_PORTS,
            ),
            (
                "has(self.protocol) || !has(self.destination) || !has(self.destination.notPorts) || self.destination.notPorts.all(p, type(p) == string)",
                NUMERIC_PORTS,
            ),
        ],
    ),
    (
        "spec.{ingress,egress}[].{source,destination}.notNets",
        &[(
            "self.all(n, n != '0.0.0.0/0' && !(n.contains(':') && n.endsWith('/0')))",
            "catch-all CIDR in negation creates logical contradiction (matches no traffic)",
        )],
    ),
    (
        "spec.{ingress,egress}[].{source,destination}",
        &[
            ("!has(self.selector) || !self.selector.contains('global(')", GLOBAL_SELECTOR),
            (
                "!has(self.namespaceSelector) || !self.namespaceSelector.contains('global(') || self.namespaceSelector.matches('^[ \\t]*global\\\\([ \\t]*\\\\)[ \\t]*$')",
                "global() cannot be combined with other selectors",
            ),
            (
                "!has(self.services) || (has(self.services.name) && self.services.name != '')",
                "services must specify a service name",
            ),
            (
                "!has(self.services) || !has(self.namespaceSelector) || self.namespaceSelector == ''",
                "cannot specify NamespaceSelector and Services on the same rule",
            ),
            (
                "!has(self.services) || !has(self.serviceAccounts)",
                "cannot specify ServiceAccounts and Services on the same rule",
            ),
            (
                "!has(self.services) || ((!has(self.selector) || self.selector == '') && (!has(self.notSelector) || self.notSelector == ''))",
                "cannot specify Selector/NotSelector and Services on the same rule",
            ),
            (
                "!has(self.services) || ((!has(self.nets) || size(self.nets) == 0) && (!has(self.notNets) || size(self.notNets) == 0))",
                "cannot specify Nets/NotNets and Services on the same rule",
            ),
        ],
    ),
    (
        "spec.{ingress,egress}[].{icmp,notICMP}",
        &[("!has(self.code) || has(self.type)", "ICMP code specified without an ICMP type")],
    ),
    (
        "spec.{ingress,egress}[].http.paths[]",
        &[(
            "(has(self.exact) && self.exact != '') != (has(self.prefix) && self.prefix != '')",
            "Invalid path match. Either 'exact' or 'prefix' must be set, not both",
        )],
    ),
];

const HOST_ENDPOINT: &[Place] = &[(
    "spec",
    &[
        (
            "(has(self.interfaceName) && self.interfaceName != '') || (has(self.expectedIPs) && size(self.expectedIPs) > 0)",
            "at least one of interfaceName or expectedIPs must be specified",
        ),
        ("has(self.node) && self.node != ''", "node must be specified"),
    ],
)];

const IP_POOL: &[Place] = &[(
    "spec",
    &[
        ("has(self.cidr) && isCIDR(self.cidr)", "IPPool CIDR must be a valid subnet"),
        (
            "!has(self.cidr) || !isCIDR(self.cidr) || cidr(self.cidr) == cidr(self.cidr).masked()",
            "IPPool CIDR must be strictly masked",
        ),
        (
            "!has(self.cidr) || !isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 6 || !(cidr('169.254.0.0/16').containsIP(cidr(self.cidr).ip()) || cidr(self.cidr).containsIP('169.254.0.0'))",
            "IPPool CIDR overlaps with IPv4 link local range 169.254.0.0/16",
        ),
        (
            "!has(self.cidr) || !isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 4 || !(cidr('fe80::/10').containsIP(cidr(self.cidr).ip()) || cidr(self.cidr).containsIP('fe80::'))",
            "IPPool CIDR overlaps with IPv6 link local range fe80::/10",
        ),
        (
            "!has(self.cidr) || !isCIDR(self.cidr) || !has(self.blockSize) || self.blockSize == 0 || (cidr(self.cidr).ip().family() == 4 ? self.blockSize >= 20 && self.blockSize <= 32 : self.blockSize >= 116 && self.blockSize <= 128)",
            "blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools",
        ),
        (
            "!has(self.cidr) || !isCIDR(self.cidr) || (has(self.disabled) && self.disabled) || cidr(self.cidr).prefixLength() <= (has(self.blockSize) && self.blockSize != 0 ? self.blockSize : (cidr(self.cidr).ip().family() == 4 ? 26 : 122))",
            "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.",
        ),
        (
            "!has(self.cidr) || !isCIDR(self.cidr) || cidr(self.cidr).ip().family() == 4 || !has(self.ipipMode) || self.ipipMode in ['', 'Never']",
            "IPIP is not supported on IPv6 pools",
        ),
        (
            "!has(self.ipipMode) || !has(self.vxlanMode) || self.ipipMode in ['', 'Never'] || self.vxlanMode in ['', 'Never']",
            "ipipMode and vxlanMode cannot both be enabled",
        ),
        (
            "!has(self.allowedUses) || !('LoadBalancer' in self.allowedUses) || ((!has(self.ipipMode) || self.ipipMode in ['', 'Never']) && (!has(self.vxlanMode) || self.vxlanMode in ['', 'Never']))",
            "LoadBalancer IP pool cannot have IPIP or VXLAN enabled",
        ),
        (
            "!has(self.allowedUses) || !('LoadBalancer' in self.allowedUses) || !('Workload' in self.allowedUses || 'Tunnel' in self.allowedUses)",
            "LoadBalancer cannot be combined with Workload or Tunnel allowed uses",
        ),
        (
            "!has(self.allowedUses) || !('LoadBalancer' in self.allowedUses) || !has(self.disableBGPExport) || !self.disableBGPExport",
            "LoadBalancer IP pools cannot disable BGP export",
        ),
        (
            "!has(self.allowedUses) || !('LoadBalancer' in self.allowedUses) || !has(self.nodeSelector) || self.nodeSelector in ['', 'all()']",
            "IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()",
        ),
        (
            "!has(self.allowedUses) || !('Tunnel' in self.allowedUses) || !has(self.namespaceSelector) || self.namespaceSelector == ''",
            "IP Pool with AllowedUse Tunnel cannot have namespaceSelector",
        ),
        (
            "!has(self.allowedUses) || self.allowedUses.all(use, use in ['Workload', 'Tunnel', 'LoadBalancer'])",
            "unknown use",
        ),
        (
            "!has(self.nodeSelector) || !self.nodeSelector.contains('global(')",
            "global() selector is not valid for IPPool nodeSelector",
        ),
        (
            "!has(self.namespaceSelector) || !self.namespaceSelector.contains('global(')",
            "global() selector is not valid for IPPool namespaceSelector",
        ),
        (
            "!has(oldSelf.cidr) || !has(self.cidr) || !isCIDR(self.cidr) || !isCIDR(oldSelf.cidr) || cidr(self.cidr) == cidr(oldSelf.cidr)",
            "IPPool CIDR cannot be modified",
        ),
        (
            "!has(self.cidr) || !isCIDR(self.cidr) || (has(oldSelf.blockSize) && oldSelf.blockSize != 0 ? oldSelf.blockSize : (cidr(self.cidr).ip().family() == 4 ? 26 : 122)) == (has(self.blockSize) && self.blockSize != 0 ? self.blockSize : (cidr(self.cidr).ip().family() == 4 ? 26 : 122))",
            "IPPool BlockSize cannot be modified",
        ),
    ],
)];

const BGP_PEER: &[Place] = &[(
    "spec",
    &[
        (
            "!(has(self.node) && self.node != '' && has(self.nodeSelector) && self.nodeSelector != '')",
            "node and nodeSelector cannot both be set",
        ),
        (
            "!(has(self.peerIP) && self.peerIP != '' && has(self.peerSelector) && self.peerSelector != '')",
            "peerIP and peerSelector cannot both be set",
        ),
        (
            "!(has(self.peerSelector) && self.peerSelector != '' && has(self.asNumber) && self.asNumber != 0)",
            "asNumber must be empty when peerSelector is set",
        ),
        (
            "!(has(self.localWorkloadSelector) && self.localWorkloadSelector != '' && has(self.peerIP) && self.peerIP != '')",
            "peerIP must be empty when localWorkloadSelector is set",
        ),
        (
            "!(has(self.localWorkloadSelector) && self.localWorkloadSelector != '' && has(self.peerSelector) && self.peerSelector != '')",
            "peerSelector must be empty when localWorkloadSelector is set",
        ),
        (
            "!(has(self.localWorkloadSelector) && self.localWorkloadSelector != '' && !(has(self.asNumber) && self.asNumber != 0))",
            "asNumber is required when localWorkloadSelector is set",
        ),
        (
            "!(has(self.reachableBy) && self.reachableBy != '' && !(has(self.peerIP) && self.peerIP != ''))",
            "reachableBy must be empty when peerIP is empty",
        ),
        (
            "!(has(self.reachableBy) && self.reachableBy != '' && has(self.peerIP) && self.peerIP != '') || self.reachableBy.contains(':') == self.peerIP.matches('^\\\\[|:.*:')",
            "ReachableBy and PeerIP address family mismatched",
        ),
        (
            "!(has(self.keepOriginalNextHop) && self.keepOriginalNextHop && has(self.nextHopMode))",
            "keepOriginalNextHop and nextHopMode cannot both be set; keepOriginalNextHop is deprecated, use nextHopMode instead",
        ),
    ],
)];

const BGP_CONFIGURATION: &[Place] = &[(
    "spec",
    &[
        (
            "!has(self.nodeToNodeMeshEnabled) || self.nodeToNodeMeshEnabled || !has(self.nodeMeshPassword)",
            "nodeMeshPassword cannot be set when nodeToNodeMeshEnabled is false",
        ),
        (
            "!has(self.nodeToNodeMeshEnabled) || self.nodeToNodeMeshEnabled || !has(self.nodeMeshMaxRestartTime)",
            "nodeMeshMaxRestartTime cannot be set when nodeToNodeMeshEnabled is false",
        ),
        (
            "!has(self.communities) || size(self.communities) == 0 || (has(self.prefixAdvertisements) && size(self.prefixAdvertisements) > 0)",
            "communities are defined but not used in prefixAdvertisements",
        ),
    ],
)];

const BGP_FILTER: &[Place] = &[(
    "spec.{exportV4,importV4,exportV6,importV6}[]",
    &[
        (
            "(has(self.cidr) && self.cidr != '') == (has(self.matchOperator) && self.matchOperator != '')",
            "cidr and matchOperator must both be set or both be empty",
        ),
        ("!has(self.prefixLength) || (has(self.cidr) && self.cidr != '')", "cidr is required when prefixLength is set"),
        (
            "!has(self.operations) || size(self.operations) == 0 || self.action == 'Accept'",
            "operations may only be used with action Accept",
        ),
    ],
)];

const FELIX: &[Place] = &[
    (
        "spec",
        &[
            (
                "!(has(self.routeTableRange) && has(self.routeTableRanges))",
                "routeTableRange and routeTableRanges cannot both be set",
            ),
            (
                "!has(self.natOutgoingAddress) || self.natOutgoingAddress == '' || (isIP(self.natOutgoingAddress) && ip(self.natOutgoingAddress).family() == 4)",
                "natOutgoingAddress must be a valid IPv4 address",
            ),
            (
                "!has(self.deviceRouteSourceAddress) || self.deviceRouteSourceAddress == '' || (isIP(self.deviceRouteSourceAddress) && ip(self.deviceRouteSourceAddress).family() == 4)",
                "deviceRouteSourceAddress must be a valid IPv4 address",
            ),
            (
                "!has(self.deviceRouteSourceAddressIPv6) || self.deviceRouteSourceAddressIPv6 == '' || (isIP(self.deviceRouteSourceAddressIPv6) && ip(self.deviceRouteSourceAddressIPv6).family() == 6)",
                "deviceRouteSourceAddressIPv6 must be a valid IPv6 address",
            ),
            (
                "!has(self.openstackRegion) || self.openstackRegion == '' || (size(self.openstackRegion) <= 46 && self.openstackRegion.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
                "openstackRegion must be a valid DNS label of at most 46 characters",
            ),
        ],
    ),
    (
        "spec.routeTableRange",
        &[(
            "self.min >= 1 && self.max >= self.min && self.max <= 250",
            "must be a range of route table indices within 1..250",
        )],
    ),
    (
        "spec.routeTableRanges[]",
        &[
            ("self.min >= 1", "min must be >= 1"),
            ("self.min <= self.max", "min must not be greater than max"),
            ("self.max <= 4294967295", "max index too high"),
        ],
    ),
];
