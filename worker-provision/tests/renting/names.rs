//! Customers' domains in accounts' zones: set, led elsewhere and taken away, whatever dies or does not answer; and the end
//! of a server, whose records go first.

use std::{sync::Arc, time::Duration};

use cloud_emulator::{CloudKind, Effect, Emulator, Fault, Operation, Settings, known};
use shared::{
    crash::plan::{self, Plan},
    domain::{
        AppId, ServerId,
        status::{RecordState, ServerStatus},
    },
    providers::cloud::{Record, Zones},
    queue::{Handler, JobError, JobKind, is_active},
    store::{
        dns_records::{self, DnsRecord},
        domains::{self, Holder},
        servers, sql,
    },
};

use crate::{
    accounts::{look, report_only},
    world::{End, Goal, Life, World},
};

const FIRST: &str = "203.0.113.7";
const SECOND: &str = "203.0.113.8";
const FOREIGN: &str = "198.51.100.1";

fn settings() -> Settings {
    Settings { enforce_rates: false, ..Settings::default() }
}

fn name(label: &str) -> String {
    format!("{label}.{}", known::DOMAIN)
}

pub async fn be_at(world: &World, server: ServerId, address: &str) {
    let set = sql("update servers set status = 'ready', address = $1 where id = $2").text(address).text(server);
    set.execute(&world.db).await.unwrap();
}

/// The domain is a new app's on the server.
async fn claim(world: &World, server: ServerId, domain: &str) {
    let app = AppId::new();
    sql("insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
         values ($1, $2, $1, 'https://git.example/a', 'main', 0, 0)")
    .text(app)
    .text(world.client)
    .execute(&world.db)
    .await
    .unwrap();
    let holder = Holder { client: world.client, app, server };
    let mut tx = world.db.begin().await.unwrap();
    assert!(domains::claim(&mut tx, 0, &domain.parse().unwrap(), &holder).await.unwrap());
    tx.commit().await.unwrap();
}

async fn free(world: &World, domain: &str) {
    sql("delete from domains where domain = $1").text(domain).execute(&world.db).await.unwrap();
}

async fn row(world: &World, domain: &str) -> Option<DnsRecord> {
    dns_records::of_name(&world.db, world.client, domain).await.unwrap().pop()
}

fn served(emulator: &Emulator, domain: &str) -> Vec<String> {
    emulator.resolve(domain, "A")
}

/// What somebody else sets, in the cloud's own pages.
async fn by_hand(life: &Life<'_>, domain: &str) -> (Arc<dyn Zones>, Record) {
    let zones = life.world.zones(&life.emulator);
    let address = FOREIGN.parse().unwrap();
    let record = Record { zone: known::DOMAIN.into(), name: domain.into(), address, ttl: 600 };
    zones.set(&record).await.unwrap();
    (zones, record)
}

/// A server that is ready and an account that has been swept.
async fn ready(world: &World, settings: Settings) -> Life<'_> {
    world.give_credentials().await;
    let life = world.life(settings).await;
    be_at(world, life.server, FIRST).await;
    look(&life, &report_only()).await.unwrap();
    life
}

#[tokio::test]
async fn a_domain_leads_to_its_server_for_as_long_as_it_is_claimed() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        let life = ready(&world, settings()).await;
        let (shop, apex, other) = (name("shop"), known::DOMAIN.to_owned(), name("other"));
        by_hand(&life, &other).await;
        claim(&world, life.server, &shop).await;
        claim(&world, life.server, &apex).await;
        claim(&world, life.server, "shop.elsewhere.test").await;
        look(&life, &report_only()).await.unwrap();
        for domain in [&shop, &apex] {
            assert_eq!(served(&life.emulator, domain), [FIRST], "{kind:?}");
            let set = row(&world, domain).await.unwrap();
            assert!(set.state == RecordState::Set && set.zone == known::DOMAIN, "{kind:?}: {set:?}");
        }
        assert!(row(&world, "shop.elsewhere.test").await.is_none(), "{kind:?}: no zone of the account's");

        be_at(&world, life.server, SECOND).await;
        look(&life, &report_only()).await.unwrap();
        assert_eq!(served(&life.emulator, &shop), [SECOND], "{kind:?}");
        be_at(&world, life.server, "2001:db8::7").await;
        look(&life, &report_only()).await.unwrap();
        let now = (served(&life.emulator, &shop), life.emulator.resolve(&shop, "AAAA"));
        assert_eq!(now, (Vec::new(), vec!["2001:db8::7".to_owned()]), "{kind:?}: another family");

        free(&world, &shop).await;
        look(&life, &report_only()).await.unwrap();
        assert!(life.emulator.resolve(&shop, "AAAA").is_empty() && row(&world, &shop).await.is_none(), "{kind:?}");
        assert_eq!(life.emulator.resolve(&apex, "AAAA"), ["2001:db8::7"], "{kind:?}");
        assert_eq!(served(&life.emulator, &other), [FOREIGN], "{kind:?}: somebody else's stays");
        // With nothing to do, nothing is asked of the name service, until its zones are to be read again.
        let asked = || life.emulator.requests().iter().filter(|r| r.operation == Operation::Dns).count();
        let before = asked();
        look(&life, &report_only()).await.unwrap();
        assert_eq!(asked(), before, "{kind:?}");
    }
}

