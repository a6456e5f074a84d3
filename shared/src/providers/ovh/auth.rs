//! Showing who asks: a signature over each request, or a token of an hour.
//!
//! Invariant: a signature's time is the cloud's own, so that our clock may be wrong; what turned out to be stale is
//! forgotten, and the next call gets it anew. Absent: making application keys and service accounts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD as B64};
use bytes::Bytes;
use http::{Method, header, header::HeaderName};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha1::{Digest, Sha1};
use tokio::sync::Mutex;

use super::CLOUD;
use crate::providers::{
    cloud::{
        Access, Class, OvhLogin,
        rest::{self, Failed, Told},
    },
    wire::{Answer, Call},
};

const APPLICATION: HeaderName = HeaderName::from_static("x-ovh-application");
const CONSUMER: HeaderName = HeaderName::from_static("x-ovh-consumer");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-ovh-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-ovh-signature");
/// What is younger than this was refused for what it is and not for its age.
const FRESH: Duration = Duration::from_secs(60);

pub(super) struct Auth {
    login: OvhLogin,
    /// Where tokens are given.
    tokens: String,
    clock: Mutex<Option<Clock>>,
    token: Mutex<Option<Token>>,
}

struct Clock {
    /// Seconds that the cloud's clock is ahead of ours.
    ahead: i64,
    read: Instant,
}

struct Token {
    value: SecretString,
    given: Instant,
    renew: Instant,
}

#[derive(Deserialize)]
struct Given {
    access_token: SecretString,
    /// Seconds.
    expires_in: u64,
}

impl Auth {
    pub fn new(login: OvhLogin, tokens: String) -> Self {
        Self { login, tokens, clock: Mutex::new(None), token: Mutex::new(None) }
    }

    /// Whether its rights are a list of calls, which can be read.
    pub fn has_rules(&self) -> bool {
        matches!(self.login, OvhLogin::ApplicationKey { .. })
    }

    /// The call with what shows who asks. A failure here means that the call was not sent.
    pub async fn sign(&self, access: &Access, call: Call) -> Result<Call, Failed> {
        let signed = match &self.login {
            OvhLogin::ApplicationKey { application_key, application_secret, consumer_key } => {
                let ahead = self.ahead(access).await;
                ahead.map(|a| stamp(call, application_key, application_secret, consumer_key, now() + a))
            }
            OvhLogin::OAuth2 { client_id, client_secret } => {
                let token = self.token(access, client_id, client_secret).await;
                token.map(|t| call.secret(header::AUTHORIZATION, &format!("Bearer {}", t.expose_secret())))
            }
        };
        signed.map_err(|failed| Failed { refused: true, ..failed })
    }

    async fn ahead(&self, access: &Access) -> Result<i64, Failed> {
        let mut clock = self.clock.lock().await;
        if let Some(clock) = &*clock {
            return Ok(clock.ahead);
        }
        let call = Call::new(Method::GET, rest::url(CLOUD, &access.base, &["auth", "time"], &[])?);
        let time: i64 = rest::json(CLOUD, &rest::send(CLOUD, access.wire.as_ref(), call, super::client::tell).await?)?;
        let ahead = time - now();
        *clock = Some(Clock { ahead, read: Instant::now() });
        Ok(ahead)
    }

    async fn token(&self, access: &Access, id: &str, secret: &SecretString) -> Result<SecretString, Failed> {
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref().filter(|t| Instant::now() < t.renew) {
            return Ok(token.value.clone());
        }
        let basic = B64.encode(format!("{id}:{}", secret.expose_secret()));
        let mut call = Call::new(Method::POST, &self.tokens)
            .secret(header::AUTHORIZATION, &format!("Basic {basic}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .once();
        call.body = Bytes::from_static(b"grant_type=client_credentials&scope=all");
        let given: Given = rest::json(CLOUD, &rest::send(CLOUD, access.wire.as_ref(), call, tell_token).await?)?;
        let (value, now) = (given.access_token, Instant::now());
        let renew = now + Duration::from_secs(given.expires_in.min(86_400)) * 3 / 4;
        *token = Some(Token { value: value.clone(), given: now, renew });
        Ok(value)
    }

    /// Forgets what a refusal shows to be stale. A refusal of what was fresh is about the credentials themselves.
    pub async fn learn(&self, failed: &mut Failed) {
        let message = failed.error.message.to_lowercase();
        let says = |code: &str, words: &str| failed.error.code == code || message.contains(words);
        let late = says("QUERY_TIME_OUT", "query out of time") || message.contains("timestamp");
        if self.has_rules() && (late || says("INVALID_SIGNATURE", "invalid signature")) {
            let old = self.clock.lock().await.take().is_none_or(|c| c.read.elapsed() > FRESH);
            failed.error.class = if late || old { Class::Later } else { Class::Auth };
        }
        let expired = failed.status.is_some_and(|s| s.as_u16() == 401) || failed.error.code == "INVALID_CREDENTIAL";
        if !self.has_rules() && expired && failed.refused {
            let old = self.token.lock().await.take().is_none_or(|t| t.given.elapsed() > FRESH);
            failed.error.class = if old { Class::Later } else { Class::Auth };
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn stamp(call: Call, application: &str, secret: &SecretString, consumer: &SecretString, time: i64) -> Call {
    let signature = signature(secret.expose_secret(), consumer.expose_secret(), &call, time);
    call.secret(APPLICATION, application)
        .secret(CONSUMER, consumer.expose_secret())
        .header(TIMESTAMP, &time.to_string())
        .secret(SIGNATURE, &signature)
}

/// `$1$` and the SHA-1 of secret, consumer key, method, address, body and time, joined by `+`.
pub(super) fn signature(secret: &str, consumer: &str, call: &Call, time: i64) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("{secret}+{consumer}+{}+{}+", call.method, call.url));
    hash.update(&call.body);
    hash.update(format!("+{time}"));
    format!("$1${}", hex::encode(hash.finalize()))
}

/// `{"error", "error_description"}`, of RFC 6749.
fn tell_token(answer: &Answer) -> Option<Told> {
    #[derive(Deserialize)]
    struct Body {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let Body { error, error_description } = serde_json::from_slice(&answer.body).ok()?;
    let class = match error.as_str() {
        "invalid_client" | "unauthorized_client" | "invalid_grant" | "access_denied" => Class::Auth,
        _ => rest::class_of(answer.status),
    };
    Some(Told { class, code: error, message: error_description, lacks: Vec::new() })
}
