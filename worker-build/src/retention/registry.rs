//! The registry, as far as removing images from it goes.
//!
//! Invariants: a right is asked for at the place that the registry names and sent nowhere else; no redirect is followed;
//! every request has an end. Absent: pushing and pulling, which engines do; freeing the space, which the registry's own
//! `garbage-collect` does.

use std::{path::Path, time::Duration};

use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{HeaderMap, WWW_AUTHENTICATE},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use shared::domain::ImageDigest;

/// One request.
pub const LIMIT: Duration = Duration::from_secs(20);
/// A token's answer is not longer.
const MOST_BYTES: usize = 64 << 10;

/// Why an image is still there.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// `storage.delete.enabled` is not set.
    #[error("the registry does not allow deletion")]
    NotAllowed,
    #[error("the registry does not answer: {0}")]
    NoAnswer(String),
    #[error("{0}")]
    Unexpected(String),
}

/// What the registry had of an image that is gone now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Now,
    Before,
}

/// A registry of the distribution project, or one that speaks as it does.
#[derive(Clone, Debug)]
pub struct Registry {
    http: Client,
    base: Url,
}

/// A token for one repository; none when the registry asks for none.
pub struct Session<'a> {
    registry: &'a Registry,
    repository: String,
    token: Option<SecretString>,
}

/// Where a token is had.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: Url,
    service: Option<String>,
}

impl Registry {
    /// `base` is the registry's URL, `ca` a file of certificates that are trusted beside the public ones.
    pub fn new(base: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let mut http = Client::builder().no_proxy().redirect(Policy::none()).timeout(LIMIT);
        if let Some(file) = ca {
            http = http.tls_certs_merge(Certificate::from_pem_bundle(&std::fs::read(file)?)?);
        }
        Ok(Self { http: http.build()?, base: Url::parse(base)? })
    }

    /// Asks for a token that removes images of one repository.
    pub async fn log_in(&self, repository: &str, user: &str, password: &str) -> Result<Session<'_>, RegistryError> {
        let answer = self.http.get(self.url("v2/")?).send().await.map_err(no_answer)?;
        let token = match answer.status() {
            StatusCode::OK => None,
            StatusCode::UNAUTHORIZED => {
                let challenge =
                    challenge(answer.headers()).ok_or_else(|| unexpected("it names no place for tokens"))?;
                Some(self.token(&challenge, repository, (user, password)).await?)
            }
            status => return Err(unexpected(format!("it answers with status {status}"))),
        };
        Ok(Session { registry: self, repository: repository.to_owned(), token })
    }

    async fn token(
        &self,
        challenge: &Challenge,
        repository: &str,
        (user, password): (&str, &str),
    ) -> Result<SecretString, RegistryError> {
        let mut url = challenge.realm.clone();
        url.query_pairs_mut().append_pair("scope", &format!("repository:{repository}:delete"));
        if let Some(service) = &challenge.service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let answer = self.http.get(url).basic_auth(user, Some(password)).send().await.map_err(no_answer)?;
        if answer.status() != StatusCode::OK {
            return Err(unexpected(format!("no token is given, status {}", answer.status())));
        }
        let body: serde_json::Value = serde_json::from_slice(&read(answer).await?)
            .map_err(|_| unexpected("the answer with the token is no JSON"))?;
        let token = body["token"].as_str().or(body["access_token"].as_str());
        token.map(SecretString::from).ok_or_else(|| unexpected("the answer has no token"))
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|e| unexpected(e.to_string()))
    }
}

impl Session<'_> {
    /// Whether images can be removed at all: asked with one that there is not.
    pub async fn check(&self) -> Result<(), RegistryError> {
        self.send(&format!("sha256:{}", "0".repeat(64))).await.map(|_| ())
    }

    /// Removes an image by its digest, and every tag that leads to it.
    pub async fn remove(&self, image: &ImageDigest) -> Result<Gone, RegistryError> {
        self.send(image.as_str()).await
    }

    async fn send(&self, digest: &str) -> Result<Gone, RegistryError> {
        let url = self.registry.url(&format!("v2/{}/manifests/{digest}", self.repository))?;
        let mut request = self.registry.http.delete(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        match request.send().await.map_err(no_answer)?.status() {
            StatusCode::ACCEPTED | StatusCode::OK => Ok(Gone::Now),
            StatusCode::NOT_FOUND => Ok(Gone::Before),
            StatusCode::METHOD_NOT_ALLOWED => Err(RegistryError::NotAllowed),
            status => Err(unexpected(format!("it answers a deletion with status {status}"))),
        }
    }
}

async fn read(mut answer: Response) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(unexpected("the answer with the token is too long"));
        }
    }
    Ok(body)
}

/// `Bearer realm="…",service="…"`.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let text = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    let field = |name: &str| {
        let at = rest.find(&format!("{name}=\""))? + name.len() + 2;
        rest[at..].split('"').next().map(str::to_owned)
    };
    let realm = Url::parse(&field("realm")?).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Challenge { realm, service: field("service") })
}

fn no_answer(e: reqwest::Error) -> RegistryError {
    let mut cause: &dyn std::error::Error = &e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    RegistryError::NoAnswer(cause.to_string())
}

fn unexpected(what: impl Into<String>) -> RegistryError {
    RegistryError::Unexpected(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_token_is_had() {
        let of = |text: &str| challenge(&HeaderMap::from_iter([(WWW_AUTHENTICATE, text.parse().expect("a header"))]));
        let found = of(r#"Bearer realm="https://api.test/registry/token",service="byop",error="invalid_token""#);
        let found = found.expect("a challenge");
        assert_eq!((found.realm.as_str(), found.service.as_deref()), ("https://api.test/registry/token", Some("byop")));
        for wrong in
            ["", "Bearer", r#"Basic realm="x""#, r#"Bearer realm="file:///etc/passwd""#, r#"Bearer service="x""#]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
