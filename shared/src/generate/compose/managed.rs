//! Managed services: a database as a compose project of its own, which no release touches.
//!
//! Invariant: its container is known to the app by the component's name; its data is in a volume of the project; it
//! publishes no port. Its password stands in its environment file, never in the compose file or a command line. Absent:
//! making and keeping the password.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ComposeError, app_network,
    parts::{Deploy, External, HealthCheck, Joined, Logging, Mount, to_yaml},
};
use crate::domain::{
    AppId, EnvName, Port, ServiceId,
    component::{ComponentKind, ComponentName, ReferenceField, Resources},
};

/// The user and the database of every managed service.
const NAME: &str = "app";
/// What the usual images do as root before they change to their own user.
const CAPABILITIES: &[&str] = &["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

/// One managed service.
#[derive(Clone, Debug)]
pub struct ManagedService {
    pub id: ServiceId,
    pub app: AppId,
    pub component: ComponentName,
    pub kind: ComponentKind,
    /// The operator's image of the kind and version.
    pub image: String,
    pub env_file: String,
    pub resources: Resources,
}

#[derive(Serialize)]
struct File {
    name: String,
    services: BTreeMap<&'static str, Service>,
    networks: BTreeMap<&'static str, External>,
    volumes: BTreeMap<&'static str, BTreeMap<(), ()>>,
}

#[derive(Serialize)]
struct Service {
    image: String,
    volumes: Vec<Mount>,
    env_file: [String; 1],
    networks: BTreeMap<&'static str, Joined>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    restart: &'static str,
    healthcheck: HealthCheck,
    logging: Logging,
    labels: BTreeMap<&'static str, String>,
    cap_add: &'static [&'static str],
    cap_drop: [&'static str; 1],
    deploy: Deploy,
    init: bool,
    pull_policy: &'static str,
    security_opt: [&'static str; 1],
    stop_grace_period: &'static str,
}

/// What differs between the kinds.
struct Engine {
    port: u16,
    data: &'static str,
    command: &'static [&'static str],
    /// A shell text without any value in it: variables of the container are read there.
    health: &'static str,
}

/// Redis reads its settings from a pipe, so that the password is in no file and no command line.
const REDIS: &str = "exec docker-entrypoint.sh redis-server - <<END
requirepass $REDIS_PASSWORD
appendonly yes
dir /data
END
";

fn engine(kind: ComponentKind) -> Engine {
    match kind {
        ComponentKind::Mysql => Engine {
            port: 3306,
            data: "/var/lib/mysql",
            command: &[],
            // Over TCP: while it sets itself up, the server listens on its socket only.
            health: r#"MYSQL_PWD=$MYSQL_PASSWORD mysqladmin -h127.0.0.1 -u"$MYSQL_USER" ping --silent"#,
        },
        ComponentKind::Redis => Engine {
            port: 6379,
            data: "/data",
            command: &["sh", "-c", REDIS],
            health: r#"[ "$(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli ping)" = PONG ]"#,
        },
        _ => Engine {
            port: 5432,
            data: "/var/lib/postgresql/data",
            command: &[],
            health: r#"pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB""#,
        },
    }
}

/// What a compose file says of a kind.
pub(super) struct Parts {
    pub data: &'static str,
    pub command: Vec<String>,
    pub health: HealthCheck,
}

pub(super) fn parts(kind: ComponentKind) -> Parts {
    let engine = engine(kind);
    Parts {
        data: engine.data,
        command: engine.command.iter().map(|word| (*word).to_owned()).collect(),
        health: HealthCheck::command(&["sh", "-c", engine.health].map(str::to_owned)),
    }
}

pub fn managed_port(kind: ComponentKind) -> Port {
    Port::saturating(engine(kind).port)
}

/// The compose file of a managed service.
pub fn managed_compose(service: &ManagedService) -> Result<String, ComposeError> {
    let parts = parts(service.kind);
    let aliases = vec![service.component.to_string()];
    let rendered = Service {
        image: service.image.clone(),
        command: parts.command,
        env_file: [service.env_file.clone()],
        networks: BTreeMap::from([("app", Joined { aliases })]),
        volumes: vec![Mount::volume("data".to_owned(), parts.data)],
        restart: "unless-stopped",
        healthcheck: parts.health,
        logging: Logging::bounded(),
        labels: BTreeMap::from([
            ("byop.managed", service.app.to_string()),
            ("byop.service", service.id.to_string()),
            ("byop.component", service.component.to_string()),
        ]),
        cap_add: CAPABILITIES,
        cap_drop: ["ALL"],
        deploy: service.resources.into(),
        init: true,
        pull_policy: "missing",
        security_opt: ["no-new-privileges:true"],
        stop_grace_period: "60s",
    };
    to_yaml(&File {
        name: format!("s-{}", service.id.0.simple()),
        services: BTreeMap::from([("service", rendered)]),
        networks: BTreeMap::from([("app", External::named(app_network(service.app)))]),
        volumes: BTreeMap::from([("data", BTreeMap::new())]),
    })
}

/// The environment in which a managed service sets itself up.
pub fn managed_environment(kind: ComponentKind, password: &str) -> BTreeMap<EnvName, String> {
    let pairs: &[(&str, &str)] = match kind {
        ComponentKind::Mysql => &[
            ("MYSQL_DATABASE", NAME),
            ("MYSQL_USER", NAME),
            ("MYSQL_PASSWORD", password),
            ("MYSQL_RANDOM_ROOT_PASSWORD", "yes"),
        ],
        ComponentKind::Redis => &[("REDIS_PASSWORD", password)],
        // A directory below the mount: the mount's own may have a lost+found.
        _ => &[
            ("POSTGRES_DB", NAME),
            ("POSTGRES_USER", NAME),
            ("POSTGRES_PASSWORD", password),
            ("PGDATA", "/var/lib/postgresql/data/main"),
        ],
    };
    pairs.iter().filter_map(|(name, value)| Some((name.parse().ok()?, (*value).to_owned()))).collect()
}

/// What a reference to a managed service stands for. The password has only letters and digits, so it needs no escaping
/// in a URL.
pub fn managed_url(kind: ComponentKind, component: &ComponentName, field: ReferenceField, password: &str) -> String {
    let port = managed_port(kind);
    match field {
        ReferenceField::Host => component.to_string(),
        ReferenceField::Port => port.to_string(),
        ReferenceField::User | ReferenceField::Database => NAME.to_owned(),
        ReferenceField::Password => password.to_owned(),
        ReferenceField::Url => match kind {
            ComponentKind::Redis => format!("redis://:{password}@{component}:{port}/0"),
            kind => format!("{kind}://{NAME}:{password}@{component}:{port}/{NAME}"),
        },
    }
}
