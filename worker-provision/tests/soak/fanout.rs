//! A hundred servers at each cloud at once, with the clouds' real delays and budgets, while the API is asked things.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cloud_emulator::{CloudKind, Seen, Settings};
use shared::{domain::status::ServerStatus as Status, store::sql};
use tokio::{sync::watch, time::sleep};

use crate::{
    Options,
    api::Api,
    check, crowd,
    place::{Place, Tenant},
    probes::Probes,
};

const WORKERS: usize = 2;
const CONCURRENCY: usize = 16;
const LEASE: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(1800);
/// How long 99 of 100 answers of the API may take.
const ANSWER_MS: f64 = 100.0;

pub async fn run(options: &Options) -> Vec<String> {
    let place = Place::new(options.engine, Settings::default(), options.servers * 2).await.expect("a database");
    // What opening the accounts asked for is not the fan-out's.
    let before = place.emulator.requests().len();
    let api = Api::start(&options.api, &place, place.tenants[0].client).await;
    let _workers = Probes::of(&place, 1, LEASE, CONCURRENCY).several(WORKERS).await;
    let (stop, stopped) = watch::channel(false);
    let asking = api.asked(stopped);
    let began = Instant::now();
    for _ in 0..options.servers {
        for tenant in &place.tenants {
            crowd::request(&place.db, tenant).await.expect("requested");
        }
    }
    println!("requested          {} servers at each cloud in {:.1} s", options.servers, began.elapsed().as_secs_f32());
    let took = all_ready(&place, options.servers, began).await;
    stop.send_replace(true);
    let asked = asking.await.expect("the asking ends");
    let mut violations = check::all(&place, &crowd::servers_of(&place).await).await;
    let requests = place.emulator.requests().split_off(before);
    for tenant in &place.tenants {
        violations.extend(of_cloud(&place, tenant, took.get(&tenant.kind), &requests));
    }
    println!("API, list servers  {}", asked.lists.shown());
    println!("API, add customers {}", asked.posts.shown());
    for (what, p99) in [("list", asked.lists.at(0.99)), ("add", asked.posts.at(0.99))] {
        if p99.is_nan() || p99 > ANSWER_MS {
            violations.push(format!("{what}: p99 is {p99:.1} ms"));
        }
    }
    violations.extend(asked.refused.first().map(|e| format!("the API refused {}: {e}", asked.refused.len())));
    println!("violations         {}", violations.len());
    if violations.is_empty() {
        place.scratch.finish().await;
    }
    violations
}

/// When the last server of each cloud was ready.
async fn all_ready(place: &Place, servers: usize, began: Instant) -> BTreeMap<CloudKind, Duration> {
    let mut took = BTreeMap::new();
    while took.len() < place.tenants.len() && began.elapsed() < LIMIT {
        for tenant in place.tenants.iter().filter(|t| !took.contains_key(&t.kind)).collect::<Vec<_>>() {
            if ready(place, tenant).await >= servers {
                took.insert(tenant.kind, began.elapsed());
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    took
}

async fn ready(place: &Place, tenant: &Tenant) -> usize {
    let count = sql("select count(*) as n from servers where client_id = $1 and status = $2");
    let count = count.text(tenant.client).text(Status::Ready).fetch_one(&place.db, |r| r.int("n")).await;
    usize::try_from(count.unwrap_or(0)).unwrap_or(0)
}

fn of_cloud(place: &Place, tenant: &Tenant, took: Option<&Duration>, requests: &[Seen]) -> Vec<String> {
    let (name, mut kinds) = (tenant.kind.name(), BTreeMap::<String, usize>::new());
    for seen in requests.iter().filter(|r| r.cloud == tenant.kind) {
        *kinds.entry(format!("{:?}/{:?}", seen.operation, seen.class).to_lowercase()).or_default() += 1;
    }
    let (all, refusals) = (kinds.values().sum::<usize>(), place.emulator.refusals(tenant.kind));
    let shown = kinds.iter().map(|(kind, n)| format!("{kind} {n}")).collect::<Vec<_>>().join(", ");
    let seconds = took.map_or_else(|| "not all ready".to_owned(), |t| format!("ready in {:.0} s", t.as_secs_f32()));
    println!("{name:18} {seconds}, {all} requests, {refusals} refused: {shown}");
    let late = took.is_none().then(|| format!("{name}: not all servers are ready"));
    let refused = (refusals > 0).then(|| format!("{name}: {refusals} requests were more than the budget"));
    late.into_iter().chain(refused).collect()
}
