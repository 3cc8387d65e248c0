//! BGPFilter: filters for routes exchanged over BGP. tortie stores it for BGP programs and does not use it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::AsNumber;

/// Rules; the first that matches decides, and what none matches is accepted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterSpec {
    /// Rules for IPv4 routes that are exported.
    pub export_v4: Vec<BgpFilterRuleV4>,
    /// Rules for IPv4 routes that are imported.
    pub import_v4: Vec<BgpFilterRuleV4>,
    /// Rules for IPv6 routes that are exported.
    pub export_v6: Vec<BgpFilterRuleV6>,
    /// Rules for IPv6 routes that are imported.
    pub import_v6: Vec<BgpFilterRuleV6>,
}

/// A rule for IPv4 routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterRuleV4 {
    /// Matches routes to this net, compared as `matchOperator` says.
    #[schemars(length(max = 18), extend("x-tag" = "netv4", "x-format" = "cidr"))]
    pub cidr: String,
    /// Matches routes with these prefix lengths.
    pub prefix_length: Option<BgpFilterPrefixLengthV4>,
    /// Matches routes by where they were learned.
    #[schemars(extend("enum" = ["RemotePeers"], "x-tag" = "oneof=RemotePeers"))]
    pub source: String,
    /// Matches routes over this interface; a final `*` stands for any suffix.
    #[schemars(length(max = 15), extend("x-tag" = "bgpFilterInterface"))]
    pub interface: String,
    /// How the route's net is compared with `cidr`.
    #[schemars(extend("enum" = ["Equal", "NotEqual", "In", "NotIn"]))]
    pub match_operator: String,
    /// Matches routes exchanged with this type of peer.
    #[schemars(extend("enum" = ["eBGP", "iBGP"], "x-tag" = "oneof=eBGP iBGP"))]
    pub peer_type: String,
    /// Matches routes that have one of these communities.
    pub communities: Option<BgpFilterCommunityMatch>,
    /// Matches routes whose AS path begins with these AS numbers.
    pub as_path_prefix: Vec<AsNumber>,
    /// Matches routes of this priority.
    #[schemars(extend("x-minimum" = 1, "x-maximum" = 2147483646, "x-tag" = "gte=1,lte=2147483646"))]
    pub priority: Option<i64>,
    /// What happens to a route that matches: Accept or Reject.
    #[schemars(extend("enum" = ["Accept", "Reject"], "x-tag" = "!required", "x-always" = true, "x-required" = true))]
    pub action: String,
    /// Changes that are made to routes that are accepted.
    #[schemars(length(min = 1, max = 10))]
    pub operations: Vec<BgpFilterOperation>,
}

/// A rule for IPv6 routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterRuleV6 {
    /// Matches routes to this net, compared as `matchOperator` says.
    #[schemars(length(max = 43), extend("x-tag" = "netv6", "x-format" = "cidr"))]
    pub cidr: String,
    /// Matches routes with these prefix lengths.
    pub prefix_length: Option<BgpFilterPrefixLengthV6>,
    /// Matches routes by where they were learned.
    #[schemars(extend("enum" = ["RemotePeers"], "x-tag" = "oneof=RemotePeers"))]
    pub source: String,
    /// Matches routes over this interface; a final `*` stands for any suffix.
    #[schemars(length(max = 15), extend("x-tag" = "bgpFilterInterface"))]
    pub interface: String,
    /// How the route's net is compared with `cidr`.
    #[schemars(extend("enum" = ["Equal", "NotEqual", "In", "NotIn"]))]
    pub match_operator: String,
    /// Matches routes exchanged with this type of peer.
    #[schemars(extend("enum" = ["eBGP", "iBGP"], "x-tag" = "oneof=eBGP iBGP"))]
    pub peer_type: String,
    /// Matches routes that have one of these communities.
    pub communities: Option<BgpFilterCommunityMatch>,
    /// Matches routes whose AS path begins with these AS numbers.
    pub as_path_prefix: Vec<AsNumber>,
    /// Matches routes of this priority.
    #[schemars(extend("x-minimum" = 1, "x-maximum" = 2147483646, "x-tag" = "gte=1,lte=2147483646"))]
    pub priority: Option<i64>,
    /// What happens to a route that matches: Accept or Reject.
    #[schemars(extend("enum" = ["Accept", "Reject"], "x-tag" = "!required", "x-always" = true, "x-required" = true))]
    pub action: String,
    /// Changes that are made to routes that are accepted.
    #[schemars(length(min = 1, max = 10))]
    pub operations: Vec<BgpFilterOperation>,
}

/// Prefix lengths of IPv4.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterPrefixLengthV4 {
    /// The shortest prefix length.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 32, "x-tag" = "bgpFilterPrefixLengthV4"))]
    pub min: Option<i32>,
    /// The longest prefix length.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 32, "x-tag" = "bgpFilterPrefixLengthV4"))]
    pub max: Option<i32>,
}

/// Prefix lengths of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterPrefixLengthV6 {
    /// The shortest prefix length.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 128, "x-tag" = "bgpFilterPrefixLengthV6"))]
    pub min: Option<i32>,
    /// The longest prefix length.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 128, "x-tag" = "bgpFilterPrefixLengthV6"))]
    pub max: Option<i32>,
}

/// Communities of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterCommunityMatch {
    /// The communities.
    #[schemars(length(min = 1, max = 1), extend("x-tag" = "!required", "x-always" = true, "x-required" = true))]
    pub values: Vec<CommunityValue>,
}

/// One change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterOperation {
    /// Adds a community.
    pub add_community: Option<BgpFilterAddCommunity>,
    /// Makes the AS path longer.
    #[serde(rename = "prependASPath")]
    pub prepend_as_path: Option<BgpFilterPrependAsPath>,
    /// Sets the priority.
    pub set_priority: Option<BgpFilterSetPriority>,
}

/// Adds a community.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterAddCommunity {
    /// The community.
    #[schemars(length(max = 32), extend("x-tag" = "!required", "x-always" = true, "x-required" = true))]
    pub value: Option<CommunityValue>,
}

/// Makes the AS path longer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterPrependAsPath {
    /// AS numbers that come before it.
    #[schemars(length(min = 1, max = 10), extend("x-tag" = "!required", "x-always" = true, "x-required" = true))]
    pub prefix: Vec<AsNumber>,
}

/// Sets the priority.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpFilterSetPriority {
    /// The priority.
    #[schemars(
        extend(
            "x-minimum" = 1,
            "x-maximum" = 2147483646,
            "x-tag" = "!required,gte=1,lte=2147483646",
            "x-always" = true,
            "x-required" = true
        )
    )]
    pub value: Option<i64>,
}

/// A community: `aa:nn` with numbers of 16 bits, or `aa:nn:mm` with numbers of 32.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("maxLength" = 32, "pattern" = community_pattern()))]
pub struct CommunityValue(pub String);

/// The schema's pattern, spelt as it is so that messages that quote it agree.
fn community_pattern() -> String {
    let short = "([0-9]|[1-9][0-9]{1,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let long = "([0-9]|[1-9][0-9]{1,8}|[1-3][0-9]{9}|4[0-1][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}\
                |4294[0-8][0-9]{5}|42949[0-5][0-9]{4}|429496[0-6][0-9]{3}|4294967[0-1][0-9]{2}\
                |42949672[0-8][0-9]|429496729[0-5])";
    format!("^({short}:{short}|{long}:{long}:{long})$")
}
