//! An account against answers written by hand, after Amazon's documentation and what an emulator says.

mod catalog;
mod check;
mod create;
mod errors;
mod login;
mod machines;
mod place;
mod policy;
mod secrets;
mod socket;
mod zones;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use shared::{
    domain::ServerId,
    providers::{
        cloud::{AwsLogin, Install, MachineName, Order, Placement},
        wire::{Answer, Call, NoAnswer, Wire},
    },
};

use super::{AccessKey, Aws, AwsSettings};

const SERVER: &str = "01a2236f-7c49-71b3-995e-f0d847a2b54c";

/// A request as it went out.
#[derive(Clone)]
pub struct Seen {
    pub call: Call,
    /// The form that EC2 and STS are asked with.
    pub form: BTreeMap<String, String>,
}

impl Seen {
    fn new(call: Call) -> Self {
        let form = url::form_urlencoded::parse(&call.body).into_owned().collect();
        Self { call, form }
    }

    /// What was asked for: the action of a form, the target of JSON, the method and path of anything else.
    pub fn action(&self) -> String {
        let target = self.call.headers.get("x-amz-target").and_then(|t| t.to_str().ok());
        match (self.form.get("Action"), target) {
            (Some(action), _) => action.clone(),
            (None, Some(target)) => target.to_owned(),
            (None, None) => {
                let url: url::Url = self.call.url.parse().expect("a URL");
                format!("{} {}", self.call.method, url.path())
            }
        }
    }

    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn host(&self) -> String {
        let url: url::Url = self.call.url.parse().expect("a URL");
        url.host_str().expect("a host").to_owned()
    }

    pub fn body(&self) -> String {
        String::from_utf8(self.call.body.to_vec()).expect("text")
    }
}

pub type Reply = Result<Answer, NoAnswer>;

/// A wire with somebody at its end.
pub struct Fake {
    reply: Box<dyn Fn(&Seen) -> Reply + Send + Sync>,
    seen: Mutex<Vec<Seen>>,
}

impl Fake {
    pub fn new(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { reply: Box::new(reply), seen: Mutex::default() })
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn actions(&self) -> Vec<String> {
        self.seen().iter().map(Seen::action).collect()
    }

    /// The only request of this kind.
    pub fn only(&self, action: &str) -> Seen {
        let mut all: Vec<_> = self.seen().into_iter().filter(|s| s.action() == action).collect();
        assert_eq!(all.len(), 1, "{action} among {:?}", self.actions());
        all.remove(0)
    }
}

#[async_trait]
impl Wire for Fake {
    async fn send(&self, call: Call) -> Reply {
        let seen = Seen::new(call);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
        (self.reply)(&seen)
    }
}

pub fn answer(status: u16, body: impl Into<String>) -> Reply {
    let status = StatusCode::from_u16(status).expect("a status");
    Ok(Answer { status, headers: HeaderMap::new(), body: body.into().into() })
}

pub fn xml(body: &str) -> Reply {
    answer(200, body)
}

/// EC2's form of a yes.
pub fn done(seen: &Seen) -> Reply {
    xml(&format!("<{0}Response><return>true</return></{0}Response>", seen.action()))
}

/// EC2's form of an error.
pub fn refusal(status: u16, code: &str) -> Reply {
    told(status, code, "told so")
}

pub fn told(status: u16, code: &str, message: &str) -> Reply {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    answer(status, format!("<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>"))
}

/// The form of STS and Route 53.
pub fn other_refusal(status: u16, code: &str, message: &str) -> Reply {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    answer(status, format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"))
}

pub fn unsent() -> Reply {
    Err(NoAnswer { sent: false, message: "no connection".to_owned() })
}

pub fn lost() -> Reply {
    Err(NoAnswer { sent: true, message: "the connection ended before the answer".to_owned() })
}

pub fn install() -> Install {
    "00112233aa".parse().expect("an installation")
}

pub fn name() -> MachineName {
    MachineName { install: install(), server: SERVER.parse::<ServerId>().expect("an id"), generation: 2 }
}

pub fn order() -> Order {
    Order {
        name: name(),
        attempt: 1,
        placement: Placement {
            region: "eu-west-1".to_owned(),
            zone: Some("eu-west-1b".to_owned()),
            size: "t3.small".to_owned(),
            flavor: None,
            image: "ami-1".to_owned(),
            network: Some("subnet-1".to_owned()),
            firewall: Some("sg-1".to_owned()),
            null_key: None,
        },
        user_data: "#cloud-config\nhostname: ü\n".to_owned(),
    }
}

pub fn keys() -> AwsLogin {
    AwsLogin::Keys { access_key_id: "AKIATEST".to_owned(), secret_access_key: "s3cret".into() }
}

pub fn settings(login: AwsLogin) -> AwsSettings {
    let base = AccessKey { id: "AKIABASE".to_owned(), secret: "base".into(), session: None };
    AwsSettings { login, install: install(), base: Some(base), endpoint: None, http: None }
}

pub fn account(fake: &Arc<Fake>) -> Aws {
    with_login(fake, keys())
}

pub fn with_login(fake: &Arc<Fake>, login: AwsLogin) -> Aws {
    Aws::new(AwsSettings { http: Some(fake.clone()), ..settings(login) }).expect("an account")
}

/// One machine in EC2's words.
pub fn instance(id: &str, state: &str, install: &str, more: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><instanceState><code>0</code><name>{state}</name></instanceState>\
         <instanceType>t3.small</instanceType><launchTime>2026-03-01T12:00:00.000Z</launchTime><tagSet>\
         <item><key>Name</key><value>{}</value></item><item><key>byop:install</key><value>{install}</value></item>\
         </tagSet>{more}</item>",
        name()
    )
}

pub fn instances(items: &str, next: Option<&str>) -> Reply {
    let next = next.map(|n| format!("<nextToken>{n}</nextToken>")).unwrap_or_default();
    xml(&format!(
        "<DescribeInstancesResponse><requestId>r</requestId><reservationSet><item><reservationId>r-1</reservationId>\
         <instancesSet>{items}</instancesSet></item></reservationSet>{next}</DescribeInstancesResponse>"
    ))
}
