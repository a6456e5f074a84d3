//! Records of names: one open row for each in an account, from the intent to the end, and who is asked to see to it.

use std::net::IpAddr;

use shared::{
    domain::{AccountId, AppId, ClientId, status::RecordState as State},
    names::{self, RecordBy},
    queue::{JobKind, is_active},
    store::{
        dns_records::{self, Change, DnsRecord, NewRecord},
        domains::{self, Holder},
        provider_accounts::{self as accounts, Changes},
        scratch::Scratch,
        sql,
    },
};

use crate::world::{World, add_account, world};

shared::on_both_databases! {
    a_record_is_one_row_from_its_intent_to_its_end,
    what_was_never_asked_for_ends_at_once,
    a_lost_attempt_changes_no_record,
    a_servers_records_leave_with_it,
    an_account_stays_while_it_has_records_of_ours,
    zones_are_kept_for_the_credentials_they_were_read_with,
    the_longest_zone_counts_and_its_account_is_asked,
    what_is_to_be_done_for_a_name_is_told,
}

const NAME: &str = "shop.example.org";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn new_record(world: &World, address: &str) -> NewRecord {
    NewRecord {
        client: world.client,
        account: world.account,
        server: world.server,
        zone: "example.org".into(),
        name: NAME.into(),
        address: ip(address),
    }
}

async fn add(world: &World, address: &str) -> DnsRecord {
    assert!(dns_records::insert(&world.db, world.fence, &new_record(world, address)).await.unwrap());
    open(world).await.into_iter().find(|r| r.address == ip(address)).unwrap()
}

async fn open(world: &World) -> Vec<DnsRecord> {
    dns_records::open_of_account(&world.db, world.account).await.unwrap()
}

fn change<'a>(world: &'a World, row: &DnsRecord) -> Change<'a> {
    Change { db: &world.db, fence: world.fence, id: row.id }
}

