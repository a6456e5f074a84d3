//! What requests are signed with: an account's own keys, or a session of the role that its owner lends us.
//!
//! Invariants: a role is taken on only with its external id, and a session is renewed when three quarters of it are over;
//! at any time one session is asked for at most. Absent: where keys are kept.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sdk_sts as sts;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use shared::providers::cloud::{AwsLogin, Class, CloudError, Install};

use super::{
    AWS, AccessKey, HOME, error,
    services::{Services, unlogged},
};

/// What one role on another may have at most.
const SESSION: Duration = Duration::from_secs(3600);

pub enum Login {
    Keys(AccessKey),
    Role(Box<Role>),
}

/// Another account's role.
pub struct Role {
    arn: String,
    external_id: String,
    /// What the role's owner sees in its records.
    session_name: String,
    base: Option<AccessKey>,
    session: Mutex<Option<Session>>,
    /// Held while a session is asked for.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Session {
    credentials: Credentials,
    renew: Instant,
    end: Instant,
}

impl Login {
    pub fn new(login: AwsLogin, base: Option<AccessKey>, install: &Install) -> Self {
        match login {
            AwsLogin::Keys { access_key_id, secret_access_key } => {
                Self::Keys(AccessKey { id: access_key_id, secret: secret_access_key, session: None })
            }
            AwsLogin::Role { role_arn, external_id } => Self::Role(Box::new(Role {
                arn: role_arn,
                external_id,
                session_name: format!("byop-{install}"),
                base,
                session: Mutex::default(),
                asking: tokio::sync::Mutex::default(),
            })),
        }
    }

    /// What to sign with now.
    pub async fn credentials(&self, services: &Services) -> Result<Credentials, CloudError> {
        match self {
            Self::Keys(key) => Ok(credentials(key)),
            Self::Role(role) => role.credentials(services).await,
        }
    }

    /// Drops a session that Amazon calls expired; whether there can be another.
    pub fn forget(&self) -> bool {
        let Self::Role(role) = self else { return false };
        role.keep(None);
        true
    }

    /// Lets a session's time pass.
    #[cfg(test)]
    pub fn age(&self, by: Duration) {
        let Self::Role(role) = self else { return };
        role.keep(role.kept().map(|s| Session { renew: s.renew - by, end: s.end - by, ..s }));
    }

    /// Sees that a role is given to nobody who does not tell its external id. Without that, any client of ours could
    /// name another one's role as its own.
    pub async fn prove_external_id(&self, services: &Services) -> Result<(), CloudError> {
        let Self::Role(role) = self else { return Ok(()) };
        let wrong = hex::encode(&Sha256::digest(&role.external_id)[..16]);
        for told in [None, Some(wrong)] {
            match role.assume(services, told).await {
                Err(e) if e.code == "AccessDenied" => {}
                Err(e) => return Err(e),
                Ok(_) => return Err(not_enforced()),
            }
        }
        Ok(())
    }
}

impl Role {
    async fn credentials(&self, services: &Services) -> Result<Credentials, CloudError> {
        if let Some(session) = self.kept().filter(|s| Instant::now() < s.renew) {
            return Ok(session.credentials);
        }
        let _asking = self.asking.lock().await;
        let kept = self.kept();
        if let Some(session) = kept.as_ref().filter(|s| Instant::now() < s.renew) {
            return Ok(session.credentials.clone());
        }
        match self.assume(services, Some(self.external_id.clone())).await {
            Ok(session) => {
                self.keep(Some(session.clone()));
                Ok(session.credentials)
            }
            // The old one still holds, and there is time for another try.
            Err(e) => kept.filter(|s| Instant::now() < s.end).map(|s| s.credentials).ok_or(e),
        }
    }

    async fn assume(&self, services: &Services, external_id: Option<String>) -> Result<Session, CloudError> {
        let base = self.base.as_ref().ok_or_else(no_base)?;
        let config = services.config(HOME, Some(credentials(base)))?;
        let client = sts::Client::new(&config);
        let request = client
            .assume_role()
            .role_arn(&self.arn)
            .role_session_name(&self.session_name)
            .set_external_id(external_id)
            .duration_seconds(i32::try_from(SESSION.as_secs()).unwrap_or(i32::MAX));
        let answer = unlogged(request.send()).await.map_err(|e| error::read(&e))?;
        answer.credentials().and_then(session).ok_or_else(|| CloudError::unreadable(AWS, "a session without an end"))
    }

    fn kept(&self) -> Option<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, session: Option<Session>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

fn session(given: &sts::types::Credentials) -> Option<Session> {
    let end = SystemTime::try_from(*given.expiration()).ok()?;
    let life = end.duration_since(SystemTime::now()).ok()?;
    let credentials = Credentials::new(
        given.access_key_id(),
        given.secret_access_key(),
        Some(given.session_token().to_owned()),
        None,
        AWS,
    );
    let now = Instant::now();
    Some(Session { credentials, renew: now + life.mul_f64(0.75), end: now + life })
}

fn credentials(key: &AccessKey) -> Credentials {
    let session = key.session.as_ref().map(|s: &SecretString| s.expose_secret().to_owned());
    Credentials::new(&key.id, key.secret.expose_secret(), session, None, AWS)
}

fn no_base() -> CloudError {
    CloudError::new(AWS, Class::Config, "no_own_account", "this engine has no AWS account that could take on a role")
}

fn not_enforced() -> CloudError {
    let told =
        "the role is given to callers without its external id; its trust policy needs the condition on sts:ExternalId";
    CloudError::new(AWS, Class::Config, "external_id_not_enforced", told)
}
