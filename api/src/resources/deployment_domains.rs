//! The domains of a deployment: the record that each needs, and how its certificate stands.
//!
//! Invariant: a certificate is called what a worker's last look saw, with the time of that look; nothing is looked at
//! because somebody asks.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use shared::{
    domain::{
        DeploymentId, DomainName,
        observed::{Certificate, CertificateState, standing},
        status::DeploymentStatus,
    },
    names,
    store::{
        deployments::{self, Deployment},
        domain_proofs as proofs,
        domains::{self, Holder},
        observations, servers,
    },
};

use super::deployments::DomainRecordView;
use crate::{
    app::{App, Here},
    auth::Reader,
    openapi::Tag,
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

pub struct DeploymentDomains;

/// The domains of a deployment.
#[derive(Object)]
#[oai(rename = "DeploymentDomains")]
struct DomainsView {
    items: Vec<DeploymentDomainView>,
}

/// A domain of a deployment.
#[derive(Object)]
#[oai(rename = "DeploymentDomain")]
struct DeploymentDomainView {
    domain: Typed<DomainName>,
    /// Where its visitors are sent.
    #[oai(skip_serializing_if_is_none)]
    redirect_to: Option<Typed<DomainName>>,
    /// Whether the client has proved that it controls the domain.
    proved: bool,
    /// Whether the domain is the app's on this server. It is not once another app, server or client has it.
    held: bool,
    /// The record that leads it to the server, while it is held and the server has an address.
    #[oai(skip_serializing_if_is_none)]
    dns: Option<DomainRecordView>,
    certificate: CertificateStandingView,
}

/// How a domain's certificate stands, as it was last seen.
#[derive(Object)]
#[oai(rename = "DomainCertificate")]
struct CertificateStandingView {
    state: Word<CertificateState>,
    /// Why there is none that a visitor would take.
    #[oai(skip_serializing_if_is_none)]
    reason: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    issuer: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    not_before: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    not_after: Option<Moment>,
    /// Why the domain does not lead to the server, when it was looked up and does not.
    #[oai(skip_serializing_if_is_none)]
    dns_error: Option<String>,
    /// When it was last looked at: every hour, and every minute while something is wrong.
    #[oai(skip_serializing_if_is_none)]
    checked_at: Option<Moment>,
}

impl CertificateStandingView {
    fn of(seen: Option<&Certificate>, live_since: Option<i64>, now: i64) -> Self {
        let (state, reason) = standing(seen, live_since, now);
        Self {
            state: Word(state),
            reason,
            issuer: seen.and_then(|seen| seen.issuer.clone()),
            not_before: seen.and_then(|seen| seen.not_before).map(Moment),
            not_after: seen.and_then(|seen| seen.not_after).map(Moment),
            dns_error: seen.and_then(|seen| seen.dns.clone()),
            checked_at: seen.map(|seen| Moment(seen.checked_at)),
        }
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl DeploymentDomains {
    /// List a deployment's domains
    ///
    /// With the record that each needs and how its certificate stands, as a worker has last seen it. Needs scope `read`.
    #[oai(path = "/deployments/:deployment_id/domains", method = "get", operation_id = "list_deployment_domains")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
    ) -> Result<Json<DomainsView>, Problem> {
        let found = deployments::get(&app.db, caller.client, deployment_id.0.0).await?;
        let deployment = found.ok_or_else(|| Problem::not_found("deployment"))?;
        let seen = observations::get(&app.db, caller.client, deployment.server).await?;
        let certificates = seen.and_then(|seen| seen.facts).map(|facts| facts.certificates).unwrap_or_default();
        let server = servers::get(&app.db, caller.client, deployment.server).await?;
        let address = server.filter(|s| s.delete_requested_at.is_none()).and_then(|s| s.address);
        let plan = deployment.plan()?;
        let own = plan.domains.iter().map(|domain| (domain, None));
        let all = own.chain(plan.redirects.iter().map(|redirect| (&redirect.from, Some(&redirect.to))));
        let mut items = Vec::new();
        for (domain, to) in all {
            let certificate = certificates.iter().find(|seen| seen.domain == domain.as_str());
            let one = show(&app, &deployment, domain, address.as_deref(), certificate).await?;
            items.push(DeploymentDomainView { redirect_to: to.cloned().map(Typed), ..one });
        }
        Ok(Json(DomainsView { items }))
    }
}

async fn show(
    app: &App,
    of: &Deployment,
    domain: &DomainName,
    address: Option<&str>,
    seen: Option<&Certificate>,
) -> Result<DeploymentDomainView, Problem> {
    let holder = Holder { client: of.client, app: of.app, server: of.server };
    let held = domains::holder(&app.db, domain).await? == Some(holder);
    let dns = match address.filter(|_| held) {
        Some(address) => Some(names::guide(&app.db, of.client, domain.as_str(), address).await?.into()),
        None => None,
    };
    let proof = proofs::of_name(&app.db, domain).await?;
    let live_since = of.deployed_at.filter(|_| of.status == DeploymentStatus::Live);
    Ok(DeploymentDomainView {
        domain: Typed(domain.clone()),
        redirect_to: None,
        proved: proof.is_some_and(|proof| proof.client == of.client),
        held,
        dns,
        certificate: CertificateStandingView::of(seen, live_since, app.db.now_ms()),
    })
}
