//! An AWS account against moto, an emulator of Amazon's services that reads what we write: the wire and nothing else, for
//! its machines are entries in a table.
//!
//! Runs where `BYOP_TEST_MOTO` names a `moto_server`, which has to be started with `MOTO_AMIS_PATH` naming
//! `moto-images.json` beside this file. Absent: what moto does not know: that a token makes a request the same one (it
//! makes two machines), that there is no room, prices, and an external id that is asked for.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use shared::{
    domain::ServerId,
    providers::{
        cloud::{
            AwsLogin, Class, Cloud, Created, Install, Machine, MachineName, Order, Placement, Power, Record, State,
            Zones,
        },
        wire::{Call, Web, Wire as _},
    },
};
use worker_provision::aws::{AccessKey, Aws, AwsSettings};

const REGION: &str = "eu-west-1";
const SIZE: &str = "t3.small";

/// Where moto is; `None` says that the test does not run.
fn moto(test: &str) -> Option<String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = std::env::var("BYOP_TEST_MOTO").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("SKIPPED moto: {test}: BYOP_TEST_MOTO is not set");
    }
    url
}

/// An installation that moto has not seen.
fn install() -> Install {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    format!("{:010x}", nanos % (1 << 40)).parse().expect("an installation")
}

fn account(url: &str, install: &Install) -> Aws {
    let login = AwsLogin::Keys { access_key_id: "test".to_owned(), secret_access_key: "test".into() };
    with_login(url, install, login)
}

fn with_login(url: &str, install: &Install, login: AwsLogin) -> Aws {
    let base = AccessKey { id: "base".to_owned(), secret: "base".into(), session: None };
    let (install, endpoint) = (install.clone(), Some(url.to_owned()));
    Aws::new(AwsSettings { login, install, base: Some(base), endpoint, http: None }).expect("an account")
}

fn order(install: &Install, placement: &Placement) -> Order {
    Order {
        name: MachineName { install: install.clone(), server: ServerId::new(), generation: 1 },
        attempt: 1,
        placement: placement.clone(),
        user_data: "#cloud-config\n".to_owned(),
    }
}

