//! Which hosts the operator connects to: a tenant names the host, and the operator's network may reach more than the tenant's.
//! Looks names up in the DNS; opens no connection.

use super::{ProbeError, error::NoAnswer};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// The hosts that may be asked. Without any entry all are, but for addresses that never are a database of somebody else's:
/// loopback, link-local (where clouds have their metadata), unspecified and multicast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Entry>);

/// One entry: a network, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Every address in it, reserved ones too.
    Network(IpNet),
    /// This name; with `.` in front, every name below it.
    Name(String),
}

/// Not an entry.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither a network (10.0.0.0/8), an address, a name (db.example.com) nor names (*.example.com)")]
pub struct NoEntry(String);

impl FromStr for Entry {
    type Err = NoEntry;

    fn from_str(text: &str) -> Result<Self, NoEntry> {
        let text = text.trim();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let name = bare(text.strip_prefix('*').unwrap_or(text));
        let below = text.starts_with('*');
        let labels = name.strip_prefix('.').unwrap_or(&name);
        let is_name = !labels.is_empty()
            && labels.split('.').all(|label| {
                !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            });
        if is_name && below == name.starts_with('.') { Ok(Self::Name(name)) } else { Err(NoEntry(text.to_owned())) }
    }
}

/// A name as names are compared.
fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl AllowedHosts {
    pub fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// The addresses of a host that is allowed. `name` is what is looked up for it, at the moment of asking: a name may lead
    /// elsewhere each time, so only these addresses may be connected to.
    pub(super) async fn addresses(&self, name: &str, port: u16, place: &str) -> Result<Vec<SocketAddr>, ProbeError> {
        let found = tokio::net::lookup_host((name, port))
            .await
            .map_err(|error| ProbeError::Unreachable { place: place.to_owned(), why: NoAnswer::of(&error) })?;
        let found: Vec<SocketAddr> = found.collect();
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        if self.allow(name, &addresses) { Ok(found) } else { Err(ProbeError::NotAllowed { place: place.to_owned() }) }
    }

    /// Whether a host may be asked, by its name and every address that it has: which of them is used is not known.
    fn allow(&self, name: &str, addresses: &[IpAddr]) -> bool {
        let name = bare(name);
        let named = self.0.is_empty() || self.0.iter().any(|entry| entry.has_name(&name));
        addresses
            .iter()
            .map(IpAddr::to_canonical)
            .all(|address| self.0.iter().any(|entry| entry.has_address(&address)) || named && !is_reserved(&address))
    }
}

impl Entry {
    fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Network(_) => false,
            Self::Name(suffix) if suffix.starts_with('.') => name.ends_with(suffix.as_str()),
            Self::Name(whole) => name == whole,
        }
    }

    fn has_address(&self, address: &IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(address),
            Self::Name(_) => false,
        }
    }
}

fn is_reserved(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        // fd00:ec2::254 is where one cloud has its metadata for IPv6.
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254]
        }
    };
    link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &str, name: &str, addresses: &str) -> bool {
        let entries = entries.split_whitespace().map(|entry| entry.parse().unwrap()).collect();
        let addresses: Vec<IpAddr> = addresses.split_whitespace().map(|address| address.parse().unwrap()).collect();
        AllowedHosts::new(entries).allow(name, &addresses)
    }

    #[test]
    fn without_a_list_everything_is_allowed_but_what_is_nobodys_database() {
        assert!(allowed("", "db.shop.svc", "10.96.0.7"));
        assert!(allowed("", "db.example.com", "203.0.113.7 2001:db8::7"));
        for reserved in [
            "127.0.0.1",
            "127.8.9.1",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "::ffff:127.0.0.1",
            "fd00:ec2::254",
        ] {
            assert!(!allowed("", "db.example.com", reserved), "{reserved}");
            assert!(!allowed("", "db.example.com", &format!("10.0.0.1 {reserved}")), "one of several: {reserved}");
        }
    }

    #[test]
    fn with_a_list_nothing_else_is_allowed() {
        let list = "10.0.0.0/8 *.databases.svc db.example.com 127.0.0.1 fd12::/16";
        for (name, addresses) in [
            ("anything", "10.1.2.3"),
            ("anything", "10.1.2.3 fd12::7"),
            ("main.databases.svc", "192.0.2.1"),
            ("DB.Example.Com.", "203.0.113.7"),
            ("localhost", "127.0.0.1"),
        ] {
            assert!(allowed(list, name, addresses), "{name} {addresses}");
        }
        for (name, addresses) in [
            ("other.example.com", "203.0.113.7"),
            ("db.example.com.evil.org", "203.0.113.7"),
            ("evildatabases.svc", "192.0.2.1"),
            ("anything", "10.1.2.3 203.0.113.7"),
            // A name that is allowed does not lead to the operator's own pod.
            ("db.example.com", "169.254.169.254"),
            ("db.example.com", "127.0.0.2"),
        ] {
            assert!(!allowed(list, name, addresses), "{name} {addresses}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for text in ["", "*", "*.", "db/example", "10.0.0.0/99", "*example.com", ".example.com", "a..b", "db:5432"] {
            assert!(text.parse::<Entry>().is_err(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_host_is_looked_up_when_it_is_asked() {
        let told = AllowedHosts::default().addresses("localhost", 5432, "localhost:5432/app").await;
        assert_eq!(told, Err(ProbeError::NotAllowed { place: "localhost:5432/app".to_owned() }));
        // As the resolver reads it, this is 127.0.0.1.
        let told = AllowedHosts::default().addresses("2130706433", 5432, "2130706433:5432/app").await;
        assert!(matches!(told, Err(ProbeError::NotAllowed { .. } | ProbeError::Unreachable { .. })), "{told:?}");
        let own = AllowedHosts::new(vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        let found = own.addresses("localhost", 5432, "localhost:5432/app").await.unwrap();
        assert!(
            !found.is_empty() && found.iter().all(|each| each.ip().is_loopback() && each.port() == 5432),
            "{found:?}"
        );
    }
}
