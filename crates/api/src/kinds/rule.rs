//! A rule of a policy or profile: what it matches and what it does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Port, Protocol};

/// What a packet must match, all of it, and what then happens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// What happens to a packet that matches all of the rule: Allow, Deny, Log (written to the kernel log, then the next
    /// rule is evaluated), or Pass (the next tier is evaluated).
    #[schemars(extend("enum" = ["Allow", "Deny", "Log", "Pass"], "x-always" = true, "x-required" = true))]
    pub action: String,
    /// Matches packets of this IP version, 4 or 6. Both if absent.
    #[schemars(extend("enum" = [4, 6]))]
    pub ip_version: Option<i64>,
    /// Matches packets of this protocol: TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255. All protocols
    /// if absent. Rules with ports need a protocol that has ports.
    pub protocol: Option<Protocol>,
    /// Matches packets of this ICMP type and, if given, code.
    pub icmp: Option<IcmpFields>,
    /// Matches packets of every protocol except this one.
    pub not_protocol: Option<Protocol>,
    /// Matches packets that do not have this ICMP type and, if given, code.
    #[serde(rename = "notICMP")]
    pub not_icmp: Option<IcmpFields>,
    /// Conditions on the source of the packet.
    pub source: EntityRule,
    /// Conditions on the destination of the packet.
    pub destination: EntityRule,
    /// Matches only such HTTP requests; allowed in ingress rules with the action Allow.
    pub http: Option<HttpMatch>,
    /// Notes about the rule; they have no effect on packets.
    pub metadata: Option<RuleMetadata>,
}

/// One side of a packet: where it comes from or where it goes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EntityRule {
    /// Matches addresses in any of these nets, each in CIDR notation.
    #[schemars(length(max = 256), extend("x-each" = "net"))]
    pub nets: Vec<String>,
    /// Matches addresses of endpoints and network sets whose labels match.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub selector: String,
    /// Matches addresses of endpoints and network sets in namespaces whose labels match; `global()` stands for those
    /// without a namespace.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub namespace_selector: String,
    /// Matches addresses of the endpoints behind this Kubernetes service.
    pub services: Option<ServiceMatch>,
    /// Matches any of these ports: numbers, ranges `first:last`, or names of ports of endpoints.
    #[schemars(length(max = 50))]
    pub ports: Vec<Port>,
    /// Matches addresses that are in none of these nets.
    #[schemars(length(max = 256), extend("x-each" = "net"))]
    pub not_nets: Vec<String>,
    /// Matches addresses that belong to no endpoint or network set whose labels match, also addresses that belong to
    /// none at all.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub not_selector: String,
    /// Matches every port except these.
    #[schemars(length(max = 50))]
    pub not_ports: Vec<Port>,
    /// Matches addresses of workloads that run as one of these service accounts.
    pub service_accounts: Option<ServiceAccountMatch>,
}

/// A Kubernetes service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceMatch {
    /// The name of the service.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub name: String,
    /// The namespace of the service; in a policy with a namespace its own if empty.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub namespace: String,
}

/// Service accounts, by name, by label or by both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccountMatch {
    /// The names of the service accounts, of which one must match.
    pub names: Vec<String>,
    /// Matches service accounts by their labels.
    #[schemars(extend("x-tag" = "selector"))]
    pub selector: String,
}

/// A type, and perhaps a code, of ICMP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IcmpFields {
    /// The ICMP type from 0 to 254, such as 8 for an IPv4 echo request.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 254, "x-tag" = "gte=0,lte=254"))]
    pub r#type: Option<i64>,
    /// The ICMP code from 0 to 255; it needs a type.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 255, "x-tag" = "gte=0,lte=255"))]
    pub code: Option<i64>,
}

/// An HTTP request, by method, by path or by both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// The HTTP methods, of which one must match.
    #[schemars(length(max = 20))]
    pub methods: Vec<String>,
    /// The paths, of which one must match.
    #[schemars(length(max = 20))]
    pub paths: Vec<HttpPath>,
}

/// A path: the whole of it or how it begins, not both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPath {
    /// The whole path.
    #[schemars(length(max = 1024))]
    pub exact: String,
    /// The beginning of the path.
    #[schemars(length(max = 1024))]
    pub prefix: String,
}

/// Notes about a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleMetadata {
    /// Key and value pairs for people and programs.
    pub annotations: BTreeMap<String, String>,
}
