//! FelixConfiguration: settings of the node agent.
//!
//! The names are Calico's; what a setting is called in `felix.cfg` and the environment stands as `x-felix` where it is
//! not the Go name. Settings that begin "Calico:" mean nothing to us and are only kept.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Dscp, Duration, Interval, Port};

/// Settings. Absent ones are taken from the next weaker source: a global object, then the built-in default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FelixConfigurationSpec {
    /// Nodes that this object is for, by label. Not for `default` or `node.<name>`; where several fit a node the
    /// oldest counts.
    #[schemars(length(max = 1024), extend("x-felix" = "-"))]
    pub node_selector: Option<String>,
    /// Calico: whether Felix programs the kernel itself. Default true.
    pub use_internal_dataplane_driver: Option<bool>,
    /// Calico: the program that does so instead.
    pub dataplane_driver: String,
    /// How long the dataplane may be silent before it counts as hung. Default 90s. Old; `healthTimeoutOverrides`
    /// replaces it.
    pub dataplane_watchdog_timeout: Option<Duration>,
    /// Whether workloads' IPv6 addresses get routes; IPv6 is policed either way. Default true.
    #[schemars(extend("x-go" = "IPv6Support", "x-felix" = "Ipv6Support"))]
    pub ipv6_support: Option<bool>,
    /// How often routes are compared with the kernel's; 0 for never. Default 90s.
    pub route_refresh_interval: Option<Interval>,
    /// How often interfaces are listed again; 0 for never. Default 90s.
    pub interface_refresh_interval: Option<Interval>,
    /// iptables: how often rules are compared with the kernel's; 0 for never. Default 180s.
    pub iptables_refresh_interval: Option<Interval>,
    /// iptables: when to look whether another program has overwritten what was just written. Default 5s.
    #[schemars(extend("x-felix" = "IptablesPostWriteCheckIntervalSecs"))]
    pub iptables_post_write_check_interval: Option<Interval>,
    /// iptables: how often to try for the xtables lock. Default 50ms.
    #[schemars(extend("x-felix" = "IptablesLockProbeIntervalMillis"))]
    pub iptables_lock_probe_interval: Option<Interval>,
    /// Kernel features said to be there or not, `Name=true,Other=false`.
    #[schemars(
        extend(
            "pattern" = "^([a-zA-Z0-9-_]+=(true|false|),)*([a-zA-Z0-9-_]+=(true|false|))?$",
            "x-tag" = "keyValueList"
        )
    )]
    pub feature_detect_override: String,
    /// Trial features, `Name=value,...`.
    #[schemars(extend("pattern" = "^([a-zA-Z0-9-_]+=([^=]+),)*([a-zA-Z0-9-_]+=([^=]+))?$", "x-tag" = "keyValueList"))]
    pub feature_gates: String,
    /// iptables: how often IP sets are compared with the kernel's; 0 for never. Default 90s.
    pub ipsets_refresh_interval: Option<Interval>,
    /// iptables: most members of an IP set. Default 1048576.
    pub max_ipset_size: Option<i64>,
    /// iptables: which of its two programs is used. Default Auto.
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
    /// How workloads' interfaces begin; several with commas, each at most 15 characters. Default `cali`.
    pub interface_prefix: String,
    /// Interfaces that `*` host endpoints pass over: names, or `/regex/`, with commas. Default `kube-ipvs0`.
    pub interface_exclude: String,
    /// Whether the jump to policy stands before other programs' rules (insert) or after (append). Default insert.
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
    /// How lines of Log rules begin; `%t` tier, `%k` kind, `%n` name, `%p` namespace and name. Default
    /// `calico-packet`.
    #[schemars(extend("pattern" = "^([a-zA-Z0-9%: /_-])*$"))]
    pub log_prefix: String,
    /// How often Log rules may write, `10/second`. Unlimited if absent.
    #[schemars(extend("pattern" = r"^[1-9]\d{0,3}/(?:second|minute|hour|day)$"))]
    pub log_action_rate_limit: Option<String>,
    /// How many lines may come at once under that limit. Default 5.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 9999))]
    pub log_action_rate_limit_burst: Option<i64>,
    /// The log file; `none` for none. Default `/var/log/calico/felix.log`.
    pub log_file_path: String,
    /// What the log file gets. Default Info.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$"))]
    pub log_severity_file: String,
    /// What standard output gets. Default Info.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$"))]
    pub log_severity_screen: String,
    /// What syslog gets. Default Info.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$"))]
    pub log_severity_sys: String,
    /// Source files whose debug lines are logged; all if empty.
    #[schemars(extend("x-tag" = "regexp"))]
    pub log_debug_filename_regex: String,
    /// Whether the IP-in-IP device exists. Found from the pools if absent.
    #[schemars(extend("x-felix" = "IpInIpEnabled"))]
    pub ipip_enabled: Option<bool>,
    /// MTU of the IP-in-IP device; 0 to find out. Default 0.
    #[serde(rename = "ipipMTU")]
    #[schemars(extend("x-felix" = "IpInIpMtu"))]
    pub ipip_mtu: Option<i64>,
    /// Whether the VXLAN devices exist. Found from the pools if absent.
    pub vxlan_enabled: Option<bool>,
    /// MTU of the IPv4 VXLAN device; 0 to find out. Default 0.
    #[serde(rename = "vxlanMTU")]
    pub vxlan_mtu: Option<i64>,
    /// MTU of the IPv6 VXLAN device; 0 to find out. Default 0.
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
    /// How long that status lasts. Default 90s.
    #[serde(rename = "reportingTTL")]
    #[schemars(extend("x-felix" = "ReportingTTLSecs"))]
    pub reporting_ttl: Option<Interval>,
    /// Whether endpoints' status is written to the store. Default false.
    pub endpoint_reporting_enabled: Option<bool>,
    /// How long a change of it may wait. Default 1s.
    #[schemars(extend("x-felix" = "EndpointReportingDelaySecs"))]
    pub endpoint_reporting_delay: Option<Interval>,
    /// Directory for endpoints' status files, which the CNI plugin waits for. Default `/var/run/calico`.
    pub endpoint_status_path_prefix: String,
    /// iptables: bits of the packet mark that may be used. Default 0xffff0000.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 4294967295_i64))]
    pub iptables_mark_mask: Option<i64>,
    /// Whether packets that connection tracking calls invalid go on to policy. Default false.
    pub disable_conntrack_invalid_check: Option<bool>,
    /// Whether liveness and readiness are served. Default false.
    pub health_enabled: Option<bool>,
    /// On which address. Default localhost.
    pub health_host: Option<String>,
    /// On which port. Default 9099.
    pub health_port: Option<i64>,
    /// Other times for single parts of the agent before they count as hung.
    pub health_timeout_overrides: Vec<HealthTimeoutOverride>,
    /// Whether metrics are served. Default false.
    pub prometheus_metrics_enabled: Option<bool>,
    /// On which address. Default: all.
    #[schemars(extend("x-tag" = "prometheusHost"))]
    pub prometheus_metrics_host: String,
    /// On which port. Default 9091.
    pub prometheus_metrics_port: Option<i64>,
    /// Whether they include the Go runtime's. Default true.
    pub prometheus_go_metrics_enabled: Option<bool>,
    /// Whether they include the process's. Default true.
    pub prometheus_process_metrics_enabled: Option<bool>,
    /// Whether they include WireGuard's. Default true.
    pub prometheus_wire_guard_metrics_enabled: Option<bool>,
    /// File with the certificate authority of clients of the metrics.
    #[serde(rename = "prometheusMetricsCAFile")]
    pub prometheus_metrics_ca_file: Option<String>,
    /// File with the certificate that the metrics are served with.
    pub prometheus_metrics_cert_file: Option<String>,
    /// File with its key.
    pub prometheus_metrics_key_file: Option<String>,
    /// What clients of the metrics must show. Default NoClientCert.
    #[schemars(
        extend(
            "enum" = ["RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "NoClientCert"],
            "x-tag" = "oneof=RequireAndVerifyClientCert RequireAnyClientCert VerifyClientCertIfGiven NoClientCert"
        )
    )]
    pub prometheus_metrics_client_auth: Option<String>,
    /// Ports of the host that no policy can close. `[]` for none; absent: ssh, DHCP, BGP, etcd, Typha and the
    /// Kubernetes API.
    pub failsafe_inbound_host_ports: Option<Vec<ProtoPort>>,
    /// Ports elsewhere that no policy can cut the host off from. `[]` for none; absent: DNS, DHCP, BGP, etcd, Typha
    /// and the Kubernetes API.
    pub failsafe_outbound_host_ports: Option<Vec<ProtoPort>>,
    /// Ports of Kubernetes node-port services. Default 30000:32767.
    #[schemars(length(max = 7))]
    pub kube_node_port_ranges: Option<Vec<Port>>,
    /// Directory of the sockets that give policy to other programs. Off if empty.
    pub policy_sync_path_prefix: String,
    /// Calico: whether Felix tells its makers version and cluster size. Default true.
    pub usage_reporting_enabled: Option<bool>,
    /// Calico: when first. Default 300s.
    #[schemars(extend("x-felix" = "UsageReportingInitialDelaySecs"))]
    pub usage_reporting_initial_delay: Option<Interval>,
    /// Calico: how often. Default 86400s.
    #[schemars(extend("x-felix" = "UsageReportingIntervalSecs"))]
    pub usage_reporting_interval: Option<Interval>,
    /// Source ports for NAT outgoing. The kernel's choice if absent.
    pub nat_port_range: Option<Port>,
    /// Source address for NAT outgoing. The outgoing interface's if empty.
    #[schemars(length(max = 45))]
    pub nat_outgoing_address: String,
    /// Destinations that NAT outgoing leaves alone: pools, or pools and hosts. Default IPPoolsOnly.
    #[schemars(extend("enum" = ["IPPoolsOnly", "IPPoolsAndHostIPs"], "x-tag" = "oneof=IPPoolsOnly IPPoolsAndHostIPs"))]
    pub nat_outgoing_exclusions: Option<String>,
    /// IPv4 source address that routes to workloads suggest. The kernel's choice if empty.
    #[schemars(length(max = 45))]
    pub device_route_source_address: String,
    /// IPv6 source address that routes to workloads suggest. The kernel's choice if empty.
    #[schemars(length(max = 45))]
    pub device_route_source_address_i_pv6: String,
    /// The route protocol number that marks our routes. Default 3.
    pub device_route_protocol: Option<i64>,
    /// Whether others' routes to workload interfaces are removed. Default true.
    pub remove_external_routes: Option<bool>,
    /// For which pools without VXLAN the agent, not BGP, makes routes to other nodes. Default EnabledIPIPOnly.
    #[schemars(extend("enum" = ["Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"]))]
    pub program_cluster_routes: Option<String>,
    /// Whether the host is made to forward packets. Default Enabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub ip_forwarding: String,
    /// Nets of nodes outside the cluster that may send tunnelled packets.
    #[schemars(extend("x-go" = "ExternalNodesCIDRList"))]
    pub external_nodes_list: Option<Vec<String>>,
    /// Calico: where a memory profile is written.
    pub debug_memory_profile_path: String,
    /// Whether logging waits rather than drops lines. Default false.
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
    /// NAT outgoing only on this interface; a final `+` stands for any ending. All if empty.
    #[serde(rename = "iptablesNATOutgoingInterfaceFilter")]
    #[schemars(extend("x-tag" = "ifaceFilter"))]
    pub iptables_nat_outgoing_interface_filter: String,
    /// Calico: trial speed-up of sidecars. Default false.
    pub sidecar_acceleration_enabled: Option<bool>,
    /// Whether untracked denies may be done in XDP. Default true.
    #[schemars(extend("x-go" = "XDPEnabled"))]
    pub xdp_enabled: Option<bool>,
    /// Whether that is done too where the driver has no XDP of its own. Default false.
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
    /// eBPF: whether answers to callers from outside go back through the node they came by (Tunnel) or directly (DSR).
    /// Default Tunnel.
    #[schemars(extend("pattern" = "^(?i)(Tunnel|DSR)?$"))]
    pub bpf_external_service_mode: String,
    /// eBPF: callers that are answered as with Tunnel all the same.
    #[serde(rename = "bpfDSROptoutCIDRs")]
    #[schemars(extend("x-tag" = "cidrs"))]
    pub bpf_dsr_optout_cidrs: Option<Vec<String>>,
    /// eBPF: the connection mark of callers from outside. Default 0.
    #[schemars(extend("x-tag" = "gte=0,lte=4294967295"))]
    pub bpf_ext_to_service_connmark: Option<i64>,
    /// eBPF: whether kube-proxy's iptables rules are removed. Default true.
    pub bpf_kube_proxy_iptables_cleanup_enabled: Option<bool>,
    /// eBPF: least time between two updates of services. Default 1s.
    pub bpf_kube_proxy_min_sync_period: Option<Interval>,
    /// eBPF: port of the service health checks; 0 for none. Default 10256.
    #[schemars(extend("x-tag" = "gte=0,lte=65535"))]
    pub bpf_kube_proxy_healthz_port: Option<i64>,
    /// eBPF: ports to choose from when source ports collide. Default 20000:29999.
    #[serde(rename = "bpfPSNATPorts")]
    pub bpf_psnat_ports: Option<Port>,
    /// eBPF: size of the map of service addresses.
    #[serde(rename = "bpfMapSizeNATFrontend")]
    pub bpf_map_size_nat_frontend: Option<i64>,
    /// eBPF: size of the map of service endpoints.
    #[serde(rename = "bpfMapSizeNATBackend")]
    pub bpf_map_size_nat_backend: Option<i64>,
    /// eBPF: size of the map of session affinities.
    #[serde(rename = "bpfMapSizeNATAffinity")]
    pub bpf_map_size_nat_affinity: Option<i64>,
    /// eBPF: size of the map of routes.
    pub bpf_map_size_route: Option<i64>,
    /// eBPF: size of the map of connections. Default 512000.
    pub bpf_map_size_conntrack: Option<i64>,
    /// eBPF: the same for each CPU; if not 0 it counts instead.
    #[schemars(extend("x-go" = "BPFMapSizePerCPUConntrack"))]
    pub bpf_map_size_per_cpu_conntrack: Option<i64>,
    /// eBPF: whether that map grows when full. Default DoubleIfFull.
    #[schemars(extend("pattern" = "^(?i)(Disabled|DoubleIfFull)?$"))]
    pub bpf_map_size_conntrack_scaling: String,
    /// eBPF: size of the map of connections to clean up.
    #[schemars(extend("x-minimum" = 1, "x-tag" = "gte=1"))]
    pub bpf_map_size_conntrack_cleanup_queue: Option<i64>,
    /// eBPF: size of the map of set members. Default 1048576.
    #[serde(rename = "bpfMapSizeIPSets")]
    pub bpf_map_size_ipsets: Option<i64>,
    /// eBPF: size of the map of interfaces. Default 1000.
    pub bpf_map_size_if_state: Option<i64>,
    /// eBPF: whether the kernel's own connection tracking is passed by. Default false.
    pub bpf_host_conntrack_bypass: Option<bool>,
    /// eBPF: whether fragments from outside that arrive out of order are put together. Default true.
    #[serde(rename = "bpfIPFragmentReassemblyEnabled")]
    pub bpf_ip_fragment_reassembly_enabled: Option<bool>,
    /// eBPF: how strictly the way back to a source is checked. Default Loose.
    #[serde(rename = "bpfEnforceRPF")]
    #[schemars(extend("pattern" = "^(?i)(Disabled|Strict|Loose)?$"))]
    pub bpf_enforce_rpf: String,
    /// eBPF: whether the policy programs can be listed. Default true.
    pub bpf_policy_debug_enabled: Option<bool>,
    /// eBPF: interfaces whose packets the kernel's connection tracking sees. Default `docker+`.
    #[schemars(extend("x-tag" = "ifaceFilterSlice"))]
    pub bpf_force_track_packets_from_ifaces: Option<Vec<String>>,
    /// eBPF: interfaces where receive offload is turned off, a regular expression.
    #[serde(rename = "bpfDisableGROForIfaces")]
    #[schemars(extend("x-tag" = "regexp"))]
    pub bpf_disable_gro_for_ifaces: String,
    /// eBPF: nets whose services are left to the host.
    #[serde(rename = "bpfExcludeCIDRsFromNAT")]
    #[schemars(extend("x-tag" = "cidrs"))]
    pub bpf_exclude_cidrs_from_nat: Option<Vec<String>>,
    /// eBPF: size of the buffer for events. Default 1.
    #[serde(rename = "bpfExportBufferSizeMB")]
    pub bpf_export_buffer_size_mb: Option<i64>,
    /// Whether the agent works with Istio's ambient mode. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub istio_ambient_mode: Option<String>,
    /// The DSCP that marks packets for Istio. Default 23.
    #[serde(rename = "istioDSCPMark")]
    #[schemars(extend("x-tag" = "dscp"))]
    pub istio_dscp_mark: Option<Dscp>,
    /// Where the cgroup hierarchy is.
    pub cgroup_v2_path: String,
    /// Whether running flows are judged anew when policy changes. Default Continuous.
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
    /// Whether the flow collector logs all it sees.
    pub flow_logs_collector_debug_trace: Option<bool>,
    /// Where flow logs are sent.
    pub flow_logs_goldmane_server: Option<String>,
    /// Whether flow logs are served on a local socket. Default Disabled.
    #[schemars(extend("enum" = ["Disabled", "Enabled"]))]
    pub flow_logs_local_reporter: Option<String>,
    /// eBPF: whether programs are profiled. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub bpf_profiling: String,
    /// What routes to workloads are made from. Default CalicoIPAM.
    #[schemars(extend("pattern" = "^(?i)(WorkloadIPs|CalicoIPAM)?$"))]
    pub route_source: String,
    /// Route tables that may be used.
    pub route_table_ranges: Option<Vec<RouteTableIdRange>>,
    /// Old form of `routeTableRanges`.
    pub route_table_range: Option<RouteTableRange>,
    /// Whether routes are left alone altogether. Default false.
    pub route_sync_disabled: Option<bool>,
    /// Priority of IPv4 routes. Default 1024.
    #[schemars(extend("x-go" = "IPv4NormalRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv4_normal_route_priority: Option<i64>,
    /// Priority of IPv4 routes to a virtual machine on the move. Default 512.
    #[schemars(extend("x-go" = "IPv4ElevatedRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv4_elevated_route_priority: Option<i64>,
    /// Priority of IPv6 routes. Default 1024.
    #[schemars(extend("x-go" = "IPv6NormalRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv6_normal_route_priority: Option<i64>,
    /// Priority of IPv6 routes to a virtual machine on the move. Default 512.
    #[schemars(extend("x-go" = "IPv6ElevatedRoutePriority", "x-tag" = "gte=1,lte=2147483646"))]
    pub ipv6_elevated_route_priority: Option<i64>,
    /// How long that priority stays after the move. Default 30s.
    #[schemars(extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))*$"))]
    pub live_migration_route_convergence_time: Option<Duration>,
    /// Whether IPv4 between nodes is encrypted. Default false.
    pub wireguard_enabled: Option<bool>,
    /// Whether IPv6 between nodes is encrypted. Default false.
    pub wireguard_enabled_v6: Option<bool>,
    /// WireGuard: whether the kernel uses a thread for it. Default false.
    pub wireguard_threading_enabled: Option<bool>,
    /// WireGuard: port for IPv4. Default 51820.
    #[schemars(extend("x-tag" = "gt=0,lte=65535"))]
    pub wireguard_listening_port: Option<i64>,
    /// WireGuard: port for IPv6. Default 51821.
    #[schemars(extend("x-tag" = "gt=0,lte=65535"))]
    pub wireguard_listening_port_v6: Option<i64>,
    /// WireGuard: priority of its routing rule. Default 99.
    #[schemars(extend("x-tag" = "gt=0,lt=32766"))]
    pub wireguard_routing_rule_priority: Option<i64>,
    /// WireGuard: interface for IPv4. Default `wireguard.cali`.
    #[schemars(extend("x-tag" = "interface"))]
    pub wireguard_interface_name: String,
    /// WireGuard: interface for IPv6. Default `wg-v6.cali`.
    #[schemars(extend("x-tag" = "interface"))]
    pub wireguard_interface_name_v6: String,
    /// WireGuard: MTU for IPv4. Default 1440.
    #[serde(rename = "wireguardMTU")]
    pub wireguard_mtu: Option<i64>,
    /// WireGuard: MTU for IPv6. Default 1420.
    #[serde(rename = "wireguardMTUV6")]
    pub wireguard_mtuv6: Option<i64>,
    /// WireGuard: whether packets between the hosts themselves are encrypted. Default false.
    pub wireguard_host_encryption_enabled: Option<bool>,
    /// WireGuard: how often an idle peer is spoken to; 0 for never. Default 0.
    #[schemars(extend("x-go" = "WireguardPersistentKeepAlive"))]
    pub wireguard_keep_alive: Option<Interval>,
    /// AWS: what to do about the instance's source and destination check. Default DoNothing.
    #[schemars(
        extend(
            "x-go" = "AWSSrcDstCheck",
            "enum" = ["DoNothing", "Enable", "Disable"],
            "x-tag" = "oneof=DoNothing Enable Disable"
        )
    )]
    pub aws_src_dst_check: Option<String>,
    /// What happens to packets for services that do not exist. Default Drop.
    #[schemars(extend("pattern" = "^(?i)(Drop|Reject|Disabled)?$", "x-tag" = "oneof=Drop Reject Disabled"))]
    pub service_loop_prevention: String,
    /// Whether workloads may ask for source addresses that are not theirs. Default Disabled.
    #[schemars(extend("pattern" = "^(?i)(Disabled|Any)?$", "x-tag" = "oneof=Disabled Any"))]
    pub workload_source_spoofing: String,
    /// Host interfaces that the MTU is found from, a regular expression.
    #[schemars(extend("x-go" = "MTUIfacePattern", "x-tag" = "regexp"))]
    pub mtu_iface_pattern: String,
    /// Whether `ipNATs` of workloads outside OpenStack count. Default Disabled.
    #[serde(rename = "floatingIPs")]
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub floating_ips: Option<String>,
    /// Whether the host answers ARP and ND for workloads in its own subnet. Default Disabled.
    #[schemars(extend("enum" = ["Disabled", "PodsAndLoadBalancers"], "x-tag" = "oneof=Disabled PodsAndLoadBalancers"))]
    pub local_subnet_l2_reachability: Option<String>,
    /// How often it announces them again; 0 for never. Default 120s.
    pub local_subnet_l2_reachability_refresh_interval: Option<Duration>,
    /// Windows: whether its firewall is opened for metrics. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled"))]
    pub windows_manage_firewall_rules: Option<String>,
    /// Calico: Go's GOGC. Default 40.
    #[serde(rename = "goGCThreshold")]
    #[schemars(extend("x-tag" = "gte=-1"))]
    pub go_gc_threshold: Option<i64>,
    /// Calico: Go's memory limit; -1 for none. Default -1.
    #[serde(rename = "goMemoryLimitMB")]
    #[schemars(extend("x-tag" = "gte=-1"))]
    pub go_memory_limit_mb: Option<i64>,
    /// Calico: Go's GOMAXPROCS; -1 for all. Default -1.
    #[schemars(extend("x-tag" = "gte=-1"))]
    pub go_max_procs: Option<i64>,
    /// Whether the agent waits for the MTU file. Default false.
    #[serde(rename = "requireMTUFile")]
    pub require_mtu_file: Option<bool>,
    /// eBPF: most endpoints of a service with Maglev. Default 100.
    #[schemars(extend("x-tag" = "gt=0,lte=3000"))]
    pub bpf_maglev_max_endpoints_per_service: Option<i64>,
    /// eBPF: most services with Maglev. Default 100.
    #[schemars(extend("x-tag" = "gt=0,lte=3000"))]
    pub bpf_maglev_max_services: Option<i64>,
}

