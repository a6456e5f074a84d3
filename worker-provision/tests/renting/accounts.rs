//! What a look into an account finds: bad credentials, missing rights, and what stands there and should not.

use std::time::Duration;

use cloud_emulator::{CloudKind, Effect, Emulator, Fault, Operation, Settings, known};
use shared::{
    crash::plan::Plan,
    domain::{AccountId, ServerId},
    providers::cloud::{Catalog, Created, Machine, MachineName, Order},
    queue::{Handler, JobError, JobKind},
    store::{
        findings::{self, Finding, Verdict},
        installation,
        provider_accounts::{self as accounts, Account, AccountStatus},
    },
};
use worker_provision::accounts::{AccountWorker, Lineage, SweepSettings, adopt};

use crate::world::{End, Goal, Life, World};

const DAY: Duration = Duration::from_secs(24 * 3600 + 60);

pub fn report_only() -> SweepSettings {
    SweepSettings::default()
}

/// One job of the account, to its end.
pub async fn look(life: &Life<'_>, sweep: &SweepSettings) -> Result<(), JobError> {
    look_into(life.world, life.world.account, &life.emulator, sweep).await
}

/// One job of an account that is in an emulator.
pub async fn look_into(
    world: &World,
    account: AccountId,
    emulator: &Emulator,
    sweep: &SweepSettings,
) -> Result<(), JobError> {
    let worker = AccountWorker { db: world.db.clone(), clouds: world.clouds(emulator), sweep: sweep.clone() };
    let lease = world.lease(JobKind::Account, account).await;
    worker.run(&lease).await
}

pub async fn account(world: &World) -> Account {
    accounts::load(&world.db, world.account).await.unwrap().unwrap()
}

async fn found(world: &World) -> Vec<Finding> {
    findings::open(&world.db, world.account).await.unwrap()
}

/// A machine that stands under a name of ours, whoever wants it.
async fn stand(life: &Life<'_>, name: &MachineName) -> String {
    let catalog: Catalog = life.cloud.catalog().await.unwrap();
    let (region, size) = catalog
        .sizes
        .iter()
        .find_map(|s| s.regions.first().map(|r| (r.region.clone(), s.code.clone())))
        .expect("a size that is sold");
    let placement = life.cloud.place(&region, &size, &[]).await.unwrap();
    let order = Order { name: name.clone(), attempt: 1, placement, user_data: "#cloud-config\n".into() };
    match life.cloud.create(&order).await {
        Created::Yes(id) => id,
        other => panic!("{other:?}"),
    }
}

fn name(install: &str, server: ServerId) -> MachineName {
    MachineName { install: install.parse().unwrap(), server, generation: 1 }
}

#[tokio::test]
async fn good_credentials_give_a_catalog_and_bad_ones_a_reason() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let life = world.life(Settings::default()).await;
        look(&life, &report_only()).await.unwrap();
        let ready = account(&world).await;
        assert_eq!(ready.status, AccountStatus::Ready, "{kind:?}: {:?}", ready.error_message);
        let catalog: Catalog = serde_json::from_str(&ready.catalog.expect("a catalog")).unwrap();
        assert!(!catalog.regions.is_empty() && !catalog.sizes.is_empty() && ready.swept_at.is_some(), "{kind:?}");

        life.emulator.inject(Fault::next(kind, Operation::Any, Effect::AuthLost).always());
        look(&life, &report_only()).await.unwrap();
        let refused = account(&world).await;
        assert_eq!(refused.status, AccountStatus::Refused, "{kind:?}");
        assert_eq!(refused.error_code.as_deref(), Some("provider_credentials"), "{kind:?}");
        life.emulator.clear_faults();
        life.emulator.inject(Fault::next(kind, Operation::Any, Effect::Status500Before).always());
        assert!(matches!(look(&life, &report_only()).await, Err(JobError::Later(_))), "{kind:?}");
        assert_eq!(account(&world).await.status, AccountStatus::Refused, "an outage says nothing");
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    for (kind, denied) in [(CloudKind::DigitalOcean, "droplet:read"), (CloudKind::Aws, "ec2:RunInstances")] {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let mut settings = Settings::default();
        let mut lacking = known::account(kind);
        lacking.accesses[0].denied.insert(denied.into());
        settings.accounts = vec![lacking];
        let life = world.life(settings).await;
        // What cannot be read cannot be swept either; the check is kept all the same.
        let _ = look(&life, &report_only()).await;
        let account = account(&world).await;
        assert_eq!(account.status, AccountStatus::Incomplete, "{kind:?}: {:?}", account.error_message);
        assert!(account.missing.contains(denied), "{kind:?}: {}", account.missing);
    }
}

