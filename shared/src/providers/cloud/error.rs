//! Why a cloud did not do something, in classes that decide what happens next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What an error means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// May work soon: too many requests, an outage, an operation under way.
    Later,
    /// No room for this size there now: another zone or size may have some.
    Capacity,
    /// The account has as many as it may have.
    Quota,
    /// The account itself is locked, unverified or unpaid: its owner has to act.
    Account,
    /// The credentials are wrong, expired, or lack a permission.
    Auth,
    /// The request cannot be right: an unknown size, image or region.
    Config,
    /// What is there forbids it now: a name in use, a machine that is not off.
    Conflict,
}

/// An error of a cloud. Its message is for the client and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cloud}: {message} ({code})")]
pub struct CloudError {
    pub cloud: &'static str,
    pub class: Class,
    /// The cloud's own code, or ours for what is not an answer: `no_answer`, `unreadable`.
    pub code: String,
    pub message: String,
    /// How long the cloud asks to be left alone.
    pub after: Option<Duration>,
    /// The account has asked too much, whatever it was.
    pub throttled: bool,
}

impl CloudError {
    pub fn new(cloud: &'static str, class: Class, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { cloud, class, code: code.into(), message: message.into(), after: None, throttled: false }
    }

    /// No answer, or none that could be read to its end.
    pub fn no_answer(cloud: &'static str, message: impl Into<String>) -> Self {
        Self::new(cloud, Class::Later, "no_answer", message)
    }

    /// An answer that is not what was promised.
    pub fn unreadable(cloud: &'static str, message: impl Into<String>) -> Self {
        Self::new(cloud, Class::Later, "unreadable", message)
    }

    pub fn after(mut self, after: Option<Duration>) -> Self {
        self.after = after;
        self
    }
}
