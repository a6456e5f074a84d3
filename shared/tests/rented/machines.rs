//! Machines: how they come to be there, what they are billed, and what is found of them.

use shared::{
    domain::{ClientId, status::MachineState as State},
    store::{
        findings::{self, Seen, Verdict},
        machines::{self, Change, NewOrder},
        scratch::Scratch,
    },
};

use crate::world::{new_machine, order, rate, world};

shared::on_both_databases! {
    a_machine_is_billed_from_when_it_is_there_until_it_is_gone,
    an_order_that_came_to_nothing_is_void,
    a_lost_attempt_changes_no_machine,
    a_finding_is_one_row_until_it_ends,
}

async fn a_machine_is_billed_from_when_it_is_there_until_it_is_gone(scratch: &Scratch) {
    let world = world(scratch).await;
    let (db, client) = (&world.db, world.client);
    let (first, second) = (world.intend(1).await, world.intend(2).await);
    let machine = world.machine(first);
    assert!(machines::billed(db, client, None, 10).await.unwrap().is_empty());
    assert!(machine.sent().await.unwrap());
    assert!(!machine.sent().await.unwrap(), "sent for the first time once");
    assert!(machine.looked().await.unwrap() && machine.sent_again().await.unwrap());
    assert!(machine.present("remote-7", 1_000, Some(&rate(7_440))).await.unwrap());
    assert!(!machine.present("remote-8", 2_000, None).await.unwrap());
    assert!(machine.resized("cx32").await.unwrap() && machine.priced(&rate(11_300)).await.unwrap());
    assert_eq!(machines::forget_orders(db, machine.fence, world.server).await.unwrap(), 1);
    let charges = machines::charges(db, client, first, second).await.unwrap();
    let seen: Vec<_> = charges.iter().map(|c| (c.machine, c.size.as_str(), c.rate.hourly_micros)).collect();
    assert_eq!(seen, [(first, "cx22", 7_440), (first, "cx32", 11_300)]);
    assert_eq!(charges[0].since, 1_000);
    assert!(machines::charges(db, ClientId::new(), first, second).await.unwrap().is_empty());
    let billed = machines::billed(db, client, None, 10).await.unwrap();
    assert_eq!(billed.iter().map(|m| (m.id, m.present_at)).collect::<Vec<_>>(), [(first, Some(1_000))]);
    assert!(machines::billed(db, client, Some(first), 10).await.unwrap().is_empty());
    assert!(machines::billed(db, ClientId::new(), None, 10).await.unwrap().is_empty());
    // Seen missing once, then there again: it is not gone.
    assert!(machine.missed().await.unwrap() && machine.seen().await.unwrap());
    let there = machines::by_name(db, &billed[0].name).await.unwrap().unwrap();
    assert_eq!((there.gone_at, there.gone_looks, there.order_sealed), (None, 0, None));
    assert!(machine.leaving(Some("not_wanted")).await.unwrap() && machine.missed().await.unwrap());
    assert!(machine.gone().await.unwrap());
    assert!(!machine.gone().await.unwrap());
    assert_eq!(world.state(first).await, State::Gone);
    let open = machines::open_of_account(db, world.account).await.unwrap();
    assert_eq!(open.iter().map(|m| m.id).collect::<Vec<_>>(), [second]);
    assert!(machines::billed(db, client, None, 10).await.unwrap()[0].gone_at.is_some());
}

async fn an_order_that_came_to_nothing_is_void(scratch: &Scratch) {
    let world = world(scratch).await;
    let id = world.intend(1).await;
    let machine = world.machine(id);
    assert!(machine.sent().await.unwrap());
    let elsewhere = NewOrder { region: "nbg1".into(), ..order(2) };
    assert!(machine.again(&elsewhere, "no_room", "there is no room").await.unwrap());
    let again = machines::of_server(&world.db, world.server).await.unwrap().remove(0);
    assert_eq!((again.state, again.attempt, again.region.as_str()), (State::Intended, 2, "nbg1"));
    assert_eq!(again.error_code.as_deref(), Some("no_room"));
    assert!(machine.void("not_wanted", "nobody wants it").await.unwrap());
    assert!(!machine.present("remote-7", 1, None).await.unwrap());
    assert!(!machine.leaving(None).await.unwrap() && !machine.gone().await.unwrap());
    let void = machines::of_server(&world.db, world.server).await.unwrap().remove(0);
    assert_eq!((void.state, void.order_sealed, void.present_at), (State::Void, None, None));
}

