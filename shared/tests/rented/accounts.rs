//! Accounts: whose they are, what is known of them, and when they may go.

use shared::{
    domain::{AccountId, ClientId},
    queue::{NewJob, enqueue, purge_finished},
    secrets::{MasterKey, Place},
    store::{
        provider_accounts::{self as accounts, AccountStatus, Changes, Checked},
        scratch::Scratch,
        sql,
    },
};

use crate::world::{add_account, world};

shared::on_both_databases! {
    an_account_is_its_clients_and_ends_empty,
    new_credentials_outdate_what_is_found_of_the_old_ones,
    a_lost_attempt_keeps_nothing_of_an_account,
    an_account_stays_while_something_stands_in_it,
    accounts_are_swept_in_turn,
    the_job_that_an_account_names_is_kept_and_others_go,
}

async fn an_account_is_its_clients_and_ends_empty(scratch: &Scratch) {
    let world = world(scratch).await;
    let (db, client) = (&world.db, world.client);
    let second = add_account(db, client, None).await;
    let ids = async |client, before| -> Vec<AccountId> {
        accounts::list(db, client, before, 10).await.unwrap().into_iter().map(|a| a.id).collect()
    };
    assert_eq!(ids(client, None).await, [second, world.account]);
    assert_eq!(ids(client, Some(second)).await, [world.account]);
    let stranger = ClientId::new();
    assert!(ids(stranger, None).await.is_empty());
    assert!(accounts::get(db, stranger, second).await.unwrap().is_none());
    let mut tx = db.begin().await.unwrap();
    assert!(!accounts::lock(&mut tx, stranger, second).await.unwrap());
    assert!(!accounts::set_job(&mut tx, stranger, second, world.fence.job).await.unwrap());
    assert!(!accounts::delete(&mut tx, db, stranger, second).await.unwrap());
    assert!(!accounts::change(&mut tx, db, stranger, second, Changes::default()).await.unwrap());
    assert!(accounts::lock(&mut tx, client, second).await.unwrap());
    assert!(accounts::set_job(&mut tx, client, second, world.fence.job).await.unwrap());
    assert_eq!(accounts::get(&mut tx, client, second).await.unwrap().unwrap().job, Some(world.fence.job));
    tx.commit().await.unwrap();
    world.set_server("deleted").await;
    assert!(world.delete_account().await);
    assert!(!world.delete_account().await, "once");
    assert!(accounts::load(db, world.account).await.unwrap().is_none());
    let left = "select count(*) as n from provider_accounts where id = $1 and (credentials_sealed is not null or catalog is not null)";
    assert_eq!(sql(left).text(world.account).fetch_one(db, |r| r.int("n")).await.unwrap(), 0);
}

async fn new_credentials_outdate_what_is_found_of_the_old_ones(scratch: &Scratch) {
    let world = world(scratch).await;
    let old = world.account().await;
    assert_eq!((old.status, old.credentials_sealed.as_deref()), (AccountStatus::Unchecked, Some("sealed-1")));
    let missing = Checked {
        status: AccountStatus::Incomplete,
        account: Some("project"),
        identity: None,
        missing: r#"["ec2:RunInstances"]"#,
        machine_limit: Some(9),
        error: Some(("missing_permissions", "one is missing")),
    };
    assert!(accounts::set_checked(&world.db, world.fence, &old, &missing).await.unwrap());
    let found = world.account().await;
    assert_eq!((found.status, found.machine_limit), (AccountStatus::Incomplete, Some(9)));
    assert_eq!(found.error_code.as_deref(), Some("missing_permissions"));
    assert!(world.change(Changes { name: Some("other"), external_id: Some("first"), ..Changes::default() }).await);
    let renamed = world.account().await;
    assert_eq!((renamed.name.as_str(), renamed.status), ("other", AccountStatus::Incomplete));
    assert!(
        world
            .change(Changes { credentials_sealed: Some("sealed-2"), external_id: Some("second"), ..Changes::default() })
            .await
    );
    let new = world.account().await;
    assert_eq!((new.status, new.missing.as_str(), new.error_code), (AccountStatus::Unchecked, "[]", None));
    assert_eq!(new.external_id.as_deref(), Some("first"), "an external id stays");
    assert!(!accounts::set_checked(&world.db, world.fence, &old, &missing).await.unwrap(), "of the old credentials");
    assert_eq!(world.account().await.status, AccountStatus::Unchecked);
    // What is sealed opens in its place only.
    let master = MasterKey::new(&[7; 32]).unwrap();
    let row = world.account.to_string();
    let place = Place { client: world.client, field: accounts::CREDENTIALS_FIELD, row: &row };
    let sealed = master.seal(place, b"{}").unwrap();
    assert!(world.change(Changes { credentials_sealed: Some(&sealed), ..Changes::default() }).await);
    let account = world.account().await;
    assert!(account.credentials(&master).is_ok());
    assert!(accounts::Account { id: AccountId::new(), ..account }.credentials(&master).is_err());
}

