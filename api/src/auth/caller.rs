//! The extractors of operations: each checks the bearer and the scope that the operation needs.
//!
//! Invariant: no extractor gives a caller without asking the database whether the session or key is still good.

use std::{ops::Deref, sync::Arc, time::Duration};

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, Enum, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};
use secrecy::ExposeSecret;
use shared::{
    domain::{ApiKeyId, ClientId, UserId},
    secrets::token_hash,
    store::{api_keys, sessions, users},
};
use uuid::Uuid;

use super::KEY_PREFIX;
use crate::{app::App, problem::Problem};

const NOTE_WAIT: Duration = Duration::from_millis(500);

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum Scope {
    /// Look at everything but secrets. Part of every other scope.
    Read,
    /// Start and cancel builds.
    Build,
    /// Customers, servers and deployments.
    Deploy,
    /// Everything, also apps, their environment and keys.
    Admin,
}

const ALL: [Scope; 4] = [Scope::Read, Scope::Build, Scope::Deploy, Scope::Admin];

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

/// A set of scopes, kept as their names separated by commas.
#[derive(Clone, Debug)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Each once, in one order.
    pub fn of(scopes: Vec<Scope>) -> Self {
        Self(ALL.into_iter().filter(|scope| scopes.contains(scope)).collect())
    }

    pub fn parse(text: &str) -> Self {
        Self(ALL.into_iter().filter(|scope| text.split(',').any(|name| name == scope.as_str())).collect())
    }

    pub fn allow(&self, needed: Scope) -> bool {
        !self.0.is_empty() && (needed == Scope::Read || self.0.iter().any(|s| *s == needed || *s == Scope::Admin))
    }

    pub fn list(&self) -> Vec<Scope> {
        self.0.clone()
    }

    pub fn to_text(&self) -> String {
        self.0.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// Who calls, for which client.
#[derive(Clone, Debug)]
pub struct Caller {
    pub client: ClientId,
    pub scopes: Scopes,
    pub actor: Actor,
}

#[derive(Clone, Copy, Debug)]
pub enum Actor {
    User { id: UserId, family: Uuid, version: i64 },
    Key { id: ApiKeyId, expires_at: Option<i64> },
}

impl Caller {
    /// Whether the session or key is still good, for what goes on after the request was let in.
    pub async fn is_still_good(&self, app: &App) -> Result<bool, Problem> {
        match self.actor {
            Actor::Key { id, .. } => Ok(api_keys::is_valid(&app.db, app.db.now_ms(), self.client, id).await?),
            Actor::User { id, family, version } => Ok(user(app, self.client, id, family, version).await?.is_some()),
        }
    }
}

fn refused() -> Problem {
    Problem::unauthorized("unauthorized", "A valid access token or API key is needed as bearer.")
}

fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ").map(str::trim).filter(|token| !token.is_empty())
}

fn app(request: &Request) -> Result<&Arc<App>, Problem> {
    request.data::<Arc<App>>().ok_or_else(Problem::internal)
}

async fn identify(request: &Request, needed: Scope) -> Result<Caller, Problem> {
    let app = app(request)?;
    let token = bearer(request).ok_or_else(refused)?;
    let caller = match token.starts_with(KEY_PREFIX) {
        true => by_key(app, token).await?,
        false => by_session(app, token).await?,
    };
    if !caller.scopes.allow(needed) {
        let detail = format!("This needs the scope {}.", needed.as_str());
        return Err(Problem::new(poem::http::StatusCode::FORBIDDEN, "missing_scope", detail));
    }
    Ok(caller)
}

async fn by_key(app: &App, token: &str) -> Result<Caller, Problem> {
    let now = app.db.now_ms();
    let key = api_keys::find_valid(&app.db, now, &token_hash(token)).await?.ok_or_else(refused)?;
    if key.last_used_at.is_none_or(|at| at < now - 60_000) {
        note_use(app, now, key.id).await;
    }
    let actor = Actor::Key { id: key.id, expires_at: key.expires_at };
    Ok(Caller { client: key.client, scopes: Scopes::parse(&key.scopes), actor })
}

/// Only a note: who reads does not wait for, or fail with, a database that others write to. One at a time, so that notes
/// that wait for a locked database do not hold all its connections.
async fn note_use(app: &App, now: i64, id: ApiKeyId) {
    let Ok(turn) = app.key_notes.clone().try_acquire_owned() else { return };
    let db = app.db.clone();
    let note = tokio::spawn(async move {
        if let Err(error) = api_keys::touch(&db, now, id).await {
            tracing::warn!(error = &error as &dyn std::error::Error, key = %id, "the use of a key is not noted");
        }
        drop(turn);
    });
    let _ = tokio::time::timeout(NOTE_WAIT, note).await;
}

async fn by_session(app: &App, token: &str) -> Result<Caller, Problem> {
    let claims = app.access.read(token, app.db.now_ms()).ok_or_else(refused)?;
    let found = user(app, claims.client, claims.sub, claims.family, claims.ver).await?;
    let user = found.ok_or_else(refused)?;
    let actor = Actor::User { id: user.id, family: claims.family, version: claims.ver };
    Ok(Caller { client: user.client, scopes: Scopes::of(vec![Scope::Admin]), actor })
}

/// The user of a session that was not ended.
async fn user(
    app: &App,
    client: ClientId,
    id: UserId,
    family: Uuid,
    version: i64,
) -> Result<Option<users::User>, Problem> {
    let user = users::get(&app.db, client, id).await?.filter(|user| user.token_version == version);
    Ok(if sessions::is_alive(&app.db, client, family).await? { user } else { None })
}

/// Whether the request carries the operators' bearer. Hashes are compared, so the time tells nothing about the token.
fn check_operator(request: &Request) -> Result<(), Problem> {
    let expected = app(request)?.config.operator_token.as_ref().ok_or_else(refused)?;
    let given = bearer(request).ok_or_else(refused)?;
    match token_hash(given) == token_hash(expected.expose_secret()) {
        true => Ok(()),
        false => Err(refused()),
    }
}

fn bearer_scheme(description: &'static str) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "http",
        description: Some(description),
        name: None,
        key_in: None,
        scheme: Some("bearer"),
        bearer_format: None,
        flows: None,
        openid_connect_url: None,
    }
}

macro_rules! extractors {
    ($($(#[$doc:meta])* $name:ident => $scope:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name(pub Caller);

        impl Deref for $name {
            type Target = Caller;

            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                let about = "The access token of a login, or an API key.";
                registry.create_security_scheme("client", bearer_scheme(about));
            }

            fn security_schemes() -> Vec<&'static str> {
                vec!["client"]
            }

            async fn from_request(
                request: &'a Request,
                _body: &mut RequestBody,
                _options: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                Ok(Self(identify(request, $scope).await?))
            }
        }
    )*};
}

extractors! {
    /// A caller who may look.
    Reader => Scope::Read;
    /// A caller who may build.
    Builder => Scope::Build;
    /// A caller who may deploy.
    Deployer => Scope::Deploy;
    /// A caller who may do everything.
    Admin => Scope::Admin;
}

/// Somebody who runs this installation.
pub struct Operator;

impl Operator {
    /// For endpoints outside the document.
    pub fn check(request: &Request) -> Result<Self, Problem> {
        check_operator(request).map(|()| Self)
    }
}

impl<'a> ApiExtractor<'a> for Operator {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme("operator", bearer_scheme("The token of those who run the installation."));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["operator"]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(check_operator(request).map(|()| Self)?)
    }
}