/// How long one part of the agent may be silent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthTimeoutOverride {
    /// The part.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub name: String,
    /// How long.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub timeout: Duration,
}

/// Route tables between 1 and 250.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTableRange {
    /// The first.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub min: i64,
    /// The last.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub max: i64,
}

/// Route tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTableIdRange {
    /// The first, from 1.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub min: i64,
    /// The last.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub max: i64,
}

/// A port that stays open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtoPort {
    /// `tcp`, `udp` or `sctp`; tcp if empty.
    pub protocol: String,
    /// The number.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub port: u16,
    /// Only for this net; for all addresses if empty.
    pub net: String,
}

/// How long connections last when idle: durations, or `Auto` for the kernel's own time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BpfConntrackTimeouts {
    /// Since they began, whatever their state. Default 10s.
    #[schemars(extend("pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub creation_grace_period: Option<String>,
    /// TCP without an answer yet. Default 20s.
    #[schemars(extend("x-go" = "TCPSynSent", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_syn_sent: Option<String>,
    /// Open TCP. Default 1h.
    #[schemars(extend("x-go" = "TCPEstablished", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_established: Option<String>,
    /// Closed TCP. Default Auto.
    #[schemars(extend("x-go" = "TCPFinsSeen", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_fins_seen: Option<String>,
    /// TCP that was reset. Default 40s.
    #[schemars(extend("x-go" = "TCPResetSeen", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub tcp_reset_seen: Option<String>,
    /// UDP. Default 60s.
    #[schemars(extend("x-go" = "UDPTimeout", "pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub udp_timeout: Option<String>,
    /// Other protocols. Default 10m.
    #[schemars(extend("pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub generic_timeout: Option<String>,
    /// ICMP. Default 5s.
    #[schemars(extend("pattern" = r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$"))]
    pub icmp_timeout: Option<String>,
}
