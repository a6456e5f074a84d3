//! A wire of answers written beforehand, for the tests of clouds.
//!
//! Invariant: each call takes the next answer; one too many panics, and one too few is noticed by [`Script::end`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Access, Install, MachineName, Order, Placement};
use crate::{
    domain::ServerId,
    providers::wire::{Answer, Call, NoAnswer, Wire},
    ssh::Reach,
};

pub(in crate::providers) const INSTALL: &str = "00112233aa";
pub(in crate::providers) const NAME: &str = "byop-00112233aa-01a2236f7c4971b3995ef0d847a2b54c-g1";
/// Another installation's.
pub(in crate::providers) const FOREIGN: &str = "byop-ffffffffff-01a2236f7c4971b3995ef0d847a2b54c-g1";

#[derive(Default)]
pub(in crate::providers) struct Script {
    answers: Mutex<VecDeque<Result<Answer, NoAnswer>>>,
    calls: Mutex<Vec<Call>>,
}

impl Script {
    pub fn new<const N: usize>(answers: [Result<Answer, NoAnswer>; N]) -> Arc<Self> {
        Self::list(answers.into())
    }

    pub fn list(answers: Vec<Result<Answer, NoAnswer>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into()), calls: Mutex::default() })
    }

    pub fn access(self: &Arc<Self>) -> Access {
        let install = INSTALL.parse::<Install>().expect("an installation");
        Access { base: "https://api/v1".to_owned(), install, wire: self.clone(), reach: Reach::Public }
    }

    /// The calls so far; every answer is used up.
    pub fn end(&self) -> Vec<Call> {
        assert!(self.answers.lock().expect("answers").is_empty(), "an answer was not asked for");
        std::mem::take(&mut *self.calls.lock().expect("calls"))
    }

    /// As [`end`](Self::end): method and address without the base, and the body if there is one.
    pub fn said(&self) -> Vec<String> {
        let line = |c: Call| {
            let (url, body) = (c.url.replace("https://api/v1", ""), String::from_utf8_lossy(&c.body).into_owned());
            let once = if c.once { " once" } else { "" };
            format!("{} {url}{once} {body}", c.method).trim_end().to_owned()
        };
        self.end().into_iter().map(line).collect()
    }
}

#[async_trait]
impl Wire for Script {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer> {
        let next = self.answers.lock().expect("answers").pop_front();
        let next = next.unwrap_or_else(|| panic!("one call too many: {} {}", call.method, call.url));
        self.calls.lock().expect("calls").push(call);
        next
    }
}

pub(in crate::providers) fn body_of(call: &Call) -> Value {
    serde_json::from_slice(&call.body).expect("JSON")
}

#[allow(clippy::unnecessary_wraps)]
pub(in crate::providers) fn says(status: u16, body: Value) -> Result<Answer, NoAnswer> {
    raw(status, &body.to_string())
}

#[allow(clippy::unnecessary_wraps)]
pub(in crate::providers) fn raw(status: u16, body: &str) -> Result<Answer, NoAnswer> {
    let status = StatusCode::from_u16(status).expect("a status");
    Ok(Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() })
}

pub(in crate::providers) fn with(
    answer: Result<Answer, NoAnswer>,
    name: &'static str,
    value: &str,
) -> Result<Answer, NoAnswer> {
    let mut answer = answer?;
    answer.headers.insert(name, value.parse().expect("a value"));
    Ok(answer)
}

pub(in crate::providers) fn cut(sent: bool) -> Result<Answer, NoAnswer> {
    Err(NoAnswer { sent, message: "cut".to_owned() })
}

pub(in crate::providers) fn name() -> MachineName {
    NAME.parse().expect("a name")
}

pub(in crate::providers) fn order(placement: Placement) -> Order {
    assert_eq!(name().server, ServerId("01a2236f7c4971b3995ef0d847a2b54c".parse().expect("an id")));
    Order { name: name(), attempt: 1, placement, user_data: "#cloud-config\nsecret: first-host-key\n".to_owned() }
}
