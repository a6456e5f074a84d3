//! How the certificate of a domain stands.
//!
//! Invariant: only what was seen counts: a certificate is called valid when the edge showed it and a visitor would have taken
//! it. Absent: seeing it (the deploy worker's `observe`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{UnknownStatus, texts};

/// How long an authority may take before a certificate that is not there counts as refused.
const PATIENCE: Duration = Duration::from_secs(600);

texts! {
    /// How a domain's certificate stands.
    CertificateState {
        /// Nothing leads to the domain yet, so none was asked for.
        None = "none",
        /// There is none, and the domain does not lead to the server.
        DnsWrong = "dns_wrong",
        /// There is none yet: the edge asks an authority for it.
        Requested = "requested",
        Valid = "valid",
        /// It should have been renewed by now.
        Expiring = "expiring",
        Expired = "expired",
        /// There is none after all that time, or one that a visitor would not take.
        Failed = "failed",
    }
}

/// What the edge shows for a domain. Times are unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub domain: String,
    pub checked_at: i64,
    /// Of the last reading that succeeded, as what follows up to `issuer`.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// Who signed it.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Why a visitor would not take it; `None` when he would.
    #[serde(default)]
    pub refused: Option<String>,
    /// Why the domain does not lead to the server; `None` when it does, or names are not looked up.
    #[serde(default)]
    pub dns: Option<String>,
    /// Why it could not be read at `checked_at`.
    pub error: Option<String>,
}

impl Certificate {
    /// Whether there is nothing to be seen to.
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.refused.is_none() && self.dns.is_none()
    }

    /// One that could not be read, with the times that are known from before: it ends when it ends.
    #[must_use]
    pub fn or_times_of(mut self, known: Option<&Self>) -> Self {
        if let Some(known) = known.filter(|_| self.error.is_some()) {
            (self.not_before, self.not_after) = (known.not_before, known.not_after);
            self.issuer = known.issuer.clone();
        }
        self
    }
}

/// How the certificate of a domain stands, and why when it is not valid. `live_since` is when a release went live that
/// leads the domain to its server.
pub fn standing(seen: Option<&Certificate>, live_since: Option<i64>, now: i64) -> (CertificateState, Option<String>) {
    use CertificateState as S;
    let Some(seen) = seen else {
        return (if live_since.is_some() { S::Requested } else { S::None }, None);
    };
    if seen.not_after.is_some_and(|end| end <= now) {
        return (S::Expired, seen.refused.clone());
    }
    match seen.refused.as_ref().or(seen.error.as_ref()) {
        None if seen.is_expiring(now) => (S::Expiring, None),
        None => (S::Valid, None),
        Some(_) if seen.dns.is_some() => (S::DnsWrong, seen.dns.clone()),
        Some(why) if live_since.is_some_and(|since| now.saturating_sub(since) < millis(PATIENCE)) => {
            (S::Requested, Some(why.clone()))
        }
        Some(why) => (S::Failed, Some(why.clone())),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{CertificateState as S, *};

    const DAY: i64 = 24 * 3600 * 1000;
    const NOW: i64 = 1000 * DAY;

    fn shown(from: i64, to: i64) -> Certificate {
        Certificate { not_before: Some(NOW + from * DAY), not_after: Some(NOW + to * DAY), ..Certificate::default() }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn what_was_shown_and_would_be_taken_is_valid() {
        let live = Some(NOW - DAY);
        assert_eq!(standing(Some(&shown(-1, 89)), live, NOW), (S::Valid, None));
        assert_eq!(standing(Some(&shown(-80, 10)), live, NOW), (S::Expiring, None));
        let over = Certificate { refused: some("expired"), ..shown(-90, 0) };
        assert_eq!(standing(Some(&over), live, NOW), (S::Expired, some("expired")));
        let elsewhere = Certificate { dns: some("it leads elsewhere"), ..shown(-1, 89) };
        assert_eq!(standing(Some(&elsewhere), live, NOW), (S::Valid, None), "it is valid, whoever sees it");
    }

    #[test]
    fn what_is_not_there_is_waited_for_and_then_failed() {
        assert_eq!(standing(None, None, NOW), (S::None, None));
        assert_eq!(standing(None, Some(NOW), NOW), (S::Requested, None));
        let stand_in = Certificate { refused: some("unknown issuer"), ..shown(-1, 364) };
        let unread = Certificate { error: some("no answer"), ..Certificate::default() };
        for (seen, why) in [(&stand_in, "unknown issuer"), (&unread, "no answer")] {
            assert_eq!(standing(Some(seen), Some(NOW - 599_999), NOW), (S::Requested, some(why)));
            assert_eq!(standing(Some(seen), Some(NOW - 600_000), NOW), (S::Failed, some(why)));
            let wrong = Certificate { dns: some("it leads elsewhere"), ..seen.clone() };
            assert_eq!(standing(Some(&wrong), Some(NOW), NOW), (S::DnsWrong, some("it leads elsewhere")));
        }
    }

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        let text = r#"{"domain":"a.example","checked_at":1,"not_before":1,"not_after":2,"error":null}"#;
        let read: Certificate = serde_json::from_str(text).expect("readable");
        assert!(read.is_good() && read.issuer.is_none());
    }
}
