//! Sets of fixed texts in requests and answers: statuses, modes, kinds. The domain's own types, so that nothing is
//! written twice, and the document names every value.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::Value;
use shared::{
    domain::{
        BackupKind, EventType,
        component::{ComponentKind, Protocol},
        observed::{CertificateState, ContainerHealth, ContainerState, DriftKind},
        status::{BackupStatus, BuildStatus, DeploymentStatus, MachineState, RestoreStatus, ServerStatus},
    },
    names::RecordBy,
    queue::{JobKind, JobState},
    store::{
        apps::DockerfileMode,
        deliveries::DeliveryStatus,
        deployments::Desired,
        domain_proofs::{ProofMethod, ProofState},
        env::EnvScope,
        findings::Verdict,
        provider_accounts::AccountStatus,
        webhook_endpoints::EndpointStatus,
    },
};

/// A type with a few values, each with a text.
pub trait Words: Copy + Send + Sync + 'static {
    /// Its name in the document, and what it is.
    const NAME: &'static str;
    const ABOUT: &'static str;
    const ALL: &'static [Self];
    fn text(self) -> &'static str;
}

macro_rules! words {
    ($($name:ident, $about:literal;)*) => {$(
        impl Words for $name {
            const NAME: &'static str = stringify!($name);
            const ABOUT: &'static str = $about;
            const ALL: &'static [Self] = $name::ALL;

            fn text(self) -> &'static str {
                self.as_str()
            }
        }
    )*};
}

words! {
    BuildStatus, "How far a build is. `success`, `failed` and `cancelled` are ends.";
    ServerStatus, "How far a server is. It can be used when it is `ready`.";
    BackupStatus, "How far a backup is. It is good when it is `verified`: its object was fetched back, decrypted and restored for a test.";
    BackupKind, "What a backup is of.";
    RestoreStatus, "How far a restore is.";
    MachineState, "How far a machine at a cloud is. It costs something while it is `present` or `leaving`.";
    AccountStatus, "What is known of an account's credentials. `unchecked`: not looked at since they were changed; `incomplete`: they work, and lack a permission; `refused`: the cloud does not accept them.";
    Verdict, "What is wrong with a machine. `orphan`: it bears the engine's name and no server wants it; `duplicate`: a server has another one; `zombie`: a server wants it and the cloud does not show it.";
    DeploymentStatus, "How far a deployment is. It serves its domain when it is `live`.";
    RecordBy, "Who sees to a domain's record. `by_us`: the engine will set it, in an account that serves the zone; `by_hand`: somebody has to, because no account serves the zone or the engine may not; `set`: the engine has set it.";
    CertificateState, "How a domain's certificate stands. `none`: nothing leads to the domain yet; `dns_wrong`: there is none, and the domain does not lead to the server; `requested`: the edge asks an authority for it; `expiring`: it should have been renewed by now; `failed`: there is none after ten minutes, or one that a visitor would not take.";
    ContainerState, "What Docker says of a container's process.";
    ContainerHealth, "What a container's own health check says of it.";
    DriftKind, "How something differs from what was deployed. `missing`: a container is not there; `stopped`: it does not run; `extra`: one runs that should not; `image`: it runs another image; `routes`: the edge follows other routes; `published_port`: a port is open that nobody declared.";
    ComponentKind, "What a component is there for. `web` answers requests, `worker` runs all the time, `cron` by a schedule, `release` once before each switch; the others are services that the engine runs.";
    Protocol, "How a published port is spoken to.";
    Desired, "What a deployment is meant to be.";
    DockerfileMode, "`auto`: the repository's own Dockerfile when it has one, else a generated one. `generate`: always a generated one.";
    EnvScope, "Where a variable is used: while the image is built, in the running container, or both.";
    EventType, "What happened. `webhook.test` is sent on demand only.";
    ProofState, "How far the proof of a name is. `pending`: not found yet; `lost`: it was proved once, and another client has proved it since.";
    ProofMethod, "How a name was proved. `dns`: by a record, for the name and all below it; `http`: by a file, for the name alone.";
    EndpointStatus, "Whether events are sent to an endpoint. One that answers with 410 is disabled.";
    DeliveryStatus, "How far a delivery is. `pending`: it will be sent, at once or again; `failed`: it is not tried any more.";
    JobState, "How a job stands. `dead`: it failed too often.";
    JobKind, "A kind of work, with a queue of its own.";
}

/// One of the texts of `T`.
#[derive(Clone, Copy, Debug)]
pub struct Word<T>(pub T);

impl<T: Words> Type for Word<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(T::NAME.into())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(T::NAME.into(), |_| MetaSchema {
            description: Some(T::ABOUT),
            enum_items: T::ALL.iter().map(|word| Value::from(word.text())).collect(),
            ..MetaSchema::new("string")
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

fn find<T: Words>(text: &str) -> Option<Word<T>> {
    T::ALL.iter().copied().find(|word| word.text() == text).map(Word)
}

impl<T: Words> ParseFromJSON for Word<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let value = value.unwrap_or_default();
        value.as_str().and_then(find).ok_or_else(|| ParseError::expected_type(value))
    }
}

impl<T: Words> ParseFromParameter for Word<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        find(value).ok_or_else(|| ParseError::custom("it is none of the possible values"))
    }
}

impl<T: Words> ToJSON for Word<T> {
    fn to_json(&self) -> Option<Value> {
        Some(Value::from(self.0.text()))
    }
}
