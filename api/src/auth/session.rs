//! Logins: an access token and the refresh token that follows it.
//!
//! Invariant: a refresh token works once. When one comes a second time two parties hold it, so the whole login ends.

use poem_openapi::Object;
use shared::{
    domain::{ClientId, UserId},
    secrets::{random_token, token_hash},
    store::{
        Tx, sessions,
        users::{self, User},
    },
};
use uuid::Uuid;

use super::{ACCESS_SECONDS, REFRESH_PREFIX};
use crate::{app::App, problem::Problem};

const REFRESH_MS: i64 = 30 * 24 * 3600 * 1000;

/// What a login gives.
#[derive(Object)]
pub struct Tokens {
    /// The bearer of requests.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// How long the access token is good, in seconds.
    pub expires_in: i64,
    /// Good for one `POST /v1/token/refresh`.
    pub refresh_token: String,
}

/// Begins a login.
pub async fn open(app: &App, tx: &mut Tx, user: &User) -> Result<Tokens, Problem> {
    issue(app, tx, user.id, user.client, user.token_version, Uuid::now_v7()).await
}

/// Continues a login: uses up a refresh token and gives the next one.
pub async fn refresh(app: &App, token: &str) -> Result<Tokens, Problem> {
    let refused = || Problem::unauthorized("invalid_refresh_token", "The refresh token is not valid. Log in again.");
    let (now, hash) = (app.db.now_ms(), token_hash(token));
    // Looked up first, so that whoever sends rubbish does not take the lock of writers.
    let known = sessions::find(&app.db, &hash).await?.ok_or_else(refused)?;
    let mut tx = app.db.begin().await?;
    if !sessions::rotate(&mut tx, now, known.id).await? {
        // Read again: somebody else may have used it since.
        let known = sessions::find(&mut tx, &hash).await?.ok_or_else(refused)?;
        if known.rotated_at.is_some() {
            sessions::revoke_family(&mut tx, now, known.client, known.family).await?;
            tx.commit().await?;
            tracing::warn!(client = %known.client, user = %known.user, "a refresh token was used twice; its login is ended");
        }
        return Err(refused());
    }
    let user = users::get(&mut tx, known.client, known.user).await?.ok_or_else(refused)?;
    let tokens = issue(app, &mut tx, user.id, user.client, user.token_version, known.family).await?;
    tx.commit().await?;
    Ok(tokens)
}

async fn issue(
    app: &App,
    tx: &mut Tx,
    user: UserId,
    client: ClientId,
    version: i64,
    family: Uuid,
) -> Result<Tokens, Problem> {
    let now = app.db.now_ms();
    let refresh_token = format!("{REFRESH_PREFIX}{}", random_token());
    let row = sessions::RefreshToken {
        id: Uuid::now_v7(),
        family,
        user,
        client,
        token_hash: token_hash(&refresh_token),
        created_at: now,
        expires_at: now + REFRESH_MS,
        rotated_at: None,
        revoked_at: None,
    };
    sessions::insert(tx, &row).await?;
    let access_token = app.access.issue(user, client, family, version, now).map_err(|_| Problem::internal())?;
    Ok(Tokens { access_token, token_type: "Bearer".into(), expires_in: ACCESS_SECONDS, refresh_token })
}
