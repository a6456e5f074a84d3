//! Findings: what stands in an account at a cloud and should not, or should stand there and does not.

use poem_openapi::{Object, OpenApi, param::Query, payload::Json};
use shared::{
    domain::{AccountId, FindingId, ServerId, cloud::decimal},
    store::findings::{self, Finding, Verdict},
};

use crate::{
    app::Here,
    auth::Reader,
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

pub struct Findings;

/// Something that a look into an account found.
#[derive(Object)]
#[oai(rename = "Finding")]
struct FindingView {
    id: Typed<FindingId>,
    verdict: Word<Verdict>,
    /// The account in which it stands, or should.
    account_id: Typed<AccountId>,
    /// The region in which it stands, or should.
    region: String,
    /// What the cloud calls the machine.
    remote_id: String,
    /// The machine's name at the cloud.
    name: String,
    /// The server whose machine it is, was, or says to be.
    #[oai(skip_serializing_if_is_none)]
    server_id: Option<Typed<ServerId>>,
    /// What it costs an hour: a decimal number.
    #[oai(skip_serializing_if_is_none)]
    hourly: Option<String>,
    /// ISO 4217.
    #[oai(skip_serializing_if_is_none)]
    currency: Option<String>,
    /// When it was first found.
    first_seen_at: Moment,
    /// When it was last found.
    last_seen_at: Moment,
    /// How often it was found.
    looks: i64,
    /// When the engine asked the cloud to delete it.
    #[oai(skip_serializing_if_is_none)]
    delete_asked_at: Option<Moment>,
    /// When it was found no more.
    #[oai(skip_serializing_if_is_none)]
    ended_at: Option<Moment>,
}

fn view(finding: Finding) -> FindingView {
    let seen = finding.seen;
    let (hourly, currency) = seen.price.unzip();
    FindingView {
        id: Typed(finding.id),
        verdict: Word(seen.verdict),
        account_id: Typed(finding.account),
        region: seen.region,
        remote_id: seen.remote_id,
        name: seen.name,
        server_id: seen.server.map(Typed),
        hourly: hourly.map(decimal),
        currency,
        first_seen_at: Moment(finding.first_seen_at),
        last_seen_at: Moment(finding.last_seen_at),
        looks: finding.looks,
        delete_asked_at: finding.delete_asked_at.map(Moment),
        ended_at: finding.ended_at.map(Moment),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Clouds")]
impl Findings {
    /// List findings
    ///
    /// Machines at clouds that no server wants, or that a server wants and that are not there. With `ended=true` also those
    /// that have ended.
    ///
    /// Needs scope `read`.
    #[oai(path = "/findings", method = "get", operation_id = "list_findings")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        ended: Query<Option<bool>>,
        cursor: Query<Option<Typed<FindingId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<FindingView>>, Problem> {
        let (ended, before) = (ended.0.unwrap_or(false), cursor.0.map(|c| c.0));
        let rows = findings::list(&app.db, caller.client, ended, before, limit.rows()).await?;
        Ok(Json(limit.page(rows, |finding| finding.id.to_string(), view)))
    }
}
