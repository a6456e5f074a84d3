//! The handler of `notify` jobs: sends one delivery, writes down what became of it, and says when it is sent again.
//!
//! Invariant: how often and when stands in the delivery's row; the job only carries it there, and ends well also when the
//! receiver never takes the event, because a client's broken endpoint is no dead letter of the operators.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use shared::{
    domain::{DeliveryId, WebhookEndpointId, WebhookUrl},
    queue::{Handler, Job, JobError, Lease},
    secrets::{MasterKey, Place, Sealed},
    store::{
        Db,
        deliveries::{self, DeliveryStatus, Parcel, Receiver, Report},
        webhook_endpoints,
    },
};

use super::{
    post::{Answer, Sender},
    signature::sign,
};
use crate::typed::timestamp;

/// The waits between attempts that Standard Webhooks suggests, in seconds: ten attempts in about three days.
const WAITS: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// How long to wait after so many attempts (counted from 1); `None` when it was the last one. Up to a tenth is added, for
/// each delivery the same, so that what failed together does not come back together.
pub fn wait_after(attempts: i64, id: DeliveryId) -> Option<Duration> {
    let nth = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX);
    let share = f64::from(id.0.as_bytes()[15]) / 2550.0;
    WAITS.get(nth).map(|seconds| Duration::from_secs(*seconds).mul_f64(1.0 + share))
}

/// Sends what `notify` jobs name.
pub struct Notifier {
    db: Db,
    key: MasterKey,
    sender: Sender,
}

/// The body of every message.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    data: &'a Value,
}

#[async_trait]
impl Handler for Notifier {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let id = DeliveryId(lease.job.subject);
        let parcel = deliveries::load(&self.db, lease.job.id, id).await.map_err(JobError::transient)?;
        let Some(parcel) = parcel else { return Ok(()) };
        let early = parcel.next_at - self.db.now_ms();
        if let Ok(early @ 1..) = u64::try_from(early) {
            return Err(JobError::Later(Duration::from_millis(early)));
        }
        let answer = match &parcel.receiver {
            Some(receiver) => tokio::select! {
                answer = self.send(lease, &parcel, receiver) => Some(answer?),
                _ = lease.stopped() => return Err(JobError::Stopped),
            },
            None => None,
        };
        let wait = self.record(lease, &parcel, answer.as_ref()).await?;
        wait.map_or(Ok(()), |wait| Err(JobError::Later(wait)))
    }

    async fn abandoned(&self, job: &Job, _state: &str, reason: &str) -> Result<(), JobError> {
        let failed = deliveries::fail_unfenced(&self.db, job.id, DeliveryId(job.subject), reason).await;
        failed.map_err(JobError::transient)
    }
}

impl Notifier {
    pub fn new(db: Db, key: MasterKey, sender: Sender) -> Self {
        Self { db, key, sender }
    }

    async fn send(&self, lease: &Lease, parcel: &Parcel, receiver: &Receiver) -> Result<Answer, JobError> {
        // The rules may have become stricter since it was stored.
        let url = match WebhookUrl::parse(&receiver.url, self.sender.policy) {
            Ok(url) => url,
            Err(e) => return Ok(Answer::None(format!("Nothing was sent: {e}."))),
        };
        let secrets = self.secrets(lease, parcel.endpoint, receiver).map_err(JobError::transient)?;
        let body = Body { kind: &parcel.kind, timestamp: timestamp(parcel.happened_at), data: &parcel.data };
        let body = serde_json::to_string(&body).map_err(JobError::transient)?;
        let headers = headers(&secrets, &parcel.event.to_string(), self.db.now_ms() / 1000, &body);
        let headers = headers.ok_or_else(|| JobError::transient("a stored webhook secret cannot be used"))?;
        Ok(match self.sender.post(&url, headers, body).await {
            Answer::Refused(status, said) if secrets.iter().any(|s| said.contains(s.expose_secret())) => {
                Answer::Refused(status, "(the answer showed a secret)".to_owned())
            }
            answer => answer,
        })
    }

    /// The new one first, and the old one while it is still used.
    fn secrets(
        &self,
        lease: &Lease,
        endpoint: WebhookEndpointId,
        receiver: &Receiver,
    ) -> Result<Vec<SecretString>, Sealed> {
        let row = endpoint.to_string();
        let place = Place { client: lease.job.client, field: webhook_endpoints::FIELD, row: &row };
        let old = receiver.old_secret.as_ref().filter(|old| old.until > self.db.now_ms());
        let sealed = [Some(&receiver.secret_sealed), old.map(|old| &old.sealed)];
        sealed.into_iter().flatten().map(|sealed| self.key.open_text(place, sealed)).collect()
    }

