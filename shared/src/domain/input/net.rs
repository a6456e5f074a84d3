//! Where an app answers: its domain, its port, its health path.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Host;

use super::{Malformed, keep, text_type};

text_type!(
    /// A full domain name in lower-case ASCII (`münchen.example` becomes `xn--mnchen-3ya.example`): no wildcard, no
    /// address, no trailing dot.
    DomainName,
    "domain",
    domain
);

fn domain(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "a full domain name such as app.example.com (letters, digits and inner hyphens in labels of up \
                           to 63, at least two labels, no wildcard, no address)";
    if text.len() > 1024 || text.contains('%') {
        return Err(ALLOWED);
    }
    match Host::parse(text) {
        Ok(Host::Domain(name)) => keep(&name, name.contains('.') && is_host_name(&name), ALLOWED),
        _ => Err(ALLOWED),
    }
}

text_type!(
    /// A full domain name, or all names of one more label below it (`*.app.example.com`), as somebody may ask for them.
    DomainPattern,
    "domain",
    domain_pattern
);

impl DomainPattern {
    /// The one name that is meant; `None` of a wildcard.
    pub fn one(&self) -> Option<DomainName> {
        (!self.0.starts_with('*')).then(|| DomainName(self.0.clone()))
    }
}

fn domain_pattern(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix("*.") {
        Some(below) => domain(below).map(|below| format!("*.{below}")),
        None => domain(text),
    }
}

/// Lower-case labels of letters, digits and inner hyphens; the last one is not a number.
pub(super) fn is_host_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label =
        |l: &str| (1..=63).contains(&l.len()) && l.chars().all(plain) && !l.starts_with('-') && !l.ends_with('-');
    let numeric = name.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && !numeric
}

text_type!(
    /// The path of a health check: absolute, without query.
    HealthPath,
    "health path",
    health_path
);

impl HealthPath {
    /// What every web server answers somehow.
    pub fn root() -> Self {
        Self("/".to_owned())
    }
}

fn health_path(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
    let ok = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= 200
        && text.chars().all(plain)
        && !text.split('/').any(|segment| segment == "." || segment == "..");
    keep(text, ok, "a path that begins with / and has letters, digits and /._~- only, up to 200 characters")
}

text_type!(
    /// Where a server or a forge is reached: a DNS name or an IP address.
    HostAddress,
    "host",
    host_address
);

/// Names that lead nowhere but into the network they are asked in.
const INSIDE: [&str; 8] = ["localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa", "corp"];

impl HostAddress {
    /// Whether it is written as an address or a name that is not on the public internet. A public name may still lead
    /// to a private address: whoever resolves it looks again.
    pub fn names_private_address(&self) -> bool {
        match self.0.parse() {
            Ok(address) => is_private(address),
            Err(_) => is_inside_name(&self.0),
        }
    }
}

pub(super) fn is_inside_name(name: &str) -> bool {
    let below = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.'));
    !name.contains('.') || INSIDE.into_iter().any(|end| name == end || below(end))
}

/// Resolvers read `0x7f.1` and `017700000001` as addresses, so a name that a URL would take for one is none.
fn host_address(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "a lower-case DNS name or an IP address";
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    match Host::parse(text) {
        Ok(Host::Domain(name)) => keep(text, name == text && is_host_name(text), ALLOWED),
        _ => Err(ALLOWED),
    }
}

/// Whether an address is not one of the public internet: loopback, private, link-local (metadata services), shared,
/// multicast, reserved, or an IPv6 form of such a one.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_private()
                || v4.is_link_local()
                || v4.is_documentation()
                || matches!((a, b, c), (0 | 127 | 224.., _, _) | (100, 64..=127, _) | (198, 18 | 19, _) | (192, 0, 0))
        }
        IpAddr::V6(v6) => {
            // Only 2000::/3 is public; of it, 2001:db8::/32 is documentation and 2002::/16 and 2001::/32 carry IPv4.
            let [first, second, ..] = v6.segments();
            first & 0xe000 != 0x2000 || first == 0x2002 || first == 0x2001 && (second == 0xdb8 || second == 0)
        }
    }
}

/// Why none of a name's addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    Unknown,
    Private,
}

/// The one of a name's addresses to connect to: IPv4 first, since more machines have it. A private one among them
/// refuses the name, unless those are allowed.
pub fn choose_address(found: &[IpAddr], private_allowed: bool) -> Result<IpAddr, NoAddress> {
    if !private_allowed && found.iter().any(|a| is_private(*a)) {
        return Err(NoAddress::Private);
    }
    found.iter().find(|a| a.is_ipv4()).or(found.first()).copied().ok_or(NoAddress::Unknown)
}

/// A TCP port that a container listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

