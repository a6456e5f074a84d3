//! Names that a client proves to control.
//!
//! Invariant: a name's token is made here once, for one client. Absent: looking ([`crate::proofs`]), and what a proved
//! name is good for ([`super::claims`]).

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{DomainId, DomainName, DomainPattern, proof},
    queue::{NewJob, enqueue},
    secrets,
    store::{
        DbError,
        domain_proofs::{self as proofs, Proof, ProofMethod, ProofState},
    },
};

use super::{Gone, releases::one_name};
use crate::{
    app::Here,
    auth::{Admin, Deployer, Reader},
    idempotency::{Accepted, Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct Domains;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewDomain {
    /// Without a wildcard.
    name: Typed<DomainPattern>,
}

/// A name that a client proves to control.
#[derive(Object)]
#[oai(rename = "Domain")]
struct DomainView {
    id: Typed<DomainId>,
    name: Typed<DomainName>,
    state: Word<ProofState>,
    /// How it was proved.
    #[oai(skip_serializing_if_is_none)]
    method: Option<Word<ProofMethod>>,
    /// Proves the name and all names below it.
    dns: ChallengeRecordView,
    /// Proves the name alone.
    http: ChallengeFileView,
    /// While a check is waited for.
    #[oai(skip_serializing_if_is_none)]
    check_requested_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    checked_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    proved_at: Option<Moment>,
    /// Why the last check did not find the proof. A name that was proved before stays so.
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    created_at: Moment,
    updated_at: Moment,
}

/// A record that proves a name.
#[derive(Object)]
#[oai(rename = "ChallengeRecord")]
struct ChallengeRecordView {
    name: String,
    /// Always `TXT`.
    #[oai(rename = "type")]
    kind: String,
    value: String,
}

/// A file that proves a name. It is asked for at a public address; redirects are not followed.
#[derive(Object)]
#[oai(rename = "ChallengeFile")]
struct ChallengeFileView {
    url: String,
    /// All that it says.
    body: String,
}

fn view(found: Proof) -> DomainView {
    let value = proof::value(&found.token);
    let record = proof::record_name(&found.name);
    let url = format!("http://{}{}", found.name, proof::path(&found.token));
    DomainView {
        id: Typed(found.id),
        name: Typed(found.name),
        state: Word(found.state),
        method: found.method.map(Word),
        dns: ChallengeRecordView { name: record, kind: "TXT".to_owned(), value: value.clone() },
        http: ChallengeFileView { url, body: value },
        check_requested_at: found.check_requested_at.map(Moment),
        checked_at: found.checked_at.map(Moment),
        proved_at: found.proved_at.map(Moment),
        error_code: found.error_code,
        error_message: found.error_message,
        created_at: Moment(found.created_at),
        updated_at: Moment(found.updated_at),
    }
}

fn missing() -> Problem {
    Problem::not_found("domain")
}

fn taken(error: DbError) -> Problem {
    match error.is_unique_violation() {
        true => Problem::conflict("domain_exists", "You have this domain already."),
        false => error.into(),
    }
}

fn location(id: DomainId) -> String {
    format!("/v1/domains/{id}")
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Domains")]
impl Domains {
    /// Add a domain to prove
    ///
    /// The answer says what has to stand where. Once it does, ask for a check. Several clients may add the same name; one
    /// at most proves it. Needs scope `deploy`.
    #[oai(path = "/domains", method = "post", operation_id = "create_domain")]
    async fn create(
        &self,
        caller: Deployer,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewDomain>,
    ) -> Result<Created<DomainView>, Problem> {
        let (id, client, name) = (DomainId::new(), caller.client, one_name(&body.0.name.0)?);
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let token = secrets::random_token();
        proofs::insert(&mut once.tx, &app.db, (client, id), &name, &token).await.map_err(taken)?;
        quotas::check(&app, &mut once.tx, client, Counted::Domains).await?;
        let made = proofs::get(&mut once.tx, client, id).await?.ok_or_else(Problem::internal)?;
        once.finish(&app, location(id), view(made)).await
    }

    /// List domains
    ///
    /// Needs scope `read`.
    #[oai(path = "/domains", method = "get", operation_id = "list_domains")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<DomainId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<DomainView>>, Problem> {
        let rows = proofs::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |domain| domain.id.to_string(), view)))
    }

    /// Show a domain
    ///
    /// Needs scope `read`.
    #[oai(path = "/domains/:domain_id", method = "get", operation_id = "get_domain")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        domain_id: Path<Typed<DomainId>>,
    ) -> Result<Json<DomainView>, Problem> {
        let found = proofs::get(&app.db, caller.client, domain_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }

    /// Forget a domain and its proof
    ///
    /// Deployments go on. The name is anybody's to prove. Needs scope `admin`.
    #[oai(path = "/domains/:domain_id", method = "delete", operation_id = "delete_domain")]
    async fn delete(&self, caller: Admin, app: Here, domain_id: Path<Typed<DomainId>>) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        let deleted = proofs::delete(&mut tx, caller.client, domain_id.0.0).await?;
        tx.commit().await?;
        if deleted { Ok(Gone::Gone) } else { Err(missing()) }
    }

    /// Check a domain
    ///
    /// Looks once for the record and the file, in a job: `check_requested_at` stands until it has. A check that finds
    /// neither takes no proof away. Needs scope `deploy`.
    #[oai(path = "/domains/:domain_id/verify", method = "post", operation_id = "verify_domain")]
    async fn verify(
        &self,
        caller: Deployer,
        app: Here,
        domain_id: Path<Typed<DomainId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Accepted<DomainView>, Problem> {
        let (id, client) = (domain_id.0.0, caller.client);
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        if !proofs::request_check(&mut once.tx, &app.db, client, id).await? {
            return Err(missing());
        }
        enqueue(&mut once.tx, &app.db, &NewJob::prove(client, id)).await?;
        quotas::check(&app, &mut once.tx, client, Counted::QueuedJobs).await?;
        let asked = proofs::get(&mut once.tx, client, id).await?.ok_or_else(missing)?;
        once.finish(&app, location(id), view(asked)).await
    }
}
