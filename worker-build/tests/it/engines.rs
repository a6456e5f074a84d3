//! Builds on an engine of another machine: over TCP with TLS where both sides prove who they are, and over SSH.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use secrecy::ExposeSecret;
use shared::{docker::EngineUrl, ssh::generate_key, worksource::FailureCode};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    environment::{Environment, code, dockerfile, environment},
    sshd::Sshd,
};

/// A certificate authority of a test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

struct Issued {
    cert: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let cert = params.self_signed(&key).expect("certificate");
        let (pem, der) = (cert.pem(), cert.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("key");
        let cert = params.signed_by(&key, &self.issuer).expect("certificate");
        Issued { cert, key }
    }

    /// A directory as `BYOP_BUILD_ENGINE_CERTS` names one: this authority's root, and a client's certificate.
    fn client_directory(&self, client: &Issued) -> TempDir {
        let dir = TempDir::new().expect("directory");
        for (name, text) in
            [("ca.pem", self.pem.clone()), ("cert.pem", client.cert.pem()), ("key.pem", client.key.serialize_pem())]
        {
            std::fs::write(dir.path().join(name), text).expect("file");
        }
        dir
    }
}

/// The environment's engine behind TLS, for clients that this authority knows.
async fn serve_tls(authority: &Authority, socket: String) -> (String, JoinHandle<()>) {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).expect("root");
    let clients = WebPkiClientVerifier::builder(roots.into()).build().expect("verifier");
    let own = authority.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let key = PrivatePkcs8KeyDer::from(own.key.serialize_der());
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .expect("server settings");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let port = listener.local_addr().expect("address").port();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let mut near = acceptor.accept(stream).await?;
                let mut far = UnixStream::connect(socket).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    (format!("localhost:{port}"), serving)
}

fn socket(env: &Environment) -> String {
    match &env.config.engine.url {
        EngineUrl::Unix(path) => path.to_string_lossy().into_owned(),
        other => panic!("the environment's engine is at {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_over_tls_when_both_sides_are_known() {
    let Some(mut env) = environment("builds_over_tls_when_both_sides_are_known").await else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (address, serving) = serve_tls(&authority, socket(&env)).await;
    let known = authority.issue("client", ExtendedKeyUsagePurpose::ClientAuth);
    let unknown = stranger.issue("client", ExtendedKeyUsagePurpose::ClientAuth);
    let client = env.client();
    env.forge.commit("app", &[("Dockerfile", &dockerfile("RUN echo built"))]);
    env.config.engine.url = EngineUrl::Tcp(address);
    for (directory, works) in [
        (authority.client_directory(&unknown), false),
        (stranger.client_directory(&known), false),
        (authority.client_directory(&known), true),
    ] {
        env.config.engine.certs = Some(directory.path().to_owned());
        let order = env.order(client, "app");
        let (result, report) = env.build(&order).await;
        let expected = (!works).then_some(FailureCode::EngineUnavailable);
        assert_eq!(code(&result), expected, "{result:?}\n{}", report.log());
    }
    serving.abort();
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_over_ssh_when_the_machine_is_the_known_one() {
    let test = "builds_over_ssh_when_the_machine_is_the_known_one";
    let Some(mut env) = environment(test).await else { return };
    let login = generate_key("login").expect("key");
    let Some(sshd) = Sshd::start(test, &login.public, Some(&socket(&env))).await else { return };
    let client = env.client();
    env.forge.commit("app", &[("Dockerfile", &dockerfile("RUN echo built"))]);
    env.config.engine.url = EngineUrl::Ssh { user: "root".into(), host: "127.0.0.1".into(), port: sshd.port };
    env.config.engine.ssh_key = Some(sshd.private_file("login", login.private.expose_secret()));
    let another = generate_key("another").expect("key").public;
    for (host_key, works) in [(another, false), (sshd.host_key.clone(), true)] {
        env.config.engine.ssh_host_key = Some(host_key);
        let order = env.order(client, "app");
        let (result, report) = env.build(&order).await;
        let expected = (!works).then_some(FailureCode::EngineUnavailable);
        assert_eq!(code(&result), expected, "{result:?}\n{}", report.log());
    }
    env.finish().await;
}
