//! A storage that refuses, that is private, and that has leftovers.

use shared::{backup::Storage, failure::Failure, ssh::Reach};

use crate::bucket::{access, bucket};

#[tokio::test]
async fn a_private_storage_is_not_talked_to() {
    let Some(access) = access("a_private_storage_is_not_talked_to").await else { return };
    let Err(Failure::Permanent { code, .. }) = Storage::open(&access, Reach::Public).await else {
        panic!("it was opened")
    };
    assert_eq!(code, "private_address");
}

#[tokio::test]
async fn refusals_have_a_code_and_no_secret() {
    let Some(mut access) = access("refusals_have_a_code_and_no_secret").await else { return };
    access.bucket = "no-such-bucket-here".parse().unwrap();
    let storage = Storage::open(&access, Reach::Any).await.expect("it is found");
    let Err(refused) = storage.objects("x").await else { panic!("it is there") };
    assert!(matches!(refused, Failure::Permanent { code: "bucket_missing", .. }), "{refused:?}");
    access.endpoint =
        shared::domain::StorageEndpoint::parse("http://127.0.0.1:9", shared::domain::WebhookPolicy::Development)
            .unwrap();
    let storage = Storage::open(&access, Reach::Any).await.expect("it is found");
    let Err(refused) = storage.objects("x").await else { panic!("it is there") };
    assert!(matches!(refused, Failure::Transient { code: "storage_unreachable", .. }), "{refused:?}");
    assert!(!format!("{refused:?}").contains("Signature"), "{refused:?}");
}

#[tokio::test]
async fn removing_what_is_not_there_is_done() {
    let Some(storage) = bucket("removing_what_is_not_there_is_done").await else { return };
    storage.remove("nothing/", None).await.expect("done");
    assert!(storage.objects("nothing/").await.unwrap().is_empty());
    assert!(storage.uploads("nothing/").await.unwrap().is_empty());
}