async fn a_lost_attempt_keeps_nothing_of_an_account(scratch: &Scratch) {
    let world = world(scratch).await;
    let (db, stale, account) = (&world.db, world.stale(), world.account().await);
    let ready = Checked {
        status: AccountStatus::Ready,
        account: None,
        identity: None,
        missing: "[]",
        machine_limit: None,
        error: None,
    };
    assert!(!accounts::set_checked(db, stale, &account, &ready).await.unwrap());
    assert!(!accounts::set_catalog(db, stale, account.id, "{}").await.unwrap());
    assert!(!accounts::set_swept(db, stale, account.id).await.unwrap());
    let same = world.account().await;
    assert_eq!((same.status, same.catalog, same.swept_at), (AccountStatus::Unchecked, None, None));
    assert!(accounts::set_catalog(db, world.fence, account.id, "{}").await.unwrap());
    assert!(accounts::set_swept(db, world.fence, account.id).await.unwrap());
    let kept = world.account().await;
    assert_eq!(kept.catalog.as_deref(), Some("{}"));
    assert!(kept.catalog_at.is_some() && kept.swept_at.is_some());
}

async fn an_account_stays_while_something_stands_in_it(scratch: &Scratch) {
    let world = world(scratch).await;
    assert!(!world.delete_account().await, "a server is to be made in it");
    let machine = world.intend(1).await;
    world.set_server("failed").await;
    assert!(!world.delete_account().await, "a machine may be made in it");
    assert!(world.machine(machine).void("x", "y").await.unwrap());
    assert!(world.delete_account().await);
}

async fn accounts_are_swept_in_turn(scratch: &Scratch) {
    let world = world(scratch).await;
    let db = &world.db;
    let second = add_account(db, world.client, Some("sealed")).await;
    add_account(db, world.client, None).await;
    let due = async |before| -> Vec<AccountId> {
        accounts::due_for_sweep(db, before, before, 10).await.unwrap().into_iter().map(|a| a.id).collect()
    };
    let later = db.now_ms() + 60_000;
    assert!(due(1).await.is_empty(), "their check was asked for with them");
    assert_eq!(due(later).await, [world.account, second], "and came to nothing");
    sql("update provider_accounts set status = 'ready' where credentials_sealed is not null")
        .execute(db)
        .await
        .unwrap();
    assert_eq!(due(later).await, [world.account, second]);
    assert!(accounts::set_swept(db, world.fence, world.account).await.unwrap());
    assert_eq!(due(later).await, [second, world.account]);
    assert_eq!(due(1).await, [second]);
    sql("update provider_accounts set status = 'refused', checked_at = 5 where id = $1")
        .text(second)
        .execute(db)
        .await
        .unwrap();
    assert_eq!((due(5).await, due(6).await), (vec![], vec![second]), "refused ones now and then");
}

async fn the_job_that_an_account_names_is_kept_and_others_go(scratch: &Scratch) {
    let world = world(scratch).await;
    let db = &world.db;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let mut tx = db.begin().await.unwrap();
        let job = enqueue(&mut tx, db, &NewJob::account(world.client, world.account)).await.unwrap().id();
        tx.commit().await.unwrap();
        let end = sql("update jobs set state = 'succeeded', finished_at = 1 where id = $1").text(job);
        end.execute(db).await.unwrap();
        jobs.push(job);
    }
    let mut tx = db.begin().await.unwrap();
    assert!(accounts::set_job(&mut tx, world.client, world.account, jobs[0]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(purge_finished(db, 2, 100).await.unwrap(), 1);
    let left = sql("select count(*) as n from jobs where id = $1").text(jobs[0]).fetch_one(db, |r| r.int("n")).await;
    assert_eq!(left.unwrap(), 1);
}
