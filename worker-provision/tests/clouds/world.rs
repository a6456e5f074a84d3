//! A world on a manual clock with one account at each cloud, and a wire into it without sockets.

use std::{sync::Arc, time::Duration};

use cloud_emulator::{Clock, CloudKind, Effect, Emulator, Fault, Operation, Settings, known};
use shared::{
    domain::ServerId,
    providers::{
        cloud::{Class, Cloud, Credentials, Install, Machine, MachineName, Order, OvhEndpoint, OvhLogin, Zones},
        wire::Wire,
    },
};
use worker_provision::clouds::Opener;

use crate::{
    logins::credentials,
    wire::{self, InProcess},
};

pub const START: i64 = 1_767_225_600_000;
pub const INSTALL: &str = "00112233aa";

/// Each way into an account.
pub const WAYS: [Way; 5] = [Way::Hetzner, Way::DigitalOcean, Way::OvhKeys, Way::OvhService, Way::Aws];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Hetzner,
    DigitalOcean,
    OvhKeys,
    OvhService,
    Aws,
}

impl Way {
    pub fn kind(self) -> CloudKind {
        match self {
            Self::Hetzner => CloudKind::Hetzner,
            Self::DigitalOcean => CloudKind::DigitalOcean,
            Self::OvhKeys | Self::OvhService => CloudKind::Ovh,
            Self::Aws => CloudKind::Aws,
        }
    }

    /// Where it is, and a size and another one that are sold there.
    pub fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Hetzner => ("fsn1", "cx23", "cx33"),
            Self::DigitalOcean => ("fra1", "s-1vcpu-1gb", "s-1vcpu-2gb"),
            Self::OvhKeys | Self::OvhService => ("GRA11", "b3-8", "b3-16"),
            Self::Aws => ("eu-central-1", "t3.small", "t3.medium"),
        }
    }

    fn credentials(self) -> Credentials {
        let Self::OvhService = self else { return credentials(self.kind()) };
        let login =
            OvhLogin::OAuth2 { client_id: known::OVH_CLIENT_ID.into(), client_secret: known::OVH_CLIENT_SECRET.into() };
        Credentials::Ovh { endpoint: OvhEndpoint::Eu, project: known::OVH_PROJECT.into(), login }
    }
}

pub struct World {
    pub emulator: Emulator,
    pub way: Way,
    pub cloud: Arc<dyn Cloud>,
    pub zones: Arc<dyn Zones>,
}

impl World {
    /// With the provider's usual delays.
    pub fn new(way: Way) -> Self {
        Self::with(way, Settings { enforce_rates: false, ..Settings::default() })
    }

    pub fn with(way: Way, settings: Settings) -> Self {
        let emulator = Emulator::new(Clock::manual(START), settings);
        let inside = Arc::new(InProcess { emulator: emulator.clone(), cloud: way.kind() });
        Self::over(way, emulator, inside, wire::BASE)
    }

    /// Asked at an address over a wire.
    pub fn over(way: Way, emulator: Emulator, wire: Arc<dyn Wire>, base: &str) -> Self {
        let install: Install = INSTALL.parse().expect("an installation");
        let opened = wire::network(wire, base).open(&way.credentials(), &install).expect("an account");
        Self { emulator, way, cloud: opened.cloud, zones: opened.zones.expect("its names") }
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
