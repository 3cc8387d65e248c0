use super::*;

fn read(annotations: &[(&str, &str)]) -> (QosControls, Vec<String>) {
    let expand =
        |name: &str| if name.contains('/') { name.to_owned() } else { format!("qos.projectcalico.org/{name}") };
    let annotations = annotations.iter().map(|(name, value)| (expand(name), (*value).to_owned())).collect();
    let (controls, warnings) = controls(&annotations);
    (controls.unwrap_or_default(), warnings.into_iter().map(|one| one.text).collect())
}

#[test]
fn limits_are_read_defaulted_and_moved_into_their_range() {
    type Row<'a> = (&'a [(&'a str, &'a str)], fn(&QosControls) -> i64, i64, &'a [&'a str]);
    let bandwidth = ("ingressBandwidth", "10M");
    let rows: &[Row<'_>] = &[
        (&[("kubernetes.io/ingress-bandwidth", "1M")], |it| it.ingress_bandwidth, 1_000_000, &[]),
        (&[("kubernetes.io/egress-bandwidth", "1M")], |it| it.egress_bandwidth, 1_000_000, &[]),
        (&[("kubernetes.io/ingress-bandwidth", "1M"), bandwidth], |it| it.ingress_bandwidth, 10_000_000, &[]),
        (&[bandwidth], |it| it.ingress_burst, 4_294_967_296, &[]),
        (&[bandwidth, ("ingressBurst", "5k")], |it| it.ingress_burst, 5000, &[]),
        (&[bandwidth, ("ingressPeakrate", "11M")], |it| it.ingress_peakrate, 11_000_000, &[]),
        (&[bandwidth, ("ingressPeakrate", "11M"), ("ingressMinburst", "2k")], |it| it.ingress_minburst, 2000, &[]),
        (&[("egressPacketRate", "100")], |it| it.egress_packet_rate, 100, &[]),
        (&[("egressPacketRate", "100")], |it| it.egress_packet_burst, 5, &[]),
        (&[("egressPacketRate", "100"), ("egressPacketBurst", "7")], |it| it.egress_packet_burst, 7, &[]),
        (&[("ingressMaxConnections", "9")], |it| it.ingress_max_connections, 9, &[]),
        (
            &[("ingressBandwidth", "1")],
            |it| it.ingress_bandwidth,
            1000,
            &["qos.projectcalico.org/ingressBandwidth: `1` is not within 1000 to 1000000000000000; 1000 is used"],
        ),
        (
            &[("ingressBandwidth", "100E")],
            |it| it.ingress_bandwidth,
            1_000_000_000_000_000,
            &["qos.projectcalico.org/ingressBandwidth: `100E` is not within 1000 to 1000000000000000; \
               1000000000000000 is used"],
        ),
        (
            &[("ingressMaxConnections", "0")],
            |it| it.ingress_max_connections,
            1,
            &["qos.projectcalico.org/ingressMaxConnections: `0` is not within 1 to 4294967295; 1 is used"],
        ),
        (
            &[("ingressBandwidth", "fast")],
            |it| it.ingress_bandwidth,
            0,
            &["qos.projectcalico.org/ingressBandwidth: `fast` is not a quantity; it is ignored"],
        ),
        (
            &[("egressBurst", "5k")],
            |it| it.egress_burst,
            0,
            &["qos.projectcalico.org/egressBurst: ignored, since there is no bandwidth"],
        ),
        (
            &[bandwidth, ("ingressPeakrate", "10M"), ("ingressMinburst", "2k")],
            |it| it.ingress_peakrate + it.ingress_minburst,
            0,
            &[
                "qos.projectcalico.org/ingressPeakrate: ignored, since it must be greater than the bandwidth, and needs one",
                "qos.projectcalico.org/ingressMinburst: ignored, since there is no peak rate",
            ],
        ),
        (
            &[("egressPacketBurst", "7")],
            |it| it.egress_packet_burst,
            0,
            &["qos.projectcalico.org/egressPacketBurst: ignored, since there is no packet rate"],
        ),
    ];
    for (annotations, field, value, warnings) in rows {
        let (controls, warned) = read(annotations);
        assert_eq!(field(&controls), *value, "{annotations:?}");
        assert_eq!(&warned, warnings, "{annotations:?}");
    }
}

#[test]
fn classes_of_service_are_numbers_or_names() {
    for (text, expected) in [
        ("0", Some("0")),
        ("63", Some("63")),
        ("64", None),
        ("EF", Some("EF")),
        ("ef", Some("ef")),
        ("AF11", Some("AF11")),
        ("AF43", Some("AF43")),
        ("AF44", None),
        ("CS6", Some("CS6")),
        ("CS7", None),
        ("", None),
    ] {
        let (controls, warnings) = read(&[("dscp", text)]);
        assert_eq!(controls.dscp.map(|it| it.text()).as_deref(), expected, "{text}");
        assert_eq!(warnings.is_empty(), expected.is_some(), "{text}");
    }
}

#[test]
fn pods_without_such_annotations_have_no_controls() {
    assert_eq!(controls(&BTreeMap::from([("a".to_owned(), "b".to_owned())])), (None, Vec::new()));
}
