//! Access tokens of sessions: short-lived JWTs, one algorithm, one key.
//!
//! Invariant: a token is accepted only with our algorithm, type, issuer and audience, and within its time. Absent:
//! whether its session was ended meanwhile, which the database knows.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shared::domain::{ClientId, UserId};
use uuid::Uuid;

pub const ACCESS_SECONDS: i64 = 15 * 60;
const LEEWAY_SECONDS: i64 = 5;
const ISSUER: &str = "byop-engine";
const AUDIENCE: &str = "byop-api";
const TYPE: &str = "at+jwt";
/// Longer texts are not looked at.
const MAX_BYTES: usize = 4096;

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: UserId,
    pub client: ClientId,
    /// The login it belongs to.
    pub family: Uuid,
    /// The user's token version when it was made.
    pub ver: i64,
    pub iat: i64,
    pub exp: i64,
    pub jti: Uuid,
}

/// Makes and reads access tokens.
pub struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl AccessTokens {
    pub fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Whoever issues and whoever reads may have different clocks; the database's is everybody's.
        validation.validate_exp = false;
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), validation }
    }

    pub fn issue(
        &self,
        user: UserId,
        client: ClientId,
        family: Uuid,
        version: i64,
        now_ms: i64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = now_ms / 1000;
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user,
            client,
            family,
            ver: version,
            iat: now,
            exp: now + ACCESS_SECONDS,
            jti: Uuid::now_v7(),
        };
        encode(&Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS256) }, &claims, &self.encoding)
    }

    pub fn read(&self, token: &str, now_ms: i64) -> Option<Claims> {
        if token.len() > MAX_BYTES || decode_header(token).ok()?.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let claims = decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        (claims.exp + LEEWAY_SECONDS > now_ms / 1000).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secret: &str) -> AccessTokens {
        AccessTokens::new(&SecretString::from(secret))
    }

    fn now() -> i64 {
        i64::try_from(jsonwebtoken::get_current_timestamp()).expect("fits") * 1000
    }

    #[test]
    fn only_our_own_unexpired_tokens_are_read() {
        let ours = tokens("0123456789abcdef0123456789abcdef");
        let (user, client) = (UserId::new(), ClientId::new());
        let token = ours.issue(user, client, Uuid::now_v7(), 0, now()).expect("made");
        assert_eq!(ours.read(&token, now()).expect("reads").sub, user);
        assert!(tokens("another secret of at least 32 bytes").read(&token, now()).is_none());
        let old = ours.issue(user, client, Uuid::now_v7(), 0, now() - 16 * 60 * 1000).expect("made");
        assert!(ours.read(&old, now()).is_none());
        // The clock that counts is the one that was asked, however wrong this machine's is.
        assert!(ours.read(&old, now() - 10 * 60 * 1000).is_some());
        assert!(ours.read(&token, now() + 16 * 60 * 1000).is_none());
        let claims = ours.read(&token, now()).expect("reads");
        for header in
            [Header::new(Algorithm::HS256), Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS512) }]
        {
            let other = encode(&header, &claims, &ours.encoding).expect("made");
            assert!(ours.read(&other, now()).is_none(), "{header:?}");
        }
        let foreign = Claims { aud: "another".into(), ..claims };
        let header = Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS256) };
        assert!(ours.read(&encode(&header, &foreign, &ours.encoding).expect("made"), now()).is_none());
    }
}
