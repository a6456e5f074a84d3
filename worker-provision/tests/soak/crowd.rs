//! Clients that ask for servers, switch them and give them back, by the very functions that the API calls.

use std::{collections::BTreeMap, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use shared::{
    domain::{ClientId, ServerId, status::ServerStatus as Status},
    queue::{JobKind, NewJob, cancel, enqueue, is_active},
    store::{
        Asked, Db, DbError, Tx,
        servers::{self, NewServer, Server, Wish},
        sql,
    },
};
use tokio::time::{Instant, sleep};

use crate::place::{Place, Tenant};

/// Between two things that somebody asks for.
const PAUSE: Duration = Duration::from_millis(40);

/// How often what was asked for.
pub type Asks = BTreeMap<&'static str, usize>;

pub async fn servers_of(place: &Place) -> Vec<Server> {
    let mut all = Vec::new();
    for tenant in &place.tenants {
        all.extend(servers::list(&place.db, tenant.client, None, None, 100_000).await.expect("servers"));
    }
    all
}

/// As the API's `work::on_server`.
async fn job(tx: &mut Tx, db: &Db, server: &Server) -> Result<(), DbError> {
    let new = NewJob::new(JobKind::Provision, server.id, server.client);
    let new = NewJob { exclusive_key: Some(server.id.to_string()), ..new };
    let job = enqueue(tx, db, &new).await?.id();
    servers::set_job(tx, server.client, server.id, job).await?;
    Ok(())
}

/// As `POST /v1/servers`.
pub async fn request(db: &Db, tenant: &Tenant) -> Result<(), DbError> {
    let new = NewServer {
        id: ServerId::new(),
        client: tenant.client,
        customer: tenant.customer,
        provider: tenant.kind.name().into(),
        spec: tenant.spec(),
        account: Some(tenant.account),
        monthly: None,
        address: None,
        ssh_port: 22,
        ssh_user: "byop".into(),
        host_public_key: None,
        login_public_key: None,
        login_private_key_sealed: None,
    };
    let mut tx = db.begin().await?;
    servers::insert(&mut tx, db, &new).await?;
    if let Some(server) = servers::get(&mut tx, new.client, new.id).await? {
        job(&mut tx, db, &server).await?;
    }
    tx.commit().await
}

/// As `DELETE /v1/servers/{id}`.
pub async fn give_back(db: &Db, server: &Server) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    let Some(server) = servers::get(&mut tx, server.client, server.id).await? else { return Ok(()) };
    let needed = match servers::request_delete(&mut tx, db, server.client, server.id).await? {
        Asked::First => true,
        Asked::Again => !is_active(&mut tx, JobKind::Provision, server.id).await?,
        Asked::Idle => false,
    };
    if needed {
        if let Some(job) = server.job {
            cancel(&mut tx, db, job).await?;
        }
        job(&mut tx, db, &server).await?;
    }
    tx.commit().await
}

async fn switch(db: &Db, server: &Server, wish: &Wish) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    if servers::wish(&mut tx, db, server.client, server.id, wish).await? {
        job(&mut tx, db, server).await?;
    }
    tx.commit().await
}

/// Asks for `count` servers, most of them in two thirds of the time, and for everything else all the time.
pub async fn bustle(place: &Place, count: usize, time: Duration, seed: u64) -> Asks {
    let (mut random, mut asks, mut requested) = (StdRng::seed_from_u64(seed), Asks::new(), 0);
    let began = Instant::now();
    while began.elapsed() < time || requested < count {
        let due = (began.elapsed().as_secs_f64() / time.as_secs_f64() * 1.5 * count as f64) as usize;
        if requested < due.min(count) {
            let tenant = place.tenants.choose(&mut random).expect("a tenant");
            let done = request(&place.db, tenant).await;
            requested += usize::from(done.is_ok());
            note(&mut asks, "servers", done);
        }
        let (what, done) = one_more(place, &mut random).await;
        note(&mut asks, what, done);
        sleep(PAUSE).await;
    }
    asks
}

fn note(asks: &mut Asks, what: &'static str, done: Result<(), DbError>) {
    *asks.entry(if done.is_ok() { what } else { "refused by the database" }).or_default() += 1;
}

/// Something with one of the servers.
async fn one_more(place: &Place, random: &mut StdRng) -> (&'static str, Result<(), DbError>) {
    let server = match any(&place.db, random).await {
        Ok(Some(server)) => server,
        other => return ("nothing", other.map(|_| ())),
    };
    let other = || place.tenant_of(&server.provider).sizes[1].clone();
    let wish = match (server.status, random.gen_range(0..20)) {
        (Status::Ready, 0..5) => Some(("stops", Wish::Stop)),
        (Status::Stopped, 0..8) => Some(("starts", Wish::Start)),
        (Status::Ready | Status::Stopped, 8..12) => Some(("resizes", Wish::Resize(other()))),
        (Status::Ready, 12) => Some(("reboots", Wish::Reboot)),
        _ => None,
    };
    match wish {
        Some((what, wish)) => (what, switch(&place.db, &server, &wish).await),
        // One in twenty of those looked at, whatever they are doing.
        None if random.gen_bool(0.05) => ("deletes", give_back(&place.db, &server).await),
        None => ("nothing", Ok(())),
    }
}

/// One of the servers that nobody wants to end.
async fn any(db: &Db, random: &mut StdRng) -> Result<Option<Server>, DbError> {
    let find = sql("select id, client_id from servers where delete_requested_at is null order by id");
    let all: Vec<(ServerId, ClientId)> = find.fetch_all(db, |r| Ok((r.parse("id")?, r.parse("client_id")?))).await?;
    match all.choose(random) {
        Some((id, client)) => servers::get(db, *client, *id).await,
        None => Ok(None),
    }
}
