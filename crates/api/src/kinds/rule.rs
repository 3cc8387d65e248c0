//! A rule of a policy or profile: what it matches and what it does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Port, Protocol};

/// What a packet must match, all of it, and what then happens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// What happens to a packet that matches.
    #[schemars(extend("enum" = ["Allow", "Deny", "Log", "Pass"], "x-always" = true, "x-required" = true))]
    pub action: String,
    /// Only packets of this IP version, 4 or 6.
    #[schemars(extend("enum" = [4, 6]))]
    pub ip_version: Option<i64>,
    /// Only this protocol: TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255. Ports need one that has them.
    pub protocol: Option<Protocol>,
    /// Only this type, and code, of ICMP.
    pub icmp: Option<IcmpFields>,
    /// Every protocol but this.
    pub not_protocol: Option<Protocol>,
    /// Everything but this type, and code, of ICMP.
    #[serde(rename = "notICMP")]
    pub not_icmp: Option<IcmpFields>,
    /// Where the packet comes from.
    pub source: EntityRule,
    /// Where the packet goes to.
    pub destination: EntityRule,
    /// Only such HTTP requests; for ingress rules that allow.
    pub http: Option<HttpMatch>,
    /// Notes about the rule.
    pub metadata: Option<RuleMetadata>,
}

/// One side of a packet: where it comes from or where it goes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EntityRule {
    /// Addresses in any of these nets, each in CIDR notation.
    #[schemars(length(max = 256), extend("x-each" = "net"))]
    pub nets: Vec<String>,
    /// Endpoints and network sets whose labels match.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub selector: String,
    /// Endpoints and network sets of namespaces whose labels match; `global()` means those of no namespace.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub namespace_selector: String,
    /// Endpoints behind this Kubernetes service.
    pub services: Option<ServiceMatch>,
    /// Any of these ports: numbers, ranges `first:last` or names of endpoints' ports.
    #[schemars(length(max = 50))]
    pub ports: Vec<Port>,
    /// Addresses in none of these nets.
    #[schemars(length(max = 256), extend("x-each" = "net"))]
    pub not_nets: Vec<String>,
    /// Addresses of no endpoint or network set whose labels match. An address of no endpoint at all matches too.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub not_selector: String,
    /// None of these ports.
    #[schemars(length(max = 50))]
    pub not_ports: Vec<Port>,
    /// Workloads that run as one of these service accounts.
    pub service_accounts: Option<ServiceAccountMatch>,
}

/// A Kubernetes service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceMatch {
    /// Its name.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub name: String,
    /// Its namespace; the policy's own if it has one and this is empty.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub namespace: String,
}

/// Service accounts, by name, by label or by both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccountMatch {
    /// One of these names.
    pub names: Vec<String>,
    /// Accounts whose labels match.
    #[schemars(extend("x-tag" = "selector"))]
    pub selector: String,
}

/// A type, and perhaps a code, of ICMP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IcmpFields {
    /// The type: 8 is an echo request of IPv4.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 254, "x-tag" = "gte=0,lte=254"))]
    pub r#type: Option<i64>,
    /// The code; needs the type.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 255, "x-tag" = "gte=0,lte=255"))]
    pub code: Option<i64>,
}

/// An HTTP request, by method, by path or by both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// One of these methods.
    #[schemars(length(max = 20))]
    pub methods: Vec<String>,
    /// One of these paths.
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
    /// How the path begins.
    #[schemars(length(max = 1024))]
    pub prefix: String,
}

/// Notes about a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleMetadata {
    /// Notes of people and programs.
    pub annotations: BTreeMap<String, String>,
}
