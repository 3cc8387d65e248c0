//! FelixConfiguration: settings of the node agent.
//!
//! The names are Calico's. The name of a setting in `felix.cfg` and the environment is in `x-felix` if it is not
//! the Go name. tortie stores settings whose description begins with "Calico:" and does not use them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Dscp, Duration, Interval, Port};

/// Settings. Absent ones are taken from the next weaker source: a global object, then the built-in default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FelixConfigurationSpec {
    /// The nodes that this object is for, by their labels. Not allowed in `default` and `node.<name>`. If several
    /// objects select a node, the oldest applies.
    #[schemars(length(max = 1024), extend("x-felix" = "-"))]
    pub node_selector: Option<String>,
    /// Calico: whether Felix programs the kernel itself. Default true.
    pub use_internal_dataplane_driver: Option<bool>,
    /// Calico: path of the program that programs the kernel when `useInternalDataplaneDriver` is false.
    pub dataplane_driver: String,
    /// How long the dataplane may be silent before it counts as hung. Default 90s. Deprecated: use
    /// `healthTimeoutOverrides`.
    pub dataplane_watchdog_timeout: Option<Duration>,
    /// Whether workloads' IPv6 addresses get routes; policy is enforced for IPv6 either way. Default true.
    #[schemars(extend("x-go" = "IPv6Support", "x-felix" = "Ipv6Support"))]
    pub ipv6_support: Option<bool>,
    /// How often routes are compared with the kernel's; 0 for never. Default 90s.
    pub route_refresh_interval: Option<Interval>,
    /// How often interfaces are listed again; 0 for never. Default 90s.
    pub interface_refresh_interval: Option<Interval>,
    /// iptables: how often rules are compared with the kernel's; 0 for never. Default 180s.
    pub iptables_refresh_interval: Option<Interval>,
    /// iptables: how long after a write to check that no other program has overwritten it. Default 5s.
    #[schemars(extend("x-felix" = "IptablesPostWriteCheckIntervalSecs"))]
    pub iptables_post_write_check_interval: Option<Interval>,
    /// iptables: the pause between two attempts to take the xtables lock. Default 50ms.
    #[schemars(extend("x-felix" = "IptablesLockProbeIntervalMillis"))]
    pub iptables_lock_probe_interval: Option<Interval>,
    /// Kernel features that count as present or absent whatever is detected, as `Name=true,Other=false`.
    #[schemars(
        extend(
            "pattern" = "^([a-zA-Z0-9-_]+=(true|false|),)*([a-zA-Z0-9-_]+=(true|false|))?$",
            "x-tag" = "keyValueList"
        )
    )]
    pub feature_detect_override: String,
    /// Experimental features and their values, as `Name=value,Other=value`.
    #[schemars(extend("pattern" = "^([a-zA-Z0-9-_]+=([^=]+),)*([a-zA-Z0-9-_]+=([^=]+))?$", "x-tag" = "keyValueList"))]
    pub feature_gates: String,
    /// iptables: how often IP sets are compared with the kernel's; 0 for never. Default 90s.
    pub ipsets_refresh_interval: Option<Interval>,
    /// iptables: the largest number of members of an IP set. Default 1048576.
    pub max_ipset_size: Option<i64>,
    /// iptables: which variant of the program is used, the legacy one or the one on nftables. Default Auto.
    #[schemars(extend("enum" = ["Legacy", "NFT", "Auto"], "pattern" = "^(?i)(Auto|Legacy|NFT)?$"))]
    pub iptables_backend: Option<String>,
    /// How often XDP programs are compared with the kernel's; 0 for never. Default 90s.
    #[schemars(extend("x-go" = "XDPRefreshInterval"))]
    pub xdp_refresh_interval: Option<Interval>,
    /// How long the kernel may take to answer. Default 10s.
    #[schemars(extend("x-felix" = "NetlinkTimeoutSecs"))]
    pub netlink_timeout: Option<Interval>,
    /// OpenStack: address or name of the metadata server; `none` for no rule. Default 127.0.0.1.
    pub metadata_addr: String,
    /// OpenStack: port of the metadata server. Default 8775.
    pub metadata_port: Option<i64>,
    /// OpenStack: the region of this node.
    pub openstack_region: String,
    /// The prefixes of workload interfaces' names, separated by commas, each at most 15 characters. Default `cali`.
    pub interface_prefix: String,
    /// Interfaces that host endpoints with `interfaceName: "*"` do not apply to: names or `/regular expressions/`,
    /// separated by commas. Default `kube-ipvs0`.
    pub interface_exclude: String,
    /// Whether the jump to policy comes before the rules of other programs (Insert) or after them (Append). Default
    /// Insert.
    #[schemars(extend("pattern" = "^(?i)(Insert|Append)?$"))]
    pub chain_insert_mode: String,
    /// What happens to a workload's packets to its own host once its egress policy allows them. Default Drop.
    #[schemars(extend("pattern" = "^(?i)(Drop|Accept|Return)?$"))]
    pub default_endpoint_to_host_action: String,
    /// iptables: what an allow does in the filter table. Default Accept.
    #[schemars(extend("pattern" = "^(?i)(Accept|Return)?$"))]
    pub iptables_filter_allow_action: String,
    /// iptables: what an allow does in the mangle table. Default Accept.
    #[schemars(extend("pattern" = "^(?i)(Accept|Return)?$"))]
    pub iptables_mangle_allow_action: String,
    /// iptables: what a deny does. Default Drop.
    #[schemars(extend("pattern" = "^(?i)(Drop|Reject)?$"))]
    pub iptables_filter_deny_action: String,
    /// The prefix of the lines that Log rules write to the kernel log; `%t` is replaced by the tier, `%k` by the kind,
    /// `%n` by the name, `%p` by namespace and name of the policy. Default `calico-packet`.
    #[schemars(extend("pattern" = "^([a-zA-Z0-9%: /_-])*$"))]
    pub log_prefix: String,
    /// How many lines Log rules may write in a time, such as `10/second`. Unlimited if absent.
    #[schemars(extend("pattern" = r"^[1-9]\d{0,3}/(?:second|minute|hour|day)$"))]
    pub log_action_rate_limit: Option<String>,
    /// How many lines Log rules may write at once before `logActionRateLimit` applies. Default 5.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 9999))]
    pub log_action_rate_limit_burst: Option<i64>,
    /// The log file; `none` for none. Default `/var/log/calico/felix.log`.
    pub log_file_path: String,
    /// The least severity of lines in the log file. Default Info.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$"))]
    pub log_severity_file: String,
    /// The least severity of lines on standard output. Default Info.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$"))]
    pub log_severity_screen: String,
    /// The least severity of lines to syslog. Default Info.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$"))]
    pub log_severity_sys: String,
    /// Source files whose debug lines are logged; all if empty.
    #[schemars(extend("x-tag" = "regexp"))]
    pub log_debug_filename_regex: String,
    /// Whether the IP-in-IP device exists. If absent, it exists when an IP pool asks for it.
    #[schemars(extend("x-felix" = "IpInIpEnabled"))]
    pub ipip_enabled: Option<bool>,
    /// MTU of the IP-in-IP device, in bytes; 0 to detect it. Default 0.
    #[serde(rename = "ipipMTU")]
    #[schemars(extend("x-felix" = "IpInIpMtu"))]
    pub ipip_mtu: Option<i64>,
    /// Whether the VXLAN devices exist. If absent, they exist when an IP pool asks for it.
    pub vxlan_enabled: Option<bool>,
    /// MTU of the IPv4 VXLAN device, in bytes; 0 to detect it. Default 0.
    #[serde(rename = "vxlanMTU")]
    pub vxlan_mtu: Option<i64>,
    /// MTU of the IPv6 VXLAN device, in bytes; 0 to detect it. Default 0.
    #[serde(rename = "vxlanMTUV6")]
    pub vxlan_mtuv6: Option<i64>,
    /// UDP port of VXLAN. Default 4789.
    pub vxlan_port: Option<i64>,
    /// Network identifier of VXLAN. Default 4096.
    #[serde(rename = "vxlanVNI")]
    pub vxlan_vni: Option<i64>,
    /// Whether workloads may send VXLAN packets of their own. Default false.
    #[serde(rename = "allowVXLANPacketsFromWorkloads")]
    pub allow_vxlan_packets_from_workloads: Option<bool>,
    /// Whether workloads may send IP-in-IP packets of their own. Default false.
    #[serde(rename = "allowIPIPPacketsFromWorkloads")]
    pub allow_ipip_packets_from_workloads: Option<bool>,
    /// How often the agent's status is written to the store; 0 for never. Default 30s.
    #[schemars(extend("x-felix" = "ReportingIntervalSecs"))]
    pub reporting_interval: Option<Interval>,
    /// How long the agent's status stays in the store when it is not written again. Default 90s.
    #[serde(rename = "reportingTTL")]
    #[schemars(extend("x-felix" = "ReportingTTLSecs"))]
    pub reporting_ttl: Option<Interval>,
    /// Whether endpoints' status is written to the store. Default false.
    pub endpoint_reporting_enabled: Option<bool>,
    /// The longest time by which writing a change of an endpoint's status is delayed. Default 1s.
    #[schemars(extend("x-felix" = "EndpointReportingDelaySecs"))]
    pub endpoint_reporting_delay: Option<Interval>,
    /// Directory for endpoints' status files, which the CNI plugin waits for. Default `/var/run/calico`.
    pub endpoint_status_path_prefix: String,
    /// iptables: bits of the packet mark that may be used. Default 0xffff0000.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 4294967295_i64))]
    pub iptables_mark_mask: Option<i64>,
    /// Whether policy decides about packets that connection tracking classifies as invalid. Default false.
    pub disable_conntrack_invalid_check: Option<bool>,
    /// Whether liveness and readiness are served. Default false.
    pub health_enabled: Option<bool>,
    /// The address on which liveness and readiness are served. Default localhost.
    pub health_host: Option<String>,
    /// The TCP port on which liveness and readiness are served. Default 9099.
    pub health_port: Option<i64>,
    /// How long single parts of the agent may be silent before they count as hung, where that is not the default.
    pub health_timeout_overrides: Vec<HealthTimeoutOverride>,
    /// Whether metrics are served. Default false.
    pub prometheus_metrics_enabled: Option<bool>,
    /// The address on which metrics are served. All addresses if empty.
    #[schemars(extend("x-tag" = "prometheusHost"))]
    pub prometheus_metrics_host: String,
    /// The TCP port on which metrics are served. Default 9091.
    pub prometheus_metrics_port: Option<i64>,
    /// Whether the metrics include those of the Go runtime. Default true.
    pub prometheus_go_metrics_enabled: Option<bool>,
    /// Whether the metrics include those of the process. Default true.
    pub prometheus_process_metrics_enabled: Option<bool>,
    /// Whether the metrics include those of WireGuard. Default true.
    pub prometheus_wire_guard_metrics_enabled: Option<bool>,
    /// File with the certificate authority that signs the certificates of clients of the metrics.
    #[serde(rename = "prometheusMetricsCAFile")]
    pub prometheus_metrics_ca_file: Option<String>,
    /// File with the certificate that the metrics are served with.
    pub prometheus_metrics_cert_file: Option<String>,
    /// File with the private key of `prometheusMetricsCertFile`.
    pub prometheus_metrics_key_file: Option<String>,
    /// Whether clients of the metrics must show a certificate, and whether it is verified. Default NoClientCert.
    #[schemars(
        extend(
            "enum" = ["RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "NoClientCert"],
            "x-tag" = "oneof=RequireAndVerifyClientCert RequireAnyClientCert VerifyClientCertIfGiven NoClientCert"
        )
    )]
    pub prometheus_metrics_client_auth: Option<String>,
    /// Ports of the host that stay open whatever policies say. `[]` for none. If absent: SSH, DHCP, BGP, etcd, Typha
    /// and the Kubernetes API.
    pub failsafe_inbound_host_ports: Option<Vec<ProtoPort>>,
    /// Ports of other machines that the host can reach whatever policies say. `[]` for none. If absent: DNS, DHCP, BGP,
    /// etcd, Typha and the Kubernetes API.
    pub failsafe_outbound_host_ports: Option<Vec<ProtoPort>>,
    /// Ports of Kubernetes node-port services. Default 30000:32767.
    #[schemars(length(max = 7))]
    pub kube_node_port_ranges: Option<Vec<Port>>,
    /// Directory of the sockets over which other programs receive policy. Off if empty.
    pub policy_sync_path_prefix: String,
    /// Calico: whether Felix reports its version and the size of the cluster to its makers. Default true.
    pub usage_reporting_enabled: Option<bool>,
    /// Calico: how long after the start the first usage report is sent. Default 300s.
    #[schemars(extend("x-felix" = "UsageReportingInitialDelaySecs"))]
    pub usage_reporting_initial_delay: Option<Interval>,
    /// Calico: the time between two usage reports. Default 86400s.
    #[schemars(extend("x-felix" = "UsageReportingIntervalSecs"))]
    pub usage_reporting_interval: Option<Interval>,
    /// The source ports that `natOutgoing` of IP pools translates to. The kernel chooses if absent.
    pub nat_port_range: Option<Port>,
    /// The source address that `natOutgoing` of IP pools translates to. The address of the outgoing interface if empty.
    #[schemars(length(max = 45))]
    pub nat_outgoing_address: String,
    /// The destinations that `natOutgoing` of IP pools does not apply to: addresses of pools, or of pools and hosts.
    /// Default IPPoolsOnly.
    #[schemars(extend("enum" = ["IPPoolsOnly", "IPPoolsAndHostIPs"], "x-tag" = "oneof=IPPoolsOnly IPPoolsAndHostIPs"))]
    pub nat_outgoing_exclusions: Option<String>,
    /// The IPv4 source address of the host's own packets to workloads. The kernel chooses if empty.
    #[schemars(length(max = 45))]
    pub device_route_source_address: String,
    /// The IPv6 source address of the host's own packets to workloads. The kernel chooses if empty.
    #[schemars(length(max = 45))]
    pub device_route_source_address_i_pv6: String,
    /// The protocol number of the routes that the agent makes, by which it recognises them. Default 3.
    pub device_route_protocol: Option<i64>,
    /// Whether routes to workload interfaces that other programs made are removed. Default true.
    pub remove_external_routes: Option<bool>,
    /// For which pools without VXLAN the agent, not BGP, makes routes to other nodes. Default EnabledIPIPOnly.
    #[schemars(extend("enum" = ["Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"]))]
    pub program_cluster_routes: Option<String>,
    /// Whether the agent switches on forwarding of packets on the host. Default Enabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub ip_forwarding: String,
    /// Nets of machines outside the cluster from which the host accepts tunnelled packets.
    #[schemars(extend("x-go" = "ExternalNodesCIDRList"))]
    pub external_nodes_list: Option<Vec<String>>,
    /// Calico: where a memory profile is written.
    pub debug_memory_profile_path: String,
    /// Whether the agent waits when lines of the log cannot be written at once, instead of dropping them. Default
    /// false.
    pub debug_disable_log_dropping: Option<bool>,
    /// Tests only: hang the calculation after this time.
    pub debug_simulate_calc_graph_hang_after: Option<Interval>,
    /// Tests only: hang the dataplane after this time.
    pub debug_simulate_dataplane_hang_after: Option<Interval>,
    /// Tests only: slow every dataplane operation.
    pub debug_simulate_dataplane_apply_delay: Option<Interval>,
    /// Address of the debug server. Default localhost.
    pub debug_host: Option<String>,
    /// Port of the debug server. Off if absent.
    #[schemars(extend("x-tag" = "gte=0,lte=65535"))]
    pub debug_port: Option<i64>,
    /// The outgoing interface that `natOutgoing` of IP pools is limited to; a final `+` stands for any suffix. All
    /// interfaces if empty.
    #[serde(rename = "iptablesNATOutgoingInterfaceFilter")]
    #[schemars(extend("x-tag" = "ifaceFilter"))]
    pub iptables_nat_outgoing_interface_filter: String,
    /// Calico: whether traffic of sidecars is accelerated, an experiment. Default false.
    pub sidecar_acceleration_enabled: Option<bool>,
    /// Whether untracked denies may be done in XDP. Default true.
    #[schemars(extend("x-go" = "XDPEnabled"))]
    pub xdp_enabled: Option<bool>,
    /// Whether XDP is also used on interfaces whose driver does not support it. Default false.
    #[serde(rename = "genericXDPEnabled")]
    pub generic_xdp_enabled: Option<bool>,
    /// Whether nftables is used; Auto follows kube-proxy. Default Auto.
    #[schemars(extend("x-go" = "NFTablesMode", "enum" = ["Disabled", "Enabled", "Auto"], "x-default" = "Auto"))]
    pub nftables_mode: Option<String>,
    /// Which established connections take the kernel's fast path. Default Disabled.
    #[schemars(extend("x-go" = "NFTablesFlowTableOffload", "enum" = ["All", "Disabled"], "x-default" = "Disabled"))]
    pub nftables_flow_table_offload: Option<String>,
    /// Host interfaces of that fast path, a regular expression. Only workloads' if empty.
    #[schemars(extend("x-go" = "NFTablesFlowTableDataIfacePattern", "x-tag" = "regexp"))]
    pub nftables_flow_table_data_iface_pattern: String,
    /// nftables: how often rules are compared with the kernel's. Default 180s.
    pub nftables_refresh_interval: Option<Duration>,
    /// nftables: what an allow does in the filter chains. Default Accept.
    #[schemars(extend("pattern" = "^(?i)(Accept|Return)?$"))]
    pub nftables_filter_allow_action: String,
    /// nftables: what an allow does in the mangle chains. Default Accept.
    #[schemars(extend("pattern" = "^(?i)(Accept|Return)?$"))]
    pub nftables_mangle_allow_action: String,
    /// nftables: what a deny does. Default Drop.
    #[schemars(extend("pattern" = "^(?i)(Drop|Reject)?$"))]
    pub nftables_filter_deny_action: String,
    /// nftables: bits of the packet mark that may be used. Default 0xffff0000.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 4294967295_i64))]
    pub nftables_mark_mask: Option<i64>,
    /// Whether the eBPF dataplane is used. Default false.
    pub bpf_enabled: Option<bool>,
    /// eBPF: source address of the host's own packets into tunnels. Default TunnelAddress.
    #[serde(rename = "bpfOverlayHostSourceIP")]
    #[schemars(extend("enum" = ["TunnelAddress", "HostAddress"], "x-tag" = "oneof=TunnelAddress HostAddress"))]
    pub bpf_overlay_host_source_ip: Option<String>,
    /// eBPF: whether programs without privilege are kept from eBPF. Default true.
    pub bpf_disable_unprivileged: Option<bool>,
    /// eBPF: whether the kernel's strict JIT hardening is lowered (Auto) or left (Strict). Default Auto.
    #[serde(rename = "bpfJITHardening")]
    #[schemars(extend("enum" = ["Auto", "Strict"], "x-tag" = "oneof=Auto Strict"))]
    pub bpf_jit_hardening: Option<String>,
    /// eBPF: what its programs log. Always written. Default Off.
    #[schemars(extend("pattern" = "^(?i)(Off|Info|Debug)?$", "x-always" = true))]
    pub bpf_log_level: String,
    /// eBPF: what the cleaner of connections logs. Default Off.
    #[schemars(extend("enum" = ["Off", "Debug"], "x-tag" = "oneof=Off Debug"))]
    pub bpf_conntrack_log_level: String,
    /// eBPF: how old connections are cleaned up. Default Auto.
    #[schemars(
        extend(
            "x-go" = "BPFConntrackCleanupMode",
            "enum" = ["Auto", "Userspace", "BPFProgram"],
            "x-tag" = "oneof=Auto Userspace BPFProgram"
        )
    )]
    pub bpf_conntrack_mode: Option<String>,
    /// eBPF: how long connections last when idle.
    pub bpf_conntrack_timeouts: Option<BpfConntrackTimeouts>,
    /// eBPF: how long to wait for all fragments of a packet. The kernel's setting if absent.
    #[serde(rename = "bpfIPFragTimeout")]
    pub bpf_ip_frag_timeout: Option<Interval>,
    /// eBPF: a pcap expression by interface (or `all`, `weps`, `heps`) that picks what debug logs show.
    #[schemars(extend("x-tag" = "bpfLogFilters"))]
    pub bpf_log_filters: Option<BTreeMap<String, String>>,
    /// eBPF: `all` logs the connect-time load balancer too when filters are set.
    #[serde(rename = "bpfCTLBLogFilter")]
    pub bpf_ctlb_log_filter: String,
    /// eBPF: the host's interfaces to the network, a regular expression.
    #[schemars(extend("x-tag" = "regexp"))]
    pub bpf_data_iface_pattern: String,
    /// eBPF: tunnel interfaces not made by Calico, a regular expression.
    #[schemars(extend("x-tag" = "regexp"))]
    pub bpf_l3_iface_pattern: String,
    /// eBPF: old form of `bpfConnectTimeLoadBalancing`. Default true.
    pub bpf_connect_time_load_balancing_enabled: Option<bool>,
    /// eBPF: whether services are resolved when a socket connects. Default TCP.
    #[schemars(extend("enum" = ["TCP", "Enabled", "Disabled"], "x-tag" = "oneof=TCP Enabled Disabled"))]
    pub bpf_connect_time_load_balancing: Option<String>,
    /// eBPF: whether the host's own packets are translated where that is off. Default Enabled.
    #[serde(rename = "bpfHostNetworkedNATWithoutCTLB")]
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled"))]
    pub bpf_host_networked_nat_without_ctlb: Option<String>,
    /// eBPF: whether replies to external clients go back through the node they came by (Tunnel) or directly from the
    /// node of the workload (DSR). Default Tunnel.
    #[schemars(extend("pattern" = "^(?i)(Tunnel|DSR)?$"))]
    pub bpf_external_service_mode: String,
    /// eBPF: nets of external clients that are answered through the node they came by, although
    /// `bpfExternalServiceMode` is DSR.
    #[serde(rename = "bpfDSROptoutCIDRs")]
    #[schemars(extend("x-tag" = "cidrs"))]
    pub bpf_dsr_optout_cidrs: Option<Vec<String>>,
    /// eBPF: the connection mark of connections from external clients to services. Default 0.
    #[schemars(extend("x-tag" = "gte=0,lte=4294967295"))]
    pub bpf_ext_to_service_connmark: Option<i64>,
    /// eBPF: whether kube-proxy's iptables rules are removed. Default true.
    pub bpf_kube_proxy_iptables_cleanup_enabled: Option<bool>,
    /// eBPF: the least time between two updates of services. Default 1s.
    pub bpf_kube_proxy_min_sync_period: Option<Interval>,
    /// eBPF: port of the service health checks; 0 for none. Default 10256.
    #[schemars(extend("x-tag" = "gte=0,lte=65535"))]
    pub bpf_kube_proxy_healthz_port: Option<i64>,
    /// eBPF: the source ports that are chosen from when source ports collide. Default 20000:29999.
    #[serde(rename = "bpfPSNATPorts")]
    pub bpf_psnat_ports: Option<Port>,
    /// eBPF: the largest number of entries of the map of service addresses.
    #[serde(rename = "bpfMapSizeNATFrontend")]
    pub bpf_map_size_nat_frontend: Option<i64>,
    /// eBPF: the largest number of entries of the map of service endpoints.
    #[serde(rename = "bpfMapSizeNATBackend")]
    pub bpf_map_size_nat_backend: Option<i64>,
    /// eBPF: the largest number of entries of the map of session affinities.
    #[serde(rename = "bpfMapSizeNATAffinity")]
    pub bpf_map_size_nat_affinity: Option<i64>,
    /// eBPF: the largest number of entries of the map of routes.
    pub bpf_map_size_route: Option<i64>,
    /// eBPF: the largest number of entries of the connection tracking map. Default 512000.
    pub bpf_map_size_conntrack: Option<i64>,
    /// eBPF: the largest number of entries of the connection tracking map for each CPU; if not 0, it replaces
    /// `bpfMapSizeConntrack`. Default 0.
    #[schemars(extend("x-go" = "BPFMapSizePerCPUConntrack"))]
    pub bpf_map_size_per_cpu_conntrack: Option<i64>,
    /// eBPF: whether the connection tracking map grows when it is full. Default DoubleIfFull.
    #[schemars(extend("pattern" = "^(?i)(Disabled|DoubleIfFull)?$"))]
    pub bpf_map_size_conntrack_scaling: String,
    /// eBPF: the largest number of entries of the map of connections that are to be removed.
    #[schemars(extend("x-minimum" = 1, "x-tag" = "gte=1"))]
    pub bpf_map_size_conntrack_cleanup_queue: Option<i64>,
    /// eBPF: the largest number of entries of the map of set members. Default 1048576.
    #[serde(rename = "bpfMapSizeIPSets")]
    pub bpf_map_size_ipsets: Option<i64>,
    /// eBPF: the largest number of entries of the map of interfaces. Default 1000.
    pub bpf_map_size_if_state: Option<i64>,
    /// eBPF: whether packets bypass the kernel's own connection tracking. Default false.
    pub bpf_host_conntrack_bypass: Option<bool>,
    /// eBPF: whether fragments from outside that arrive out of order are reassembled. Default true.
    #[serde(rename = "bpfIPFragmentReassemblyEnabled")]
    pub bpf_ip_fragment_reassembly_enabled: Option<bool>,
    /// eBPF: how strictly the reverse path to a packet's source is checked. Default Loose.
    #[serde(rename = "bpfEnforceRPF")]
    #[schemars(extend("pattern" = "^(?i)(Disabled|Strict|Loose)?$"))]
    pub bpf_enforce_rpf: String,
    /// eBPF: whether the policy programs can be listed. Default true.
    pub bpf_policy_debug_enabled: Option<bool>,
    /// eBPF: interfaces whose packets go through the kernel's connection tracking. Default `docker+`.
    #[schemars(extend("x-tag" = "ifaceFilterSlice"))]
    pub bpf_force_track_packets_from_ifaces: Option<Vec<String>>,
    /// eBPF: interfaces where receive offload is turned off, a regular expression.
    #[serde(rename = "bpfDisableGROForIfaces")]
    #[schemars(extend("x-tag" = "regexp"))]
    pub bpf_disable_gro_for_ifaces: String,
    /// eBPF: nets of service addresses that are not translated by eBPF but by the host.
    #[serde(rename = "bpfExcludeCIDRsFromNAT")]
    #[schemars(extend("x-tag" = "cidrs"))]
    pub bpf_exclude_cidrs_from_nat: Option<Vec<String>>,
    /// eBPF: the size of the buffer for events, in MB. Default 1.
    #[serde(rename = "bpfExportBufferSizeMB")]
    pub bpf_export_buffer_size_mb: Option<i64>,
    /// Whether the agent works with Istio's ambient mode. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub istio_ambient_mode: Option<String>,
    /// The DSCP value by which packets are marked for Istio. Default 23.
    #[serde(rename = "istioDSCPMark")]
    #[schemars(extend("x-tag" = "dscp"))]
    pub istio_dscp_mark: Option<Dscp>,
    /// Where the cgroup v2 hierarchy is mounted.
    pub cgroup_v2_path: String,
    /// Whether flows that are already logged are evaluated again when policy changes. Default Continuous.
    #[schemars(extend("enum" = ["None", "Continuous"]))]
    pub flow_logs_policy_evaluation_mode: Option<String>,
    /// eBPF: whether packets go straight to the workload's side of its interface. Default Enabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub bpf_redirect_to_peer: String,
    /// eBPF: how programs are attached to interfaces. Default Netkit.
    #[schemars(extend("enum" = ["TC", "TCX", "Netkit"], "x-tag" = "oneof=TC TCX Netkit"))]
    pub bpf_attach_type: Option<String>,
    /// How often flow logs are sent. Default 300s.
    pub flow_logs_flush_interval: Option<Interval>,
    /// Whether the flow collector writes everything that it sees to the log. Default false.
    pub flow_logs_collector_debug_trace: Option<bool>,
    /// The address of the server that flow logs are sent to. None are sent if absent.
    pub flow_logs_goldmane_server: Option<String>,
    /// Whether flow logs are served on a local socket. Default Disabled.
    #[schemars(extend("enum" = ["Disabled", "Enabled"]))]
    pub flow_logs_local_reporter: Option<String>,
    /// eBPF: whether programs are profiled. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub bpf_profiling: String,
    /// What routes to workloads of other nodes follow from: the blocks of Calico's address management, or the addresses
    /// of workloads. Default CalicoIPAM.
    #[schemars(extend("pattern" = "^(?i)(WorkloadIPs|CalicoIPAM)?$"))]
    pub route_source: String,
    /// The kernel's route tables that the agent may use.
    pub route_table_ranges: Option<Vec<RouteTableIdRange>>,
    /// Deprecated form of `routeTableRanges`.
    pub route_table_range: Option<RouteTableRange>,
    /// Whether the agent neither makes nor removes routes. Default false.
    pub route_sync_disabled: Option<bool>,
    /// The metric of IPv4 routes to workloads. Default 1024.
    #[schemars(extend("x-go" = "IPv4NormalRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv4_normal_route_priority: Option<i64>,
    /// The metric of IPv4 routes to a virtual machine that is being migrated. Default 512.
    #[schemars(extend("x-go" = "IPv4ElevatedRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv4_elevated_route_priority: Option<i64>,
    /// The metric of IPv6 routes to workloads. Default 1024.
    #[schemars(extend("x-go" = "IPv6NormalRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv6_normal_route_priority: Option<i64>,
    /// The metric of IPv6 routes to a virtual machine that is being migrated. Default 512.
    #[schemars(extend("x-go" = "IPv6ElevatedRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv6_elevated_route_priority: Option<i64>,
    /// How long the elevated priority of routes stays after a migration. Default 30s.
    #[schemars(extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))*$"))]
    pub live_migration_route_convergence_time: Option<Duration>,
    /// Whether IPv4 between nodes is encrypted. Default false.
    pub wireguard_enabled: Option<bool>,
    /// Whether IPv6 between nodes is encrypted. Default false.
    pub wireguard_enabled_v6: Option<bool>,
    /// WireGuard: whether the kernel handles packets of each peer in a thread of its own (threaded NAPI). Default
    /// false.
    pub wireguard_threading_enabled: Option<bool>,
    /// WireGuard: UDP port for IPv4. Default 51820.
    #[schemars(extend("x-tag" = "gt=0,lte=65535"))]
    pub wireguard_listening_port: Option<i64>,
    /// WireGuard: UDP port for IPv6. Default 51821.
    #[schemars(extend("x-tag" = "gt=0,lte=65535"))]
    pub wireguard_listening_port_v6: Option<i64>,
    /// WireGuard: priority of its routing rule. Default 99.
    #[schemars(extend("x-tag" = "gt=0,lt=32766"))]
    pub wireguard_routing_rule_priority: Option<i64>,
    /// WireGuard: name of the interface for IPv4. Default `wireguard.cali`.
    #[schemars(extend("x-tag" = "interface"))]
    pub wireguard_interface_name: String,
    /// WireGuard: name of the interface for IPv6. Default `wg-v6.cali`.
    #[schemars(extend("x-tag" = "interface"))]
    pub wireguard_interface_name_v6: String,
    /// WireGuard: MTU of the interface for IPv4, in bytes. Default 1440.
    #[serde(rename = "wireguardMTU")]
    pub wireguard_mtu: Option<i64>,
    /// WireGuard: MTU of the interface for IPv6, in bytes. Default 1420.
    #[serde(rename = "wireguardMTUV6")]
    pub wireguard_mtuv6: Option<i64>,
    /// WireGuard: whether packets between the hosts themselves are encrypted. Default false.
    pub wireguard_host_encryption_enabled: Option<bool>,
    /// WireGuard: how often a keepalive is sent to an idle peer; 0 for never. Default 0.
    #[schemars(extend("x-go" = "WireguardPersistentKeepAlive"))]
    pub wireguard_keep_alive: Option<Interval>,
    /// AWS: whether the instance's check of source and destination addresses is switched on or off, or left as it is.
    /// Default DoNothing.
    #[schemars(
        extend(
            "x-go" = "AWSSrcDstCheck",
            "enum" = ["DoNothing", "Enable", "Disable"],
            "x-tag" = "oneof=DoNothing Enable Disable"
        )
    )]
    pub aws_src_dst_check: Option<String>,
    /// What happens to packets for service addresses that belong to no service. Default Drop.
    #[schemars(extend("pattern" = "^(?i)(Drop|Reject|Disabled)?$", "x-tag" = "oneof=Drop Reject Disabled"))]
    pub service_loop_prevention: String,
    /// Whether `allowSpoofedSourcePrefixes` of workload endpoints has an effect. Default Disabled.
    #[schemars(extend("pattern" = "^(?i)(Disabled|Any)?$", "x-tag" = "oneof=Disabled Any"))]
    pub workload_source_spoofing: String,
    /// The host interfaces whose smallest MTU is the one that is detected, as a regular expression.
    #[schemars(extend("x-go" = "MTUIfacePattern", "x-tag" = "regexp"))]
    pub mtu_iface_pattern: String,
    /// Whether `ipNATs` of workload endpoints has an effect outside OpenStack. Default Disabled.
    #[serde(rename = "floatingIPs")]
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub floating_ips: Option<String>,
    /// Whether the host answers ARP and neighbour solicitations for workloads with addresses of the host's own subnet.
    /// Default Disabled.
    #[schemars(extend("enum" = ["Disabled", "PodsAndLoadBalancers"], "x-tag" = "oneof=Disabled PodsAndLoadBalancers"))]
    pub local_subnet_l2_reachability: Option<String>,
    /// How often the host announces the addresses of those workloads again; 0 for never. Default 120s.
    pub local_subnet_l2_reachability_refresh_interval: Option<Duration>,
    /// Windows: whether its firewall is opened for metrics. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled"))]
    pub windows_manage_firewall_rules: Option<String>,
    /// Calico: the Go runtime's GOGC. Default 40.
    #[serde(rename = "goGCThreshold")]
    #[schemars(extend("x-tag" = "gte=-1"))]
    pub go_gc_threshold: Option<i64>,
    /// Calico: the Go runtime's memory limit in MB; -1 for none. Default -1.
    #[serde(rename = "goMemoryLimitMB")]
    #[schemars(extend("x-tag" = "gte=-1"))]
    pub go_memory_limit_mb: Option<i64>,
    /// Calico: the Go runtime's GOMAXPROCS; -1 for all processors. Default -1.
    #[schemars(extend("x-tag" = "gte=-1"))]
    pub go_max_procs: Option<i64>,
    /// Whether the agent waits for the file with the MTU before it starts. Default false.
    #[serde(rename = "requireMTUFile")]
    pub require_mtu_file: Option<bool>,
    /// eBPF: the largest number of endpoints of a service that uses Maglev. Default 100.
    #[schemars(extend("x-tag" = "gt=0,lte=3000"))]
    pub bpf_maglev_max_endpoints_per_service: Option<i64>,
    /// eBPF: the largest number of services that use Maglev. Default 100.
    #[schemars(extend("x-tag" = "gt=0,lte=3000"))]
    pub bpf_maglev_max_services: Option<i64>,
}