impl Port {
    /// A port of the engine's own choice; 0 becomes 1.
    pub const fn saturating(number: u16) -> Self {
        Self(if number == 0 { 1 } else { number })
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Port {
    type Error = Malformed;

    fn try_from(number: u16) -> Result<Self, Malformed> {
        match number {
            0 => Err(Malformed { what: "port", grammar: "a number from 1 to 65535" }),
            _ => Ok(Self(number)),
        }
    }
}

impl TryFrom<i64> for Port {
    type Error = Malformed;

    fn try_from(number: i64) -> Result<Self, Malformed> {
        u16::try_from(number).unwrap_or(0).try_into()
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> u16 {
        port.0
    }
}

impl From<Port> for i64 {
    fn from(port: Port) -> i64 {
        port.0.into()
    }
}

impl FromStr for Port {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let number = if digits { text.parse().unwrap_or(0) } else { 0u16 };
        number.try_into()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        for (raw, text) in [
            ("App.Example.COM", "app.example.com"),
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("a-b.c1.example", "a-b.c1.example"),
        ] {
            assert_eq!(raw.parse::<DomainName>().map(String::from).as_deref(), Ok(text));
        }
        for bad in [
            "",
            "localhost",
            "*.example.com",
            "10.0.0.1",
            "[::1]",
            "a..b",
            "-a.example",
            "a-.example",
            "a.example.",
            "a_b.example",
            "a.example`) || Host(`b",
            "a.example)",
            "a%2eb.example",
            "a b.example",
            "a.123",
            "http://a.example",
            "a.example:80",
        ] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn wildcards_are_told_from_names() {
        let read = |text: &str| text.parse::<DomainPattern>().map(|pattern| (pattern.to_string(), pattern.one()));
        let one = "app.example.com".parse::<DomainName>().ok();
        assert_eq!(read("App.Example.COM"), Ok(("app.example.com".to_owned(), one)));
        assert_eq!(read("*.Example.com"), Ok(("*.example.com".to_owned(), None)));
        for bad in ["*", "*.com", "*.*.example.com", "a.*.example.com", "*example.com", "**.example.com", "*.1.2.3.4"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        for (raw, text) in [
            ("vps.example.com", "vps.example.com"),
            ("a", "a"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:DB8::0:1", "2001:db8::1"),
            ("0x7f.example.com", "0x7f.example.com"),
        ] {
            assert_eq!(raw.parse::<HostAddress>().map(String::from).as_deref(), Ok(text));
        }
        for bad in [
            "",
            "VPS.example.com",
            "-a.example",
            "0x7f.0x1",
            "0x7f000001",
            "127.1",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.0x1",
            "1.2.3.4.5",
            "a.example.",
            "[::1]",
            "fe80::1%eth0",
            "a b",
        ] {
            assert!(bad.parse::<HostAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_inside() {
        let inside = |text: &str| text.parse::<HostAddress>().expect(text).names_private_address();
        for text in [
            "localhost",
            "db",
            "x.localhost",
            "metadata.google.internal",
            "printer.local",
            "router.lan",
            "nas.home.arpa",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "fd00::1",
        ] {
            assert!(inside(text), "{text}");
        }
        for text in ["vps.example.com", "mylocal.example", "notlocal", "8.8.8.8", "2606:4700::1111"] {
            assert_eq!(inside(text), text == "notlocal", "{text}");
        }
    }

    #[test]
    fn health_paths() {
        for good in ["/", "/healthz", "/api/v1/health.json"] {
            assert!(good.parse::<HealthPath>().is_ok(), "{good}");
        }
        for bad in ["", "healthz", "//evil.example", "/a b", "/a?b", "/a'b", "/../x", "/%41", "/a\nb"] {
            assert!(bad.parse::<HealthPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn private_addresses() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "fd00::1",
            "fe80::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:0:1::",
        ] {
            assert!(is_private(text.parse().expect(text)), "{text}");
        }
        for text in ["1.1.1.1", "8.8.8.8", "100.63.0.1", "2606:4700::1111"] {
            assert!(!is_private(text.parse().expect(text)), "{text}");
        }
    }

    #[test]
    fn one_private_address_refuses_a_name() {
        let ips = |list: &[&str]| list.iter().map(|a| a.parse().expect("address")).collect::<Vec<IpAddr>>();
        for list in [&["127.0.0.1"][..], &["1.1.1.1", "10.0.0.1"], &["::ffff:169.254.169.254"], &["::1"], &["fd00::1"]]
        {
            assert_eq!(choose_address(&ips(list), false), Err(NoAddress::Private), "{list:?}");
            assert!(choose_address(&ips(list), true).is_ok(), "{list:?}");
        }
        let found = ips(&["2606:4700::1", "1.1.1.1"]);
        assert_eq!(choose_address(&found, false), Ok(found[1]));
        assert_eq!(choose_address(&found[..1], false), Ok(found[0]));
        assert_eq!(choose_address(&[], true), Err(NoAddress::Unknown));
    }

    #[test]
    fn ports() {
        assert_eq!("8080".parse::<Port>().map(Port::get), Ok(8080));
        for bad in ["0", "65536", "-1", "+80", " 80", "8o", ""] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
        assert!(Port::try_from(70_000i64).is_err());
    }
}
