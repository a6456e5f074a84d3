//! What clouds with a JSON API have in common: how an address is written, what an answer that is no success means, and
//! pages.
//!
//! Invariants: a value from outside can change nothing but its own place in an address; a failure is
//! [`refused`](Failed::refused) only when the cloud itself has said no or when nothing was sent; a list is complete or an
//! error. Absent: who is asked, with which credentials, and what their codes mean.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{Class, CloudError, Created};
use crate::providers::wire::{Answer, Call, Wire};

/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Of a cloud's message, in characters.
const MESSAGE_LIMIT: usize = 400;
/// No cloud asks for a longer rest; a larger number is a clock that is wrong.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// Where a cloud only tells when its whole count of requests is back, some of it is sooner.
const UNTIL_SOME: Duration = Duration::from_secs(60);
const PAGE_LIMIT: u32 = 2000;

/// A call that did not come to what was asked.
#[derive(Debug)]
pub(in crate::providers) struct Failed {
    pub error: CloudError,
    /// The answer's, if there was one.
    pub status: Option<StatusCode>,
    /// It was certainly not done.
    pub refused: bool,
    /// The permissions that the cloud names as missing.
    pub lacks: Vec<String>,
}

/// What an answer in the cloud's own form of errors says.
#[derive(Debug)]
pub(in crate::providers) struct Told {
    pub class: Class,
    pub code: String,
    pub message: String,
    pub lacks: Vec<String>,
}

impl Failed {
    /// Before anything was sent.
    pub fn unsent(error: CloudError) -> Self {
        Self { error, status: None, refused: true, lacks: Vec::new() }
    }

    /// An answer that says success in a form that we do not know.
    pub fn unreadable(cloud: &'static str, message: impl Into<String>) -> Self {
        Self { error: CloudError::unreadable(cloud, message), status: None, refused: false, lacks: Vec::new() }
    }

    /// From an answer that is no success. Without the cloud's own words it comes from anybody on the way: it refuses
    /// nothing, and may be another one next time.
    pub fn answered(cloud: &'static str, answer: &Answer, told: Option<Told>) -> Self {
        let status = answer.status;
        let unsure = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT);
        let refused = told.is_some() && status.is_client_error() && !unsure;
        let told = told.unwrap_or_else(|| Told {
            class: Class::Later,
            code: status.as_u16().to_string(),
            message: "an answer that is not in the form of its errors".to_owned(),
            lacks: Vec::new(),
        });
        let mut error =
            CloudError::new(cloud, told.class, told.code, shown(&told.message)).after(rest(status, &answer.headers));
        error.throttled = status == StatusCode::TOO_MANY_REQUESTS;
        Self { error, status: Some(status), refused, lacks: told.lacks }
    }

    /// The cloud itself says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.refused && self.status == Some(StatusCode::NOT_FOUND)
    }

    /// What it means for a create; `sent` is what its error must not repeat.
    pub fn of_create(mut self, sent: &str) -> Created {
        self.error.message = without(&self.error.message, sent);
        if self.refused { Created::No(self.error) } else { Created::Unknown(self.error) }
    }
}

impl From<Failed> for CloudError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// What a status means where nothing else is known.
pub(in crate::providers) fn class_of(status: StatusCode) -> Class {
    match status.as_u16() {
        401 | 403 => Class::Auth,
        402 => Class::Account,
        409 | 423 => Class::Conflict,
        408 | 425 | 429 | 300..=399 | 500..=599 => Class::Later,
        _ => Class::Config,
    }
}