async fn a_lost_attempt_changes_no_machine(scratch: &Scratch) {
    let world = world(scratch).await;
    let (db, stale) = (&world.db, world.stale());
    assert!(!machines::insert(db, db, stale, &new_machine(&world, 1)).await.unwrap());
    assert!(machines::of_server(db, world.server).await.unwrap().is_empty());
    let id = world.intend(1).await;
    let lost = Change { db, fence: stale, id };
    assert!(!lost.sent().await.unwrap());
    assert!(!lost.present("remote-7", 1, Some(&rate(7_440))).await.unwrap());
    assert!(!lost.void("x", "y").await.unwrap());
    assert_eq!(world.state(id).await, State::Intended);
    assert!(machines::charges(db, world.client, id, id).await.unwrap().is_empty(), "and no bill is opened");
    let second = new_machine(&world, 1);
    assert!(machines::insert(db, db, world.fence, &second).await.is_err(), "one machine of a generation");
}

async fn a_finding_is_one_row_until_it_ends(scratch: &Scratch) {
    let world = world(scratch).await;
    let (db, client, account) = (&world.db, world.client, world.account);
    let seen = Seen {
        verdict: Verdict::Orphan,
        region: "fsn1".into(),
        remote_id: "7".into(),
        name: "byop-x".into(),
        server: Some(world.server),
        price: Some((7_440, "EUR".into())),
    };
    assert!(!findings::note(db, world.stale(), client, account, &seen).await.unwrap());
    for _ in 0..2 {
        assert!(findings::note(db, world.fence, client, account, &seen).await.unwrap());
    }
    let zombie = Seen { verdict: Verdict::Zombie, price: None, ..seen.clone() };
    assert!(findings::note(db, world.fence, client, account, &zombie).await.unwrap());
    let open = findings::open(db, account).await.unwrap();
    assert_eq!(
        open.iter().map(|f| (f.seen.verdict, f.looks)).collect::<Vec<_>>(),
        [(Verdict::Orphan, 2), (Verdict::Zombie, 1)]
    );
    assert_eq!(open[0].seen, seen);
    assert_eq!(findings::deletions_since(db, account, 0).await.unwrap(), 0);
    assert!(!findings::ask_deletion(db, world.stale(), open[0].id).await.unwrap());
    assert!(findings::ask_deletion(db, world.fence, open[0].id).await.unwrap());
    assert_eq!(findings::deletions_since(db, account, 0).await.unwrap(), 1);
    let began = db.now_ms() + 1_000;
    assert_eq!(findings::end_unseen(db, world.stale(), account, "fsn1", began).await.unwrap(), 0);
    assert_eq!(findings::end_unseen(db, world.fence, account, "nbg1", began).await.unwrap(), 0);
    assert_eq!(findings::end_unseen(db, world.fence, account, "fsn1", began).await.unwrap(), 2);
    assert!(findings::open(db, account).await.unwrap().is_empty());
    let listed = async |client, ended, before| findings::list(db, client, ended, before, 10).await.unwrap();
    assert!(listed(client, false, None).await.is_empty());
    let ended = listed(client, true, None).await;
    assert_eq!(ended.iter().map(|f| f.seen.verdict).collect::<Vec<_>>(), [Verdict::Zombie, Verdict::Orphan]);
    assert_eq!(listed(client, true, Some(ended[0].id)).await.len(), 1);
    assert!(listed(ClientId::new(), true, None).await.is_empty());
    assert!(findings::note(db, world.fence, client, account, &seen).await.unwrap());
    assert_eq!(listed(client, false, None).await.len(), 1, "found again, it has not ended");
}
