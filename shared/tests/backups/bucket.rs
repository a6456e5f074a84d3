//! A bucket of its own for one test, at an emulated storage.

use shared::{
    backup::{Access, Storage},
    domain::{StorageEndpoint, WebhookPolicy},
    ssh::Reach,
};
use uuid::Uuid;

/// Where a test may store something; `None`, with the reason printed, without a storage.
pub async fn access(test: &str) -> Option<Access> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(url) = std::env::var("BYOP_TEST_MOTO").ok().filter(|url| !url.is_empty()) else {
        eprintln!("SKIPPED backups: {test}: BYOP_TEST_MOTO is not set");
        return None;
    };
    let name = format!("b{}", Uuid::new_v4().simple());
    let made = reqwest::Client::new().put(format!("{url}/{name}")).send().await.expect("moto answers");
    assert!(made.status().is_success(), "{}", made.status());
    Some(Access {
        endpoint: StorageEndpoint::parse(&url, WebhookPolicy::Development).expect("a URL"),
        region: "us-east-1".parse().expect("a region"),
        bucket: name.parse().expect("a name"),
        key_id: "AKIAIOSFODNN7EXAMPLE".parse().expect("an id"),
        secret: "not-a-secret".to_owned().into(),
    })
}

pub async fn bucket(test: &str) -> Option<Storage> {
    Some(Storage::open(&access(test).await?, Reach::Any).await.expect("it is found"))
}