/// A base with segments and a query, each escaped. A segment that would change the path's depth is refused.
pub(in crate::providers) fn url(
    cloud: &'static str,
    base: &str,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<String, Failed> {
    let mut url = base.trim_end_matches('/').to_owned();
    for segment in path {
        if matches!(*segment, "" | "." | "..") {
            let error = CloudError::new(cloud, Class::Config, "bad_address", format!("{segment:?} names nothing"));
            return Err(Failed::unsent(error));
        }
        url.push('/');
        url.extend(utf8_percent_encode(segment, ESCAPED));
    }
    for (i, (name, value)) in query.iter().enumerate() {
        url.push(if i == 0 { '?' } else { '&' });
        url.extend(utf8_percent_encode(name, ESCAPED));
        url.push('=');
        url.extend(utf8_percent_encode(value, ESCAPED));
    }
    Ok(url)
}

/// Sends once; `tell` reads the cloud's form of errors.
pub(in crate::providers) async fn send(
    cloud: &'static str,
    wire: &dyn Wire,
    call: Call,
    tell: fn(&Answer) -> Option<Told>,
) -> Result<Answer, Failed> {
    match wire.send(call).await {
        Ok(answer) if answer.status.is_success() => Ok(answer),
        Ok(answer) => Err(Failed::answered(cloud, &answer, tell(&answer))),
        Err(none) => {
            let error = CloudError::no_answer(cloud, none.message);
            Err(Failed { error, status: None, refused: !none.sent, lacks: Vec::new() })
        }
    }
}

/// Reads a body. What is wrong is told by its place, since the body may hold secrets.
pub(in crate::providers) fn json<T: DeserializeOwned>(cloud: &'static str, answer: &Answer) -> Result<T, Failed> {
    serde_json::from_slice(&answer.body).map_err(|e| {
        let place = format!("line {} column {}", e.line(), e.column());
        Failed::unreadable(cloud, format!("an answer that is not what the API promises ({place})"))
    })
}

/// Part of a body.
pub(in crate::providers) fn part<T: DeserializeOwned>(
    cloud: &'static str,
    body: &mut serde_json::Value,
    name: &str,
) -> Result<T, Failed> {
    let part = body.get_mut(name).map(serde_json::Value::take).unwrap_or_default();
    let unreadable = |_| Failed::unreadable(cloud, format!("an answer whose {name} are not what the API promises"));
    serde_json::from_value(part).map_err(unreadable)
}

/// Pages of a list by number, put together.
#[derive(Debug)]
pub(in crate::providers) struct Pages<T> {
    cloud: &'static str,
    items: Vec<T>,
    total: Option<u64>,
    next: u32,
}

impl<T> Pages<T> {
    pub fn new(cloud: &'static str) -> Self {
        Self { cloud, items: Vec::new(), total: None, next: 1 }
    }

    /// The page to ask for.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Takes a page; whether there is another one. A list that changes between two pages may have moved something from
    /// the later one to the earlier, so it has to be read anew. A single page is of one moment.
    pub fn add(&mut self, page: Vec<T>, total: Option<u64>, more: bool) -> Result<bool, Failed> {
        let changed = self.next > 1 && self.total != total;
        let endless = more && (page.is_empty() || self.next == PAGE_LIMIT);
        self.items.extend(page);
        let torn = !more && self.next > 1 && total.is_some_and(|t| t != self.items.len() as u64);
        if changed || endless || torn {
            return Err(Failed::unreadable(self.cloud, "a list that changed while it was read"));
        }
        (self.total, self.next) = (total, self.next + 1);
        Ok(more)
    }

    /// Everything, or an error when something came twice by its key.
    pub fn all<K: Ord>(self, key: impl Fn(&T) -> K) -> Result<Vec<T>, Failed> {
        let keys: BTreeSet<K> = self.items.iter().map(key).collect();
        if keys.len() == self.items.len() {
            return Ok(self.items);
        }
        Err(Failed::unreadable(self.cloud, "a list that changed while it was read"))
    }
}

/// How long the cloud asks to be left alone: `Retry-After`, or until its count of requests begins anew, a minute at most.
fn rest(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = |epoch: u64| Duration::from_secs(epoch).saturating_sub(now);
    if let Some(after) = text("retry-after") {
        let date = || OffsetDateTime::parse(after, &Rfc2822).ok()?.unix_timestamp().try_into().ok().map(until);
        let rest = after.parse().ok().map(Duration::from_secs).or_else(date);
        return rest.map(|r| r.min(LONGEST_REST));
    }
    let reset = text("ratelimit-reset")?.parse::<u64>().ok().filter(|_| status == StatusCode::TOO_MANY_REQUESTS)?;
    // A moment, or seconds from now.
    let rest = if reset > LONGEST_REST.as_secs() { until(reset) } else { Duration::from_secs(reset) };
    Some(rest.min(UNTIL_SOME))
}

/// A cloud's message as it may be shown: one line of bounded length.
fn shown(message: &str) -> String {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_LIMIT).collect();
    line.trim().to_owned()
}

