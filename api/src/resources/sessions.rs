//! Sign-up, login, refresh, logout, and who one is.

use std::net::IpAddr;

use poem::{Request, http::StatusCode};
use poem_openapi::{Object, OpenApi, payload::Json, types::Password};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use shared::{
    domain::{ClientId, EmailAddress, UserId},
    store::{clients, sessions, users},
};
use uuid::Uuid;

use super::names::display_name;
use crate::{
    app::{App, Here},
    auth::{self, Actor, MAX_BYTES, MIN_CHARS, Operator, PasswordError, Reader, Scope, Tokens},
    config::Signups,
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    origin,
    problem::Problem,
    typed::Typed,
};

pub struct Sessions;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Signup {
    /// The name of the business.
    client_name: String,
    email: Typed<EmailAddress>,
    /// At least 12 characters.
    password: Password,
}

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Login {
    email: Typed<EmailAddress>,
    password: Password,
}

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

/// A new client with its owner, logged in.
#[derive(Object)]
struct SignedUp {
    client_id: String,
    user_id: String,
    tokens: Tokens,
}

/// Who calls.
#[derive(Object)]
struct Me {
    client_id: String,
    client_name: String,
    /// Absent for an API key.
    #[oai(skip_serializing_if_is_none)]
    user_id: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    email: Option<String>,
    scopes: Vec<Scope>,
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Sessions")]
impl Sessions {
    /// Sign a client up
    ///
    /// Makes a client and its owner, and logs the owner in. Where sign-ups are closed, only with the operators' bearer.
    #[oai(path = "/signup", method = "post", operation_id = "sign_up")]
    async fn sign_up(
        &self,
        app: Here,
        request: &Request,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<Signup>,
    ) -> Result<Created<SignedUp>, Problem> {
        app.logins_by_network.attempt(&origin::of(&app, request).to_string()).map_err(Problem::too_many)?;
        check_open(&app, request)?;
        let Signup { client_name, email: Typed(email), password } = body.0;
        let (name, email) = (display_name(&client_name)?, folded(&email)?);
        let password_hash = hash(&app, check_length(password.0)?).await?;
        let mut once = match begin(&app, keys_of(&email), once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let created_at = app.db.now_ms();
        let client = clients::Client { id: ClientId::new(), name, created_at };
        clients::insert(&mut once.tx, &client).await?;
        let user = users::User {
            id: UserId::new(),
            client: client.id,
            email,
            password_hash,
            role: "owner".into(),
            token_version: 0,
            created_at,
        };
        users::insert(&mut once.tx, &user).await.map_err(|e| match e.is_unique_violation() {
            true => Problem::conflict("email_taken", "Somebody signed up with this e-mail address."),
            false => e.into(),
        })?;
        let tokens = auth::open(&app, &mut once.tx, &user).await?;
        let made = SignedUp { client_id: client.id.to_string(), user_id: user.id.to_string(), tokens };
        once.finish(&app, "/v1/me".to_owned(), made).await
    }

    /// Log in
    #[oai(path = "/login", method = "post", operation_id = "log_in")]
    async fn log_in(&self, app: Here, request: &Request, body: Json<Login>) -> Result<Json<Tokens>, Problem> {
        let email = folded(&body.0.email.0)?;
        limit_logins(&app, origin::of(&app, request), &email)?;
        let user = users::find_by_email(&app.db, &email).await?;
        let stored = user.as_ref().map(|user| user.password_hash.clone());
        let right = app.passwords.verify(SecretString::from(body.0.password.0), stored).await.map_err(unhashed)?;
        let user = user.filter(|_| right);
        let user =
            user.ok_or_else(|| Problem::unauthorized("wrong_credentials", "E-mail address or password is wrong."))?;
        let mut tx = app.db.begin().await?;
        let tokens = auth::open(&app, &mut tx, &user).await?;
        tx.commit().await?;
        Ok(Json(tokens))
    }

    /// Get the next tokens
    ///
    /// A refresh token works once; using one again ends the login.
    #[oai(path = "/token/refresh", method = "post", operation_id = "refresh_token")]
    async fn refresh(&self, app: Here, request: &Request, body: Json<Refresh>) -> Result<Json<Tokens>, Problem> {
        app.refreshes_by_network.attempt(&origin::of(&app, request).to_string()).map_err(Problem::too_many)?;
        Ok(Json(auth::refresh(&app, &body.0.refresh_token).await?))
    }

    /// Log out
    ///
    /// Ends this login: its access and refresh tokens are refused from now on. An API key is not affected.
    #[oai(path = "/logout", method = "post", operation_id = "log_out")]
    async fn log_out(&self, caller: Reader, app: Here) -> Result<Json<Me>, Problem> {
        let me = me(&app, &caller).await?;
        if let Actor::User { family, .. } = caller.actor {
            let mut tx = app.db.begin().await?;
            sessions::revoke_family(&mut tx, app.db.now_ms(), caller.client, family).await?;
            tx.commit().await?;
        }
        Ok(Json(me))
    }

    /// Show who calls
    ///
    /// Needs scope `read`.
    #[oai(path = "/me", method = "get", operation_id = "get_me")]
    async fn get_me(&self, caller: Reader, app: Here) -> Result<Json<Me>, Problem> {
        Ok(Json(me(&app, &caller).await?))
    }
}

async fn me(app: &App, caller: &Reader) -> Result<Me, Problem> {
    let client = clients::get(&app.db, caller.client).await?.ok_or_else(|| Problem::not_found("client"))?;
    let user = match caller.actor {
        Actor::User { id, .. } => users::get(&app.db, caller.client, id).await?,
        Actor::Key { .. } => None,
    };
    Ok(Me {
        client_id: client.id.to_string(),
        client_name: client.name,
        user_id: user.as_ref().map(|user| user.id.to_string()),
        email: user.map(|user| user.email.to_string()),
        scopes: caller.scopes.list(),
    })
}

/// One address is one account, however it is capitalised.
fn folded(email: &EmailAddress) -> Result<EmailAddress, Problem> {
    Ok(email.as_str().to_ascii_lowercase().parse()?)
}

fn check_length(password: String) -> Result<SecretString, Problem> {
    if password.chars().count() < MIN_CHARS || password.len() > MAX_BYTES {
        let detail = format!("A password has at least {MIN_CHARS} characters and at most {MAX_BYTES} bytes.");
        return Err(Problem::invalid("weak_password", detail));
    }
    Ok(password.into())
}

async fn hash(app: &App, password: SecretString) -> Result<String, Problem> {
    app.passwords.hash(password).await.map_err(unhashed)
}

fn unhashed(error: PasswordError) -> Problem {
    tracing::error!(%error, "a password is not hashed");
    match error {
        PasswordError::Busy => {
            let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Try again soon.");
            Problem { retry_after: Some(2), ..busy }
        }
        PasswordError::Failed(_) => Problem::internal(),
    }
}

/// A guess counts for the network, for the account as that network sees it, and for the account as such.
fn limit_logins(app: &App, from: IpAddr, email: &EmailAddress) -> Result<(), Problem> {
    app.logins_by_network.attempt(&from.to_string()).map_err(Problem::too_many)?;
    app.logins_by_account.attempt(&format!("{from} {email}")).map_err(Problem::too_many)?;
    app.logins_to_account.attempt(email.as_str()).map_err(Problem::too_many)
}

/// Where sign-ups are closed, operators sign clients up.
fn check_open(app: &App, request: &Request) -> Result<(), Problem> {
    if app.config.signup == Signups::Open || Operator::check(request).is_ok() {
        return Ok(());
    }
    let detail = "Nobody signs up here by themselves. Ask those who run the installation.";
    Err(Problem::new(StatusCode::FORBIDDEN, "signup_closed", detail))
}

/// Whose Idempotency-Keys a sign-up's is one of: there is no client yet, and one person's keys are not another's.
fn keys_of(email: &EmailAddress) -> ClientId {
    let hash = Sha256::digest(email.as_str());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    ClientId(Uuid::from_bytes(bytes))
}
