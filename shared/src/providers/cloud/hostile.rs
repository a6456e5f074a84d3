//! Whatever a cloud answers, nothing panics, nothing is asked without end, and an order is done only with an id.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Cloud, Created, Credentials, Endpoints, OvhEndpoint, OvhLogin, Placement, Power, Record, Zones, open, open_zones,
    scripted::{self, NAME},
};
use crate::providers::wire::{Answer, Call, NoAnswer, Wire};

/// Answers in turn, for ever.
struct Any {
    answers: Mutex<VecDeque<(u16, Value)>>,
    calls: AtomicUsize,
}

#[async_trait]
impl Wire for Any {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer> {
        self.calls.fetch_add(1, SeqCst);
        if call.url.ends_with("/oauth2/token") {
            return scripted::says(200, json!({"access_token": "t", "expires_in": 3600}));
        }
        let mut answers = self.answers.lock().expect("answers");
        answers.rotate_left(1);
        let (status, body) = answers.back().expect("an answer");
        let status = StatusCode::from_u16(*status).expect("a status");
        Ok(Answer { status, headers: HeaderMap::new(), body: body.to_string().into() })
    }
}

/// JSON of the names that the clouds use, in any place and with any value.
fn body() -> impl Strategy<Value = Value> {
    const NAMES: &str = "servers|server|droplets|droplet|id|name|status|networks|v4|public_net|ipv4|ip|meta|pagination|\
                         next_page|total|links|pages|next|account|ssh_keys|firewalls|image|images|sizes|error|code|message|\
                         class|region|regions|access_token|expires_in|zones|rrset|records|domain_records|domains|data|ttl";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u64..3).prop_map(Value::from),
        "[a-z0-9.:/-]{0,12}".prop_map(Value::from),
        Just(Value::from(NAME)),
        Just(
            json!({"id": 1, "name": NAME, "status": "running", "location": {"name": "r"}, "server_type": {"name": "s"}})
        ),
        Just(
            json!({"id": 2, "name": NAME, "status": "off", "region": {"slug": "r"}, "networks": {"v4": [], "v6": []}})
        ),
        Just(json!({"id": "3", "name": NAME, "status": "ACTIVE", "region": "r", "ipAddresses": []})),
    ];
    let name = proptest::sample::select(NAMES.split('|').map(|n| n.trim().to_owned()).collect::<Vec<_>>());
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn clouds(wire: &Arc<Any>) -> Vec<(Box<dyn Cloud>, Box<dyn Zones>)> {
    let login = OvhLogin::OAuth2 { client_id: "c".into(), client_secret: "s".into() };
    let all = [
        Credentials::Hetzner { token: "t".into() },
        Credentials::DigitalOcean { token: "t".into() },
        Credentials::Ovh { endpoint: OvhEndpoint::Eu, project: "p".into(), login },
    ];
    let install = scripted::INSTALL.parse().expect("an installation");
    let at = Endpoints::default();
    let both =
        |c: &Credentials| Some((open(c, &install, wire.clone(), &at)?, open_zones(c, &install, wire.clone(), &at)?));
    all.iter().filter_map(both).collect()
}

/// Everything that can be asked; only the order's end is looked at.
async fn ask(cloud: &dyn Cloud, zones: &dyn Zones) {
    let place = json!({"region": "r", "zone": null, "size": "s", "image": "i", "network": null, "firewall": "1", "null_key": "2"});
    let place: Placement = serde_json::from_value(place).expect("a placement");
    if let Created::Yes(id) = cloud.create(&scripted::order(place)).await {
        assert!(!id.is_empty());
    }
    let _ = cloud.check().await;
    let _ = cloud.catalog().await;
    let _ = cloud.place("r", "s", &[]).await;
    let _ = cloud.find("r", &scripted::name()).await;
    let _ = cloud.get("r", "1").await;
    let _ = cloud.power("r", "1", Power::Reboot).await;
    let _ = cloud.resize("r", "1", "s2").await;
    let _ = cloud.delete("r", "1").await;
    let _ = cloud.list("r").await;
    let record = Record {
        zone: "a.example".into(),
        name: "b.a.example".into(),
        address: "8.8.8.8".parse().expect("IP"),
        ttl: 60,
    };
    let _ = zones.zones().await;
    let _ = zones.values(&record).await;
    let _ = zones.set(&record).await;
    let _ = zones.remove(&record).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_answer_is_borne(answers in prop::collection::vec((prop::sample::select(vec![200u16, 201, 204, 404, 409, 422, 429, 460, 500]), body()), 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for n in 0..3 {
            let wire = Arc::new(Any { answers: Mutex::new(answers.clone().into()), calls: AtomicUsize::new(0) });
            let (cloud, zones) = clouds(&wire).swap_remove(n);
            runtime.block_on(ask(cloud.as_ref(), zones.as_ref()));
            prop_assert!(wire.calls.load(SeqCst) < 200);
        }
    }
}
