//! The grammar of every value that comes from outside: one newtype each, checked once at the edge.
//!
//! Invariant: the text inside a type of this module has only the characters its grammar names, so it can stand in an
//! argument vector, a router rule or a Dockerfile without more care. Absent: whether a host may be reached, whether a
//! domain is the caller's own, how a value is stored.

mod bucket;
mod cloud;
mod git;
mod names;
mod net;
mod webhook;

pub use bucket::{BucketName, ObjectPrefix, StorageEndpoint, StorageKeyId, StorageRegion};
pub use cloud::{AccessKeyId, CloudLogin, OvhProject, RegionCode, RoleArn, SizeCode};
pub use git::{CommitSha, GitRef, GitScheme, GitUrl, GitUrlPolicy};
pub use names::{EmailAddress, EnvName, ImageDigest, ImageRepository, LoginName, RelPath, Slug};
pub use net::{DomainName, DomainPattern, HealthPath, HostAddress, NoAddress, Port, choose_address, is_private};
pub use webhook::{WebhookPolicy, WebhookUrl, WebhookUrlError};

/// A refused value: which kind it was to be, and what is allowed. The value itself is not repeated, it may be a secret
/// that somebody pasted into the wrong field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {grammar}")]
pub struct Malformed {
    pub what: &'static str,
    pub grammar: &'static str,
}

/// Makes a text newtype whose only constructor is `check`, a function from the raw text to the canonical one.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::Malformed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text).map(Self).map_err(|grammar| $crate::domain::Malformed { what: $what, grammar })
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::Malformed;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(in crate::domain) use text_type;

/// The text itself when `ok`, else the sentence that says what is allowed.
pub(in crate::domain) fn keep(text: &str, ok: bool, allowed: &'static str) -> Result<String, &'static str> {
    if ok { Ok(text.to_owned()) } else { Err(allowed) }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Display, str::FromStr};

    use proptest::prelude::*;

    use super::*;

    /// Characters that end a shell word, a quoted YAML scalar, a Dockerfile line or a Traefik rule.
    const DANGEROUS: &[char] = &['\n', '\r', '\0', '\'', '"', '`', '$', ';', '|', '&', '<', '>', '(', ')', '\\', ' '];

    fn holds<T: FromStr + Display + PartialEq + std::fmt::Debug>(raw: &str)
    where
        T::Err: std::fmt::Debug,
    {
        let Ok(value) = raw.parse::<T>() else { return };
        let text = value.to_string();
        assert!(!text.contains(DANGEROUS), "{text:?}");
        assert!(!text.starts_with('-'), "{text:?}");
        assert_eq!(text.parse::<T>().expect("canonical text is valid"), value);
    }

    fn holds_all(raw: &str) {
        holds::<GitUrl>(raw);
        holds::<GitRef>(raw);
        holds::<CommitSha>(raw);
        holds::<RelPath>(raw);
        holds::<Slug>(raw);
        holds::<EnvName>(raw);
        holds::<ImageDigest>(raw);
        holds::<ImageRepository>(raw);
        holds::<EmailAddress>(raw);
        holds::<DomainName>(raw);
        holds::<DomainPattern>(raw);
        holds::<HealthPath>(raw);
        holds::<HostAddress>(raw);
        holds::<LoginName>(raw);
        holds::<Port>(raw);
        holds::<RegionCode>(raw);
        holds::<SizeCode>(raw);
        holds::<CloudLogin>(raw);
        holds::<AccessKeyId>(raw);
        holds::<RoleArn>(raw);
        holds::<OvhProject>(raw);
        holds::<BucketName>(raw);
        holds::<ObjectPrefix>(raw);
        holds::<StorageRegion>(raw);
        holds::<StorageKeyId>(raw);
    }

    proptest! {
        #[test]
        fn any_text(raw in any::<String>()) { holds_all(&raw) }

        #[test]
        fn text_of_the_characters_that_matter(raw in "[a-zA-Z0-9@:/._$`'\";\n %+{}~^-]{0,40}") { holds_all(&raw) }

        #[test]
        fn url_like(raw in "(https|ssh|http|ext|file)://[a-z0-9@:%.\\[\\]-]{0,20}/[a-z0-9 ./%~'-]{0,20}") { holds_all(&raw) }

        #[test]
        fn good_domains_are_accepted(raw in "[a-z0-9]([a-z0-9]{0,10}[a-z0-9])?(\\.[a-z]([a-z0-9]{0,10}[a-z])?){1,3}") {
            prop_assert_eq!(raw.parse::<DomainName>().map(|d| d.to_string()), Ok(raw));
        }
    }

    #[test]
    fn serde_goes_through_the_grammar() {
        assert!(serde_json::from_str::<Slug>("\"a b\"").is_err());
        let slug: Slug = serde_json::from_str("\"shop-1\"").expect("valid");
        assert_eq!(serde_json::to_string(&slug).expect("text"), "\"shop-1\"");
        assert!(serde_json::from_str::<Port>("0").is_err());
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Port>("80").expect("valid")).expect("text"), "80");
    }
}
