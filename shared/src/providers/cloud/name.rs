//! The name of a rented machine, which is the only mark that every cloud keeps.
//!
//! Invariant: a name is made of our ids alone, is valid as a host name at every cloud, and reads back to the same ids; what
//! does not read back is not ours. Absent: labels and tags, which some clouds have beside it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::Error as _};
use uuid::Uuid;

use crate::domain::ServerId;

/// One installation of the engine: ten hexadecimal digits, so that two in one account never touch each other's machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Install(String);

/// Not a name of ours.
#[derive(Debug, thiserror::Error)]
#[error("not a name of this engine")]
pub struct NotOurs;

impl Install {
    const LENGTH: usize = 10;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Install {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let fits = text.len() == Self::LENGTH && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(text.to_owned())).ok_or(NotOurs)
    }
}

/// `byop-<install>-<server>-g<generation>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MachineName {
    pub install: Install,
    pub server: ServerId,
    /// A server that had to be made anew is of the next generation.
    pub generation: u32,
}

impl MachineName {
    /// What all names of an installation begin with.
    pub fn prefix(install: &Install) -> String {
        format!("byop-{install}-")
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byop-{}-{}-g{}", self.install, self.server.0.as_simple(), self.generation)
    }
}

impl FromStr for MachineName {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let mut parts = text.strip_prefix("byop-").ok_or(NotOurs)?.split('-');
        let (Some(install), Some(server), Some(generation), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotOurs);
        };
        let number = generation.strip_prefix('g').ok_or(NotOurs)?;
        let name = Self {
            install: install.parse()?,
            server: ServerId(Uuid::try_parse(server).map_err(|_| NotOurs)?),
            generation: number.parse().map_err(|_| NotOurs)?,
        };
        // One spelling each: no leading zeros, no other forms of an id.
        if name.to_string() == text { Ok(name) } else { Err(NotOurs) }
    }
}

impl Serialize for MachineName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MachineName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_reads_back(install in "[0-9a-f]{10}", server in any::<u128>(), generation in any::<u32>()) {
            let install = install.parse().expect("an installation");
            let name = MachineName { install, server: ServerId(Uuid::from_u128(server)), generation };
            let text = name.to_string();
            prop_assert!(text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            prop_assert_eq!(text.parse::<MachineName>().ok(), Some(name));
        }

        #[test]
        fn no_text_reads_as_another_name(text in "(byop-)?[0-9a-fg-]{0,60}") {
            if let Ok(name) = text.parse::<MachineName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_almost_a_name_is_none() {
        let server = "01a2236f7c4971b3995ef0d847a2b54c";
        assert!(format!("byop-00112233aa-{server}-g1").parse::<MachineName>().is_ok());
        for other in [
            format!("byop-00112233AA-{server}-g1"),
            format!("byop-00112233aa-{server}-g01"),
            format!("byop-00112233aa-{server}-g+1"),
            format!("byop-00112233aa-{server}-g1-x"),
            format!("byop-00112233aa-{server}"),
            format!("xbyop-00112233aa-{server}-g1"),
            format!("byop-0011-{server}-g1"),
        ] {
            assert!(other.parse::<MachineName>().is_err(), "{other}");
        }
    }
}