/// How long one part of the agent may be silent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthTimeoutOverride {
    /// The name of the part of the agent.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub name: String,
    /// How long it may be silent before it counts as hung.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub timeout: Duration,
}

/// Route tables between 1 and 250.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTableRange {
    /// The number of the first table.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub min: i64,
    /// The number of the last table.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub max: i64,
}

/// Route tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTableIdRange {
    /// The number of the first table, at least 1.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub min: i64,
    /// The number of the last table.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub max: i64,
}

/// A port that stays open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtoPort {
    /// `tcp`, `udp` or `sctp`; tcp if empty.
    pub protocol: String,
    /// The number of the port.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub port: u16,
    /// The net of the peers that the port is open for; all addresses if empty.
    pub net: String,
}

/// How long connections last when idle: durations, or `Auto` for the kernel's own time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BpfConntrackTimeouts {
    /// The least age at which a connection is removed, whatever its state. Default 10s.
    #[schemars(extend("pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub creation_grace_period: Option<String>,
    /// TCP connections without an answer yet. Default 20s.
    #[schemars(extend("x-go" = "TCPSynSent", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_syn_sent: Option<String>,
    /// Established TCP connections. Default 1h.
    #[schemars(extend("x-go" = "TCPEstablished", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_established: Option<String>,
    /// Closed TCP connections. Default Auto.
    #[schemars(extend("x-go" = "TCPFinsSeen", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_fins_seen: Option<String>,
    /// TCP connections that were reset. Default 40s.
    #[schemars(extend("x-go" = "TCPResetSeen", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_reset_seen: Option<String>,
    /// UDP flows. Default 60s.
    #[schemars(extend("x-go" = "UDPTimeout", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub udp_timeout: Option<String>,
    /// Flows of other protocols. Default 10m.
    #[schemars(extend("pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub generic_timeout: Option<String>,
    /// ICMP flows. Default 5s.
    #[schemars(extend("pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub icmp_timeout: Option<String>,
}
