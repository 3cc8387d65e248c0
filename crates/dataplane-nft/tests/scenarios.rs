//! The scenarios of `tests/scenarios`, each with real packets and answered by the evaluator. The numbers in the files are
//! those of the reference's own functional tests that they follow; 72, 78, 98 and 100 are in `live.rs`, 107 in `kernel.rs`, 17 and
//! 113 are the agent's, 116 and 117 those of `hostnet`.

#![allow(clippy::unwrap_used)]

mod common;

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            common::scenario::play(stringify!($name), include_str!(concat!("scenarios/", stringify!($name), ".txt")));
        })*

        #[test]
        fn every_scenario_file_is_run() {
            let played = [$(stringify!($name)),*];
            let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios")).unwrap();
            for file in files {
                let file = file.unwrap().path();
                assert!(played.contains(&file.file_stem().unwrap().to_str().unwrap()), "{file:?}");
            }
        }
    };
}

scenarios! {
    a_host_endpoint_without_policy_denies_the_host
    host_endpoint_policies_decide_by_direction
    host_endpoint_profiles_allow_what_policies_leave
    forward_policy_is_asked_for_forwarded_packets
    failsafes_stay_open
    pre_dnat_policy_sees_the_port_before_translation
    untracked_policy_needs_both_directions
    a_translated_port_is_reached_by_pre_dnat_policy_only
    tiers_decide_in_their_order
    which_endpoint_governs_an_interface
    an_endpoint_for_all_interfaces_leaves_workloads_alone
    workloads_are_policed_by_direction
    workloads_cannot_lie_about_their_source
    workloads_never_reach_loopback_addresses
    openstack_workloads_reach_what_they_need
    workloads_reach_their_host_as_set
    workloads_are_chosen_by_namespace_and_service_account
    workloads_talk_between_nodes_past_host_endpoints
    tunnels_pass_between_nodes_only
    named_ports_never_mix_protocols
    named_ports_of_workloads_never_mix_protocols
    sets_are_followed
    ipv6_lives_behind_a_default_deny
    rules_match_what_they_say
    what_differs_on_purpose
    multicast_and_broadcast_are_judged_where_they_are_received
}
