//! The registry's token endpoint: exchanges a worker's grant for a signed token of a few minutes.
//!
//! Invariants: a token names at most the grant's own repository and at most its actions; a grant that was revoked or
//! is over, or whose server no longer runs the app, gives none. Absent: making grants (workers do), the registry.

use std::{fs, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as B64};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use poem::{
    IntoResponse, Request, Response, handler,
    http::StatusCode,
    web::headers::{Authorization, HeaderMapExt, authorization::Basic},
};
use serde::Serialize;
use shared::{
    secrets::{random_token, token_hash},
    store::registry_grants::{self, Grant, GrantActions},
};

use crate::{app::App, config::RegistryFiles, edge::RawAnswer, problem::Problem, typed::timestamp};

/// The issuer that the registry's configuration names.
pub const ISSUER: &str = "byop-engine";
const LIFETIME: Duration = Duration::from_secs(300);
/// Clocks of registry and API may differ by this much.
const CLOCK_MARGIN_S: i64 = 10;

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error("{0} cannot be read; `api init` makes it")]
    Missing(String),
    #[error("{0} is not a PEM file of the right kind")]
    Malformed(String),
}

/// Signs registry tokens.
pub struct Signer {
    key: EncodingKey,
    certificate: String,
    service: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: &'a [Access],
}

/// A right on one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    actions: Vec<&'static str>,
}

#[derive(Serialize)]
struct TokenAnswer<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: u64,
    issued_at: String,
}

impl Signer {
    pub fn load(files: &RegistryFiles) -> Result<Self, SignerError> {
        let read =
            |path: &std::path::Path| fs::read(path).map_err(|_| SignerError::Missing(path.display().to_string()));
        let key = EncodingKey::from_ec_pem(&read(&files.key)?)
            .map_err(|_| SignerError::Malformed(files.key.display().to_string()))?;
        let pem = read(&files.certificate)?;
        let certificate =
            der_base64(&pem).ok_or_else(|| SignerError::Malformed(files.certificate.display().to_string()))?;
        Ok(Self { key, certificate, service: files.service.clone() })
    }

    fn sign(&self, subject: &str, access: &[Access], now: i64, lifetime_s: i64) -> Result<String, Problem> {
        // Old and new registries both find the key through the certificate, which is their root.
        let header = Header { x5c: Some(vec![self.certificate.clone()]), ..Header::new(Algorithm::ES256) };
        let claims = Claims {
            iss: ISSUER,
            sub: subject,
            aud: &self.service,
            exp: now + lifetime_s,
            nbf: now - CLOCK_MARGIN_S,
            iat: now,
            jti: random_token(),
            access,
        };
        encode(&header, &claims, &self.key).map_err(|_| Problem::internal())
    }
}

/// The body of a PEM certificate without its line breaks, which is what `x5c` holds.
fn der_base64(pem: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    B64.decode(&body).ok().map(|_| body)
}

/// `GET /registry/token?service=…&scope=repository:NAME:ACTIONS`, as the distribution specification has it.
#[handler]
pub async fn token(request: &Request) -> poem::Result<Response> {
    let app = request.data::<Arc<App>>().ok_or_else(Problem::internal)?;
    let Some(login) = request.headers().typed_get::<Authorization<Basic>>() else { return Ok(challenge()) };
    let Some(grant) = find_grant(app, login.username(), login.password()).await? else { return Ok(challenge()) };
    let (mut service, mut scopes) = (None, Vec::new());
    for (name, value) in url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "service" => service = Some(value.into_owned()),
            "scope" => scopes.push(value.into_owned()),
            _ => {}
        }
    }
    if service.is_some_and(|service| service != app.signer.service) {
        let refused = Problem::new(StatusCode::BAD_REQUEST, "unknown_service", "There is no such registry.");
        return Err(refused.into());
    }
    let access: Vec<Access> = scopes.iter().flat_map(|s| s.split(' ')).filter_map(|s| granted(&grant, s)).collect();
    Ok(answer(app, &grant, &access)?)
}

