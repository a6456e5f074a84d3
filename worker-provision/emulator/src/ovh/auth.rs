//! Signed requests, OAuth2 tokens, and what either may do.
//!
//! Invariant: a signature counts only within 30 seconds of the world's clock, and over the very URL and bytes that
//! came. Absent: asking a user for a consumer key.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use sha1::{Digest, Sha1};

use crate::ask::{Ask, Reply, json as json_reply};
use crate::desk::{Desk, Session, World};
use crate::provider::{Book, Caller};
use crate::settings::{CloudKind, Credential, Settings};

const TOKEN_LIFE_S: i64 = 3_599;
const SKEW_S: i64 = 30;

pub(super) fn refused(status: u16, code: &str, message: &str) -> Reply {
    json_reply(status, &json!({"errorCode": code, "httpCode": format!("{status}"), "message": message}))
}

pub(super) fn identify(book: &Book<'_>, ask: &Ask, now: i64) -> Result<Caller, Reply> {
    if let Some(token) = ask.bearer() {
        return book.by_session(token, now).ok_or_else(|| super::error(401, "Client::Unauthorized", "Invalid token"));
    }
    let application = ask.header("x-ovh-application");
    let is_application = |credential: &Credential| matches!(credential, Credential::OvhKey { application_key, .. } if application_key == application);
    if book.by_credential(CloudKind::Ovh, is_application).is_none() {
        return Err(refused(403, "INVALID_KEY", "Invalid application key"));
    }
    let consumer = ask.header("x-ovh-consumer");
    let is_consumer = |credential: &Credential| {
        let mine = matches!(credential, Credential::OvhKey { consumer_key, .. } if consumer_key == consumer);
        mine && is_application(credential)
    };
    let unknown = || refused(403, "INVALID_CREDENTIAL", "This credential is not valid");
    let caller = book.by_credential(CloudKind::Ovh, is_consumer).ok_or_else(unknown)?;
    let sent: i64 = ask.header("x-ovh-timestamp").parse().unwrap_or(0);
    if (sent - now / 1000).abs() > SKEW_S {
        return Err(refused(400, "QUERY_TIME_OUT", "Query out of time"));
    }
    let signed = |credential: &Credential| is_consumer(credential) && signature_is_right(credential, ask);
    let signed = book.by_credential(CloudKind::Ovh, signed).is_some();
    signed.then_some(caller).ok_or_else(|| refused(400, "INVALID_SIGNATURE", "Invalid signature"))
}

/// The server does not know by which scheme it was reached, so either will do.
fn signature_is_right(credential: &Credential, ask: &Ask) -> bool {
    let Credential::OvhKey { application_secret, consumer_key, .. } = credential else { return false };
    let expected = |scheme: &str| {
        let url = format!("{scheme}://{}{}", ask.host(), ask.target);
        let body = String::from_utf8_lossy(&ask.body);
        let time = ask.header("x-ovh-timestamp");
        let parts = [application_secret, consumer_key, ask.method.as_str(), &url, &*body, time];
        format!("$1${}", hex::encode(Sha1::digest(parts.join("+"))))
    };
    ["http", "https"].iter().any(|scheme| expected(scheme) == ask.header("x-ovh-signature"))
}

/// `POST /auth/oauth2/token` with the client's credentials.
pub(super) fn issue(world: &mut World, settings: &Settings, ask: &Ask, now: i64) -> Reply {
    let form = ask.form();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let (id, secret) = basic(ask)
        .unwrap_or_else(|| (field("client_id").unwrap_or_default(), field("client_secret").unwrap_or_default()));
    if field("grant_type").as_deref() != Some("client_credentials") {
        return json_reply(400, &json!({"error": "unsupported_grant_type"}));
    }
    let is_client = |credential: &Credential| matches!(credential, Credential::OvhClient { client_id, client_secret } if *client_id == id && *client_secret == secret);
    let book = Book { settings, sessions: &world.sessions };
    let Some(caller) = book.by_credential(CloudKind::Ovh, is_client) else {
        return json_reply(
            401,
            &json!({"error": "invalid_client", "error_description": "client authentication failed"}),
        );
    };
    let token = super::uuid(&format!("token {}", world.next_id()));
    let expires_at = now + TOKEN_LIFE_S * 1000;
    let session = Session { account: caller.account, denied: caller.denied, expires_at, arn: None };
    world.sessions.insert(token.clone(), session);
    let grant = json!({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE_S, "scope": "all"});
    json_reply(200, &grant)
}

fn basic(ask: &Ask) -> Option<(String, String)> {
    let decoded = STANDARD.decode(ask.header("authorization").strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}

/// Rules name a method and a path, with `*` for any rest.
pub(super) fn granted(desk: &Desk<'_>, ask: &Ask, path: &[&str]) -> Result<(), Reply> {
    let call = format!("{} /{}", ask.method, path.join("/"));
    let covers = |rule: &String| match rule.strip_suffix('*') {
        Some(start) => call.starts_with(start),
        None => call == *rule,
    };
    if !desk.denied.iter().any(covers) {
        return Ok(());
    }
    if ask.bearer().is_none() {
        return Err(refused(403, "NOT_GRANTED_CALL", "This call has not been granted"));
    }
    let details = json!({"unauthorizedActionsByIAM": format!("account:apiovh:{}", path.join("/"))});
    let body =
        json!({"class": "Client::Forbidden", "message": "User not granted for this request", "details": details});
    Err(json_reply(403, &body))
}
