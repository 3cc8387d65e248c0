//! Limits of bandwidth, packets and connections from a pod's annotations.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tortie_api::kinds::workload_endpoint::QosControls;
use tortie_api::scalar::Dscp;

use super::{Warning, quantity};

const BANDWIDTH: RangeInclusive<i64> = 1000..=1_000_000_000_000_000;
const BURST: RangeInclusive<i64> = 1000..=34_359_738_360;
const DEFAULT_BURST: i64 = 1 << 32;
const PEAKRATE: RangeInclusive<i64> = 1010..=1_010_000_000_000_000;
const MINBURST: RangeInclusive<i64> = 1000..=100_000_000;
const PACKETS: RangeInclusive<i64> = 1..=10_000;
const DEFAULT_PACKET_BURST: i64 = 5;
const CONNECTIONS: RangeInclusive<i64> = 1..=4_294_967_295;

/// The limits of one direction.
#[derive(Default)]
struct Limits {
    bandwidth: i64,
    burst: i64,
    peakrate: i64,
    minburst: i64,
    packet_rate: i64,
    packet_burst: i64,
    max_connections: i64,
}

/// What the annotations set; `None` if they set nothing. An invalid value is left out or moved to the nearest valid
/// one, with a warning.
pub fn controls(annotations: &BTreeMap<String, String>) -> (Option<QosControls>, Vec<Warning>) {
    let mut warnings = Vec::new();
    let ingress = limits(annotations, "ingress", &mut warnings);
    let egress = limits(annotations, "egress", &mut warnings);
    let controls = QosControls {
        ingress_bandwidth: ingress.bandwidth,
        ingress_burst: ingress.burst,
        ingress_peakrate: ingress.peakrate,
        ingress_minburst: ingress.minburst,
        egress_bandwidth: egress.bandwidth,
        egress_burst: egress.burst,
        egress_peakrate: egress.peakrate,
        egress_minburst: egress.minburst,
        ingress_packet_rate: ingress.packet_rate,
        ingress_packet_burst: ingress.packet_burst,
        egress_packet_rate: egress.packet_rate,
        egress_packet_burst: egress.packet_burst,
        ingress_max_connections: ingress.max_connections,
        egress_max_connections: egress.max_connections,
        dscp: dscp(annotations, &mut warnings),
    };
    (Some(controls).filter(|it| *it != QosControls::default()), warnings)
}

fn limits(annotations: &BTreeMap<String, String>, direction: &str, warnings: &mut Vec<Warning>) -> Limits {
    let kubernetes = format!("kubernetes.io/{direction}-bandwidth");
    let mut read = |name: String, range: RangeInclusive<i64>| {
        let text = annotations.get(&name)?;
        Some(limit(&name, text, range, warnings))
    };
    let own = |what: &str| format!("qos.projectcalico.org/{direction}{what}");
    let general = read(kubernetes, BANDWIDTH);
    let mut limits = Limits {
        bandwidth: read(own("Bandwidth"), BANDWIDTH).or(general).unwrap_or(0),
        burst: read(own("Burst"), BURST).unwrap_or(0),
        peakrate: read(own("Peakrate"), PEAKRATE).unwrap_or(0),
        minburst: read(own("Minburst"), MINBURST).unwrap_or(0),
        packet_rate: read(own("PacketRate"), PACKETS).unwrap_or(0),
        packet_burst: read(own("PacketBurst"), PACKETS).unwrap_or(0),
        max_connections: read(own("MaxConnections"), CONNECTIONS).unwrap_or(0),
    };
    let mut drop = |value: &mut i64, dropped: bool, what: &str, need: &str| {
        if *value != 0 && dropped {
            warnings.push(Warning::ignored(format!("{}: ignored, since {need}", own(what))));
            *value = 0;
        }
    };
    let bandwidth = limits.bandwidth;
    drop(&mut limits.burst, bandwidth == 0, "Burst", "there is no bandwidth");
    let too_low = bandwidth == 0 || bandwidth >= limits.peakrate;
    drop(&mut limits.peakrate, too_low, "Peakrate", "it must be greater than the bandwidth, and needs one");
    drop(&mut limits.minburst, limits.peakrate == 0, "Minburst", "there is no peak rate");
    drop(&mut limits.packet_burst, limits.packet_rate == 0, "PacketBurst", "there is no packet rate");
    if limits.bandwidth != 0 && limits.burst == 0 {
        limits.burst = DEFAULT_BURST;
    }
    if limits.packet_rate != 0 && limits.packet_burst == 0 {
        limits.packet_burst = DEFAULT_PACKET_BURST;
    }
    limits
}

fn limit(name: &str, text: &str, range: RangeInclusive<i64>, warnings: &mut Vec<Warning>) -> i64 {
    let Some(value) = quantity::value(text) else {
        warnings.push(Warning::ignored(format!("{name}: `{text}` is not a quantity; it is ignored")));
        return 0;
    };
    let nearest = value.clamp(*range.start(), *range.end());
    if nearest != value {
        let (least, most) = (range.start(), range.end());
        warnings.push(Warning::ignored(format!("{name}: `{text}` is not within {least} to {most}; {nearest} is used")));
    }
    nearest
}

fn dscp(annotations: &BTreeMap<String, String>, warnings: &mut Vec<Warning>) -> Option<Dscp> {
    const NAME: &str = "qos.projectcalico.org/dscp";
    let text = annotations.get(NAME)?;
    if let Ok(number) = text.parse::<u64>() {
        if number <= 63 {
            return Some(Dscp::from(number));
        }
    } else if is_class(&text.to_ascii_uppercase()) {
        return Some(Dscp::from(text.as_str()));
    }
    warnings.push(Warning::ignored(format!("{NAME}: `{text}` is not a class of service; it is ignored")));
    None
}

fn is_class(name: &str) -> bool {
    let within = |prefix: &str, digits: &[RangeInclusive<u8>]| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            rest.len() == digits.len() && rest.bytes().zip(digits).all(|(digit, range)| range.contains(&digit))
        })
    };
    matches!(name, "DF" | "EF") || within("AF", &[b'1'..=b'4', b'1'..=b'3']) || within("CS", &[b'0'..=b'6'])
}

#[cfg(test)]
mod tests;
