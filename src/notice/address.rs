//! Where a webhook may go: what a repository's files name must not reach into the network that
//! Drover happens to run in.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Looks names up, and refuses what they lead to if one of the addresses will not do. What it gives
/// is what is connected to: nothing is looked up a second time.
#[derive(Debug)]
pub struct Guarded {
    pub allow_private: bool,
    /// The URL itself names this machine.
    pub to_self: bool,
    pub names: Names,
}

/// `DefaultResolver` cannot be printed.
#[derive(Default)]
pub struct Names(DefaultResolver);

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.0.resolve(uri, config, timeout)?;
        match found.iter().find(|address| !self.will_do(address.ip())) {
            None => Ok(found),
            Some(_) => {
                let why = "it leads to an address of this machine or of a private network; `allow_private = true` allows that";
                Err(io::Error::new(io::ErrorKind::PermissionDenied, why).into())
            }
        }
    }
}

impl Guarded {
    fn will_do(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        match self.to_self {
            true => ip.is_loopback(),
            false => self.allow_private || is_public(ip),
        }
    }
}

/// Whether the whole Internet means the same by it.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a, b & 0xc0) == (100, 64)
        || (a, b & 0xfe) == (198, 18)
        || (a, b, c) == (192, 0, 0);
    !special
}

/// Only what is given out as global unicast; what carries an address of version 4 is as public as that.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let part = ip.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match part {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(inner(high, low)),
        [0x2002, high, low, ..] => is_public_v4(inner(high, low)),
        // Teredo, and what is for examples.
        [0x2001, 0 | 0xdb8, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_public_everywhere_is_public() {
        for public in ["1.1.1.1", "93.184.216.34", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "::127.0.0.1",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn a_name_that_leads_here_is_refused_and_this_machine_by_its_own_name_is_not() {
        let of = |allow_private, to_self| Guarded { allow_private, to_self, names: Names::default() };
        let (here, mapped, near, far) = ("127.0.0.1", "::ffff:127.0.0.1", "192.168.0.7", "1.1.1.1");
        let will = |guarded: &Guarded| [here, mapped, near, far].map(|ip| guarded.will_do(ip.parse().unwrap()));
        assert_eq!(will(&of(false, false)), [false, false, false, true]);
        assert_eq!(will(&of(true, false)), [true, true, true, true]);
        assert_eq!(will(&of(false, true)), [true, true, false, false]);
    }
}
