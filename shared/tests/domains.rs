//! What the store says about proof that a client controls a name, on both databases.
#![allow(clippy::unwrap_used)]

use shared::{
    domain::{AppId, ClientId, DomainId, DomainName},
    queue::{NewJob, enqueue},
    store::{
        Db, Fence,
        domain_proofs::{self as proofs, Proof, ProofMethod as Method, ProofState as State},
        domains::{self, Holder},
        events::{self, Which},
        scratch::{Scratch, Tenant},
        sql,
    },
};

shared::on_both_databases! {
    a_name_is_proved_by_one_client,
    what_was_proved_anew_meanwhile_is_not_displaced,
    a_record_proves_what_lies_below_and_a_file_does_not,
    the_longest_proof_counts,
    a_lost_attempt_proves_nothing,
    a_check_that_finds_nothing_takes_no_proof_away,
    a_claim_goes_over_to_who_has_proved_the_name,
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

async fn client(db: &Db) -> ClientId {
    let client = ClientId::new();
    let insert = sql("insert into clients (id, name, created_at) values ($1, 'c', 0)");
    insert.text(client).execute(db).await.unwrap();
    client
}

/// A name that a client wants to prove, and a claimed job that checks it.
async fn wanted(db: &Db, client: ClientId, text: &str) -> (DomainId, Fence) {
    let id = DomainId::new();
    let mut tx = db.begin().await.unwrap();
    proofs::insert(&mut tx, db, (client, id), &name(text), &id.to_string()).await.unwrap();
    tx.commit().await.unwrap();
    (id, checked(db, client, id).await)
}

async fn checked(db: &Db, client: ClientId, id: DomainId) -> Fence {
    let mut tx = db.begin().await.unwrap();
    assert!(proofs::request_check(&mut tx, db, client, id).await.unwrap());
    let job = enqueue(&mut tx, db, &NewJob::prove(client, id)).await.unwrap().id();
    tx.commit().await.unwrap();
    sql("update jobs set state = 'running', attempt = 1, lease_owner = 't', lease_until = 0 where id = $1")
        .text(job)
        .execute(db)
        .await
        .unwrap();
    Fence { job, attempt: 1 }
}

async fn end(db: &Db, fence: Fence) {
    let over = sql("update jobs set state = 'succeeded', finished_at = 1, lease_owner = null where id = $1");
    over.text(fence.job).execute(db).await.unwrap();
}

async fn prove(db: &Db, (id, fence): (DomainId, Fence), method: Method, gone: &[Proof]) -> bool {
    let mut tx = db.begin().await.unwrap();
    let proved = proofs::prove(&mut tx, db, fence, (id, method), gone).await.unwrap();
    proved && tx.commit_under(fence).await.unwrap()
}

async fn counts(db: &Db, text: &str) -> Option<ClientId> {
    proofs::of_name(db, &name(text)).await.unwrap().map(|proof| proof.client)
}

async fn rivals(db: &Db, client: ClientId, text: &str) -> Vec<Proof> {
    proofs::rivals(db, client, &name(text)).await.unwrap()
}

async fn told(db: &Db, client: ClientId) -> Vec<(String, String)> {
    let all = Which { kind: None, before: None, limit: 10 };
    let events = events::list(db, client, all).await.unwrap();
    events.into_iter().map(|e| (e.kind, e.data["domain"].as_str().unwrap().to_owned())).collect()
}

async fn a_name_is_proved_by_one_client(scratch: &Scratch) {
    let db = &scratch.db;
    let (one, two) = (client(db).await, client(db).await);
    let first = wanted(db, one, "example.com").await;
    let second = wanted(db, two, "example.com").await;
    let mut tx = db.begin().await.unwrap();
    let twice = proofs::insert(&mut tx, db, (one, DomainId::new()), &name("example.com"), "t").await;
    assert!(twice.unwrap_err().is_unique_violation());
    drop(tx);
    assert_eq!(counts(db, "example.com").await, None);
    assert!(prove(db, first, Method::Dns, &[]).await);
    assert_eq!(counts(db, "example.com").await, Some(one));
    assert!(!prove(db, second, Method::Dns, &[]).await, "the first one's proof stands");

    let gone = rivals(db, two, "example.com").await;
    assert_eq!(gone.iter().map(|p| p.id).collect::<Vec<_>>(), [first.0]);
    assert!(prove(db, second, Method::Dns, &gone).await);
    let lost = proofs::get(db, one, first.0).await.unwrap().unwrap();
    assert_eq!((lost.state, lost.method), (State::Lost, None));
    assert_eq!(counts(db, "example.com").await, Some(two));
    assert_eq!(told(db, one).await, [("domain.lost".to_owned(), "example.com".to_owned())]);
    assert!(told(db, two).await.is_empty());
    assert!(proofs::get(db, two, first.0).await.unwrap().is_none(), "it is another client's");
}

async fn what_was_proved_anew_meanwhile_is_not_displaced(scratch: &Scratch) {
    let db = &scratch.db;
    let (one, two) = (client(db).await, client(db).await);
    let first = wanted(db, one, "example.com").await;
    assert!(prove(db, first, Method::Dns, &[]).await);
    let gone = rivals(db, two, "example.com").await;
    sql("update domain_proofs set proved_at = proved_at + 1 where id = $1").text(first.0).execute(db).await.unwrap();
    let second = wanted(db, two, "example.com").await;
    assert!(!prove(db, second, Method::Dns, &gone).await);
    assert_eq!(counts(db, "example.com").await, Some(one));
    assert!(told(db, one).await.is_empty());
}

async fn a_record_proves_what_lies_below_and_a_file_does_not(scratch: &Scratch) {
    let db = &scratch.db;
    let (one, two) = (client(db).await, client(db).await);
    assert!(prove(db, wanted(db, one, "dns.example").await, Method::Dns, &[]).await);
    assert!(prove(db, wanted(db, one, "http.example").await, Method::Http, &[]).await);
    for (asked, by) in [
        ("dns.example", Some(one)),
        ("a.b.dns.example", Some(one)),
        ("xdns.example", None),
        ("http.example", Some(one)),
        ("www.http.example", None),
    ] {
        assert_eq!(counts(db, asked).await, by, "{asked}");
    }
    assert_eq!(rivals(db, two, "www.dns.example").await.len(), 1);
    assert!(rivals(db, one, "www.dns.example").await.is_empty(), "nobody is his own rival");
    assert!(!prove(db, wanted(db, two, "www.dns.example").await, Method::Dns, &[]).await);
    assert!(prove(db, wanted(db, two, "www.http.example").await, Method::Http, &[]).await);
}

async fn the_longest_proof_counts(scratch: &Scratch) {
    let db = &scratch.db;
    let (one, two) = (client(db).await, client(db).await);
    assert!(prove(db, wanted(db, two, "shop.example.com").await, Method::Dns, &[]).await);
    assert!(prove(db, wanted(db, one, "example.com").await, Method::Dns, &[]).await, "it displaces nothing below");
    assert_eq!(counts(db, "example.com").await, Some(one));
    assert_eq!(counts(db, "a.shop.example.com").await, Some(two));
    assert_eq!(counts(db, "www.example.com").await, Some(one));
}

async fn a_lost_attempt_proves_nothing(scratch: &Scratch) {
    let db = &scratch.db;
    let one = client(db).await;
    let (id, stale) = wanted(db, one, "example.com").await;
    sql("update jobs set attempt = 2 where id = $1").text(stale.job).execute(db).await.unwrap();
    assert!(!prove(db, (id, stale), Method::Dns, &[]).await);
    let mut tx = db.begin().await.unwrap();
    proofs::note_failure(&mut tx, db, stale, id, ("proof_not_found", "no")).await.unwrap();
    tx.commit().await.unwrap();
    let found = proofs::get(db, one, id).await.unwrap().unwrap();
    assert_eq!((found.state, found.error_code, found.check_requested_at.is_some()), (State::Pending, None, true));
    proofs::give_up_unfenced(db, id, "it died").await.unwrap();
    assert!(proofs::get(db, one, id).await.unwrap().unwrap().error_code.is_none(), "a job works on it");
    end(db, stale).await;
    proofs::give_up_unfenced(db, id, "it died").await.unwrap();
    let given_up = proofs::get(db, one, id).await.unwrap().unwrap();
    assert_eq!((given_up.error_code.as_deref(), given_up.check_requested_at), (Some("gave_up"), None));
}

async fn a_check_that_finds_nothing_takes_no_proof_away(scratch: &Scratch) {
    let db = &scratch.db;
    let one = client(db).await;
    let (id, fence) = wanted(db, one, "example.com").await;
    assert!(prove(db, (id, fence), Method::Http, &[]).await);
    end(db, fence).await;
    let again = checked(db, one, id).await;
    let mut tx = db.begin().await.unwrap();
    proofs::note_failure(&mut tx, db, again, id, ("proof_not_found", "no")).await.unwrap();
    assert!(tx.commit_under(again).await.unwrap());
    let found = proofs::get(db, one, id).await.unwrap().unwrap();
    assert_eq!((found.state, found.error_code.as_deref()), (State::Proved, Some("proof_not_found")));
    assert_eq!((found.method, found.check_requested_at), (Some(Method::Http), None));
    assert!(prove(db, (id, again), Method::Dns, &[]).await);
    let found = proofs::get(db, one, id).await.unwrap().unwrap();
    assert_eq!((found.method, found.error_code), (Some(Method::Dns), None));
    let stranger = client(db).await;
    let mut tx = db.begin().await.unwrap();
    assert!(!proofs::delete(&mut tx, stranger, id).await.unwrap());
    assert!(proofs::delete(&mut tx, one, id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(counts(db, "example.com").await, None);
}

async fn holder(db: &Db) -> Holder {
    let Tenant { client, app, server, .. } = Tenant::new(db).await;
    Holder { client, app, server }
}

async fn a_claim_goes_over_to_who_has_proved_the_name(scratch: &Scratch) {
    let db = &scratch.db;
    let (squatter, owner) = (holder(db).await, holder(db).await);
    let shop = name("shop.example.com");
    let mut tx = db.begin().await.unwrap();
    assert_eq!(domains::take_over(&mut tx, 1, &shop, &owner).await.unwrap(), None, "nobody has it");
    assert!(domains::claim(&mut tx, 1, &shop, &squatter).await.unwrap());
    assert!(!domains::claim(&mut tx, 1, &shop, &owner).await.unwrap());
    assert_eq!(domains::take_over(&mut tx, 2, &shop, &owner).await.unwrap(), Some(squatter));
    assert!(domains::claim(&mut tx, 2, &shop, &owner).await.unwrap());
    let own = Holder { app: AppId::new(), ..owner.clone() };
    assert_eq!(domains::take_over(&mut tx, 3, &shop, &own).await.unwrap(), None, "it is the client's own already");
    assert!(!domains::claim(&mut tx, 3, &shop, &own).await.unwrap(), "another app of the client's has it");
    tx.commit().await.unwrap();
    assert_eq!(domains::holder(db, &shop).await.unwrap(), Some(owner));
}