    /// Writes down what became of an attempt, under the fence; how long the job waits. An endpoint whose receiver is gone
    /// is not asked again, unless it leads elsewhere by now.
    async fn record(
        &self,
        lease: &Lease,
        parcel: &Parcel,
        answer: Option<&Answer>,
    ) -> Result<Option<Duration>, JobError> {
        let (fence, id, client) = (lease.fence(), DeliveryId(lease.job.subject), lease.job.client);
        let written = async {
            let mut tx = self.db.begin().await?;
            // The endpoint's row before those of its deliveries, as everybody takes them.
            let gone = match (answer, &parcel.receiver) {
                (Some(Answer::Refused(410, _)), Some(asked)) => {
                    webhook_endpoints::lock_at(&mut tx, client, parcel.endpoint, &asked.url).await?
                }
                _ => false,
            };
            let (report, wait) = judged(parcel, id, Asked { answer, gone }, self.db.now_ms());
            if !deliveries::record(&mut tx, &self.db, fence, id, &report).await? {
                return Ok(None);
            }
            if gone {
                webhook_endpoints::disable(&mut tx, &self.db, client, parcel.endpoint).await?;
            }
            Ok(tx.commit_under(fence).await?.then_some(wait))
        };
        let written = written.await.map_err(|e: shared::store::DbError| JobError::transient(e))?;
        written.ok_or(JobError::Stopped)
    }
}

/// What came of asking a receiver; without an answer there was none to ask.
struct Asked<'a> {
    answer: Option<&'a Answer>,
    /// Whether it wants no more.
    gone: bool,
}

/// What is written down after an attempt, and how long the job waits.
fn judged(parcel: &Parcel, id: DeliveryId, asked: Asked<'_>, now: i64) -> (Report, Option<Duration>) {
    let Asked { answer, gone } = asked;
    let attempts = parcel.attempts + i64::from(answer.is_some());
    let (done, response_status, error) = match answer {
        None => (true, None, Some("The endpoint is disabled or deleted.".to_owned())),
        Some(Answer::Success(status)) => (true, Some(*status), None),
        Some(Answer::Refused(410, _)) if gone => {
            (true, Some(410), Some("The receiver wants no more events: its endpoint is disabled now.".to_owned()))
        }
        Some(Answer::Refused(status, said)) => (false, Some(*status), Some(refusal(*status, said))),
        Some(Answer::None(why)) => (false, None, Some(why.clone())),
    };
    let wait = if done { None } else { wait_after(attempts, id) };
    let status = match (wait, &error) {
        (Some(_), _) => DeliveryStatus::Pending,
        (None, Some(_)) => DeliveryStatus::Failed,
        (None, None) => DeliveryStatus::Delivered,
    };
    let next_at = wait.map(|wait| now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
    (Report { status, attempts, response_status: response_status.map(i64::from), error, next_at }, wait)
}

fn refusal(status: u16, said: &str) -> String {
    match said {
        "" => format!("The receiver answered with {status}."),
        said => format!("The receiver answered with {status}: {said}"),
    }
}

/// What a receiver needs to check a message; one signature for each secret.
fn headers(secrets: &[SecretString], id: &str, at: i64, body: &str) -> Option<HeaderMap> {
    let signatures: Option<Vec<String>> = secrets.iter().map(|secret| sign(secret, id, at, body)).collect();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
    headers.insert("webhook-timestamp", at.into());
    headers.insert("webhook-signature", HeaderValue::from_str(&signatures?.join(" ")).ok()?);
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_was_left_meanwhile_ends_nothing() {
        let parcel = Parcel {
            event: shared::domain::EventId::new(),
            kind: "disk.high".into(),
            data: Value::Null,
            happened_at: 0,
            endpoint: WebhookEndpointId::new(),
            receiver: None,
            attempts: 0,
            next_at: 0,
        };
        let answer = Answer::Refused(410, String::new());
        let judge = |gone| judged(&parcel, DeliveryId::new(), Asked { answer: Some(&answer), gone }, 0);
        let ((ended, none), (goes_on, wait)) = (judge(true), judge(false));
        assert_eq!((ended.status, none), (DeliveryStatus::Failed, None));
        assert_eq!((goes_on.status, goes_on.response_status), (DeliveryStatus::Pending, Some(410)));
        assert!(wait.is_some() && goes_on.next_at.is_some(), "it is sent to where the endpoint leads now");
    }

    #[test]
    fn ten_attempts_within_four_days() {
        for _ in 0..100 {
            let id = DeliveryId::new();
            let waits: Vec<_> = (1..=10).filter_map(|attempts| wait_after(attempts, id)).collect();
            assert_eq!(waits.len(), 9);
            for (wait, least) in waits.iter().zip(WAITS) {
                let least = Duration::from_secs(least);
                assert!(*wait >= least && *wait <= least.mul_f64(1.1), "{wait:?}");
            }
        }
        assert!(Duration::from_secs(WAITS.iter().sum::<u64>()).mul_f64(1.1) < Duration::from_secs(4 * 24 * 3600));
    }
}
