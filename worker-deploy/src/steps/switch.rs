//! Seeing from outside that the release answers under its domain, with a certificate that anybody would accept.

use std::{net::SocketAddr, time::Duration};

use reqwest::{Certificate, Client, redirect::Policy};
use shared::{failure::Failure, generate::RELEASE_HEADER, ssh::resolve, store::servers::Server};
use tokio::time::{Instant, sleep};

use super::verify::good;
use crate::{release::Release, settings::Settings};

const ONE_TRY: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(100);
const HTTPS: u16 = 443;

/// Waits until the server's edge answers for the domain with this release. Getting a certificate takes some seconds.
pub async fn answers_outside(server: &Server, release: &Release, settings: &Settings) -> Result<(), Failure> {
    let address = outside_address(server, settings.dev_mode).await?;
    let until = Instant::now() + settings.limits.switch;
    loop {
        // A new client each time: a connection kept open could still lead to the previous release's certificate.
        let last = match ask(&client(release, address, settings.verify_ca.as_deref())?, release).await {
            Ok(()) => return Ok(()),
            Err(reason) => reason,
        };
        if Instant::now() >= until {
            let domain = &release.deployment.traefik_domain;
            let message = format!(
                "https://{domain} does not show this release: {last}; does {domain} point to {}?",
                address.ip()
            );
            return Err(Failure::permanent("not_reachable", message));
        }
        sleep(BETWEEN).await;
    }
}

/// One look from outside; what is wrong, in words, if something is.
pub async fn looks_well(
    server: &Server,
    release: &Release,
    settings: &Settings,
) -> Result<Result<(), String>, Failure> {
    let address = outside_address(server, settings.dev_mode).await?;
    Ok(ask(&client(release, address, settings.verify_ca.as_deref())?, release).await)
}

async fn outside_address(server: &Server, dev_mode: bool) -> Result<SocketAddr, Failure> {
    let host = server.address.as_deref().unwrap_or_default();
    Ok(resolve(host, HTTPS, server.reach(dev_mode)).await?)
}

/// A client that goes to this server whatever the DNS says, follows nothing and trusts public roots and ours.
fn client(release: &Release, address: SocketAddr, verify_ca: Option<&[u8]>) -> Result<Client, Failure> {
    let unusable =
        |e: reqwest::Error| Failure::permanent("tls_settings", format!("the outside check cannot start: {e}"));
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(ONE_TRY)
        .https_only(true)
        .resolve(&release.deployment.traefik_domain, address);
    if let Some(pem) = verify_ca {
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(unusable)?);
    }
    builder.build().map_err(unusable)
}

/// Asks for the deployment's own domain. Below it there may be no component for the whole: then the first one's path.
async fn ask(client: &Client, release: &Release) -> Result<(), String> {
    let d = &release.deployment;
    let url = format!("https://{}{}", d.traefik_domain, asked_path(release));
    let answer = client.get(url).send().await.map_err(|e| innermost(&e))?;
    let shown = answer.headers().get(RELEASE_HEADER).and_then(|v| v.to_str().ok());
    if shown != Some(d.id.to_string().as_str()) {
        return Err("the edge does not lead to it yet".to_owned());
    }
    let status = answer.status().as_u16();
    if good(status, &d.health_path) || (status < 500 && asked_path(release) != d.health_path) {
        Ok(())
    } else {
        Err(format!("it answers with status {status}"))
    }
}

/// Where the main component is asked from outside: its health path when that is among its own paths.
fn asked_path(release: &Release) -> &str {
    let health = release.deployment.health_path.as_str();
    match release.web().find(|part| part.frozen.component.path.is_none()) {
        Some(_) => health,
        None => release.web().find_map(|part| part.frozen.component.path.as_ref()).map_or(health, |path| path.as_str()),
    }
}

/// The cause that a person can use: the outermost message only says that sending failed.
fn innermost(e: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
