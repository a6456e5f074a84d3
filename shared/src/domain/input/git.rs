//! Where a source comes from: the URL of a repository, a branch, a commit.
//!
//! Absent: resolving a host name and refusing private addresses; that needs the network and is the fetcher's duty.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Malformed, is_private, keep, text_type};

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GitScheme {
    Https,
    Ssh,
    /// Only in a development set-up.
    Http,
}

/// Which URLs are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitUrlPolicy {
    Production,
    /// Plain HTTP too, for a forge on the developer's own machine.
    Development,
}

/// A repository's URL: `https://host/path`, `ssh://user@host/path` or `user@host:path`. It carries no password, no
/// query and no fragment. `FromStr` and serde follow [`GitUrlPolicy::Production`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitUrl {
    text: String,
    scheme: GitScheme,
    host: String,
    port: u16,
}

const URL_ALLOWED: &str = "an https://host/path, ssh://user@host/path or user@host:path address without a password, query \
                           or fragment, of letters, digits and ._~+-/ (percent-encoding in an https path)";

impl GitUrl {
    pub fn parse(text: &str, policy: GitUrlPolicy) -> Result<Self, Malformed> {
        let refused = Malformed { what: "Git URL", grammar: URL_ALLOWED };
        if text.len() > 1024 || text.starts_with('-') || !text.chars().all(is_url_char) {
            return Err(refused);
        }
        let parsed = if text.contains("://") { from_url(text, policy) } else { from_scp(text) };
        parsed.ok_or(refused)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn scheme(&self) -> GitScheme {
        self.scheme
    }

    /// A host name, an IPv4 address or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is written as an address or a name that is not on the public internet. A public name may still
    /// lead to a private address: the fetcher looks again after it resolved the name.
    pub fn names_private_address(&self) -> bool {
        match self.host.parse() {
            Ok(address) => is_private(address),
            Err(_) => super::net::is_inside_name(&self.host),
        }
    }

    pub fn is_ssh(&self) -> bool {
        self.scheme == GitScheme::Ssh
    }
}

fn is_url_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._~+-/:@%[]".contains(c)
}

fn from_url(text: &str, policy: GitUrlPolicy) -> Option<GitUrl> {
    let url = Url::parse(text).ok()?;
    let scheme = match (url.scheme(), policy) {
        ("https", _) => GitScheme::Https,
        ("ssh", _) => GitScheme::Ssh,
        ("http", GitUrlPolicy::Development) => GitScheme::Http,
        _ => return None,
    };
    let user_ok = if scheme == GitScheme::Ssh {
        is_user(url.username()) || url.username().is_empty()
    } else {
        url.username().is_empty()
    };
    let path_ok = is_path(url.path()) && (scheme != GitScheme::Ssh || !url.path().contains('%'));
    if !user_ok || url.password().is_some() || text.contains(['?', '#']) || !path_ok || has_dot_segment(text) {
        return None;
    }
    let host = host(url.host_str()?)?;
    let port = url.port().unwrap_or(match scheme {
        GitScheme::Https => 443,
        GitScheme::Http => 80,
        GitScheme::Ssh => 22,
    });
    (port != 0).then(|| GitUrl { text: url.into(), scheme, host, port })
}

/// `user@host:path`, the form every forge shows.
fn from_scp(text: &str) -> Option<GitUrl> {
    let (user, rest) = text.split_once('@')?;
    let (name, path) = rest.split_once(':')?;
    let plain = !path.is_empty() && !path.starts_with('-') && !path.contains(['%', ':', '@', '[', ']']);
    if !is_user(user) || !plain || has_dot_segment(path) || path.contains("//") || path == "/" {
        return None;
    }
    let host = host(name).filter(|host| host == name)?;
    Some(GitUrl { text: text.to_owned(), scheme: GitScheme::Ssh, host, port: 22 })
}

fn is_user(user: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    (1..=64).contains(&user.len()) && user.chars().all(plain) && !user.starts_with('-')
}

/// More than `/`, and every percent-encoding is whole and means a printable character.
fn is_path(path: &str) -> bool {
    let printable = |part: &str| {
        let code = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        code.is_some_and(|code| code >= 0x20 && code != 0x7f)
    };
    !path.trim_matches('/').is_empty() && !path.contains(['@', ':', '[', ']']) && path.split('%').skip(1).all(printable)
}

fn has_dot_segment(text: &str) -> bool {
    text.split('/').any(|segment| segment == "." || segment == "..")
}