#[tokio::test]
async fn a_record_that_we_never_set_is_not_overwritten_and_holds_nothing_up() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        let life = ready(&world, settings()).await;
        let (shop, www) = (name("shop"), name("www"));
        let (zones, foreign) = by_hand(&life, &shop).await;
        claim(&world, life.server, &shop).await;
        claim(&world, life.server, &www).await;
        look(&life, &report_only()).await.unwrap();
        assert_eq!(
            (served(&life.emulator, &shop), served(&life.emulator, &www)),
            (vec![FOREIGN.into()], vec![FIRST.into()])
        );
        let refused = row(&world, &shop).await.unwrap();
        assert_eq!((refused.state, refused.error_code.as_deref()), (RecordState::Refused, Some("record_exists")));
        assert!(refused.error_message.unwrap().contains(FOREIGN), "{kind:?}");
        // Freed, it is not touched either.
        free(&world, &shop).await;
        look(&life, &report_only()).await.unwrap();
        assert!(served(&life.emulator, &shop) == [FOREIGN] && row(&world, &shop).await.is_none(), "{kind:?}");
        // Once it is out of the way, the domain leads here.
        claim(&world, life.server, &shop).await;
        look(&life, &report_only()).await.unwrap();
        zones.remove(&foreign).await.unwrap();
        look(&life, &report_only()).await.unwrap();
        assert_eq!(served(&life.emulator, &shop), [FIRST], "{kind:?}");
        // Changed by hand later, it is left as it is, also when the domain is freed.
        zones.set(&foreign).await.unwrap();
        be_at(&world, life.server, SECOND).await;
        look(&life, &report_only()).await.unwrap();
        assert_eq!(row(&world, &shop).await.unwrap().state, RecordState::Refused, "{kind:?}");
        free(&world, &shop).await;
        look(&life, &report_only()).await.unwrap();
        assert!(served(&life.emulator, &shop) == [FOREIGN] && row(&world, &shop).await.is_none(), "{kind:?}");
    }
}

#[tokio::test]
async fn ovh_serves_a_record_only_after_a_refresh_that_is_made_good() {
    let mut cut = 0;
    for requests in 0..12 {
        let world = World::new(CloudKind::Ovh).await;
        let life = ready(&world, settings()).await;
        let shop = name("shop");
        claim(&world, life.server, &shop).await;
        life.emulator.inject(Fault::next(CloudKind::Ovh, Operation::Dns, Effect::CutBefore).after(requests));
        let first = look(&life, &report_only()).await;
        let refresh = life.emulator.requests().iter().any(|r| r.fault.is_some() && r.target.ends_with("/refresh"));
        if refresh {
            assert!(matches!(first, Err(JobError::Later(_))), "{first:?}");
            assert!(served(&life.emulator, &shop).is_empty(), "it stands in the zone and is not served");
            let row = row(&world, &shop).await.unwrap();
            assert_eq!((row.state, row.error_code.as_deref()), (RecordState::Wanted, Some("dns_unavailable")));
            cut += 1;
        }
        life.emulator.clear_faults();
        look(&life, &report_only()).await.unwrap();
        assert_eq!(served(&life.emulator, &shop), [FIRST]);
    }
    assert_eq!(cut, 1);
}

/// A look that may die, and others until one comes to its end.
async fn look_through(life: &Life<'_>, plan: &Arc<Plan>) {
    for _ in 0..20 {
        match plan::run(plan, look(life, &report_only())).await {
            Ok(Ok(())) => return,
            Ok(Err(JobError::Later(_))) | Err(_) => life.world.pass(Duration::from_millis(20)),
            Ok(Err(e)) => panic!("{e}"),
        }
    }
    panic!("no look comes to its end");
}

