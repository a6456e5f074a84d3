//! Stop, start, reboot and another size, with every single death at every boundary, on every bad day of every cloud: what is
//! then true of the machine, of the server's row and of the bill.

use std::{sync::Arc, time::Duration};

use cloud_emulator::{CloudKind, Effect, Fault, Operation, Settings, State};
use shared::{
    crash::plan::{self, Died, Plan},
    domain::status::ServerStatus as Status,
    queue::{Handler, Job, JobError, JobKind, Lease},
    store::{
        servers::{self, Server, Wish},
        sql,
    },
};
use worker_provision::{ProvisionWorker, prepare::Nobody};

use crate::{
    accounts::{look, report_only},
    behaviours::Day,
    life::Lived,
    matrix::{FAILURES, Tally, sampled},
    names::be_at,
    world::{End, Goal, LEASE, Life, Watch, World},
};

/// One in so many lives, unless all are asked for: each of them is long.
const SAMPLE: usize = 40;
/// Attempts of one wish's job after which something goes round in circles.
const RUNS: i64 = 400;

/// What a cloud does one day, and its name.
fn days(kind: CloudKind) -> Vec<(String, Day)> {
    let mut days = vec![("a good day".to_owned(), Day { faults: Vec::new(), may_refuse: false })];
    for operation in [Operation::Power, Operation::Resize, Operation::List, Operation::Get] {
        for effect in FAILURES {
            let fault = Fault::next(kind, operation, effect.clone()).times(2);
            days.push((format!("{operation:?}: {effect:?}"), Day { faults: vec![fault], may_refuse: false }));
        }
    }
    for (operation, effect) in [
        (Operation::Resize, Effect::Capacity { zone: None, size: None }),
        (Operation::Resize, Effect::Quota),
        (Operation::Resize, Effect::AuthLost),
        (Operation::Power, Effect::AuthLost),
    ] {
        let fault = Fault::next(kind, operation, effect.clone());
        days.push((format!("{operation:?}: {effect:?}"), Day { faults: vec![fault], may_refuse: true }));
    }
    days
}

/// A server that is ready, with its worker.
struct Owned<'a> {
    life: Life<'a>,
    worker: ProvisionWorker,
    runs: usize,
}

impl<'a> Owned<'a> {
    async fn new(world: &'a World) -> Self {
        let mut life = world.life(Settings { enforce_rates: false, ..Settings::default() }).await;
        let End::Made(address) = life.pursue(Goal::Make, &Plan::dying_at([])).await.unwrap() else {
            panic!("a good day")
        };
        be_at(world, life.server, &address.host).await;
        let worker = world.provision(&life.emulator).preparing(Box::new(Nobody));
        Self { life, worker, runs: 0 }
    }

    async fn server(&self) -> Server {
        servers::load_unfenced(&self.life.world.db, self.life.server).await.unwrap().expect("a server")
    }

    /// As the API does.
    async fn ask(&self, wish: &Wish) -> Result<(), String> {
        let world = self.life.world;
        let mut tx = world.db.begin().await.unwrap();
        let kept = servers::wish(&mut tx, &world.db, world.client, self.life.server, wish).await.unwrap();
        tx.commit().await.unwrap();
        if kept { Ok(()) } else { Err(format!("{} cannot be asked of {:?}", wish.as_str(), self.server().await)) }
    }

    /// Runs a job on the server to its end, through its deaths.
    async fn work(&mut self, plan: &Arc<Plan>) -> Result<(), String> {
        let world = self.life.world;
        let first = world.lease(JobKind::Provision, self.life.server).await.job;
        for attempt in 1..RUNS {
            self.runs += 1;
            let claim = sql("update jobs set attempt = $1 where id = $2").int(attempt).text(first.id);
            claim.execute(&world.db).await.unwrap();
            let lease = Lease::detached(Job { attempt, max_attempts: RUNS, ..first.clone() }).0;
            let pause = match plan::run(plan, self.worker.run(&lease)).await {
                Ok(Ok(())) => {
                    self.close(&first).await;
                    return Ok(());
                }
                Ok(Err(JobError::Later(after))) => after,
                Ok(Err(JobError::Transient { retry_after, .. })) => retry_after.unwrap_or(Duration::from_secs(5)),
                Ok(Err(e)) => return Err(format!("the job ended with {e}")),
                Err(Died) => LEASE,
            };
            world.pass(pause.max(Duration::from_millis(50)));
            self.life.check_always()?;
        }
        Err(format!("the job does not end: {:?}", self.server().await))
    }