async fn find_grant(app: &App, user: &str, secret: &str) -> Result<Option<Grant>, Problem> {
    let Ok(id) = user.parse() else { return Ok(None) };
    let found = registry_grants::find_valid(&app.db, app.db.now_ms(), id, &token_hash(secret)).await?;
    let Some(grant) = found else { return Ok(None) };
    if let Some(server) = grant.subject.strip_prefix("server:")
        && !registry_grants::server_may_pull(&app.db, grant.client, server, &grant.repository).await?
    {
        return Ok(None);
    }
    Ok(Some(grant))
}

/// What of a requested scope the grant allows; nothing for another repository.
fn granted(grant: &Grant, scope: &str) -> Option<Access> {
    let rest = scope.strip_prefix("repository:")?;
    let (name, wanted) = rest.rsplit_once(':')?;
    let allowed: &[&'static str] = match grant.actions {
        GrantActions::Pull => &["pull"],
        GrantActions::PullPush => &["pull", "push"],
        GrantActions::Delete => &["delete"],
    };
    let actions: Vec<_> = allowed.iter().copied().filter(|a| wanted.split(',').any(|w| w == *a)).collect();
    (name == grant.repository && !actions.is_empty()).then(|| Access { kind: "repository", name: name.into(), actions })
}

fn answer(app: &App, grant: &Grant, access: &[Access]) -> Result<Response, Problem> {
    let now_ms = app.db.now_ms();
    // A token never outlives its grant by more than a moment.
    let lifetime = ((grant.expires_at - now_ms) / 1000 + 1).min(LIFETIME.as_secs() as i64).max(1);
    let signed = app.signer.sign(&grant.id.to_string(), access, now_ms / 1000, lifetime)?;
    let body = TokenAnswer {
        token: &signed,
        access_token: &signed,
        expires_in: lifetime.unsigned_abs(),
        issued_at: timestamp(now_ms),
    };
    Ok(poem::web::Json(body).into_response())
}

fn challenge() -> Response {
    let mut response = Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header("www-authenticate", "Basic realm=\"byop-engine registry\"")
        .content_type("application/json")
        .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"a valid grant is needed"}]}"#);
    response.set_data(RawAnswer);
    response
}

#[cfg(test)]
mod tests {
    use shared::domain::{ClientId, GrantId};

    use super::*;

    fn grant(actions: GrantActions) -> Grant {
        let (id, client) = (GrantId::new(), ClientId::new());
        Grant { id, client, repository: "a/b".into(), actions, subject: "build:x".into(), expires_at: 0 }
    }

    #[test]
    fn scopes_are_cut_to_the_grant() {
        let actions = |g: GrantActions, scope: &str| granted(&grant(g), scope).map(|a| a.actions);
        assert_eq!(actions(GrantActions::Pull, "repository:a/b:pull,push"), Some(vec!["pull"]));
        assert_eq!(actions(GrantActions::PullPush, "repository:a/b:push,pull"), Some(vec!["pull", "push"]));
        assert_eq!(actions(GrantActions::PullPush, "repository:a/b:delete"), None);
        assert_eq!(actions(GrantActions::PullPush, "repository:a/b:*"), None);
        assert_eq!(actions(GrantActions::Delete, "repository:a/b:pull,push,delete"), Some(vec!["delete"]));
        assert_eq!(actions(GrantActions::Delete, "repository:a/bc:delete"), None);
        assert_eq!(actions(GrantActions::PullPush, "repository:a/bc:pull"), None);
        assert_eq!(actions(GrantActions::PullPush, "repository:a:pull"), None);
        assert_eq!(actions(GrantActions::PullPush, "registry:catalog:*"), None);
        assert_eq!(actions(GrantActions::PullPush, "repository(plugin):a/b:pull"), None);
    }
}
