//! One copy: made, tried out, put back.
//!
//! Invariants: each attempt writes an object of its own, after it has removed those of attempts before it; a copy that is
//! put back goes into a place of its own first, and takes the place of what lives in one step. Absent: who asked, and what
//! is written down.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use secrecy::SecretString;

use super::{
    Scripts, Server, Sink, Storage,
    crypt::{Encrypting, decrypt},
};
use crate::{domain::Proof, failure::Failure};

/// All parts but the last have this size, as some storages demand. 10,000 of them are 160 GB.
const PART: usize = 16 << 20;
const MOST_PARTS: u16 = 10_000;
/// A step that moves no data.
const STEP: Duration = Duration::from_secs(600);
/// A step through which all of the data goes.
const FLOW: Duration = Duration::from_secs(5 * 3600);

/// One copy of one thing on one server.
pub struct Copy<'a> {
    pub server: &'a dyn Server,
    pub storage: &'a Storage,
    pub scripts: &'static Scripts,
    /// What the scripts know the thing by: a service's id, or the name of a Docker volume.
    pub source: String,
    /// Names and labels what is made for the copy on the server: letters and digits.
    pub id: String,
    /// What has to stay free on the server's disk, in bytes.
    pub free: u64,
}

/// An object that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    pub key: String,
    /// Encrypted.
    pub bytes: i64,
}

impl Copy<'_> {
    /// Copies the thing into a new object whose name begins with `stem`, and removes those of earlier attempts.
    pub async fn upload(&self, stem: &str, attempt: i64, recipient: &str) -> Result<Uploaded, Failure> {
        self.clear().await?;
        self.storage.remove(stem, None).await?;
        let key = format!("{stem}{attempt}.{}.age", self.scripts.extension);
        let mut parts = Parts::begin(self.storage, key, recipient).await?;
        let made = match self.server.read(self.scripts.dump, &[&self.source, &self.id], FLOW, &mut parts).await {
            Ok(()) => parts.finish().await,
            Err(e) => Err(e),
        };
        if made.is_err() {
            self.tidy(stem).await;
        }
        made
    }

    /// What is left is found by the next attempt too, so that this one's own failure counts more.
    async fn tidy(&self, stem: &str) {
        if let Err(e) = self.storage.remove(stem, None).await {
            tracing::warn!(error = %e, "an unfinished backup cannot be removed from its bucket");
        }
        if let Err(e) = self.clear().await {
            tracing::warn!(error = %e, "what a backup left on its server cannot be removed");
        }
    }

    /// Restores an object beside what lives, where nothing can reach it, and counts what is in it.
    pub async fn test(&self, key: &str, identity: &SecretString) -> Result<Proof, Failure> {
        self.clear().await?;
        let proof = self.try_out(key, identity).await;
        let cleared = self.clear().await;
        let proof = proof?;
        cleared.map(|()| proof)
    }

    async fn try_out(&self, key: &str, identity: &SecretString) -> Result<Proof, Failure> {
        self.server.ask(self.scripts.test_begin, &[&self.source, &self.id, &self.free.to_string()], STEP).await?;
        self.fill(self.scripts.test_fill, key, identity).await?;
        let found = self.server.ask(self.scripts.test_look, &[&self.source, &self.id], FLOW).await?;
        let wrong = || Failure::transient("backup_step_failed", "the test restore could not be read");
        let (things, contents) = found.trim().split_once(' ').ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse().map_err(|_| wrong());
        Ok(Proof { things: number(things)?, contents: number(contents)? })
    }

    async fn fill(&self, script: &'static str, key: &str, identity: &SecretString) -> Result<(), Failure> {
        let mut clear = decrypt(identity, self.storage.read(key).await?).await?;
        self.server.write(script, &[&self.source, &self.id], FLOW, &mut clear).await
    }

    /// Puts an object in the place of what lives. Once that has happened for this id it does not happen again.
    pub async fn restore(&self, key: &str, identity: &SecretString) -> Result<(), Failure> {
        let args = [self.source.as_str(), &self.id, &self.free.to_string()];
        if self.server.ask(self.scripts.restore_begin, &args, STEP).await?.trim() == "done" {
            return Ok(());
        }
        self.fill(self.scripts.restore_fill, key, identity).await?;
        self.server.ask(self.scripts.restore_swap, &[&self.source, &self.id], STEP).await.map(|_| ())
    }

    /// Removes what a restore that will not be has made beside what lives.
    pub async fn undo_restore(&self) -> Result<(), Failure> {
        self.server.ask(self.scripts.restore_undo, &[&self.source, &self.id], STEP).await.map(|_| ())
    }

    /// Removes all that was made on the server for making or trying the copy.
    pub async fn clear(&self) -> Result<(), Failure> {
        self.server.ask(self.scripts.clear, &[&self.source, &self.id], STEP).await.map(|_| ())
    }
}

/// Encrypts what it takes and stores it part by part.
struct Parts<'a> {
    storage: &'a Storage,
    key: String,
    upload: String,
    encrypting: Encrypting,
    waiting: BytesMut,
    tags: Vec<String>,
    bytes: i64,
}

impl<'a> Parts<'a> {
    async fn begin(storage: &'a Storage, key: String, recipient: &str) -> Result<Self, Failure> {
        let encrypting = Encrypting::to(recipient)?;
        let upload = storage.begin(&key).await?;
        Ok(Self { storage, key, upload, encrypting, waiting: BytesMut::new(), tags: Vec::new(), bytes: 0 })
    }

    async fn store(&mut self, part: Bytes) -> Result<(), Failure> {
        let number = u16::try_from(self.tags.len() + 1).ok().filter(|number| *number <= MOST_PARTS);
        let too_large = || Failure::permanent("backup_too_large", "a backup of more than 160 GB cannot be stored");
        let number = number.ok_or_else(too_large)?;
        self.bytes += i64::try_from(part.len()).unwrap_or(i64::MAX);
        self.tags.push(self.storage.put_part(&self.key, &self.upload, number, part).await?);
        Ok(())
    }

    async fn finish(mut self) -> Result<Uploaded, Failure> {
        let rest = self.encrypting.finish()?;
        self.waiting.extend_from_slice(&rest);
        while !self.waiting.is_empty() {
            let part = self.waiting.split_to(self.waiting.len().min(PART)).freeze();
            self.store(part).await?;
        }
        self.storage.complete(&self.key, &self.upload, &self.tags).await?;
        Ok(Uploaded { key: self.key, bytes: self.bytes })
    }
}

#[async_trait]
impl Sink for Parts<'_> {
    async fn take(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let encrypted = self.encrypting.push(&bytes)?;
        self.waiting.extend_from_slice(&encrypted);
        while self.waiting.len() >= PART {
            let part = self.waiting.split_to(PART).freeze();
            self.store(part).await?;
        }
        Ok(())
    }
}
