//! The certificates that a server's edge shows for the domains of its live deployments.
//!
//! Invariants: a certificate is only read: nothing is sent to whoever shows it, and nothing is trusted because of it; when it
//! cannot be read, its times stay as they were known. Absent: whether it is valid; the switch of a deployment checks that.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use shared::{
    domain::{DomainName, observed::Certificate},
    ssh::resolve,
    store::servers::Server,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

const HTTPS: u16 = 443;
const ONE_TRY: Duration = Duration::from_secs(5);
/// Between two readings of the same one.
const AGAIN_MS: i64 = 3600 * 1000;
/// How many are read at once, and in one look.
const AT_ONCE: usize = 4;
const MOST: usize = 20;

/// The certificates of these domains: those known from before, and anew those that were not read for an hour.
pub async fn of(
    server: &Server,
    dev_mode: bool,
    domains: Vec<DomainName>,
    before: Vec<Certificate>,
    now: i64,
) -> Vec<Certificate> {
    let (mut kept, mut due) = (Vec::new(), Vec::new());
    for domain in domains {
        let known = before.iter().find(|known| known.domain == domain.as_str());
        if known.is_some_and(|known| now - known.checked_at < AGAIN_MS) || due.len() == MOST {
            kept.extend(known.cloned());
        } else {
            due.push(domain);
        }
    }
    if !due.is_empty() {
        let known = |domain: &DomainName| before.iter().find(|known| known.domain == domain.as_str());
        let host = server.address.as_deref().unwrap_or_default();
        let address = resolve(host, HTTPS, server.reach(dev_mode)).await.map_err(|e| e.to_string());
        let read = |domain| {
            let known = known(&domain).cloned();
            let read = read(address.clone(), domain, now);
            async move { read.await.or_times_of(known.as_ref()) }
        };
        kept.extend(stream::iter(due).map(read).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    }
    kept.sort_by(|a, b| a.domain.cmp(&b.domain));
    kept
}

async fn read(address: Result<SocketAddr, String>, domain: DomainName, now: i64) -> Certificate {
    let times = async {
        let leaf = timeout(ONE_TRY, leaf(address?, &domain)).await;
        times(&leaf.map_err(|_| "no answer in time".to_owned())??)
    };
    let (times, error) = match times.await {
        Ok(times) => (Some(times), None),
        Err(e) => (None, Some(e)),
    };
    Certificate {
        domain: domain.to_string(),
        checked_at: now,
        not_before: times.map(|t| t.0),
        not_after: times.map(|t| t.1),
        error,
    }
}

/// What is shown first in a handshake for the domain.
async fn leaf(address: SocketAddr, domain: &DomainName) -> Result<CertificateDer<'static>, String> {
    let name = ServerName::try_from(domain.to_string()).map_err(|e| e.to_string())?;
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let stream = connector()?.connect(name, stream).await.map_err(|e| e.to_string())?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    shown.map(|leaf| leaf.clone().into_owned()).ok_or_else(|| "no certificate is shown".to_owned())
}

fn connector() -> Result<TlsConnector, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OnlyRead(provider)))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Begin and end, in unix milliseconds.
fn times(leaf: &CertificateDer<'_>) -> Result<(i64, i64), String> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|e| e.to_string())?;
    let validity = certificate.validity();
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    Ok((ms(validity.not_before.timestamp()), ms(validity.not_after.timestamp())))
}

/// Takes any certificate, since an expired one has to be read too.
#[derive(Debug)]
struct OnlyRead(Arc<CryptoProvider>);

impl ServerCertVerifier for OnlyRead {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