/// A message unless it repeats a line of what was sent, which holds secrets.
fn without(message: &str, sent: &str) -> String {
    let mut lines = sent.lines().map(str::trim).filter(|l| l.len() >= 8);
    if lines.any(|l| message.contains(l)) {
        return "refused with a message that repeats the request and is not shown".to_owned();
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(k, v)| (k.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn nothing_from_outside_leaves_its_place() {
        let made = url("x", "https://a/v1/", &["s", "a/b?c#d ü"], &[("n&", "=ä+")]).expect("an address");
        assert_eq!(made, "https://a/v1/s/a%2Fb%3Fc%23d%20%C3%BC?n%26=%3D%C3%A4%2B");
        for bad in ["", ".", ".."] {
            assert!(url("x", "https://a", &["servers", bad], &[]).expect_err("refused").refused);
        }
    }

    #[test]
    fn a_rest_is_told_in_each_form() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let told = |status, all: &[(&'static str, &str)]| rest(status, &headers(all)).map(|d| d.as_secs());
        let seconds = |all: &[(&'static str, &str)]| told(StatusCode::TOO_MANY_REQUESTS, all);
        assert_eq!(seconds(&[("retry-after", "7")]), Some(7));
        assert_eq!(seconds(&[("retry-after", "99999999")]), Some(3600));
        assert_eq!(seconds(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(0));
        assert_eq!(seconds(&[("retry-after", "soon")]), None);
        let reset = (now + 40).to_string();
        let wait = seconds(&[("ratelimit-reset", &reset)]);
        assert!(wait.is_some_and(|s| (38..=40).contains(&s)), "{wait:?}");
        assert_eq!(seconds(&[("ratelimit-reset", &(now + 3000).to_string())]), Some(60), "some is back sooner");
        assert_eq!(seconds(&[("ratelimit-reset", "12")]), Some(12));
        assert_eq!(told(StatusCode::NOT_FOUND, &[("ratelimit-reset", &reset)]), None, "every answer has it");
        assert_eq!(seconds(&[]), None);
    }

    #[test]
    fn whoever_answers_without_the_clouds_words_refuses_nothing() {
        for status in [400, 401, 402, 403, 404, 409, 422, 429, 502] {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = Answer { status, headers: HeaderMap::new(), body: "<html>".into() };
            let failed = Failed::answered("x", &answer, None);
            assert!(failed.error.class == Class::Later && !failed.refused && !failed.is_not_found(), "{status}");
            assert_eq!(failed.error.throttled, status == StatusCode::TOO_MANY_REQUESTS);
        }
    }

    #[test]
    fn a_list_that_moves_under_the_reader_is_an_error() {
        let mut pages = Pages::new("x");
        assert!(pages.add(vec![1, 2], Some(3), true).expect("a page"));
        assert!(pages.add(vec![3], Some(2), false).is_err(), "one went away meanwhile");
        let mut pages = Pages::new("x");
        assert!(!pages.add(vec![1], Some(2), false).expect("a page"), "a single page is whole");
        let mut pages = Pages::new("x");
        assert!(pages.add(vec![1], Some(3), true).expect("a page"));
        assert!(pages.add(vec![2], Some(3), false).is_err(), "one is missing");
        let mut pages = Pages::new("x");
        assert!(pages.add(Vec::<u8>::new(), None, true).is_err(), "an empty page is the last one");
        let mut pages = Pages::new("x");
        assert!(pages.add(vec![1, 2], Some(3), true).expect("a page"));
        assert!(!pages.add(vec![2], Some(3), false).expect("a page"));
        assert!(pages.all(|i| *i).is_err(), "one came twice, so another one is missing");
    }

    #[test]
    fn an_error_never_repeats_what_was_sent() {
        let sent = "#cloud-config\nssh_keys:\n  ed25519_private: c2VjcmV0IGtleQ\n";
        assert!(!without("bad value ed25519_private: c2VjcmV0IGtleQ", sent).contains("c2VjcmV0"));
        assert_eq!(without("bad size", sent), "bad size");
        assert_eq!(shown(&format!("a\nb{}", "x".repeat(900))).len(), MESSAGE_LIMIT);
    }
}