/// The host in the one form it has: lower case, numbers as dotted addresses, no brackets.
fn host(raw: &str) -> Option<String> {
    match Host::parse(raw).ok()? {
        Host::Domain(name) => super::net::is_host_name(&name).then_some(name),
        Host::Ipv4(address) => Some(address.to_string()),
        Host::Ipv6(address) => Some(address.to_string()),
    }
}

impl FromStr for GitUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text, GitUrlPolicy::Production)
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
        url.text
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_type!(
    /// A branch's name without `refs/heads/`: Git's own grammar, less what a shell or a URL would read.
    GitRef,
    "branch",
    branch
);

fn branch(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_alphanumeric() || "._-/+@#=,".contains(c);
    let part = |p: &str| !p.is_empty() && !p.starts_with(['.', '-']) && !p.ends_with('.') && !p.ends_with(".lock");
    let ok = (1..=200).contains(&text.len())
        && text.chars().all(plain)
        && text.split('/').all(part)
        && !text.contains("..")
        && !text.starts_with("refs/")
        && !["HEAD", "@"].contains(&text);
    keep(
        text,
        ok,
        "a branch name of 1 to 200 letters, digits and ._-/+@#=, (no leading dash or dot, no `..`, no refs/ prefix)",
    )
}

text_type!(
    /// The full name of a commit, in lower case.
    CommitSha,
    "commit",
    sha
);

fn sha(text: &str) -> Result<String, &'static str> {
    let ok = [40, 64].contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    keep(&text.to_ascii_lowercase(), ok, "the full commit id of 40 or 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_forges_show() {
        for (text, host, port) in [
            ("https://github.com/org/app.git", "github.com", 443),
            ("https://git.example.com:8443/group/sub/app", "git.example.com", 8443),
            ("https://dev.azure.com/org/My%20Project/_git/app", "dev.azure.com", 443),
            ("ssh://git@git.example.com:2222/org/app.git", "git.example.com", 2222),
            ("git@github.com:org/app.git", "github.com", 22),
            ("https://[2001:db8::1]/a/b", "2001:db8::1", 443),
        ] {
            let url: GitUrl = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((url.as_str(), url.host(), url.port()), (text, host, port));
        }
    }

    #[test]
    fn a_disguised_address_shows_its_true_host() {
        assert_eq!(
            "https://0x7f.1/a".parse::<GitUrl>().map(|u| u.host().to_owned()).ok().as_deref(),
            Some("127.0.0.1")
        );
        assert_eq!("git@0x7f.1:a/b".parse::<GitUrl>().ok(), None);
    }

    #[test]
    fn refuses_hostile_urls() {
        for text in [
            "",
            "-u",
            "--upload-pack=x",
            "ext::sh -c id",
            "file:///etc/passwd",
            "/etc/passwd",
            "../x",
            "http://a.example/x",
            "https://user:pw@github.com/a",
            "https://token@github.com/a",
            "https://github.com/",
            "https://github.com/a?b",
            "https://github.com/a#b",
            "https://github.com/a/../b",
            "https://github.com/a%0ab",
            "https://github.com/a%2",
            "ssh://-oProxyCommand=x/a",
            "ssh://%2doProxyCommand=x/a",
            "ssh://git:pw@h.example/a",
            "git@-oProxyCommand=x:a",
            "git@h.example:-x",
            "git@h.example:",
            "git@h.example:../a",
            "-x@h.example:a",
            "https://a.example/`id`",
            "https://a.example/$(id)",
            "https://a.example/a b",
            "git://a.example/x",
            "https://a.example:0/x",
            "ssh://git@h.example/a%20b",
        ] {
            assert!(text.parse::<GitUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_needs_the_development_policy() {
        let text = "http://127.0.0.1:3000/a/b.git";
        assert!(text.parse::<GitUrl>().is_err());
        let url = GitUrl::parse(text, GitUrlPolicy::Development).expect("allowed");
        assert_eq!((url.scheme(), url.port()), (GitScheme::Http, 3000));
    }

    #[test]
    fn branches() {
        for good in ["main", "feature/a-1", "v1.2", "fix#12", "größe"] {
            assert!(good.parse::<GitRef>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a.lock",
            "@",
            "a@{1}",
            "HEAD",
            "refs/heads/a",
            "a;b",
            "a.",
            "a/-b",
        ] {
            assert!(bad.parse::<GitRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn commits() {
        assert_eq!("A".repeat(40).parse::<CommitSha>().map(String::from), Ok("a".repeat(40)));
        assert!("a".repeat(64).parse::<CommitSha>().is_ok());
        for bad in ["abc", "g", "HEAD"] {
            assert!(bad.parse::<CommitSha>().is_err());
        }
    }
}