async fn made(aws: &Aws, order: &Order) -> String {
    match aws.create(order).await {
        Created::Yes(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn state(aws: &Aws, id: &str) -> State {
    aws.get(REGION, id).await.expect("an answer").expect("a machine").state
}

fn ids(machines: &[Machine]) -> Vec<&str> {
    machines.iter().map(|m| m.id.as_str()).collect()
}

#[tokio::test]
async fn a_login_is_checked() {
    let Some(url) = moto("a_login_is_checked") else { return };
    let info = account(&url, &install()).check().await.expect("an account");
    assert_eq!((info.account.as_str(), info.missing), ("123456789012", vec![]));
    // moto gives its roles to everybody, and that is what is seen.
    let role = AwsLogin::Role {
        role_arn: "arn:aws:iam::123456789012:role/byop".to_owned(),
        external_id: "vT3mX0w1cQeU4bq2".to_owned(),
    };
    let aws = with_login(&url, &install(), role);
    assert_eq!(aws.list(REGION).await.expect("a list"), []);
    assert_eq!(aws.check().await.expect_err("not enforced").code, "external_id_not_enforced");
}

#[tokio::test]
async fn a_catalog_is_read() {
    let Some(url) = moto("a_catalog_is_read") else { return };
    let catalog = account(&url, &install()).catalog().await.expect("a catalog");
    assert!(catalog.regions.iter().any(|r| r.code == REGION));
    let small = catalog.sizes.iter().find(|s| s.code == SIZE).expect("the size");
    assert_eq!((small.vcpus, small.memory_mb, small.architecture.as_str()), (2, 2048, "amd64"));
    assert!(small.regions.iter().any(|r| r.region == REGION && r.hourly.is_none()));
    assert!(catalog.sizes.iter().any(|s| s.architecture == "arm64"));
    assert!(catalog.sizes.iter().all(|s| s.vcpus <= 32 && !s.regions.is_empty()));
}

#[tokio::test]
async fn a_machine_lives() {
    let Some(url) = moto("a_machine_lives") else { return };
    let install = install();
    let aws = account(&url, &install);
    let placement = aws.place(REGION, SIZE, &[]).await.expect("a place");
    assert_eq!(placement.image, "ami-0debian12amd64new");
    assert_eq!(aws.place(REGION, SIZE, &[]).await.expect("the same place"), placement);
    let order = order(&install, &placement);
    let id = made(&aws, &order).await;
    let found = aws.find(REGION, &order.name).await.expect("found");
    assert_eq!(ids(&found), [id.as_str()]);
    assert_eq!((&found[0].name, found[0].size.as_str()), (&Some(order.name.clone()), SIZE));
    assert!(found[0].ipv4.is_some() && found[0].created_at.is_some());
    assert_eq!(ids(&aws.list(REGION).await.expect("a list")), [id.as_str()]);
    assert_eq!(state(&aws, &id).await, State::Running);

    let e = aws.resize(REGION, &id, "t3.large").await.expect_err("it is on");
    assert_eq!(e.class, Class::Conflict);
    aws.power(REGION, &id, Power::Off).await.expect("taken");
    assert_eq!(state(&aws, &id).await, State::Stopped);
    aws.power(REGION, &id, Power::Stop).await.expect("is off already");
    aws.resize(REGION, &id, "t3.large").await.expect("it is off");
    aws.power(REGION, &id, Power::Start).await.expect("taken");
    aws.power(REGION, &id, Power::Reboot).await.expect("taken");
    assert_eq!(aws.get(REGION, &id).await.expect("an answer").expect("a machine").size, "t3.large");

    aws.delete(REGION, &id).await.expect("taken");
    aws.delete(REGION, &id).await.expect("gone already");
    assert_eq!(state(&aws, &id).await, State::Gone);
    assert_eq!(aws.get(REGION, "i-0123456789abcdef0").await, Ok(None));
    aws.delete(REGION, "i-0123456789abcdef0").await.expect("never was");
}

#[tokio::test]
async fn zones_and_sizes_are_chosen() {
    let Some(url) = moto("zones_and_sizes_are_chosen") else { return };
    let aws = account(&url, &install());
    let mut avoid = Vec::new();
    let none_left = loop {
        match aws.place(REGION, SIZE, &avoid).await {
            Ok(place) => avoid.push(place.zone.expect("a zone")),
            Err(e) => break e,
        }
    };
    assert_eq!((none_left.class, avoid.len()), (Class::Capacity, 3));
    let arm = aws.place(REGION, "t4g.small", &[]).await.expect("a place");
    assert_eq!(arm.image, "ami-0debian12arm64new");
    assert_eq!(aws.place(REGION, "t9.huge", &[]).await.expect_err("no such size").class, Class::Config);
}

#[tokio::test]
async fn another_installation_is_left_alone() {
    let Some(url) = moto("another_installation_is_left_alone") else { return };
    let (ours, theirs) = (install(), install());
    let (aws, other) = (account(&url, &ours), account(&url, &theirs));
    let placement = other.place(REGION, SIZE, &[]).await.expect("a place");
    let id = made(&other, &order(&theirs, &placement)).await;
    assert_eq!(aws.list(REGION).await.expect("a list"), []);
    assert_eq!(aws.delete(REGION, &id).await.expect_err("not ours").code, "not_ours");
    assert_eq!(aws.power(REGION, &id, Power::Off).await.expect_err("not ours").code, "not_ours");
    assert_eq!(state(&other, &id).await, State::Running);
    other.delete(REGION, &id).await.expect("taken");
}

#[tokio::test]
async fn a_list_has_them_all() {
    let Some(url) = moto("a_list_has_them_all") else { return };
    let install = install();
    let aws = account(&url, &install);
    let placement = aws.place(REGION, SIZE, &[]).await.expect("a place");
    for _ in 0..12 {
        made(&aws, &order(&install, &placement)).await;
    }
    let all = aws.list(REGION).await.expect("a list");
    assert_eq!(all.len(), 12);
    for machine in all {
        aws.delete(REGION, &machine.id).await.expect("taken");
    }
}

#[tokio::test]
async fn a_name_comes_and_goes() {
    let Some(url) = moto("a_name_comes_and_goes") else { return };
    let zone = format!("{}.example", install());
    new_zone(&url, &zone).await;
    let aws = account(&url, &install());
    assert!(aws.zones().await.expect("zones").contains(&zone));
    for (address, other) in [("203.0.113.7", "203.0.113.8"), ("2001:db8::7", "2001:db8::8")] {
        let record = |address: &str, ttl| Record {
            zone: zone.clone(),
            name: format!("shop.{zone}"),
            address: address.parse().expect("an address"),
            ttl,
        };
        aws.set(&record(other, 300)).await.expect("set");
        aws.set(&record(address, 60)).await.expect("set again");
        aws.remove(&record(other, 300)).await.expect("stays");
        assert!(records(&url, &zone).await.contains(address));
        aws.remove(&record(address, 300)).await.expect("removed, whatever its ttl");
        aws.remove(&record(address, 60)).await.expect("gone already");
        assert!(!records(&url, &zone).await.contains(address));
    }
}

/// What moto answers on Route 53's paths; it reads the service out of the signature and does not check it.
async fn route53(call: Call) -> String {
    let scope =
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/route53/aws4_request, SignedHeaders=host, Signature=a";
    let call = call.header(http::header::AUTHORIZATION, scope);
    let answer = Web::new().expect("a client").send(call).await.expect("an answer");
    assert!(answer.status.is_success(), "{answer:?}");
    String::from_utf8(answer.body.to_vec()).expect("text")
}

async fn new_zone(url: &str, name: &str) {
    let mut call = Call::new(Method::POST, format!("{url}/2013-04-01/hostedzone"));
    call.body = format!(
        "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{name}</Name>\
         <CallerReference>{name}</CallerReference></CreateHostedZoneRequest>"
    )
    .into();
    route53(call).await;
}

/// Everything that stands in a zone.
async fn records(url: &str, zone: &str) -> String {
    let zones = route53(Call::new(Method::GET, format!("{url}/2013-04-01/hostedzone"))).await;
    let (before, _) = zones.split_once(&format!("<Name>{zone}.</Name>")).expect("the zone");
    let id = before.rsplit("/hostedzone/").next().and_then(|rest| rest.split('<').next()).expect("an id");
    route53(Call::new(Method::GET, format!("{url}/2013-04-01/hostedzone/{id}/rrset"))).await
}
