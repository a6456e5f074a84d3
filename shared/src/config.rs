//! Reading settings from the environment: each process has small `from_env` structs, built with these.
//!
//! Invariant: a setting that is present and wrong stops the process at start with its name in the message; a secret's
//! value never stands in an error. Absent: the list of settings (README has it), defaults (each struct has its own).

use std::{env, net::SocketAddr, str::FromStr, time::Duration};

use secrecy::SecretString;

/// A setting that is missing or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0} is not set")]
    Missing(&'static str),
    #[error("{name} is not valid: {reason}")]
    Invalid { name: &'static str, reason: String },
}

impl ConfigError {
    pub fn invalid(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { name, reason: reason.into() }
    }
}

/// A setting's text; empty counts as not set.
pub fn optional(name: &'static str) -> Option<String> {
    env::var(name).ok().filter(|v| !v.is_empty())
}

pub fn required(name: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name))
}

/// A setting of some type, or `default` when it is not set.
pub fn parsed<T: FromStr<Err: std::fmt::Display>>(name: &'static str, default: T) -> Result<T, ConfigError> {
    match optional(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|e: T::Err| ConfigError::invalid(name, e.to_string())),
    }
}

/// A length of time in whole seconds.
pub fn seconds(name: &'static str, default: u64) -> Result<Duration, ConfigError> {
    parsed(name, default).map(Duration::from_secs)
}

/// `BYOP_DNS_SERVER`: the server that names are looked up at; `None` is the system's.
pub fn dns_server() -> Result<Option<SocketAddr>, ConfigError> {
    const NAME: &str = "BYOP_DNS_SERVER";
    let Some(server) = optional(NAME) else { return Ok(None) };
    server.parse().map(Some).map_err(|_| ConfigError::invalid(NAME, "must be an address and a port, like 192.0.2.1:53"))
}

/// A secret of at least `min_bytes` bytes.
pub fn secret(name: &'static str, min_bytes: usize) -> Result<SecretString, ConfigError> {
    let value = required(name)?;
    if value.len() < min_bytes {
        return Err(ConfigError::invalid(name, format!("needs at least {min_bytes} bytes")));
    }
    Ok(value.into())
}

/// Whether the switch `name` is on; off when it is not set.
pub fn switch(name: &'static str) -> Result<bool, ConfigError> {
    optional(name).map_or(Ok(false), |text| is_on(name, &text))
}

fn is_on(name: &'static str, text: &str) -> Result<bool, ConfigError> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(ConfigError::invalid(name, "it is `1` or `0`, `true` or `false`, `yes` or `no`, `on` or `off`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off_or_wrong() {
        for (text, on) in [("1", true), ("TRUE", true), ("yes", true), ("On", true), ("0", false), ("False", false)] {
            assert_eq!(is_on("X", text).ok(), Some(on), "{text}");
        }
        for wrong in ["2", "y", "enabled", " 1", "tru"] {
            assert!(is_on("X", wrong).is_err(), "{wrong}");
        }
    }
}