#[tokio::test]
async fn what_no_server_wants_is_found_with_its_price_and_left_alone() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let life = world.life(Settings::default()).await;
        let orphan = stand(&life, &name("00112233aa", ServerId::new())).await;
        world.pass(Duration::from_secs(300));
        for _ in 0..3 {
            look(&life, &report_only()).await.unwrap();
            world.pass(DAY);
        }
        let findings = found(&world).await;
        let [finding] = &findings[..] else { panic!("{kind:?}: {findings:?}") };
        assert_eq!((finding.seen.verdict, &finding.seen.remote_id), (Verdict::Orphan, &orphan), "{kind:?}");
        assert!(finding.looks == 3 && finding.delete_asked_at.is_none(), "{kind:?}: {finding:?}");
        assert!(finding.seen.price.as_ref().is_some_and(|p| p.0 > 0), "{kind:?}: {finding:?}");
        assert_eq!(life.emulator.live().len(), 1, "{kind:?}: reported, not deleted");
        // Once it is gone, so is the finding.
        let region = finding.seen.region.clone();
        // (A clock that jumped is a signature that is out of time once.)
        let _ = life.cloud.list(&region).await;
        life.cloud.delete(&region, &orphan).await.unwrap();
        world.pass(Duration::from_secs(600));
        look(&life, &report_only()).await.unwrap();
        assert!(found(&world).await.is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_servers_own_machine_is_no_finding_and_a_lost_one_is() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let mut life = world.life(Settings::default()).await;
        let plan = Plan::dying_at([]);
        assert!(matches!(life.pursue(Goal::Make, &plan).await, Ok(End::Made(_))), "{kind:?}");
        look(&life, &report_only()).await.unwrap();
        assert!(found(&world).await.is_empty(), "{kind:?}: {:?}", found(&world).await);
        // Somebody deletes it by hand.
        let row = life.rows().await.pop().unwrap();
        let _ = life.cloud.list(&row.region).await;
        life.cloud.delete(&row.region, row.remote_id.as_deref().unwrap()).await.unwrap();
        world.pass(Duration::from_secs(900));
        look(&life, &report_only()).await.unwrap();
        let findings = found(&world).await;
        assert!(matches!(&findings[..], [f] if f.seen.verdict == Verdict::Zombie), "{kind:?}: {findings:?}");
        let ended = life.rows().await.pop().unwrap().gone_at;
        assert!(ended.is_some(), "{kind:?}: its bill has ended, though nobody gave the server back");
        world.pass(Duration::from_secs(900));
        look(&life, &report_only()).await.unwrap();
        assert_eq!(life.rows().await.pop().unwrap().gone_at, ended, "{kind:?}: when it was first missed");
    }
}

#[tokio::test]
async fn deletion_needs_the_switch_the_time_the_newest_database_and_a_slow_hand() {
    let world = World::new(CloudKind::Hetzner).await;
    world.give_credentials().await;
    let life = world.life(Settings::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let lineage = Lineage(Some(dir.path().join("lineage")));
    let sweep = SweepSettings { delete: true, lineage: lineage.clone(), ..report_only() };
    for _ in 0..5 {
        stand(&life, &name("00112233aa", ServerId::new())).await;
    }
    world.pass(Duration::from_secs(300));
    look(&life, &sweep).await.unwrap();
    world.pass(DAY);
    look(&life, &sweep).await.unwrap();
    assert_eq!(life.emulator.live().len(), 5, "nobody has adopted the database");

    adopt(&world.db, &lineage).await.unwrap();
    look(&life, &sweep).await.unwrap();
    world.pass(Duration::from_secs(60));
    look(&life, &sweep).await.unwrap();
    world.pass(Duration::from_secs(60));
    assert_eq!(life.emulator.live().len(), 3, "two in an hour");
    let before = installation::marks(&world.db).await.unwrap().lineage;

    world.pass(Duration::from_secs(3700));
    look(&life, &sweep).await.unwrap();
    world.pass(Duration::from_secs(60));
    assert_eq!(life.emulator.live().len(), 1);

    // The database comes back from yesterday's backup.
    let now = installation::marks(&world.db).await.unwrap().lineage;
    assert!(installation::advance_lineage(&world.db, &now, &before).await.unwrap());
    world.pass(Duration::from_secs(3700));
    look(&life, &sweep).await.unwrap();
    world.pass(Duration::from_secs(60));
    assert_eq!(life.emulator.live().len(), 1, "an old database deletes nothing");
    adopt(&world.db, &lineage).await.unwrap();
    look(&life, &sweep).await.unwrap();
    world.pass(Duration::from_secs(60));
    assert!(life.emulator.live().is_empty());
}

#[tokio::test]
async fn machines_of_another_installation_are_nobodys_business() {
    for kind in CloudKind::ALL {
        let world = World::new(kind).await;
        world.give_credentials().await;
        let life = world.life(Settings::default()).await;
        let other = World::new(kind).await;
        let theirs = other.cloud_of("ffffffffff", &life.emulator);
        let foreign = name("ffffffffff", ServerId::new());
        let catalog = theirs.catalog().await.unwrap();
        let size = catalog.sizes.iter().find(|s| !s.regions.is_empty()).unwrap();
        let placement = theirs.place(&size.regions[0].region, &size.code, &[]).await.unwrap();
        let order = Order { name: foreign, attempt: 1, placement, user_data: "#cloud-config\n".into() };
        let Created::Yes(id) = theirs.create(&order).await else { panic!("{kind:?}") };
        world.pass(Duration::from_secs(300));
        look(&life, &report_only()).await.unwrap();
        assert!(found(&world).await.is_empty(), "{kind:?}");
        // And even when asked by id it is not deleted.
        // (A clock that jumped is a signature that is out of time once.)
        let _ = theirs.list(&order.placement.region).await;
        let shown: Option<Machine> = theirs.get(&order.placement.region, &id).await.unwrap();
        assert!(shown.is_some(), "{kind:?}");
        let _ = life.cloud.delete(&order.placement.region, &id).await;
        world.pass(Duration::from_secs(300));
        assert_eq!(life.emulator.live().len(), 1, "{kind:?}");
    }
}
