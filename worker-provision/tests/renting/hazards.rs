//! Ways in which a machine, its price or its end could get lost beside the course of a life: accounts that are not what they
//! were, prices that come late, deletions that do not come about.

use std::time::Duration;

use cloud_emulator::{Clock, CloudKind, Effect, Emulator, Fault, Operation, Settings, State, known};
use shared::{
    crash::plan::Plan,
    domain::status::{MachineState, ServerStatus as Status},
    providers::cloud::{Catalog, Power},
    queue::{Handler, Job, JobError, JobKind, Lease},
    store::{
        findings, installation, machines,
        provider_accounts::AccountStatus,
        servers::{self, Server, Wish},
        sql,
    },
};
use worker_provision::{
    accounts::{Lineage, SweepSettings, adopt},
    prepare::Nobody,
};

use crate::{
    accounts::{account, look, look_into, report_only},
    names::be_at,
    world::{End, Goal, Life, World},
};

async fn made(world: &World) -> Life<'_> {
    let mut life = world.life(Settings { enforce_rates: false, ..Settings::default() }).await;
    assert!(matches!(life.pursue(Goal::Make, &Plan::dying_at([])).await, Ok(End::Made(_))));
    life
}

async fn server(life: &Life<'_>) -> Server {
    servers::load_unfenced(&life.world.db, life.server).await.unwrap().expect("a server")
}

/// One run of a new job on the server, in an emulator.
async fn work_in(life: &Life<'_>, emulator: &Emulator) -> Result<(), JobError> {
    let worker = life.world.provision(emulator).preparing(Box::new(Nobody));
    let job = life.world.lease(JobKind::Provision, life.server).await.job;
    worker.run(&Lease::detached(Job { max_attempts: 100, ..job }).0).await
}

async fn ask_deletion(life: &Life<'_>) {
    let mut tx = life.world.db.begin().await.unwrap();
    servers::request_delete(&mut tx, &life.world.db, life.world.client, life.server).await.unwrap();
    tx.commit().await.unwrap();
}

fn elsewhere(world: &World) -> Emulator {
    Emulator::new(Clock::manual(world.db.now_ms()), Settings { enforce_rates: false, ..Settings::default() })
}

#[tokio::test]
async fn one_account_under_two_names_has_no_orphans() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let life = made(&world).await;
        let second = world.second_account().await;
        look_into(&world, second, &life.emulator, &report_only()).await.unwrap();
        let found = findings::open(&world.db, second).await.unwrap();
        assert!(found.is_empty(), "{kind:?}: {found:?}");
    }
}

#[tokio::test]
async fn new_credentials_are_used_for_nothing_before_they_are_checked() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let life = made(&world).await;
        be_at(&world, life.server, "192.0.2.9").await;
        ask_deletion(&life).await;
        let before = life.emulator.requests().len();
        assert!(matches!(work_in(&life, &life.emulator).await, Err(JobError::Later(_))), "{kind:?}");
        assert_eq!(life.emulator.requests().len(), before, "{kind:?}");
        look(&life, &report_only()).await.unwrap();
        let _ = work_in(&life, &life.emulator).await;
        assert!(life.emulator.requests().iter().any(|r| r.operation == Operation::Delete), "{kind:?}");
    }
}

/// Only Hetzner has no name for an account: there whether our machines are shown tells.
#[tokio::test]
async fn credentials_of_another_account_are_refused_while_machines_stand_in_the_first() {
    let kind = CloudKind::Hetzner;
    let world = World::new(kind).await;
    world.give_credentials().await;
    let life = made(&world).await;
    be_at(&world, life.server, "192.0.2.9").await;
    look(&life, &report_only()).await.unwrap();
    assert_eq!(account(&world).await.status, AccountStatus::Ready, "{kind:?}");

    world.give_credentials().await;
    let other = elsewhere(&world);
    // However often they are checked.
    for _ in 0..3 {
        look_into(&world, world.account, &other, &report_only()).await.unwrap();
        let refused = account(&world).await;
        assert_eq!((refused.status, refused.error_code.as_deref()), (AccountStatus::Refused, Some("other_account")));
        world.pass(Duration::from_secs(7 * 3600));
    }
    ask_deletion(&life).await;
    assert!(matches!(work_in(&life, &other).await, Err(JobError::Permanent(_))), "{kind:?}");
    let stuck = server(&life).await;
    assert_eq!((stuck.status, stuck.error_code.as_deref()), (Status::Stuck, Some("account_refused")), "{kind:?}");
    let row = life.rows().await.pop().unwrap();
    assert_eq!((row.state, life.emulator.live().len()), (MachineState::Present, 1), "{kind:?}");

    // The right ones again.
    world.give_credentials().await;
    look(&life, &report_only()).await.unwrap();
    assert_eq!(account(&world).await.status, AccountStatus::Ready, "{kind:?}");
}

