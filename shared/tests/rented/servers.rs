//! Rented servers: what they are asked to do, and what they are expected to cost.

use shared::{
    domain::ClientId,
    store::{
        Asked, clients, counts,
        scratch::Scratch,
        servers::{self, Monthly, Wish},
    },
};

use crate::world::{add_server, euros, world};

shared::on_both_databases! {
    a_wish_is_kept_alone_and_taken_back_by_its_worker,
    what_servers_cost_is_summed_by_currency,
}

async fn a_wish_is_kept_alone_and_taken_back_by_its_worker(scratch: &Scratch) {
    let world = world(scratch).await;
    assert!(!world.wish(Wish::Stop).await, "not before it is ready");
    world.set_server("ready").await;
    let resize = Wish::Resize("cx32".into());
    assert!(world.wish(resize.clone()).await);
    assert!(!world.wish(Wish::Start).await && !world.wish(resize.clone()).await);
    assert_eq!(world.server().await.wish, Some(resize.clone()));
    let forget = async |fence, wish: &Wish, error| {
        servers::forget_wish(&world.db, fence, world.server, wish, error).await.unwrap()
    };
    assert!(!forget(world.stale(), &resize, None).await);
    assert!(!forget(world.fence, &Wish::Stop, None).await, "another wish is not its worker's");
    assert!(forget(world.fence, &resize, Some(("no_room", "there is no room"))).await);
    let server = world.server().await;
    assert_eq!((server.wish, server.error_code.as_deref()), (None, Some("no_room")));
    assert!(world.wish(resize.clone()).await);
    assert_eq!(world.server().await.error_code, None, "a new wish, a new story");
    let turned = (&resize, &Wish::Start);
    let turn = async |fence| {
        servers::turn_wish(&world.db, fence, world.server, turned, ("no_room", "there is no room")).await.unwrap()
    };
    assert!(!turn(world.stale()).await && turn(world.fence).await);
    assert!(forget(world.fence, &Wish::Start, None).await);
    let server = world.server().await;
    assert_eq!((server.wish, server.error_code.as_deref()), (None, Some("no_room")), "why the first did not come true");
    assert!(world.wish(Wish::Reboot).await);
    let mut tx = world.db.begin().await.unwrap();
    assert!(!servers::drop_wish(&mut tx, ClientId::new(), world.server).await.unwrap());
    assert!(servers::drop_wish(&mut tx, world.client, world.server).await.unwrap());
    assert!(!servers::drop_wish(&mut tx, world.client, world.server).await.unwrap());
    let first = servers::request_delete(&mut tx, &world.db, world.client, world.server).await.unwrap();
    assert_eq!(first, Asked::First);
    tx.commit().await.unwrap();
    assert!(!world.wish(Wish::Start).await, "not once it is to be deleted");
}

async fn what_servers_cost_is_summed_by_currency(scratch: &Scratch) {
    let world = world(scratch).await;
    let (db, client, customer) = (&world.db, world.client, world.server().await.customer);
    add_server(db, client, customer, world.account, Some(euros(7))).await;
    let dollars = Monthly { micros: 5_000_000, currency: "USD".into() };
    add_server(db, client, customer, world.account, Some(dollars.clone())).await;
    add_server(db, client, customer, world.account, None).await;
    let sums = async || {
        let mut sums = counts::monthly_cost(db, client).await.unwrap();
        sums.sort();
        sums
    };
    assert_eq!(sums().await, [("EUR".to_owned(), 11_000_000), ("USD".to_owned(), 5_000_000)]);
    let mut tx = db.begin().await.unwrap();
    assert!(clients::lock(&mut tx, client).await.unwrap());
    assert!(!clients::lock(&mut tx, ClientId::new()).await.unwrap());
    assert!(servers::expect_monthly(&mut tx, client, world.server, Some(&dollars)).await.unwrap());
    assert!(!servers::expect_monthly(&mut tx, ClientId::new(), world.server, None).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(sums().await, [("EUR".to_owned(), 7_000_000), ("USD".to_owned(), 10_000_000)]);
    assert!(!servers::set_monthly(db, world.stale(), world.server, &euros(9)).await.unwrap());
    assert!(servers::set_monthly(db, world.fence, world.server, &dollars).await.unwrap());
    assert_eq!(sums().await, [("EUR".to_owned(), 7_000_000), ("USD".to_owned(), 10_000_000)]);
    world.set_server("deleted").await;
    assert_eq!(sums().await, [("EUR".to_owned(), 7_000_000), ("USD".to_owned(), 5_000_000)]);
    assert!(counts::monthly_cost(db, ClientId::new()).await.unwrap().is_empty());
}
