//! The course of a soak: chaos for a time, quiet until nothing moves, half of everything given back, quiet again, and then
//! what stands and costs beside what the rows say.

use std::time::{Duration, Instant};

use shared::{
    domain::status::ServerStatus as Status,
    store::{servers::Server, sql},
};

use tokio::sync::watch;

use crate::{
    Options, bills,
    check::{self, Watch},
    crowd::{self, Asks},
    faults,
    place::{Place, hastened, until},
    probes::Probes,
};

/// Clouds and waits are so many times faster than real ones.
pub const HASTE: u32 = 10;
pub const LEASE: Duration = Duration::from_secs(4);
const WORKERS: usize = 3;
const CONCURRENCY: usize = 6;
/// How long everything may take to come to rest once nothing goes wrong any more.
const REST: Duration = Duration::from_secs(300);
/// How often an end that was given up is asked for again.
const INSISTENCE: usize = 3;

pub async fn run(options: &Options) -> Vec<String> {
    let mut settings = hastened(HASTE);
    settings.enforce_rates = false;
    let Some(place) = Place::new(options.engine, settings, 100_000).await else { return Vec::new() };
    let (began, time) = (Instant::now(), Duration::from_secs(options.seconds));
    let probes = Probes::of(&place, HASTE, LEASE, CONCURRENCY);
    let mut workers = probes.several(WORKERS).await;
    let watch = Watch::over(place.emulator.clone());
    let rain = tokio::spawn(faults::rain(place.emulator.clone(), options.seed, HASTE));
    let (stop, stopped) = watch::channel(false);
    let bustle = async {
        let asks = crowd::bustle(&place, options.servers, time, options.seed).await;
        stop.send_replace(true);
        asks
    };
    let (asks, kills) = tokio::join!(bustle, probes.killed_until(stopped, &mut workers, options.seed));
    rain.abort();
    place.emulator.clear_faults();
    let chaos = began.elapsed();
    let mut violations = rest(&place, "after the faults").await;
    let halved = give_half_back(&place).await;
    violations.extend(rest(&place, "after half was given back").await);
    violations.extend(insist(&place).await);
    violations.extend(watch.end().await);
    violations.extend(check::all(&place, &crowd::servers_of(&place).await).await);
    let (told, bill) = bills::check(&place).await;
    violations.extend(told);
    print(options, &place, &asks, kills).await;
    println!(
        "chaos              {:.0} s, then quiet after {:.0} s in all",
        chaos.as_secs_f32(),
        began.elapsed().as_secs_f32()
    );
    println!("given back at last {halved}");
    println!("bill               {bill}");
    println!("violations         {}", violations.len());
    drop(workers);
    if violations.is_empty() {
        place.scratch.finish().await;
    }
    violations
}

async fn print(options: &Options, place: &Place, asks: &Asks, kills: usize) {
    let of = |counts: Vec<(String, usize)>| {
        counts.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
    };
    let runs = sql("select cast(coalesce(sum(attempt), 0) as bigint) as n from jobs");
    let runs = runs.fetch_one(&place.db, |r| r.int("n")).await.unwrap_or(-1);
    let faults = faults::met(&place.emulator);
    println!("database           {}, seed {}, {} s", place.db.engine(), options.seed, options.seconds);
    println!("asked for          {}", of(asks.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()));
    println!("servers            {}", of(check::statuses(&crowd::servers_of(place).await)));
    println!("machines           {}", place.emulator.inventory().len());
    println!("workers            {WORKERS}, killed {kills} times");
    println!("requests           {}", place.emulator.requests().len());
    println!("faults met         {}: {}", faults.values().sum::<usize>(), of(faults.into_iter().collect()));
    println!("runs               {runs}");
}

/// Whether somebody still works, or will work, on something.
async fn is_at_rest(place: &Place) -> bool {
    let open = sql("select count(*) as n from jobs where state in ('queued', 'running') or abandoned = 1");
    open.fetch_one(&place.db, |r| r.int("n")).await.is_ok_and(|n| n == 0)
}

async fn rest(place: &Place, when: &str) -> Vec<String> {
    if until(REST, Duration::from_millis(200), || is_at_rest(place)).await {
        return Vec::new();
    }
    vec![format!("{when}: it does not come to rest: {:?}", check::statuses(&crowd::servers_of(place).await))]
}

async fn give_half_back(place: &Place) -> usize {
    let standing = |s: &Server| s.status != Status::Deleted && s.delete_requested_at.is_none();
    let mut all = crowd::servers_of(place).await;
    all.retain(standing);
    let half: Vec<_> = all.iter().step_by(2).collect();
    for server in &half {
        crowd::give_back(&place.db, server).await.expect("asked for");
    }
    half.len()
}

/// An end that was given up can be asked for again, and comes.
async fn insist(place: &Place) -> Vec<String> {
    let (mut violations, mut asked) = (Vec::new(), 0);
    for _ in 0..INSISTENCE {
        let stuck: Vec<_> = crowd::servers_of(place).await.into_iter().filter(|s| s.status == Status::Stuck).collect();
        if stuck.is_empty() {
            break;
        }
        asked += stuck.len();
        for server in &stuck {
            crowd::give_back(&place.db, server).await.expect("asked for");
        }
        violations.extend(rest(place, "after stuck ends were asked for again").await);
    }
    println!("asked for again    {asked} ends that were given up");
    violations
}