#[tokio::test]
async fn an_account_is_told_by_what_names_it_for_good() {
    for kind in [CloudKind::Aws, CloudKind::DigitalOcean, CloudKind::Ovh] {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let life = made(&world).await;
        look(&life, &report_only()).await.unwrap();
        assert!(account(&world).await.identity.is_some(), "{kind:?}");
        // The same account, in which somebody has deleted everything by hand.
        world.give_credentials().await;
        look_into(&world, world.account, &elsewhere(&world), &report_only()).await.unwrap();
        assert_eq!(account(&world).await.status, AccountStatus::Ready, "{kind:?}");
        sql("update provider_accounts set identity = 'another'").execute(&world.db).await.unwrap();
        for _ in 0..2 {
            look(&life, &report_only()).await.unwrap();
            let refused = account(&world).await;
            assert_eq!(refused.error_code.as_deref(), Some("other_account"), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn an_account_that_this_process_cannot_use_is_refused_with_the_reason() {
    let world = World::new(CloudKind::Hetzner).await;
    world.give_credentials().await;
    let life = made(&world).await;
    sql("update provider_accounts set credentials_sealed = 'nonsense'").execute(&world.db).await.unwrap();
    look(&life, &report_only()).await.unwrap();
    let refused = account(&world).await;
    assert!(refused.status == AccountStatus::Refused && refused.error_message.is_some(), "{refused:?}");
}

#[tokio::test]
async fn what_is_asked_of_a_server_whose_account_is_refused_is_told_so() {
    let world = World::new(CloudKind::Hetzner).await;
    world.give_credentials().await;
    let life = made(&world).await;
    be_at(&world, life.server, "192.0.2.9").await;
    life.emulator.inject(Fault::next(CloudKind::Hetzner, Operation::Any, Effect::AuthLost).always());
    look(&life, &report_only()).await.unwrap();
    let mut tx = world.db.begin().await.unwrap();
    assert!(servers::wish(&mut tx, &world.db, world.client, life.server, &Wish::Stop).await.unwrap());
    tx.commit().await.unwrap();
    assert!(matches!(work_in(&life, &life.emulator).await, Err(JobError::Permanent(_))));
    let now = server(&life).await;
    assert_eq!((now.status, now.wish, now.error_code.as_deref()), (Status::Ready, None, Some("account_refused")));
}

#[tokio::test]
async fn a_failed_server_ends_although_its_account_is_no_more() {
    let world = World::new(CloudKind::Hetzner).await;
    let life = world.life(Settings::default()).await;
    for set in [
        "update servers set status = 'failed', error_code = 'x', error_message = 'y'",
        "update provider_accounts set deleted_at = 1",
    ] {
        sql(set).execute(&world.db).await.unwrap();
    }
    ask_deletion(&life).await;
    work_in(&life, &life.emulator).await.unwrap();
    assert_eq!(server(&life).await.status, Status::Deleted);
}

#[tokio::test]
async fn a_price_that_is_learned_late_is_charged_from_the_beginning() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let mut life = world.life(Settings { enforce_rates: false, ..Settings::default() }).await;
        life.catalog = Catalog::default();
        assert!(matches!(life.pursue(Goal::Make, &Plan::dying_at([])).await, Ok(End::Made(_))), "{kind:?}");
        let row = life.rows().await.pop().unwrap();
        let charges = async || machines::charges(&world.db, world.client, row.id, row.id).await.unwrap();
        assert!(charges().await.is_empty(), "{kind:?}");
        for _ in 0..2 {
            world.pass(Duration::from_secs(7200));
            look(&life, &report_only()).await.unwrap();
            let now = charges().await;
            assert!(now.len() == 1 && Some(now[0].since) == row.present_at, "{kind:?}: {now:?}");
            assert_eq!(u64::try_from(now[0].rate.hourly_micros), Ok(life.emulator.live()[0].hourly_micro), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn what_is_off_costs_nothing_where_the_cloud_takes_nothing() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let life = made(&world).await;
        look(&life, &report_only()).await.unwrap();
        let row = life.rows().await.pop().unwrap();
        let (region, id) = (row.region.as_str(), row.remote_id.as_deref().unwrap());
        // By hand, in the cloud's own pages.
        for (power, state) in [(Power::Off, State::Stopped), (Power::Start, State::Running)] {
            world.pass(Duration::from_secs(86_400));
            let _ = life.cloud.list(region).await;
            life.cloud.power(region, id, power).await.unwrap();
            world.pass(Duration::from_secs(86_400));
            look(&life, &report_only()).await.unwrap();
            assert_eq!(life.emulator.live()[0].state, state, "{kind:?}");
        }
        let charges = machines::charges(&world.db, world.client, row.id, row.id).await.unwrap();
        let rates: Vec<i64> = charges.iter().map(|c| c.rate.hourly_micros).collect();
        let full = rates[0];
        let expected = if kind == CloudKind::Aws { vec![full, 0, full] } else { vec![full] };
        assert!(full > 0 && rates == expected, "{kind:?}: {rates:?}");
        let billed: Vec<u64> = life.emulator.bill().iter().map(|l| l.hourly_micro).collect();
        assert_eq!(billed, expected.iter().map(|r| u64::try_from(*r).unwrap()).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_deletion_that_does_not_come_about_is_told_and_can_be_asked_for_again() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        let mut life = made(&world).await;
        life.emulator.inject(Fault::next(kind, Operation::Delete, Effect::Status500Before).always());
        let end = life.pursue(Goal::Leave, &Plan::dying_at([])).await.unwrap();
        assert!(matches!(end, End::Refused("deletion_late", _)), "{kind:?}: {end:?}");
        assert_eq!(life.rows().await.pop().unwrap().state, MachineState::Leaving, "{kind:?}");
        life.emulator.clear_faults();
        assert_eq!(life.pursue(Goal::Leave, &Plan::dying_at([])).await.unwrap(), End::Left, "{kind:?}");
        assert!(life.emulator.live().is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn an_order_that_is_refused_for_the_time_being_ends_some_time() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        let mut life = world.life(Settings::default()).await;
        life.emulator.inject(Fault::next(kind, Operation::Create, Effect::CutBefore).always());
        let end = life.pursue(Goal::Make, &Plan::dying_at([])).await.unwrap();
        assert!(matches!(end, End::Refused("provider_unavailable", _)), "{kind:?}: {end:?}");
        assert!(life.emulator.live().is_empty() && life.rows().await.iter().all(crate::checks::has_ended), "{kind:?}");
    }
}

#[tokio::test]
async fn a_key_that_somebody_has_removed_is_made_again() {
    let kind = CloudKind::DigitalOcean;
    let world = World::new(kind).await;
    let mut life = world.life(Settings { enforce_rates: false, ..Settings::default() }).await;
    let placement = life.cloud.place(&life.region(), &life.sizes()[0], &[]).await.unwrap();
    let key = placement.null_key.expect("a key that nobody has");
    let remove = http::Request::delete(format!("http://cloud.test/v2/account/keys/{key}"))
        .header("authorization", format!("Bearer {}", known::DIGITALOCEAN_TOKEN))
        .body(Default::default())
        .unwrap();
    assert_eq!(life.emulator.handle(kind, remove).await.reply().expect("a reply").status(), 204);
    assert!(matches!(life.pursue(Goal::Make, &Plan::dying_at([])).await, Ok(End::Made(_))));
}

#[tokio::test]
async fn a_database_from_before_a_machine_was_made_deletes_nothing() {
    let mut world = World::new(CloudKind::Hetzner).await;
    world.give_credentials().await;
    let dir = tempfile::tempdir().unwrap();
    let lineage = Lineage(Some(dir.path().join("lineage")));
    world.lineage = lineage.clone();
    adopt(&world.db, &lineage).await.unwrap();
    let before = installation::marks(&world.db).await.unwrap().lineage;
    let life = made(&world).await;
    // A copy from before: its mark, and no machine.
    let now = installation::marks(&world.db).await.unwrap().lineage;
    assert!(installation::advance_lineage(&world.db, &now, &before).await.unwrap());
    for gone in ["delete from charges", "delete from machines"] {
        sql(gone).execute(&world.db).await.unwrap();
    }
    let sweep = SweepSettings { delete: true, lineage, ..report_only() };
    for _ in 0..3 {
        world.pass(Duration::from_secs(25 * 3600));
        look(&life, &sweep).await.unwrap();
    }
    assert_eq!(life.emulator.live().len(), 1);
    assert_eq!(findings::open(&world.db, world.account).await.unwrap().len(), 1, "it is reported");
}
