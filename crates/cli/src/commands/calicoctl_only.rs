//! Commands of calicoctl that tortie does not have (`ipam`, `node`, `cluster`, `bgp`): they are refused, and the error says which
//! program has them.

use crate::persona::Persona;

/// The error, in one line.
pub(crate) fn refuse(command: &str, persona: Persona) -> anyhow::Error {
    let (what, instead) = match command {
        "ipam" => ("does not manage addresses", "the program that hands them out, or Calico's own calicoctl"),
        "node" => ("does not run or inspect Calico's node container", "Calico's own calicoctl"),
        "cluster" => ("does not collect a cluster's diagnostics", "Calico's own calicoctl"),
        _ => ("does not speak BGP", "the routing daemon's own tools"),
    };
    let name = if persona.is_calicoctl() { "this calicoctl (tortie)" } else { "tortie" };
    anyhow::anyhow!("{command}: {name} {what}; use {instead}")
}
