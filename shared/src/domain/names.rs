//! The grammar of every name, path and address that a client gives us, as one newtype each.
//!
//! Invariant: a value of a type in here holds only what its grammar allows, so it is safe as an argument, a label, a
//! file name or a JSON string. Absent: what needs a look at the world (does the branch exist, where does the host lead).

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that its grammar does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {grammar}")]
pub struct Malformed {
    pub what: &'static str,
    pub grammar: &'static str,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $grammar:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(Malformed { what: $what, grammar: $grammar })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;

            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// The short name of an app or a customer. Part of container, network and repository names.
    Slug, "slug", "1 to 40 lower-case letters, digits and inner hyphens", is_slug;

    /// A full commit id.
    CommitSha, "commit", "40 or 64 lower-case hexadecimal digits",
        |t| matches!(t.len(), 40 | 64) && t.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));

    /// A branch or tag, in the grammar of `git check-ref-format --branch` without its exotic parts.
    GitRef, "ref", "a branch or tag name of 1 to 200 letters, digits and ./_-+@", is_git_ref;

    /// A path inside the source tree. Empty is the tree itself.
    TreePath, "path", "a relative path without . and .. parts, of letters, digits, spaces and ._-+@", is_tree_path;

    /// The name of an environment variable.
    EnvName, "name", "a letter or underscore, then at most 127 letters, digits and underscores", is_env_name;

    /// A host name that is served, in lower case and ASCII (IDNA already applied); no wildcard, no address.
    DomainName, "domain", "a full lower-case DNS name, like shop.example.com", is_domain;

    /// The path that a health check asks for.
    HealthPath, "health path", "a path that starts with / of at most 200 URL characters, without .. parts", is_health_path;

    /// Where a server or forge is reached: a DNS name or an IP address.
    HostAddress, "host", "a DNS name or an IP address", |t| is_host(t);

    /// The login name on a server.
    LoginName, "user", "1 to 32 lower-case letters, digits, underscores and hyphens, not starting with a hyphen or digit",
        |t| (1..=32).contains(&t.len())
            && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
            && !t.starts_with(|c: char| c == '-' || c.is_ascii_digit());

    /// An e-mail address, in lower case.
    Email, "email", "a lower-case e-mail address", is_email;
}

fn is_slug(t: &str) -> bool {
    (1..=40).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !t.starts_with('-')
        && !t.ends_with('-')
}

fn is_git_ref(t: &str) -> bool {
    let part = |p: &str| !p.is_empty() && !p.starts_with('.') && !p.ends_with('.') && !p.ends_with(".lock");
    (1..=200).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-+@".contains(&b))
        && !t.starts_with('-')
        && !t.contains("..")
        && t != "@"
        && t.split('/').all(part)
}

fn is_tree_path(t: &str) -> bool {
    let part =
        |p: &str| !p.is_empty() && p != "." && p != ".." && !p.eq_ignore_ascii_case(".git") && !p.starts_with('-');
    t.is_empty()
        || t.len() <= 400
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"/ ._-+@".contains(&b))
            && t.split('/').all(part)
}

fn is_env_name(t: &str) -> bool {
    (1..=128).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !t.starts_with(|c: char| c.is_ascii_digit())
}

fn is_label(t: &str) -> bool {
    (1..=63).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !t.starts_with('-')
        && !t.ends_with('-')
}

fn is_domain(t: &str) -> bool {
    let last_is_name = t.rsplit('.').next().is_some_and(|l| l.starts_with(|c: char| c.is_ascii_lowercase()));
    t.len() <= 253 && t.contains('.') && last_is_name && t.split('.').all(is_label)
}

fn is_host(t: &str) -> bool {
    t.parse::<IpAddr>().is_ok() || t.len() <= 253 && t.split('.').all(is_label)
}

fn is_health_path(t: &str) -> bool {
    (1..=200).contains(&t.len())
        && t.starts_with('/')
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-~?=&%+".contains(&b))
        && t.split(['/', '?']).all(|p| p != "..")
}

fn is_email(t: &str) -> bool {
    let Some((local, domain)) = t.split_once('@') else { return false };
    (1..=64).contains(&local.len())
        && local.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".!#$%&'*+/=?^_`{|}~-".contains(&b))
        && is_host(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T: FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text:?} must be allowed");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn grammars() {
        all::<Slug>(&["a", "shop-2"], &["", "-a", "a-", "A", "a_b", "a b", &"a".repeat(41)]);
        all::<GitRef>(
            &["main", "feature/x", "v1.2.3"],
            &["", "-x", "a..b", "a b", "a@{1}", "a;id", "a/.b", "x.lock", "a//b", "/a", "@", "a\n", "$(id)"],
        );
        all::<CommitSha>(&[&"a".repeat(40), &"0".repeat(64)], &["", "abc", &"A".repeat(40), &"g".repeat(40)]);
        all::<TreePath>(
            &["", "a", "a/b c/Dockerfile.prod"],
            &["/a", "../a", "a/../b", "a//b", "a/", ".git/config", "a\\b", "-f", "a\nb", "./a"],
        );
        all::<EnvName>(&["A", "_a1"], &["", "1A", "A-B", "A=B", "A;id", "A\n", &"A".repeat(129)]);
        all::<DomainName>(
            &["a.example", "shop-1.example.com"],
            &["", "localhost", "*.example.com", "a.b`", "A.example", "1.2.3.4", "a..b", "a.example.", "ä.example"],
        );
        all::<HealthPath>(&["/", "/healthz?full=1"], &["", "healthz", "/a b", "/..", "/a/../b", "/`id`", "/a\n"]);
        all::<HostAddress>(&["10.0.0.1", "::1", "vps.example.com", "vps"], &["", "-oProxyCommand=x", "a b", "a@b"]);
        all::<LoginName>(&["root", "deploy-1"], &["", "-root", "Root", "a b", "1a"]);
        all::<Email>(&["a@example.com", "a.b+c@x.example"], &["", "a", "a@", "@b", "A@b.example", "a b@c.example"]);
    }
}
