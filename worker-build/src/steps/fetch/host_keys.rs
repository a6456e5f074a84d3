//! The SSH host keys that a fetch trusts: those of the well-known forges, and those that the client gave for its own.
//!
//! Invariant: a host that has no key here is not connected to. The keys below are the ones that the forges publish;
//! a test compares them with the published fingerprints.

use shared::{domain::GitUrl, worksource::HostKey};

/// Host and ed25519 key. All of them listen on port 22.
const WELL_KNOWN: &[(&str, &str)] = &[
    ("github.com", "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"),
    ("gitlab.com", "AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf"),
    ("bitbucket.org", "AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO"),
    ("codeberg.org", "AAAAC3NzaC1lZDI1NTE5AAAAIIVIC02vnjFyL+I4RHfvIGNtOgJMe769VTF1VR4EB3ZB"),
];

/// The keys (type and base64) that are trusted for a host.
pub fn trusted(url: &GitUrl, own: &[HostKey]) -> Vec<String> {
    let own = own.iter().filter(|k| k.host.eq_ignore_ascii_case(url.host()) && k.port == url.port());
    let own = own.filter_map(|k| one_line(&k.public_key));
    let known = WELL_KNOWN.iter().filter(|(host, _)| *host == url.host() && url.port() == 22);
    own.chain(known.map(|(_, key)| format!("ssh-ed25519 {key}"))).collect()
}

/// Type and base64 of a key; `None` if it is more than that would allow, since it becomes a line of a file.
fn one_line(key: &str) -> Option<String> {
    let mut words = key.split_whitespace();
    let (kind, body) = (words.next()?, words.next()?);
    let plain = |w: &str, more: &[u8]| w.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    (plain(kind, b"-@.") && !kind.starts_with('@') && plain(body, b"+/=")).then(|| format!("{kind} {body}"))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose};
    use sha2::{Digest, Sha256};

    use super::*;

    fn url(text: &str) -> GitUrl {
        text.parse().expect("url")
    }

    #[test]
    fn keys_have_their_published_fingerprints() {
        let published = [
            "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
            "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
            "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
            "mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g",
        ];
        for ((host, key), fingerprint) in WELL_KNOWN.iter().zip(published) {
            let key = general_purpose::STANDARD.decode(key).expect("base64");
            assert_eq!(general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(key)), fingerprint, "{host}");
        }
    }

    #[test]
    fn only_the_keys_of_that_host_and_port() {
        let own = |host: &str, port| HostKey { host: host.into(), port, public_key: "ssh-ed25519 AAAA me@x".into() };
        let keys = [own("git.example.com", 2222), own("other.example.com", 22)];
        assert_eq!(trusted(&url("ssh://git@git.example.com:2222/a/b"), &keys), ["ssh-ed25519 AAAA"]);
        assert!(trusted(&url("ssh://git@git.example.com/a/b"), &keys).is_empty());
        assert_eq!(trusted(&url("ssh://git@github.com/a/b"), &keys).len(), 1);
        assert!(trusted(&url("ssh://git@github.com:443/a/b"), &keys).is_empty());
    }

    #[test]
    fn a_key_is_one_line() {
        for bad in ["", "ssh-ed25519", "@cert-authority AAAA", "ssh-ed25519 AA*A"] {
            assert_eq!(one_line(bad), None, "{bad}");
        }
    }
}