/// A domain of a new app that leads to the world's server.
async fn claim(world: &World, domain: &str) {
    let app = AppId::new();
    sql("insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
         values ($1, $2, $1, 'https://git.example/a', 'main', 0, 0)")
    .text(app)
    .text(world.client)
    .execute(&world.db)
    .await
    .unwrap();
    let mut tx = world.db.begin().await.unwrap();
    let holder = Holder { client: world.client, app, server: world.server };
    assert!(domains::claim(&mut tx, 0, &domain.parse().unwrap(), &holder).await.unwrap());
    tx.commit().await.unwrap();
}

async fn set_zones(world: &World, account: AccountId, zones: &str) {
    let account = accounts::load(&world.db, account).await.unwrap().unwrap();
    assert!(accounts::set_zones(&world.db, world.fence, &account, zones).await.unwrap());
}

/// The job of the world itself ends, so that it stands in nobody's way.
async fn is_asked(world: &World, account: AccountId) -> bool {
    let asked = is_active(&world.db, JobKind::Account, account).await.unwrap();
    sql("update jobs set state = 'succeeded', finished_at = 1, unique_key = null where subject_id = $1 and state = 'queued'")
        .text(account)
        .execute(&world.db)
        .await
        .unwrap();
    asked
}

async fn ask(world: &World, domain: &str, address: Option<&str>) -> usize {
    let mut tx = world.db.begin().await.unwrap();
    let asked = names::ask(&mut tx, &world.db, world.client, domain, address).await.unwrap();
    tx.commit().await.unwrap();
    asked
}

async fn a_record_is_one_row_from_its_intent_to_its_end(scratch: &Scratch) {
    let world = world(scratch).await;
    let row = add(&world, "192.0.2.1").await;
    assert_eq!((row.state, row.asked_at, row.family.as_str()), (State::Wanted, None, "A"));
    let again = new_record(&world, "192.0.2.9");
    assert!(!dns_records::insert(&world.db, world.fence, &again).await.unwrap(), "one open row of a family");
    add(&world, "2001:db8::1").await;
    let on = change(&world, &row);
    assert!(on.refused("record_exists", "it is there").await.unwrap());
    assert!(on.failed("dns_unavailable", "no answer").await.unwrap());
    assert!(on.asked().await.unwrap() && on.set().await.unwrap());
    let set = open(&world).await.remove(0);
    assert_eq!((set.state, set.error_code), (State::Set, None));
    assert!(set.asked_at.is_some());
    assert!(on.moved(world.server, ip("192.0.2.2"), &[ip("192.0.2.1")]).await.unwrap());
    let moved = open(&world).await.remove(0);
    assert_eq!(
        (moved.state, moved.address, moved.earlier.clone()),
        (State::Wanted, ip("192.0.2.2"), vec![ip("192.0.2.1")])
    );
    assert_eq!(moved.ours().collect::<Vec<_>>(), [ip("192.0.2.2"), ip("192.0.2.1")]);
    assert!(on.leaving().await.unwrap() && !on.leaving().await.unwrap());
    assert!(!on.asked().await.unwrap() && !on.set().await.unwrap(), "what leaves is not set");
    assert!(
        on.failed("dns_denied", "not allowed").await.unwrap() && on.gone().await.unwrap() && !on.gone().await.unwrap()
    );
    assert_eq!(open(&world).await.len(), 1);
    add(&world, "192.0.2.3").await;
    assert_eq!(dns_records::of_name(&world.db, world.client, NAME).await.unwrap().len(), 2);
    assert!(dns_records::of_name(&world.db, ClientId::new(), NAME).await.unwrap().is_empty());
}

async fn what_was_never_asked_for_ends_at_once(scratch: &Scratch) {
    let world = world(scratch).await;
    let row = add(&world, "192.0.2.1").await;
    assert!(change(&world, &row).refused("record_exists", "somebody else's").await.unwrap());
    assert!(change(&world, &row).leaving().await.unwrap());
    assert!(open(&world).await.is_empty());
}

async fn a_lost_attempt_changes_no_record(scratch: &Scratch) {
    let world = world(scratch).await;
    let stale = world.stale();
    assert!(!dns_records::insert(&world.db, stale, &new_record(&world, "192.0.2.1")).await.unwrap());
    let row = add(&world, "192.0.2.1").await;
    let late = Change { fence: stale, ..change(&world, &row) };
    assert!(!late.asked().await.unwrap() && !late.set().await.unwrap() && !late.leaving().await.unwrap());
    assert!(!late.refused("a", "b").await.unwrap() && !late.failed("a", "b").await.unwrap());
    assert!(!late.moved(world.server, ip("192.0.2.2"), &[]).await.unwrap() && !late.gone().await.unwrap());
    assert_eq!(dns_records::leave_server(&world.db, stale, world.server).await.unwrap(), 0);
    let account = world.account().await;
    assert!(!accounts::set_zones(&world.db, stale, &account, "[]").await.unwrap());
    let same = open(&world).await.remove(0);
    assert_eq!((same.state, same.address, same.error_code), (State::Wanted, ip("192.0.2.1"), None));
}

async fn a_servers_records_leave_with_it(scratch: &Scratch) {
    let world = world(scratch).await;
    let row = add(&world, "192.0.2.1").await;
    assert!(change(&world, &row).asked().await.unwrap());
    add(&world, "2001:db8::1").await;
    assert_eq!(dns_records::leave_server(&world.db, world.fence, world.server).await.unwrap(), 2);
    assert_eq!(dns_records::leave_server(&world.db, world.fence, world.server).await.unwrap(), 0);
    let left = dns_records::open_of_server(&world.db, world.server).await.unwrap();
    let [left] = &left[..] else { panic!("{left:?}") };
    assert!(left.id == row.id && left.state == State::Leaving && left.leaving_at.is_some());
}

async fn an_account_stays_while_it_has_records_of_ours(scratch: &Scratch) {
    let world = world(scratch).await;
    world.set_server("deleted").await;
    let row = add(&world, "192.0.2.1").await;
    assert!(change(&world, &row).asked().await.unwrap());
    assert!(!world.delete_account().await);
    sql("update provider_accounts set status = 'refused'").execute(&world.db).await.unwrap();
    assert!(world.delete_account().await, "nobody can take the record away with these credentials");
    assert!(open(&world).await.is_empty());
}

async fn zones_are_kept_for_the_credentials_they_were_read_with(scratch: &Scratch) {
    let world = world(scratch).await;
    let old = world.account().await;
    assert_eq!((old.zones.clone(), old.zones_at), (None, None));
    set_zones(&world, world.account, r#"["example.org"]"#).await;
    let served = accounts::served(&world.db, world.client).await.unwrap();
    assert!(served[0].zones == ["example.org"] && served[0].zones_at.is_some());
    assert!(accounts::served(&world.db, ClientId::new()).await.unwrap().is_empty());
    assert!(world.change(Changes { credentials_sealed: Some("sealed-2"), ..Changes::default() }).await);
    let served = accounts::served(&world.db, world.client).await.unwrap();
    assert!(served[0].zones == ["example.org"] && served[0].zones_at.is_none(), "they are to be read again");
    assert!(!accounts::set_zones(&world.db, world.fence, &old, "[]").await.unwrap());
    sql("update provider_accounts set status = 'refused'").execute(&world.db).await.unwrap();
    assert!(accounts::served(&world.db, world.client).await.unwrap().is_empty());
}

async fn the_longest_zone_counts_and_its_account_is_asked(scratch: &Scratch) {
    let world = world(scratch).await;
    let (short, long) = (world.account, add_account(&world.db, world.client, Some("sealed-2")).await);
    sql("update jobs set subject_id = client_id where id = $1").text(world.fence.job).execute(&world.db).await.unwrap();
    assert_eq!(ask(&world, NAME, None).await, 2, "what nobody has read yet is read");
    assert!(is_asked(&world, short).await && is_asked(&world, long).await);
    set_zones(&world, short, r#"["example.org", "example.com"]"#).await;
    set_zones(&world, long, r#"["shop.example.org"]"#).await;
    assert_eq!(ask(&world, NAME, Some("192.0.2.1")).await, 1);
    assert!(!is_asked(&world, short).await && is_asked(&world, long).await);
    assert_eq!(ask(&world, "a.example.net", Some("192.0.2.1")).await, 0, "nobody serves it");
    let served = accounts::served(&world.db, world.client).await.unwrap();
    assert_eq!(names::zone_in(NAME, &served[0], &served), None);
    assert_eq!(names::zone_in(NAME, &served[1], &served), Some("shop.example.org"));
    assert_eq!(names::zone_in("www.example.org", &served[0], &served), Some("example.org"));

    // What is set is not asked for again, unless the server has another address.
    let row = add(&world, "192.0.2.1").await;
    set_zones(&world, long, "[]").await;
    assert_eq!(ask(&world, NAME, Some("192.0.2.1")).await, 0, "it was written down a moment ago");
    assert!(change(&world, &row).asked().await.unwrap() && change(&world, &row).set().await.unwrap());
    assert_eq!(ask(&world, NAME, Some("192.0.2.1")).await, 0);
    assert_eq!(ask(&world, NAME, Some("192.0.2.2")).await, 1);
    assert!(is_asked(&world, short).await);
    let mut tx = world.db.begin().await.unwrap();
    assert_eq!(names::ask_to_leave(&mut tx, &world.db, world.client, world.server).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(is_asked(&world, short).await);
    claim(&world, NAME).await;
    let mut tx = world.db.begin().await.unwrap();
    assert_eq!(names::ask_to_leave(&mut tx, &world.db, world.client, world.server).await.unwrap(), 0);
    tx.commit().await.unwrap();
    names::ask_for_server(&world.db, world.client, world.server, Some("192.0.2.1")).await.unwrap();
    assert!(is_asked(&world, short).await);
}

async fn what_is_to_be_done_for_a_name_is_told(scratch: &Scratch) {
    let world = world(scratch).await;
    let told = async |address: &str| names::guide(&world.db, world.client, NAME, address).await.unwrap();
    let guide = told("192.0.2.1").await;
    assert_eq!((guide.kind, guide.value.as_str(), guide.state), ("A", "192.0.2.1", RecordBy::ByHand));
    assert!(guide.words().contains("set by hand: shop.example.org A 192.0.2.1"), "{}", guide.words());
    assert_eq!(told("2001:db8::1").await.kind, "AAAA");
    assert_eq!(told("vps.example.net").await.kind, "CNAME");
    set_zones(&world, world.account, r#"["example.org"]"#).await;
    let guide = told("192.0.2.1").await;
    assert_eq!((guide.state, guide.account.as_ref().map(|a| a.id)), (RecordBy::ByUs, Some(world.account)));
    let row = add(&world, "192.0.2.1").await;
    assert!(change(&world, &row).asked().await.unwrap() && change(&world, &row).set().await.unwrap());
    assert_eq!(told("192.0.2.1").await.state, RecordBy::Set);
    assert_eq!(told("192.0.2.2").await.state, RecordBy::ByUs, "it still leads elsewhere");
    assert!(change(&world, &row).moved(world.server, ip("192.0.2.2"), &[ip("192.0.2.1")]).await.unwrap());
    assert!(change(&world, &row).refused("record_exists", "it leads elsewhere").await.unwrap());
    let guide = told("192.0.2.2").await;
    assert_eq!((guide.state, guide.error.as_ref().map(|e| e.0.as_str())), (RecordBy::ByHand, Some("record_exists")));
    assert!(guide.words().contains("it leads elsewhere"), "{}", guide.words());
    let stranger = names::guide(&world.db, ClientId::new(), NAME, "192.0.2.1").await.unwrap();
    assert_eq!((stranger.state, stranger.account), (RecordBy::ByHand, None));
}
