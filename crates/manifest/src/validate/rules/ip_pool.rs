//! Pools of addresses: all rules of them, those of Calico's client, of its code and of its CRD.

use serde_json::Value;
use tortie_api::{Object, Path};
use tortie_net::{IpNet, parse_cidr};

use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::place::Place;
use crate::validate::suggest;
use crate::validate::value::{Fields, filled, flag, go_text, int, list, text, texts};

const USES: [&str; 3] = ["Workload", "Tunnel", "LoadBalancer"];

/// The rules of Calico's own code.
pub(super) fn spec(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let cidr = text(fields, "cidr");
    let at = |reason: &str| Problem::field(place.key("cidr").path(), "IPpool.CIDR", cidr, reason);
    if cidr.is_empty() {
        out.push(at("IPPool CIDR must be specified").message("`cidr` is missing").help("write it like 10.0.0.0/16"));
    } else {
        match parse_cidr(cidr) {
            Err(_) => {
                out.push(at("IPPool CIDR must be a valid subnet").message(format!("`{cidr}` is not a net")));
                return;
            }
            Ok(net) if net != net.trunc() => out.push(unmasked(at("IP pool CIDR is not strictly masked"), cidr, net)),
            Ok(_) => {}
        }
    }
    for (index, using) in texts(fields, "allowedUses").filter(|(_, using)| !USES.contains(using)) {
        let shown = go_text(&Value::Array(list(fields, "allowedUses").to_vec()), None);
        let path = place.key("allowedUses").index(index).path();
        let problem = Problem::field(path, "IPpool.AllowedUses", shown, format!("unknown use: {using}"))
            .message(format!("`{using}` is not {}", suggest::either(USES)));
        out.push(match suggest::nearest(using, USES) {
            Some(word) => problem.help(format!("did you mean `{word}`?")),
            None => problem,
        });
    }
}

/// A net with bits beyond its prefix; the fix is the net.
fn unmasked(problem: Problem, cidr: &str, net: IpNet) -> Problem {
    problem
        .message(format!("`{cidr}` has bits set beyond its prefix length"))
        .help(format!("the net is `{}`", net.trunc()))
}

/// The rules of the CRD.
pub(super) fn schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let uses = |wanted: &str| list(fields, "allowedUses").iter().any(|using| using == wanted);
    let on = |field: &str| !matches!(text(fields, field), "" | "Never");
    let balancer = uses("LoadBalancer");
    // Without a net there is nothing to say about its family; that it is none was said before.
    let cidr = text(fields, "cidr");
    let net = parse_cidr(cidr).ok().filter(|_| cidr.contains('/'));
    let v6 = net.is_some_and(|net| net.addr().is_ipv6());
    let mut rule = |wrong: bool, field: &str, reason: &str| {
        if wrong {
            let problem = Problem::schema(place.path(), reason);
            out.push(Problem { path: place.key(field).path(), ..problem });
        }
    };
    rule(on("ipipMode") && on("vxlanMode"), "vxlanMode", "ipipMode and vxlanMode cannot both be enabled");
    let tunnel = if on("ipipMode") { "ipipMode" } else { "vxlanMode" };
    rule(
        balancer && (on("ipipMode") || on("vxlanMode")),
        tunnel,
        "LoadBalancer IP pool cannot have IPIP or VXLAN enabled",
    );
    let reason = "LoadBalancer cannot be combined with Workload or Tunnel allowed uses";
    rule(balancer && (uses("Workload") || uses("Tunnel")), "allowedUses", reason);
    rule(v6 && on("ipipMode"), "ipipMode", "IPIP is not supported on IPv6 pools");
    let reason = "LoadBalancer IP pools cannot disable BGP export";
    rule(balancer && flag(fields, "disableBGPExport"), "disableBGPExport", reason);
    // The schema fills in all() before it looks.
    let nodes = text(fields, "nodeSelector");
    let reason = "IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()";
    rule(balancer && !matches!(nodes, "" | "all()"), "nodeSelector", reason);
    let reason = "IP Pool with AllowedUse Tunnel cannot have namespaceSelector";
    rule(uses("Tunnel") && filled(fields, "namespaceSelector"), "namespaceSelector", reason);
    for field in ["nodeSelector", "namespaceSelector"] {
        let reason = format!("global() selector is not valid for IPPool {field}");
        rule(text(fields, field).contains("global("), field, &reason);
    }
    let Some(net) = net else { return };
    rule(net != net.trunc(), "cidr", "IPPool CIDR must be strictly masked");
    for (name, link) in
        [("IPv4 link local range 169.254.0.0/16", "169.254.0.0/16"), ("IPv6 link local range fe80::/10", "fe80::/10")]
    {
        let reason = format!("IPPool CIDR overlaps with {name}");
        rule(parse_cidr(link).is_ok_and(|link| overlap(&net, &link)), "cidr", &reason);
    }
    let (range, usual) = if v6 { (116..=128, 122) } else { (20..=32, 26) };
    let size = int(fields, "blockSize").filter(|size| *size != 0);
    let reason = "blockSize must be between 20 and 32 for IPv4 pools, and between 116 and 128 for IPv6 pools";
    rule(size.is_some_and(|size| !range.contains(&size)), "blockSize", reason);
    let reason =
        "IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.";
    let small = i64::from(net.prefix_len()) > size.unwrap_or(usual);
    rule(small && !flag(fields, "disabled"), "cidr", reason);
}

