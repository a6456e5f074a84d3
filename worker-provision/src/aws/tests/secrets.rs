//! What shows nowhere: keys, and what a machine is made with.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use shared::providers::cloud::Cloud;
use tracing::{Level, instrument::WithSubscriber as _};

use super::*;

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a lock").extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged meanwhile, at all levels.
async fn logged(work: impl Future) -> String {
    let log = Log::default();
    let writer = log.clone();
    let all = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
    work.with_subscriber(all.with_writer(move || writer.clone()).finish()).await;
    let text = log.0.lock().expect("a lock").clone();
    String::from_utf8(text).expect("text")
}

#[tokio::test]
async fn no_log_holds_what_a_machine_is_made_with() {
    let (aws, order) = (account(&Fake::new(|_| lost())), order());
    let log = logged(async {
        tracing::trace!("it is kept");
        aws.create(&order).await;
    });
    let log = log.await;
    assert!(log.contains("it is kept"));
    for secret in [order.user_data.trim(), &BASE64.encode(&order.user_data)[..20], "UserData", "s3cret"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn no_log_holds_a_session() {
    let fake = Fake::new(|seen| match seen.action().as_str() {
        "AssumeRole" => login::session("ASIA1"),
        _ => instances("", None),
    });
    let aws = with_login(&fake, login::role());
    let log = logged(async {
        aws.list("eu-west-1").await.expect("a list");
    });
    let log = log.await;
    assert!(log.contains("DescribeInstances"), "other requests are logged");
    assert!(!log.contains("s3cret"), "{log}");
}

#[tokio::test]
async fn no_error_and_no_request_shows_the_key() {
    let fake = Fake::new(|_| refusal(401, "AuthFailure"));
    let e = account(&fake).list("eu-west-1").await.expect_err("refused");
    assert!(!format!("{e:?} {e}").contains("s3cret"));
    let sent = &fake.seen()[0].call;
    assert!(!format!("{:?} {}", sent.headers, sent.url).contains("s3cret"));
}
