//! Passwords: argon2id, off the async threads, a few at a time.
//!
//! Invariants: a wrong password and an unknown user take the same time; a flood of logins cannot use up the memory.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{SaltString, rand_core::OsRng},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

pub const MIN_CHARS: usize = 12;
/// Long enough for a phrase; a bound because every byte is hashed.
pub const MAX_BYTES: usize = 256;

/// 64 MiB, three passes, one lane.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// How long a password waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("too many passwords are checked at once")]
    Busy,
    #[error("a password cannot be hashed: {0}")]
    Failed(String),
}

/// Makes and checks password hashes.
#[derive(Clone)]
pub struct Passwords {
    argon: Argon2<'static>,
    /// Checked against when there is no user, so that the answer takes as long.
    dummy: String,
    slots: Arc<Semaphore>,
}

impl Passwords {
    pub fn new() -> Result<Self, PasswordError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let slots = std::thread::available_parallelism().map_or(1, usize::from);
        let dummy = hash(&argon, &shared::secrets::random_token())?;
        Ok(Self { argon, dummy, slots: Arc::new(Semaphore::new(slots)) })
    }

    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let argon = self.argon.clone();
        self.run(move || hash(&argon, password.expose_secret())).await
    }

    /// Whether `password` is the one behind `stored`; never when nothing is stored.
    pub async fn verify(&self, password: SecretString, stored: Option<String>) -> Result<bool, PasswordError> {
        let (argon, known) = (self.argon.clone(), stored.is_some());
        let against = stored.unwrap_or_else(|| self.dummy.clone());
        self.run(move || {
            let parsed = PasswordHash::new(&against).map_err(failed)?;
            Ok(argon.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok() && known)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = tokio::time::timeout(PATIENCE, self.slots.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| PasswordError::Busy)?.map_err(failed)?;
        // The turn ends with the work, also when nobody waits for it any more.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(failed)?
    }
}

fn hash(argon: &Argon2<'_>, password: &str) -> Result<String, PasswordError> {
    let salt = SaltString::generate(&mut OsRng);
    argon.hash_password(password.as_bytes(), &salt).map(|h| h.to_string()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_waits_for_its_turn_and_not_for_ever() {
        let passwords = Passwords::new().expect("made");
        let all = u32::try_from(passwords.slots.available_permits()).expect("a few");
        let taken = passwords.slots.clone().acquire_many_owned(all).await.expect("all");
        let refused = passwords.verify("x".to_owned().into(), None).await;
        assert!(matches!(refused, Err(PasswordError::Busy)), "{refused:?}");
        drop(taken);
        assert!(!passwords.verify("x".to_owned().into(), None).await.expect("checked"));
    }
}