/// Whether two nets share an address.
fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.addr()) || other.contains(&one.addr())
}

/// What Calico's client demands of a pool that is written, which replaces another of its name or none.
pub(in crate::validate) fn of_write(fields: &Fields, old: Option<&Fields>) -> Vec<Problem> {
    let cidr = text(fields, "cidr");
    let at = |field: &str, go: &str, value: String, reason: &str| {
        Problem::field(Path::from("spec").key(field), format!("IPPool.Spec.{go}"), value, reason)
    };
    if cidr.is_empty() {
        let problem = at("cidr", "CIDR", String::new(), "IPPool CIDR must be specified");
        return vec![Problem { value: None, ..problem }.message("`cidr` is missing").help("write it like 10.0.0.0/16")];
    }
    let Some(net) = parse_cidr(cidr).ok().filter(|_| cidr.contains('/')) else {
        let problem = at("cidr", "CIDR", cidr.to_owned(), "IPPool CIDR must be a valid subnet");
        return vec![match parse_cidr(cidr) {
            Ok(net) => problem.message(format!("`{cidr}` is an address, not a net")).help(format!("write `{net}`")),
            Err(_) => problem.message(format!("`{cidr}` is not a net")),
        }];
    };
    let mut problems = Vec::new();
    if let Some(old) = old {
        let balancer = |fields: &Fields| list(fields, "allowedUses").iter().any(|using| using == "LoadBalancer");
        let other = |fields: &Fields| list(fields, "allowedUses").iter().any(|using| using != "LoadBalancer");
        let old_net = parse_cidr(text(old, "cidr")).ok().map(|net| net.trunc());
        if old_net != Some(net.trunc()) {
            let problem = at("cidr", "CIDR", net.trunc().to_string(), "IPPool CIDR cannot be modified");
            problems.push(problem.message("the net of a pool cannot change").help("make a new pool and move to it"));
        }
        if balancer(old) && other(fields) {
            let shown = go_text(&Value::Array(list(fields, "allowedUses").to_vec()), None);
            let reason = "IPPool allowed use cannot be changed from LoadBalacer to Workload or Tunnel";
            return vec![at("allowedUses", "AllowedUses", shown, reason)];
        }
        let usual = if net.addr().is_ipv4() { 26 } else { 122 };
        let size = |fields: &Fields| int(fields, "blockSize").filter(|size| *size != 0).unwrap_or(usual);
        if size(old) != size(fields) {
            let shown = size(fields).to_string();
            let problem = at("blockSize", "BlockSize", shown, "IPPool BlockSize cannot be modified");
            problems.push(problem.message(format!("the block size of a pool cannot change; it is {}", size(old))));
        }
    }
    if net != net.trunc() {
        let problem = at("cidr", "CIDR", net.trunc().to_string(), "IPPool CIDR is not strictly masked");
        problems.push(unmasked(problem, cidr, net));
    }
    problems
}

/// The pools that share addresses with a new one.
pub fn overlaps<'a>(pool: &Object, others: impl IntoIterator<Item = &'a Object>) -> Vec<Problem> {
    let cidr =
        |object: &Object| parse_cidr(text(object.body.get("spec")?.as_object()?, "cidr")).ok().map(|net| net.trunc());
    let Some(net) = cidr(pool) else { return Vec::new() };
    let name = &pool.metadata.name;
    let others = others.into_iter().filter(|other| other.metadata.name != *name);
    let shared = others.filter_map(|other| Some((other, cidr(other)?))).filter(|(_, other)| overlap(&net, other));
    let problem = |(other, other_net): (&Object, IpNet)| {
        let other = &other.metadata.name;
        let reason = format!("IPPool({name}) CIDR overlaps with IPPool({other}) CIDR {other_net}");
        Problem::field(Path::from("spec.cidr"), "IPPool.Spec.CIDR", net.to_string(), reason)
            .message(format!("`{net}` shares addresses with the pool `{other}`, which has `{other_net}`"))
    };
    shared.map(problem).collect()
}
