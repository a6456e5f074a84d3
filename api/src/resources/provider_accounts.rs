//! Provider accounts: a client's accounts at clouds, in which its servers are rented.
//!
//! Invariant: new credentials are always unchecked, and a job to check them is queued in the same transaction. Absent: the
//! check itself, and what an account offers (`catalogs`).

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{AccountId, ClientId},
    queue::cancel,
    secrets::random_token,
    store::{
        Tx,
        provider_accounts::{self as accounts, Account, AccountStatus, Changes, NewAccount},
    },
};

use super::{
    Gone,
    credentials::{
        AwsCredentials, Cloud, DigitalOceanCredentials, Given, HetznerCredentials, Login, OvhCredentials, seal,
    },
    names::display_name,
    work,
};
use crate::{
    app::{App, Here},
    auth::{Admin, Reader},
    idempotency::{Accepted, Answer, Begun, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    patch::Change,
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct ProviderAccounts;

/// An account at a cloud: its provider, and exactly the one object that has the provider's name.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewProviderAccount {
    /// A name for people.
    name: String,
    provider: Cloud,
    /// For the provider `hetzner`.
    hetzner: Option<HetznerCredentials>,
    /// For the provider `digitalocean`.
    digitalocean: Option<DigitalOceanCredentials>,
    /// For the provider `ovh`.
    ovh: Option<OvhCredentials>,
    /// For the provider `aws`.
    aws: Option<AwsCredentials>,
}

/// What is absent stays. Credentials are replaced as a whole, by others for the same provider.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct ProviderAccountChanges {
    /// A name for people.
    name: Change<String>,
    hetzner: Change<HetznerCredentials>,
    digitalocean: Change<DigitalOceanCredentials>,
    ovh: Change<OvhCredentials>,
    aws: Change<AwsCredentials>,
}

/// An account at a cloud. Its credentials stay here.
#[derive(Object)]
#[oai(rename = "ProviderAccount")]
struct ProviderAccountView {
    id: Typed<AccountId>,
    /// A name for people.
    name: String,
    provider: Cloud,
    status: Word<AccountStatus>,
    /// Whether there are credentials. An AWS account with a role has none until the role is named.
    has_credentials: bool,
    /// What the cloud calls the account or project.
    #[oai(skip_serializing_if_is_none)]
    account: Option<String>,
    /// What a role at AWS has to ask for in its trust policy.
    #[oai(skip_serializing_if_is_none)]
    external_id: Option<String>,
    /// Permissions that the credentials lack, in the cloud's own words.
    missing: Vec<String>,
    /// How many machines the cloud lets the account have, where it tells.
    #[oai(skip_serializing_if_is_none)]
    machine_limit: Option<i64>,
    /// A stable name of why the last check failed.
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    /// Why the last check failed, for people.
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    /// When the account was last looked at.
    #[oai(skip_serializing_if_is_none)]
    checked_at: Option<Moment>,
    /// When its catalog was last read.
    #[oai(skip_serializing_if_is_none)]
    catalog_at: Option<Moment>,
    created_at: Moment,
    updated_at: Moment,
}

fn view(account: Account) -> ProviderAccountView {
    ProviderAccountView {
        id: Typed(account.id),
        name: account.name,
        provider: Cloud::named(&account.provider),
        status: Word(account.status),
        has_credentials: account.credentials_sealed.is_some(),
        account: account.account,
        external_id: account.external_id,
        missing: serde_json::from_str(&account.missing).unwrap_or_default(),
        machine_limit: account.machine_limit,
        error_code: account.error_code,
        error_message: account.error_message,
        checked_at: account.checked_at.map(Moment),
        catalog_at: account.catalog_at.map(Moment),
        created_at: Moment(account.created_at),
        updated_at: Moment(account.updated_at),
    }
}

fn location(id: AccountId) -> String {
    format!("/v1/provider-accounts/{id}")
}

