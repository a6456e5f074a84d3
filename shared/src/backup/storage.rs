//! A client's bucket at an S3-compatible storage.
//!
//! Invariants: the endpoint's name is looked up once, every address it has is judged, and the one that is chosen is the one
//! that is connected to; no redirect is followed and no proxy asked; a signed URL and a secret are in no error. Buckets are
//! named in the path, so the judged host is the only one. Absent: what is stored, and how it is encrypted.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use regex::Regex;
use reqwest::{
    Client, Method, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, retry,
};
use rusty_s3::{
    Bucket, Credentials, S3Action, UrlStyle,
    actions::{CompleteMultipartUpload, CreateMultipartUpload, ListObjectsV2},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{io::AsyncRead, time::timeout};
use tokio_util::io::StreamReader;
use url::Url;

use crate::{
    domain::{BucketName, StorageEndpoint, StorageKeyId, StorageRegion},
    failure::Failure,
    ssh::{Reach, SshError, resolve},
};

/// How long a signed request may be on its way before it begins.
const SIGNED: Duration = Duration::from_secs(900);
const CONNECT: Duration = Duration::from_secs(10);
/// For one request but the reading of an object: sending a part over a slow line.
const LIMIT: Duration = Duration::from_secs(600);
/// How long an object may give nothing while it is read.
const SILENCE: Duration = Duration::from_secs(60);
/// How often a request is sent that the storage did not answer, or answered with a failure of its own.
const TRIES: u32 = 3;
/// How much of an answer is read.
const ANSWER: usize = 4 << 20;

/// Where a bucket is, and who may write to it.
#[derive(Clone, Debug)]
pub struct Access {
    pub endpoint: StorageEndpoint,
    pub region: StorageRegion,
    pub bucket: BucketName,
    pub key_id: StorageKeyId,
    pub secret: SecretString,
}

/// A bucket that can be talked to.
pub struct Storage {
    bucket: Bucket,
    credentials: Credentials,
    client: Client,
}

/// Every name stands for the one address that was judged.
struct Pinned(SocketAddr);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn unreachable() -> Failure {
    Failure::transient("storage_unreachable", "the storage does not answer")
}

fn unexpected() -> Failure {
    Failure::transient("storage_answer_unexpected", "the storage gave an answer that cannot be read")
}

impl Storage {
    /// Looks the endpoint up and judges it. Nothing is sent yet.
    pub async fn open(access: &Access, reach: Reach) -> Result<Self, Failure> {
        let address = match resolve(&access.endpoint.host(), access.endpoint.port(), reach).await {
            Ok(address) => address,
            Err(SshError::Private) => {
                let message = "the storage's host stands for an address that is not on the public internet";
                return Err(Failure::permanent("private_address", message));
            }
            Err(_) => return Err(Failure::transient("storage_unreachable", "the storage's host cannot be found")),
        };
        let client = Client::builder()
            .user_agent(concat!("byop-engine/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Pinned(address)))
            .https_only(reach == Reach::Public)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()
            .map_err(|_| unreachable())?;
        let endpoint: Url = access.endpoint.as_str().parse().map_err(|_| unexpected())?;
        let (bucket, region) = (access.bucket.to_string(), access.region.to_string());
        let bucket = Bucket::new(endpoint, UrlStyle::Path, bucket, region).map_err(|_| unexpected())?;
        let credentials = Credentials::new(access.key_id.to_string(), access.secret.expose_secret());
        Ok(Self { bucket, credentials, client })
    }

    /// Begins an object that comes in parts; returns the upload's id.
    pub(super) async fn begin(&self, key: &str) -> Result<String, Failure> {
        let url = self.bucket.create_multipart_upload(Some(&self.credentials), key).sign(SIGNED);
        let text = self.text(Method::POST, url, Bytes::new()).await?;
        let answer = CreateMultipartUpload::parse_response(&text).map_err(|_| unexpected())?;
        Ok(answer.upload_id().to_owned())
    }

    /// Stores a part, of which there are up to 10,000, counted from 1; returns its tag.
    pub(super) async fn put_part(&self, key: &str, upload: &str, number: u16, part: Bytes) -> Result<String, Failure> {
        let url = self.bucket.upload_part(Some(&self.credentials), key, number, upload).sign(SIGNED);
        let response = self.send(Method::PUT, url, part).await?;
        let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok());
        tag.map(str::to_owned).ok_or_else(unexpected)
    }

    /// Makes an object of its parts. It is there once this returns.
    pub(super) async fn complete(&self, key: &str, upload: &str, tags: &[String]) -> Result<(), Failure> {
        let tags = || tags.iter().map(String::as_str);
        let action = CompleteMultipartUpload::new(&self.bucket, Some(&self.credentials), key, upload, tags());
        let url = action.sign(SIGNED);
        let text = self.text(Method::POST, url, action.body().into()).await?;
        // A failure may follow a status of success. The names around the tag differ between storages.
        let made = text.contains("<ETag>") && !text.contains("<Error>");
        if made { Ok(()) } else { Err(unexpected()) }
    }

    /// An object as a stream.
    pub(super) async fn read(&self, key: &str) -> Result<impl AsyncRead + Send + Unpin + use<>, Failure> {
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(SIGNED);
        let response = self.send(Method::GET, url, Bytes::new()).await?;
        let pieces = stream::try_unfold(response, |mut response| async move {
            let next = piece(&mut response).await?;
            io::Result::Ok(next.map(|piece| (piece, response)))
        });
        Ok(StreamReader::new(Box::pin(pieces)))
    }

    /// Removes everything whose name begins with `stem`, but the object `keep`: finished objects, and uploads that were
    /// begun and not finished.
    pub async fn remove(&self, stem: &str, keep: Option<&str>) -> Result<(), Failure> {
        for (key, upload) in self.uploads(stem).await? {
            let url = self.bucket.abort_multipart_upload(Some(&self.credentials), &key, &upload).sign(SIGNED);
            self.gone(url).await?;
        }
        for key in self.objects(stem).await?.iter().filter(|key| Some(key.as_str()) != keep) {
            self.gone(self.bucket.delete_object(Some(&self.credentials), key).sign(SIGNED)).await?;
        }
        Ok(())
    }

    /// The names of up to 1000 objects that begin with `stem`; one copy never has more.
    pub async fn objects(&self, stem: &str) -> Result<Vec<String>, Failure> {
        let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
        list.with_prefix(stem);
        let text = self.text(Method::GET, list.sign(SIGNED), Bytes::new()).await?;
        let listed = ListObjectsV2::parse_response(&text).map_err(|_| unexpected())?;
        Ok(listed.contents.into_iter().map(|object| object.key).filter(|key| key.starts_with(stem)).collect())
    }

    /// Uploads that were begun and not finished: names and ids. (The bucket as an object without a name, for the library
    /// has no such request.)
    pub async fn uploads(&self, stem: &str) -> Result<Vec<(String, String)>, Failure> {
        let mut list = self.bucket.get_object(Some(&self.credentials), "");
        list.query_mut().insert("uploads", "");
        list.query_mut().insert("prefix", stem);
        let text = self.text(Method::GET, list.sign(SIGNED), Bytes::new()).await?;
        let each = Regex::new(r"<Key>([^<]+)</Key>\s*<UploadId>([^<]+)</UploadId>").map_err(|_| unexpected())?;
        let found = each.captures_iter(&text).map(|c| (c[1].to_owned(), c[2].to_owned()));
        Ok(found.filter(|(key, _)| key.starts_with(stem)).collect())
    }

    async fn gone(&self, url: Url) -> Result<(), Failure> {
        match self.send(Method::DELETE, url, Bytes::new()).await {
            Err(Failure::Permanent { code: "object_missing", .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn text(&self, method: Method, url: Url, body: Bytes) -> Result<String, Failure> {
        let mut response = self.send(method, url, body).await?;
        let mut read = Vec::new();
        while let Some(piece) = piece(&mut response).await.map_err(|_| unreachable())? {
            if read.len() + piece.len() > ANSWER {
                return Err(unexpected());
            }
            read.extend_from_slice(&piece);
        }
        String::from_utf8(read).map_err(|_| unexpected())
    }

    /// Sends a request up to [`TRIES`] times: one failed part of ten thousand must not cost the whole copy.
    async fn send(&self, method: Method, url: Url, body: Bytes) -> Result<Response, Failure> {
        let mut tried = 0;
        loop {
            let sent = self.send_once(method.clone(), url.clone(), body.clone()).await;
            tried += 1;
            match sent {
                Err(Failure::Transient { .. }) if tried < TRIES => {
                    tokio::time::sleep(Duration::from_secs(1 << tried)).await
                }
                other => return other,
            }
        }
    }

    async fn send_once(&self, method: Method, url: Url, body: Bytes) -> Result<Response, Failure> {
        let reading = method == Method::GET;
        let request = self.client.request(method, url);
        // An object is read for as long as it gives something.
        let request =
            if reading { request } else { request.header("content-length", body.len()).body(body).timeout(LIMIT) };
        let sent = timeout(LIMIT, request.send()).await.map_err(|_| unreachable())?;
        let response = sent.map_err(|e| {
            tracing::debug!(error = %e.without_url(), "a request to a storage failed");
            unreachable()
        })?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(refused(status, response).await),
        }
    }
}

/// What comes next of an answer; `None` at its end.
async fn piece(response: &mut Response) -> io::Result<Option<Bytes>> {
    match timeout(SILENCE, response.chunk()).await {
        Ok(piece) => piece.map_err(|e| io::Error::other(e.without_url())),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What a storage's refusal means. Its code is shown, its words are not: they may repeat the request.
async fn refused(status: StatusCode, mut response: Response) -> Failure {
    let mut beginning = piece(&mut response).await.ok().flatten().unwrap_or_default();
    beginning.truncate(2048);
    let beginning = String::from_utf8_lossy(&beginning);
    let code = beginning.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let plain = |code: &&str| code.len() <= 60 && code.chars().all(|c| c.is_ascii_alphanumeric());
    let code =
        code.filter(plain).map_or_else(|| status.as_u16().to_string(), |code| format!("{} {code}", status.as_u16()));
    match status {
        StatusCode::NOT_FOUND if code.contains("NoSuchBucket") => {
            Failure::permanent("bucket_missing", "there is no such bucket at the storage")
        }
        StatusCode::NOT_FOUND => Failure::permanent("object_missing", "the object is not in the bucket any more"),
        s if s.is_server_error() || s == StatusCode::TOO_MANY_REQUESTS || s == StatusCode::REQUEST_TIMEOUT => {
            Failure::transient("storage_unavailable", format!("the storage answered with {code}"))
        }
        _ => Failure::permanent("storage_refused", format!("the storage refused the request: {code}")),
    }
}
