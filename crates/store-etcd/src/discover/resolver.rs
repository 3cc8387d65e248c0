//! Whom the system asks for names, and which full names a short one may stand for: `/etc/resolv.conf`, as the C library and
//! Go read it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use resolv_conf::{Config, ScopedIp};

/// Where the system says whom to ask.
const SYSTEM: &str = "/etc/resolv.conf";

/// Name servers and search domains.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolver {
    /// The servers, in the order in which they are asked.
    pub(super) servers: Vec<SocketAddr>,
    /// The domains in which a name is looked for that does not end with a dot.
    pub(super) search: Vec<String>,
    /// A name with so many dots is taken for a full one first.
    pub(super) ndots: usize,
}

impl Resolver {
    /// The system's.
    pub(super) fn of_system() -> Self {
        Self::read(&std::fs::read(SYSTEM).unwrap_or_default())
    }

    /// What a file says. Lines that cannot be read are left out; without a server the local one is asked.
    pub(super) fn read(text: &[u8]) -> Self {
        let (config, _) = Config::parse_with_errors(text);
        let mut servers: Vec<SocketAddr> = config.nameservers.iter().filter_map(place).collect();
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST, 53).into());
        }
        let search = config.get_last_search_or_domain().map(|domain| domain.trim_matches('.').to_owned());
        let search = search.filter(|domain| !domain.is_empty()).collect();
        Self { servers, search, ndots: config.ndots as usize }
    }

    /// The full names that a name may stand for, in the order in which they are looked up.
    pub(super) fn full_names(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let at = if name.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

/// Where a server listens. A link-local address needs the number of its interface.
fn place(server: &ScopedIp) -> Option<SocketAddr> {
    let ScopedIp::V6(address, Some(scope)) = server else { return Some((IpAddr::from(server.clone()), 53).into()) };
    let of_interface = || std::fs::read_to_string(format!("/sys/class/net/{scope}/ifindex")).ok()?.trim().parse().ok();
    let scope = scope.parse().ok().or_else(of_interface)?;
    Some(SocketAddrV6::new(*address, 53, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_search_domains_are_read_and_invalid_lines_ignored() {
        let text = "# comment\nsearch example.org corp.example.org.\nnameserver 192.0.2.1\n nameserver\t2001:db8::1\n\
            nameserver nonsense\nnameserver fe80::1%lo\nnameserver fe80::1%absent\noptions ndots:5 unheard:of\n";
        let resolver = Resolver::read(text.as_bytes());
        let link_local = SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 1).into();
        assert_eq!(
            resolver.servers,
            ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap(), link_local]
        );
        assert_eq!((resolver.search, resolver.ndots), (vec!["example.org".into(), "corp.example.org".into()], 5));
        let local = Resolver { servers: vec!["127.0.0.1:53".parse().unwrap()], search: Vec::new(), ndots: 1 };
        assert_eq!(Resolver::read(b""), local);
        // The last of `search` and `domain` counts.
        assert_eq!(Resolver::read(b"search a b\ndomain c").search, ["c"]);
    }

    #[test]
    fn a_name_with_few_dots_is_looked_for_in_the_search_domains_first() {
        let names = |ndots, name| {
            let search = vec!["a".to_owned(), "b.c".to_owned()];
            Resolver { servers: Vec::new(), search, ndots }.full_names(name)
        };
        assert_eq!(names(1, "_x._tcp.d"), ["_x._tcp.d", "_x._tcp.d.a", "_x._tcp.d.b.c"]);
        assert_eq!(names(2, "_x._tcp.d"), ["_x._tcp.d", "_x._tcp.d.a", "_x._tcp.d.b.c"]);
        assert_eq!(names(5, "_x._tcp.d"), ["_x._tcp.d.a", "_x._tcp.d.b.c", "_x._tcp.d"]);
        assert_eq!(names(5, "_x._tcp.d."), ["_x._tcp.d"]);
    }
}