#[tokio::test]
async fn a_death_between_any_two_lines_is_made_good_by_the_next_look() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        let life = ready(&world, settings()).await;
        let (clean, trial) = (Plan::dying_at([]), name("trial"));
        claim(&world, life.server, &trial).await;
        look_through(&life, &clean).await;
        let setting = clean.reached().len();
        free(&world, &trial).await;
        look_through(&life, &clean).await;
        let boundaries = clean.reached().len();
        assert!(setting > 6 && boundaries - setting > 4, "{kind:?}: {:?}", clean.reached());
        for death in 0..boundaries {
            let (plan, domain) = (Plan::dying_at([death]), name(&format!("n{death}")));
            claim(&world, life.server, &domain).await;
            look_through(&life, &plan).await;
            assert_eq!(served(&life.emulator, &domain), [FIRST], "{kind:?}, death at {death}");
            assert_eq!(row(&world, &domain).await.unwrap().state, RecordState::Set, "{kind:?}, death at {death}");
            free(&world, &domain).await;
            look_through(&life, &plan).await;
            assert!(served(&life.emulator, &domain).is_empty(), "{kind:?}, death at {death}");
            assert!(row(&world, &domain).await.is_none(), "{kind:?}, death at {death}");
        }
    }
}

/// A server that was made, has a domain, and is to be deleted.
async fn doomed<'a>(world: &'a World, domain: &str) -> Life<'a> {
    world.give_credentials().await;
    let mut life = world.life(settings()).await;
    let Ok(End::Made(address)) = life.pursue(Goal::Make, &Plan::dying_at([])).await else { panic!("not made") };
    be_at(world, life.server, &address.host).await;
    claim(world, life.server, domain).await;
    look_through(&life, &Plan::dying_at([])).await;
    assert_eq!(served(&life.emulator, domain), [address.host]);
    let mut tx = world.db.begin().await.unwrap();
    servers::request_delete(&mut tx, &world.db, world.client, life.server).await.unwrap();
    tx.commit().await.unwrap();
    life
}

async fn status(world: &World, server: ServerId) -> ServerStatus {
    servers::load_unfenced(&world.db, server).await.unwrap().unwrap().status
}

#[tokio::test]
async fn the_records_of_a_server_go_before_its_machine() {
    for kind in CloudKind::ALL {
        let (world, shop) = (World::new(kind).await, name("shop"));
        let life = doomed(&world, &shop).await;
        let worker = world.provision(&life.emulator);
        let lease = world.lease(JobKind::Provision, life.server).await;
        assert!(matches!(worker.run(&lease).await, Err(JobError::Later(_))), "{kind:?}");
        assert_eq!(row(&world, &shop).await.unwrap().state, RecordState::Leaving, "{kind:?}");
        assert!(is_active(&world.db, JobKind::Account, world.account).await.unwrap(), "{kind:?}: nobody was asked");
        assert_eq!(life.standing().len(), 1, "{kind:?}: its machine waits");
        look_through(&life, &Plan::dying_at([])).await;
        assert!(served(&life.emulator, &shop).is_empty() && row(&world, &shop).await.is_none(), "{kind:?}");
        assert_eq!(life.standing().len(), 1, "{kind:?}");
        end(&world, &worker, &lease).await;
        assert_eq!((life.standing().len(), status(&world, life.server).await), (0, ServerStatus::Deleted), "{kind:?}");
    }
}

#[tokio::test]
async fn a_name_service_that_does_not_answer_holds_no_end_up_for_long() {
    for kind in CloudKind::ALL {
        let (world, shop) = (World::new(kind).await, name("shop"));
        let life = doomed(&world, &shop).await;
        life.emulator.inject(Fault::next(kind, Operation::Dns, Effect::Status500Before).always());
        let worker = world.provision(&life.emulator);
        let lease = world.lease(JobKind::Provision, life.server).await;
        let began = world.db.now_ms();
        assert!(matches!(worker.run(&lease).await, Err(JobError::Later(_))), "{kind:?}");
        assert!(matches!(look(&life, &report_only()).await, Err(JobError::Later(_))), "{kind:?}");
        assert_eq!(row(&world, &shop).await.unwrap().error_code.as_deref(), Some("dns_unavailable"), "{kind:?}");
        end(&world, &worker, &lease).await;
        let waited = world.db.now_ms() - began;
        assert!((120_000..900_000).contains(&waited), "{kind:?}: {waited}");
        assert_eq!((life.standing().len(), status(&world, life.server).await), (0, ServerStatus::Deleted), "{kind:?}");
        assert_eq!(row(&world, &shop).await.unwrap().state, RecordState::Leaving, "{kind:?}: it is not forgotten");
        life.emulator.clear_faults();
        look_through(&life, &Plan::dying_at([])).await;
        assert!(served(&life.emulator, &shop).is_empty() && row(&world, &shop).await.is_none(), "{kind:?}");
    }
}

/// Runs a server's job to its end.
async fn end(world: &World, worker: &impl Handler, lease: &shared::queue::Lease) {
    for _ in 0..300 {
        let pause = match worker.run(lease).await {
            Ok(()) => return,
            Err(JobError::Later(after)) => after.max(Duration::from_millis(50)),
            Err(JobError::Transient { .. }) => Duration::from_secs(5),
            Err(e) => panic!("{e}"),
        };
        world.pass(pause);
    }
    panic!("the job does not end");
}
