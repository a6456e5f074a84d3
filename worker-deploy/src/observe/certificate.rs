//! The certificates that a server's edge shows for the domains of its live deployments, and whether the domains lead there.
//!
//! Invariants: a certificate is only read and judged: nothing is sent to whoever shows it; when it cannot be read, its times
//! stay as they were known. Absent: what follows from it ([`shared::domain::observed`]).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use shared::{
    domain::{DomainName, observed::Certificate},
    ssh::resolve,
    store::servers::Server,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{settings::Settings, steps};

const HTTPS: u16 = 443;
const ONE_TRY: Duration = Duration::from_secs(5);
/// Between two readings of the same one, as long as nothing is wrong with it.
const AGAIN_MS: i64 = 3600 * 1000;
/// How many are read at once, and in one look.
const AT_ONCE: usize = 4;
const MOST: usize = 20;
/// The most characters of an issuer's name and of a reason that are kept.
const WORDS: usize = 300;

/// The certificates of these domains: those known from before, and anew those that were not read for an hour or were not
/// good.
pub async fn of(
    server: &Server,
    settings: &Settings,
    domains: Vec<DomainName>,
    before: Vec<Certificate>,
    now: i64,
) -> Vec<Certificate> {
    let (due, mut kept) = choose(domains, &before, now);
    if !due.is_empty() {
        let host = server.address.as_deref().unwrap_or_default();
        let address = resolve(host, HTTPS, server.reach(settings.dev_mode)).await.map_err(|e| e.to_string());
        let roots = roots(settings.verify_ca.as_deref());
        let read = |domain: DomainName| {
            let known = before.iter().find(|known| known.domain == domain.as_str()).cloned();
            let look = look(server, settings, (address.clone(), roots.clone()), domain, now);
            async move { look.await.or_times_of(known.as_ref()) }
        };
        kept.extend(stream::iter(due).map(read).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    }
    kept.sort_by(|a, b| a.domain.cmp(&b.domain));
    kept
}

/// Which are read now, those first that were not read for the longest time, and what is known of the others.
fn choose(domains: Vec<DomainName>, before: &[Certificate], now: i64) -> (Vec<DomainName>, Vec<Certificate>) {
    let known = |domain: &DomainName| before.iter().find(|known| known.domain == domain.as_str());
    let fresh = |known: &Certificate| known.is_good() && now - known.checked_at < AGAIN_MS;
    let (mut due, mut rest): (Vec<_>, Vec<_>) =
        domains.into_iter().partition(|domain| !known(domain).is_some_and(fresh));
    due.sort_by_key(|domain| known(domain).map_or(i64::MIN, |known| known.checked_at));
    rest.extend(due.drain(MOST.min(due.len())..));
    (due, rest.iter().filter_map(known).cloned().collect())
}

async fn look(
    server: &Server,
    settings: &Settings,
    (address, roots): (Result<SocketAddr, String>, Result<Arc<Verifier>, String>),
    domain: DomainName,
    now: i64,
) -> Certificate {
    let read = async { timeout(ONE_TRY, read(address?, roots?, &domain)).await.map_err(|_| "no answer in time")? };
    let (shown, dns) = tokio::join!(read, wrong_name(server, settings, &domain));
    let (shown, error) = match shown {
        Ok(shown) => (Some(shown), None),
        Err(e) => (None, Some(short(&e))),
    };
    Certificate {
        domain: domain.to_string(),
        checked_at: now,
        not_before: shown.as_ref().map(|shown| shown.not_before),
        not_after: shown.as_ref().map(|shown| shown.not_after),
        issuer: shown.as_ref().map(|shown| shown.issuer.clone()),
        refused: shown.and_then(|shown| shown.refused),
        dns,
        error,
    }
}

/// What is wrong with the domain's addresses, if names are looked up here and something is.
async fn wrong_name(server: &Server, settings: &Settings, domain: &DomainName) -> Option<String> {
    if settings.lookup.limit.is_zero() {
        return None;
    }
    let found = steps::leads_here(server, domain.as_str(), settings.lookup).await.ok()?;
    found.err().map(|wrong| short(&wrong))
}

/// A certificate that was read.
struct Shown {
    /// Unix milliseconds.
    not_before: i64,
    not_after: i64,
    issuer: String,
    /// Why a visitor would not take it.
    refused: Option<String>,
}

/// What is shown first in a handshake for the domain.
async fn read(address: SocketAddr, roots: Arc<Verifier>, domain: &DomainName) -> Result<Shown, String> {
    let name = ServerName::try_from(domain.to_string()).map_err(|e| e.to_string())?;
    let judge = Arc::new(Judge { roots, refused: Mutex::default() });
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let stream = connector(judge.clone())?.connect(name, stream).await.map_err(|e| e.to_string())?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let leaf = shown.ok_or_else(|| "no certificate is shown".to_owned())?;
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|e| e.to_string())?;
    let validity = certificate.validity();
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    let refused = judge.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(Shown {
        not_before: ms(validity.not_before.timestamp()),
        not_after: ms(validity.not_after.timestamp()),
        issuer: short(&certificate.issuer().to_string()),
        refused,
    })
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

/// The public roots and ours, as the switch of a deployment trusts them.
fn roots(verify_ca: Option<&[u8]>) -> Result<Arc<Verifier>, String> {
    let ours = CertificateDer::pem_slice_iter(verify_ca.unwrap_or_default()).collect::<Result<Vec<_>, _>>();
    let ours = ours.map_err(|e| e.to_string())?;
    let verifier = Verifier::new_with_extra_roots(ours, Arc::new(ring::default_provider()));
    verifier.map(Arc::new).map_err(|e| e.to_string())
}

fn connector(judge: Arc<Judge>) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(judge)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes any certificate, since an expired one has to be read too, and notes what a visitor would say of it.
#[derive(Debug)]
struct Judge {
    roots: Arc<Verifier>,
    refused: Mutex<Option<String>>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.roots.verify_server_cert(leaf, chain, name, ocsp, now);
        let refused = judged.err().map(|e| short(&e.to_string()));
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.roots.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.roots.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(domain: &str, checked_at: i64, refused: Option<&str>) -> Certificate {
        let domain = domain.to_owned();
        let refused = refused.map(str::to_owned);
        Certificate { domain, checked_at, refused, ..Certificate::default() }
    }

    #[test]
    fn what_is_not_good_is_read_again_soon() {
        let names = |text: &[&str]| text.iter().map(|n| n.parse().expect("a domain")).collect::<Vec<DomainName>>();
        let before = vec![known("good.test", 1000, None), known("bad.test", 1000, Some("unknown issuer"))];
        let (due, kept) = choose(names(&["bad.test", "good.test", "new.test"]), &before, 61_000);
        assert_eq!((due, kept), (names(&["new.test", "bad.test"]), vec![before[0].clone()]));
        let (due, kept) = choose(names(&["good.test"]), &before, 1000 + AGAIN_MS);
        assert_eq!((due, kept), (names(&["good.test"]), vec![]));
    }

    #[test]
    fn nobody_keeps_the_others_from_being_read() {
        let all: Vec<DomainName> = (0..30).map(|n| format!("n{n:02}.test").parse().expect("a domain")).collect();
        let before: Vec<_> = all.iter().take(MOST).map(|d| known(d.as_str(), 1000, Some("bad"))).collect();
        let (due, kept) = choose(all.clone(), &before, 2000);
        assert_eq!((due.len(), kept.len()), (MOST, 10));
        assert!(all[MOST..].iter().all(|domain| due.contains(domain)), "those that were never read come first");
    }
}