fn missing() -> Problem {
    Problem::not_found("provider account")
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Clouds")]
impl ProviderAccounts {
    /// Add an account at a cloud
    ///
    /// Its credentials are checked, and what it offers is read, as a job. An AWS account with a `role` is added in two
    /// steps: without `role_arn` first, which shows the `external_id` for the role's trust policy; then the ARN is set.
    ///
    /// Needs scope `admin`.
    #[oai(path = "/provider-accounts", method = "post", operation_id = "create_provider_account")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewProviderAccount>,
    ) -> Result<Accepted<ProviderAccountView>, Problem> {
        let new = new_account(&app, caller.client, body.0)?;
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        accounts::insert(tx, &app.db, &new).await?;
        if new.credentials_sealed.is_some() {
            check_soon(&app, tx, caller.client, new.id).await?;
        }
        let made = accounts::get(&mut once.tx, caller.client, new.id).await?.ok_or_else(Problem::internal)?;
        once.finish(&app, location(new.id), view(made)).await
    }

    /// List accounts at clouds
    ///
    /// Needs scope `read`.
    #[oai(path = "/provider-accounts", method = "get", operation_id = "list_provider_accounts")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<AccountId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<ProviderAccountView>>, Problem> {
        let rows = accounts::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |account| account.id.to_string(), view)))
    }

    /// Show an account at a cloud
    ///
    /// Needs scope `read`.
    #[oai(path = "/provider-accounts/:account_id", method = "get", operation_id = "get_provider_account")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        account_id: Path<Typed<AccountId>>,
    ) -> Result<Json<ProviderAccountView>, Problem> {
        let found = accounts::get(&app.db, caller.client, account_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }

    /// Change an account at a cloud
    ///
    /// New credentials are checked as a job. Needs scope `admin`.
    #[oai(path = "/provider-accounts/:account_id", method = "patch", operation_id = "update_provider_account")]
    async fn update(
        &self,
        caller: Admin,
        app: Here,
        account_id: Path<Typed<AccountId>>,
        body: Json<ProviderAccountChanges>,
    ) -> Result<Accepted<ProviderAccountView>, Problem> {
        let id = account_id.0.0;
        let mut tx = app.db.begin().await?;
        let account = held(&mut tx, caller.client, id).await?;
        change(&app, &mut tx, &account, body.0).await?;
        let account = accounts::get(&mut tx, caller.client, id).await?.ok_or_else(Problem::internal)?;
        tx.commit().await?;
        Ok(Answer::plain(location(id), view(account)))
    }

    /// Delete an account at a cloud
    ///
    /// The servers in it have to be deleted before, and their machines gone; so have the deployments whose domains have
    /// their records in it, unless the cloud does not accept the credentials any more. Needs scope `admin`.
    #[oai(path = "/provider-accounts/:account_id", method = "delete", operation_id = "delete_provider_account")]
    async fn delete(&self, caller: Admin, app: Here, account_id: Path<Typed<AccountId>>) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        let account = held(&mut tx, caller.client, account_id.0.0).await?;
        if !accounts::delete(&mut tx, &app.db, caller.client, account.id).await? {
            let detail =
                "Servers, machines or records of domains stand in the account. Delete the servers and deployments.";
            return Err(Problem::conflict("account_in_use", detail));
        }
        if let Some(job) = account.job {
            cancel(&mut tx, &app.db, job).await?;
        }
        tx.commit().await?;
        Ok(Gone::Gone)
    }

    /// Check an account at a cloud
    ///
    /// Its credentials are checked, and what it offers is read again if that was last done hours ago. While a check is under
    /// way, nothing is added.
    ///
    /// Needs scope `admin`.
    #[oai(path = "/provider-accounts/:account_id/check", method = "post", operation_id = "check_provider_account")]
    async fn check(
        &self,
        caller: Admin,
        app: Here,
        account_id: Path<Typed<AccountId>>,
    ) -> Result<Accepted<ProviderAccountView>, Problem> {
        let mut tx = app.db.begin().await?;
        let account = held(&mut tx, caller.client, account_id.0.0).await?;
        if account.credentials_sealed.is_none() {
            return Err(Problem::conflict("no_credentials", "The account has no credentials yet. Set the role's ARN."));
        }
        check_soon(&app, &mut tx, caller.client, account.id).await?;
        tx.commit().await?;
        Ok(Answer::plain(location(account.id), view(account)))
    }
}

/// The account, held until the transaction ends.
async fn held(tx: &mut Tx, client: ClientId, id: AccountId) -> Result<Account, Problem> {
    accounts::lock(tx, client, id).await?;
    accounts::get(tx, client, id).await?.ok_or_else(missing)
}

async fn check_soon(app: &App, tx: &mut Tx, client: ClientId, id: AccountId) -> Result<(), Problem> {
    work::on_account(app, tx, client, id).await?;
    quotas::check(app, tx, client, Counted::QueuedJobs).await
}

fn new_account(app: &App, client: ClientId, request: NewProviderAccount) -> Result<NewAccount, Problem> {
    let (id, cloud) = (AccountId::new(), request.provider);
    let NewProviderAccount { hetzner, digitalocean, ovh, aws, .. } = request;
    let login = Given { hetzner, digitalocean, ovh, aws }.of(cloud)?.ok_or_else(|| {
        Problem::invalid("invalid_body", format!("The provider's credentials are needed, as `{}`.", cloud.as_str()))
    })?;
    let external_id = matches!(login, Login::Role(_)).then(random_token);
    let credentials = login.complete(external_id.as_deref());
    Ok(NewAccount {
        id,
        client,
        name: display_name(&request.name)?,
        provider: cloud.as_str().into(),
        credentials_sealed: credentials.map(|c| seal(app, client, id, &c)).transpose()?,
        external_id,
    })
}

async fn change(app: &App, tx: &mut Tx, account: &Account, request: ProviderAccountChanges) -> Result<(), Problem> {
    let ProviderAccountChanges { name, hetzner, digitalocean, ovh, aws } = request;
    let given =
        Given { hetzner: hetzner.given(), digitalocean: digitalocean.given(), ovh: ovh.given(), aws: aws.given() };
    let login = given.of(Cloud::named(&account.provider))?;
    let external_id = match (&account.external_id, &login) {
        (None, Some(Login::Role(_))) => Some(random_token()),
        (known, _) => known.clone(),
    };
    let name = name.given().map(|name| display_name(&name)).transpose()?;
    let credentials = login.and_then(|login| login.complete(external_id.as_deref()));
    let sealed = credentials.map(|c| seal(app, account.client, account.id, &c)).transpose()?;
    let changes =
        Changes { name: name.as_deref(), credentials_sealed: sealed.as_deref(), external_id: external_id.as_deref() };
    accounts::change(tx, &app.db, account.client, account.id, changes).await?;
    if sealed.is_some() {
        work::on_changed_account(app, tx, account.client, account.id).await?;
        quotas::check(app, tx, account.client, Counted::QueuedJobs).await?;
    }
    Ok(())
}
