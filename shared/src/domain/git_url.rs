//! Where an app's source is: an `https://` or `ssh://` address of a Git repository.
//!
//! Invariant: scheme, host, port and path are of a plain grammar; there is no user but in ssh, and never a password,
//! query or fragment. Absent: whether the host may be reached (a private address is the fetcher's to refuse, after it
//! resolved the name).

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::names::{HostAddress, Malformed};

const MALFORMED: Malformed = Malformed {
    what: "git_url",
    grammar: "https://host/path or ssh://user@host/path (or user@host:path), without a password, query or fragment",
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GitScheme {
    Https,
    /// Plain HTTP: only in development mode.
    Http,
    Ssh,
}

/// The parsed address of a Git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitUrl {
    pub scheme: GitScheme,
    /// Only with ssh.
    pub user: Option<String>,
    pub host: HostAddress,
    pub port: Option<u16>,
    /// Begins with `/`.
    pub path: String,
}

impl GitUrl {
    /// The port that is connected to.
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            GitScheme::Https => 443,
            GitScheme::Http => 80,
            GitScheme::Ssh => 22,
        })
    }

    /// Whether the host is written as an address that is not on the public internet.
    pub fn names_private_address(&self) -> bool {
        match self.host.as_str().parse::<IpAddr>() {
            Ok(ip) => is_private(ip),
            Err(_) => {
                let host = self.host.as_str();
                host == "localhost"
                    || host.ends_with(".localhost")
                    || host.ends_with(".internal")
                    || !host.contains('.')
            }
        }
    }
}

/// Whether an address is not one of the public internet: loopback, private, link-local (metadata services), shared,
/// multicast, reserved, or an IPv6 form of such a one.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || a == 100 && (64..128).contains(&b)
                || a == 198 && (b == 18 || b == 19)
                || a == 192 && b == 0 && c == 0
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4() {
                return is_private(IpAddr::V4(v4)) || v6.is_loopback() || v6.is_unspecified();
            }
            let [first, second, ..] = v6.segments();
            // Only 2000::/3 is public; of it, 2001:db8::/32 is documentation, 2002::/16 and 64:ff9b::/96 carry IPv4.
            first & 0xe000 != 0x2000 || first == 0x2001 && second == 0xdb8 || first == 0x2002
        }
    }
}

impl FromStr for GitUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() > 500 {
            return Err(MALFORMED);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (GitScheme::Https, rest.to_owned()),
            Some(("http", rest)) => (GitScheme::Http, rest.to_owned()),
            Some(("ssh", rest)) => (GitScheme::Ssh, rest.to_owned()),
            Some(_) => return Err(MALFORMED),
            // The short form of ssh: user@host:path.
            None => (GitScheme::Ssh, short_form(text).ok_or(MALFORMED)?),
        };
        parse(scheme, &rest).ok_or(MALFORMED)
    }
}

fn short_form(text: &str) -> Option<String> {
    let (login, path) = text.split_once(':')?;
    let (_user, _host) = login.split_once('@')?;
    Some(format!("{login}/{}", path.trim_start_matches('/')))
}

fn parse(scheme: GitScheme, rest: &str) -> Option<GitUrl> {
    let (authority, path) = rest.split_at(rest.find('/')?);
    let (user, host) = match authority.split_once('@') {
        Some((user, host)) if scheme == GitScheme::Ssh && is_user(user) => (Some(user.to_owned()), host),
        Some(_) => return None,
        None => (None, authority),
    };
    let (host, port) = split_port(host)?;
    let host = host.to_ascii_lowercase().parse().ok()?;
    is_path(path).then(|| GitUrl { scheme, user, host, port, path: path.to_owned() })
}

fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = host.strip_prefix('[') {
        let (ip, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((ip, Some(port.parse().ok().filter(|p| *p > 0)?))),
            None => after.is_empty().then_some((ip, None)),
        };
    }
    match host.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok().filter(|p| *p > 0)?))),
        None => Some((host, None)),
    }
}

fn is_user(user: &str) -> bool {
    (1..=64).contains(&user.len())
        && !user.starts_with('-')
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_path(path: &str) -> bool {
    let part = |p: &str| !p.is_empty() && p != "." && p != ".." && !p.starts_with('-');
    let inner = path.strip_prefix('/').unwrap_or_default().trim_end_matches('/');
    !inner.is_empty()
        && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-~+".contains(&b))
        && inner.split('/').all(part)
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            GitScheme::Https => "https://",
            GitScheme::Http => "http://",
            GitScheme::Ssh => "ssh://",
        })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.as_str().contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            self.host.fmt(f)?
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

impl TryFrom<String> for GitUrl {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<GitUrl> for String {
    fn from(url: GitUrl) -> String {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed() {
        for (text, shown) in [
            ("https://git.example/a/b.git", "https://git.example/a/b.git"),
            ("https://git.example:8443/a", "https://git.example:8443/a"),
            ("ssh://git@git.example:2222/a/b", "ssh://git@git.example:2222/a/b"),
            ("git@git.example:a/b.git", "ssh://git@git.example/a/b.git"),
            ("http://127.0.0.1:3000/a", "http://127.0.0.1:3000/a"),
            ("ssh://git@[::1]:22/a", "ssh://git@[::1]:22/a"),
        ] {
            let url: GitUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<GitUrl>().expect(shown), url);
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "-x",
            "file:///etc/passwd",
            "ext::sh -c id",
            "https://u:p@git.example/a",
            "https://u@git.example/a",
            "ssh://-oProxyCommand=id/a",
            "ssh://git@-oProxyCommand=id/a",
            "https://git.example",
            "https://git.example/",
            "https://git.example/../a",
            "https://git.example/a?x=1",
            "https://git.example/a#x",
            "https://git.example/a b",
            "https://git.example/a;id",
            "https://git.example/$(id)",
            "https://git.example:0/a",
            "https://git.example/--upload-pack=id",
            "git://git.example/a",
            "--upload-pack=id@h:a",
            "https://git.example/a\n",
        ] {
            assert!(text.parse::<GitUrl>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn private_addresses() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fe80::1",
            "224.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(is_private(text.parse().expect(text)), "{text}");
        }
        for text in ["1.1.1.1", "8.8.8.8", "2606:4700::1111"] {
            assert!(!is_private(text.parse().expect(text)), "{text}");
        }
        assert!("https://localhost/a".parse::<GitUrl>().expect("parses").names_private_address());
        assert!(!"https://git.example/a".parse::<GitUrl>().expect("parses").names_private_address());
    }
}
