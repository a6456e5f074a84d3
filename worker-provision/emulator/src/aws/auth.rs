//! Who signed a request, and for which region and service.
//!
//! Invariant: a key must be known; what it signed is not checked. Absent: verifying signatures.

use crate::ask::{Ask, Reply};
use crate::provider::{Book, Caller};
use crate::settings::{CloudKind, Credential};

pub(super) struct Scope {
    pub key: String,
    pub region: String,
    pub service: String,
}

/// `Credential=KEY/20260101/eu-west-3/ec2/aws4_request` of the authorization header.
pub(super) fn scope(ask: &Ask) -> Option<Scope> {
    let header = ask.header("authorization").strip_prefix("AWS4-HMAC-SHA256")?;
    let credential = header.split([',', ' ']).find_map(|part| part.trim().strip_prefix("Credential="))?;
    let mut parts = credential.split('/');
    let key = parts.next()?.to_owned();
    let (_date, region, service) = (parts.next()?, parts.next()?.to_owned(), parts.next()?.to_owned());
    Some(Scope { key, region, service })
}

pub(super) fn identify(book: &Book<'_>, ask: &Ask, now: i64) -> Result<Caller, Reply> {
    let service = super::service(ask);
    let scope = scope(ask).ok_or_else(|| super::unauthenticated(service))?;
    let is_key = |credential: &Credential| matches!(credential, Credential::AwsKey { access_key_id } if *access_key_id == scope.key);
    if let Some(caller) = book.by_credential(CloudKind::Aws, is_key) {
        return Ok(caller);
    }
    let session = book.sessions.get(&scope.key).ok_or_else(|| super::unauthenticated(service))?;
    if session.expires_at <= now {
        return Err(super::expired(service));
    }
    if ask.header("x-amz-security-token") != session_token(&scope.key) {
        return Err(super::unauthenticated(service));
    }
    book.by_session(&scope.key, now).ok_or_else(|| super::unauthenticated(service))
}

pub(super) fn session_token(key: &str) -> String {
    format!("session-of-{key}")
}