    /// As the queue closes a job that is done.
    async fn close(&self, job: &Job) {
        let end = sql("update jobs set state = 'succeeded', finished_at = $1, lease_owner = null, lease_until = null
                       where id = $2");
        let db = &self.life.world.db;
        end.int(db.now_ms()).text(job.id).execute(db).await.unwrap();
    }

    /// The one machine that stands is as the rows say; tells its size.
    async fn check(&self) -> Result<String, String> {
        self.life.check_made().await?;
        let (server, rows) = (self.server().await, self.life.rows().await);
        let (machine, row) = (self.life.standing().remove(0), &rows[rows.len() - 1]);
        if server.wish.is_some() {
            return Err(format!("the wish is still there: {server:?}"));
        }
        let is_so = match server.status {
            Status::Ready => matches!(machine.state, State::Running | State::Rebooting),
            Status::Stopped => machine.state == State::Stopped,
            _ => false,
        };
        if !is_so || machine.size != row.size {
            let (state, size) = (machine.state, machine.size);
            return Err(format!("{} and {} is said of what is {state:?} and {size}", server.status, row.size));
        }
        let price = self.life.catalog.price(&row.region, &row.size).and_then(|p| p.month());
        let expected = server.monthly.map(|m| (m.micros, m.currency));
        if expected != price.map(|p| (p.micros, p.currency)) {
            return Err(format!("{expected:?} is expected of {}", row.size));
        }
        Ok(row.size.clone())
    }

    /// What is asked is done, or refused with a reason, and a second job changes nothing.
    async fn obey(&mut self, wish: &Wish, day: &Day, plan: &Arc<Plan>) -> Result<(), String> {
        self.ask(wish).await?;
        for _ in 0..2 {
            self.work(plan).await?;
            self.check().await.map_err(|e| format!("{}: {e}", wish.as_str()))?;
        }
        let (server, size) = (self.server().await, self.check().await?);
        let done = match wish {
            Wish::Stop => server.status == Status::Stopped,
            Wish::Start | Wish::Reboot => server.status == Status::Ready,
            Wish::Resize(wanted) => server.status == Status::Ready && size == *wanted,
        };
        match (done, &server.error_code) {
            (true, None) => Ok(()),
            (_, Some(_)) if day.may_refuse => Ok(()),
            other => Err(format!("{}: {other:?}, the server is {}, {size}", wish.as_str(), server.status)),
        }
    }
}

/// A machine that is off, on, started anew and made larger, and then given back.
async fn switched(world: &World, day: &Day, plan: &Arc<Plan>) -> Result<Lived, String> {
    let mut owned = Owned::new(world).await;
    let before = owned.life.emulator.requests().len();
    day.faults.iter().for_each(|f| owned.life.emulator.inject(f.clone()));
    for wish in [Wish::Stop, Wish::Start, Wish::Reboot, Wish::Resize(owned.life.sizes()[1].clone())] {
        let off = owned.server().await.status == Status::Stopped;
        if off && matches!(wish, Wish::Reboot | Wish::Resize(_)) {
            owned.obey(&Wish::Start, day, plan).await?;
        }
        owned.obey(&wish, day, plan).await?;
    }
    let end = owned.life.pursue(Goal::Leave, &Plan::dying_at([])).await?;
    if end != End::Left {
        return Err(format!("left: {end:?}"));
    }
    owned.life.check_left(Watch::Always).await?;
    Ok(Lived { runs: owned.runs, requests: owned.life.emulator.requests().len() - before })
}

async fn wishes(kind: CloudKind) {
    let world = World::new(kind).await;
    world.give_credentials().await;
    // The account's catalog, as its worker keeps it.
    let first = world.life(Settings { enforce_rates: false, ..Settings::default() }).await;
    look(&first, &report_only()).await.unwrap();
    let (mut points, mut reached) = (0, Vec::new());
    for (name, day) in days(kind) {
        let plan = Plan::dying_at([]);
        let lived = switched(&world, &day, &plan).await;
        lived.unwrap_or_else(|e| panic!("{}, {name}: {e}", kind.name()));
        points += plan.reached().len();
        reached.push((name, day, plan.reached()));
    }
    let mut tally = Tally::of(format!("{}: wishes on {} days, {points} points, one death", kind.name(), reached.len()));
    for (name, day, boundaries) in &reached {
        for death in sampled(boundaries.len(), SAMPLE) {
            let lived = switched(&world, day, &Plan::dying_at([death])).await;
            tally.count(lived.map(|l| l.runs), || format!("{name}, death at {death} ({})", boundaries[death]));
        }
    }
    tally.end();
}

#[tokio::test]
async fn hetzner_wishes_with_every_death() {
    wishes(CloudKind::Hetzner).await;
}

#[tokio::test]
async fn digitalocean_wishes_with_every_death() {
    wishes(CloudKind::DigitalOcean).await;
}

#[tokio::test]
async fn ovh_wishes_with_every_death() {
    wishes(CloudKind::Ovh).await;
}

#[tokio::test]
async fn aws_wishes_with_every_death() {
    wishes(CloudKind::Aws).await;
}
