//! A world on a manual clock with one account at each cloud, and a wire into it without sockets.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloud_emulator::{Clock, CloudKind, Effect, Emulator, Fault, Operation, Outcome, Settings, known};
use shared::{
    domain::ServerId,
    providers::{
        cloud::{
            Class, Cloud, Credentials, Endpoints, Install, Machine, MachineName, Order, OvhEndpoint, OvhLogin, Zones,
            open, open_zones,
        },
        wire::{Answer, Call, NoAnswer, Wire},
    },
    ssh::Reach,
};

pub const START: i64 = 1_767_225_600_000;
pub const INSTALL: &str = "00112233aa";

/// Each way into an account.
pub const WAYS: [Way; 4] = [Way::Hetzner, Way::DigitalOcean, Way::OvhKeys, Way::OvhService];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Hetzner,
    DigitalOcean,
    OvhKeys,
    OvhService,
}

impl Way {
    pub fn kind(self) -> CloudKind {
        match self {
            Self::Hetzner => CloudKind::Hetzner,
            Self::DigitalOcean => CloudKind::DigitalOcean,
            Self::OvhKeys | Self::OvhService => CloudKind::Ovh,
        }
    }

    /// Where it is, and a size and another one that are sold there.
    pub fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Hetzner => ("fsn1", "cx23", "cx33"),
            Self::DigitalOcean => ("fra1", "s-1vcpu-1gb", "s-1vcpu-2gb"),
            Self::OvhKeys | Self::OvhService => ("GRA11", "b3-8", "b3-16"),
        }
    }

    fn credentials(self) -> Credentials {
        let ovh = |login| Credentials::Ovh { endpoint: OvhEndpoint::Eu, project: known::OVH_PROJECT.into(), login };
        match self {
            Self::Hetzner => Credentials::Hetzner { token: known::HETZNER_TOKEN.into() },
            Self::DigitalOcean => Credentials::DigitalOcean { token: known::DIGITALOCEAN_TOKEN.into() },
            Self::OvhKeys => ovh(OvhLogin::ApplicationKey {
                application_key: known::OVH_APPLICATION_KEY.into(),
                application_secret: known::OVH_APPLICATION_SECRET.into(),
                consumer_key: known::OVH_CONSUMER_KEY.into(),
            }),
            Self::OvhService => ovh(OvhLogin::OAuth2 {
                client_id: known::OVH_CLIENT_ID.into(),
                client_secret: known::OVH_CLIENT_SECRET.into(),
            }),
        }
    }
}

/// Requests go straight to the emulator.
struct Inside {
    emulator: Emulator,
    kind: CloudKind,
}

#[async_trait]
impl Wire for Inside {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer> {
        let unsent = |message: &str| NoAnswer { sent: false, message: message.to_owned() };
        let target = call.url.strip_prefix("http://cloud.test").ok_or_else(|| unsent("elsewhere"))?;
        let mut request = http::Request::builder().method(call.method).uri(target).header("host", "cloud.test");
        request.headers_mut().ok_or_else(|| unsent("no headers"))?.extend(call.headers);
        let request = request.body(call.body).map_err(|e| unsent(&e.to_string()))?;
        match self.emulator.handle(self.kind, request).await {
            Outcome::Reply(reply) => {
                let (head, body) = reply.into_parts();
                Ok(Answer { status: head.status, headers: head.headers, body })
            }
            Outcome::Cut => Err(NoAnswer { sent: true, message: "the connection ended before the answer".to_owned() }),
        }
    }
}

pub struct World {
    pub emulator: Emulator,
    pub way: Way,
    pub cloud: Box<dyn Cloud>,
    pub zones: Box<dyn Zones>,
}

impl World {
    /// With the provider's usual delays.
    pub fn new(way: Way) -> Self {
        Self::with(way, Settings { enforce_rates: false, ..Settings::default() })
    }

    pub fn with(way: Way, settings: Settings) -> Self {
        let emulator = Emulator::new(Clock::manual(START), settings);
        let wire = Arc::new(Inside { emulator: emulator.clone(), kind: way.kind() });
        Self::over(way, emulator, wire, "http://cloud.test")
    }

    /// Asked at an address over a wire.
    pub fn over(way: Way, emulator: Emulator, wire: Arc<dyn Wire>, base: &str) -> Self {
        let at = |path: &str| Some(format!("{base}{path}"));
        let endpoints = Endpoints {
            hetzner: at("/v1"),
            digitalocean: at("/v2"),
            ovh: at("/1.0"),
            ovh_tokens: at("/auth/oauth2/token"),
            reach: Reach::Any,
        };
        let (credentials, install) = (way.credentials(), INSTALL.parse::<Install>().expect("an installation"));
        let cloud = open(&credentials, &install, wire.clone(), &endpoints).expect("a cloud");
        let zones = open_zones(&credentials, &install, wire, &endpoints).expect("its names");
        Self { emulator, way, cloud, zones }
    }

    /// Time passes for the cloud alone, so that to those who sign, our clock has gone wrong: they notice it at one call
    /// and have learnt it at the next.
    pub async fn pass(&self, seconds: u64) {
        self.emulator.clock().advance(Duration::from_secs(seconds));
        if self.way == Way::OvhKeys {
            let (machines, names) = (self.cloud.list(self.region()).await, self.zones.zones().await);
            for late in [machines.err(), names.err()].into_iter().flatten() {
                assert_eq!((late.class, late.code.as_str()), (Class::Later, "QUERY_TIME_OUT"));
            }
        }
    }

    pub fn fault(&self, operation: Operation, effect: Effect) {
        self.emulator.inject(Fault::next(self.way.kind(), operation, effect));
    }

    pub fn region(&self) -> &'static str {
        self.way.place().0
    }

    /// An order for a new server at a place that is looked up.
    pub async fn order(&self) -> Order {
        let (region, size, _) = self.way.place();
        let placement = self.cloud.place(region, size, &[]).await.expect("a place");
        let name =
            MachineName { install: INSTALL.parse().expect("an installation"), server: ServerId::new(), generation: 1 };
        Order { name, attempt: 1, placement, user_data: "#cloud-config\n# a secret of its own\n".to_owned() }
    }

    /// How many orders the cloud has heard.
    pub fn orders(&self) -> usize {
        self.emulator.requests().iter().filter(|seen| seen.operation == Operation::Create).count()
    }

    pub async fn get(&self, id: &str) -> Option<Machine> {
        self.cloud.get(self.region(), id).await.expect("an answer")
    }
}
