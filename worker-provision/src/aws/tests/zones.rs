//! Names in Route 53.

use shared::providers::cloud::{Class, Record, Zones};

use super::*;

const LIST: &str = "GET /2013-04-01/hostedzone";
const READ: &str = "GET /2013-04-01/hostedzone/Z1/rrset";
const CHANGE: &str = "POST /2013-04-01/hostedzone/Z1/rrset";

fn record() -> Record {
    Record {
        zone: "example.org".to_owned(),
        name: "shop.example.org".to_owned(),
        address: [203, 0, 113, 7].into(),
        ttl: 60,
    }
}

fn zone(id: &str, name: &str, private: bool) -> String {
    format!(
        "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}.</Name><CallerReference>c</CallerReference><Config>\
         <PrivateZone>{private}</PrivateZone></Config></HostedZone>"
    )
}

fn zones(items: &str, next: &str) -> Reply {
    let next = match next {
        "" => "<IsTruncated>false</IsTruncated>".to_owned(),
        next => format!("<IsTruncated>true</IsTruncated><NextMarker>{next}</NextMarker>"),
    };
    xml(&format!(
        "<ListHostedZonesResponse><HostedZones>{items}</HostedZones><Marker>m</Marker>{next}<MaxItems>100</MaxItems>\
         </ListHostedZonesResponse>"
    ))
}

fn set(name: &str, kind: &str, more: &str, addresses: &[&str]) -> Reply {
    let values: String =
        addresses.iter().map(|a| format!("<ResourceRecord><Value>{a}</Value></ResourceRecord>")).collect();
    xml(&format!(
        "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type>\
         {more}<TTL>300</TTL><ResourceRecords>{values}</ResourceRecords></ResourceRecordSet></ResourceRecordSets>\
         <IsTruncated>false</IsTruncated><MaxItems>1</MaxItems></ListResourceRecordSetsResponse>"
    ))
}

fn changed() -> Reply {
    xml("<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status>\
         <SubmittedAt>2026-01-01T00:00:00.000Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>")
}

/// An account with one zone and what stands in it.
fn serving(stands: impl Fn() -> Reply + Send + Sync + 'static) -> Arc<Fake> {
    Fake::new(move |seen| match seen.action().as_str() {
        LIST => zones(&(zone("Z0", "example.org", true) + &zone("Z1", "example.org", false)), ""),
        READ => stands(),
        CHANGE => changed(),
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn zones_that_the_world_sees_are_listed() {
    let fake = Fake::new(|seen| match seen.call.url.contains("marker=two") {
        false => zones(&(zone("Z1", "example.org", false) + &zone("Z2", "inside.example", true)), "two"),
        true => zones(&zone("Z3", "example.net", false), ""),
    });
    assert_eq!(account(&fake).zones().await.expect("zones"), ["example.org", "example.net"]);
    assert_eq!(fake.seen()[0].host(), "route53.amazonaws.com");
}

#[tokio::test]
async fn a_name_is_set() {
    for (address, kind) in [("203.0.113.7", "A"), ("2001:db8::7", "AAAA")] {
        let fake = serving(|| panic!("nothing to read"));
        let record = Record { address: address.parse().expect("an address"), ..record() };
        account(&fake).set(&record).await.expect("set");
        let body = fake.only(CHANGE).body();
        for part in [
            "<Action>UPSERT</Action>",
            "<Name>shop.example.org</Name>",
            &format!("<Type>{kind}</Type>"),
            "<TTL>60</TTL>",
            &format!("<Value>{address}</Value>"),
        ] {
            assert!(body.contains(part), "{part} in {body}");
        }
    }
}

#[tokio::test]
async fn a_zone_has_to_be_there_once() {
    let none = Fake::new(|_| zones(&zone("Z1", "other.org", false), ""));
    let e = account(&none).set(&record()).await.expect_err("no zone");
    assert_eq!((e.class, e.code.as_str()), (Class::Config, "no_such_zone"));
    account(&none).remove(&record()).await.expect("nothing there");
    let two = Fake::new(|_| zones(&zone("Z1", "example.org", false).repeat(2), ""));
    for answer in [account(&two).set(&record()).await, account(&two).remove(&record()).await] {
        assert_eq!(answer.expect_err("two zones").code, "zone_ambiguous");
    }
}

#[tokio::test]
async fn a_name_goes_as_it_stands() {
    let fake = serving(|| set("Shop.example.org.", "A", "", &["203.0.113.7"]));
    account(&fake).remove(&record()).await.expect("removed");
    let body = fake.only(CHANGE).body();
    assert!(body.contains("<Action>DELETE</Action>") && body.contains("<TTL>300</TTL>"), "{body}");
    assert!(
        fake.only(READ).call.url.contains("name=shop.example.org&type=A&maxitems=1"),
        "{}",
        fake.only(READ).call.url
    );
    let wildcard = serving(|| set("\\052.example.org.", "A", "", &["203.0.113.7"]));
    account(&wildcard).remove(&Record { name: "*.example.org".to_owned(), ..record() }).await.expect("removed");
    wildcard.only(CHANGE);
}

#[tokio::test]
async fn what_is_somebody_elses_stays() {
    let weighted = "<SetIdentifier>blue</SetIdentifier><Weight>1</Weight>";
    let others: [(&str, &str, &str, &[&str]); 5] = [
        ("shop.example.org.", "A", "", &["203.0.113.8"]),
        ("shop.example.org.", "A", "", &["203.0.113.7", "203.0.113.8"]),
        ("shop.example.org.", "A", weighted, &["203.0.113.7"]),
        ("shop.example.org.", "AAAA", "", &["203.0.113.7"]),
        ("shop2.example.org.", "A", "", &["203.0.113.7"]),
    ];
    for (name, kind, more, addresses) in others {
        let fake = serving(move || set(name, kind, more, addresses));
        account(&fake).remove(&record()).await.expect("nothing of ours");
        assert_eq!(fake.actions(), [LIST, READ]);
    }
}

#[tokio::test]
async fn a_name_that_changes_meanwhile_is_looked_at_again() {
    for (then, ours) in [("203.0.113.8", false), ("203.0.113.7", true)] {
        let reads = std::sync::atomic::AtomicU32::new(0);
        let fake = Fake::new(move |seen| match seen.action().as_str() {
            LIST => zones(&zone("Z1", "example.org", false), ""),
            READ if reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => {
                set("shop.example.org.", "A", "", &["203.0.113.7"])
            }
            READ => set("shop.example.org.", "A", "", &[then]),
            _ => other_refusal(400, "InvalidChangeBatch", "the values provided do not match"),
        });
        assert_eq!(account(&fake).remove(&record()).await.is_err(), ours);
    }
}

#[tokio::test]
async fn throttling_passes() {
    for (status, code) in [(400, "Throttling"), (400, "PriorRequestNotComplete")] {
        let fake = Fake::new(move |_| other_refusal(status, code, "later"));
        assert_eq!(account(&fake).set(&record()).await.expect_err("later").class, Class::Later);
        assert_eq!(fake.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_a_name_has_is_told() {
    let alias = "<AliasTarget><HostedZoneId>Z9</HostedZoneId><DNSName>lb.example.net.</DNSName>\
                 <EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>";
    let weighted = "<SetIdentifier>blue</SetIdentifier><Weight>1</Weight>";
    type Case = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);
    let cases: [Case; 6] = [
        ("shop.example.org.", "A", "", &["203.0.113.8"], &["203.0.113.8"]),
        ("shop.example.org.", "CNAME", "", &["other.example."], &["other.example."]),
        ("shop.example.org.", "A", weighted, &["203.0.113.7"], &["203.0.113.7", "a routing policy (blue)"]),
        ("shop.example.org.", "A", alias, &[], &["an alias of lb.example.net"]),
        ("shop.example.org.", "AAAA", "", &["2001:db8::1"], &[]),
        ("shop2.example.org.", "A", "", &["203.0.113.7"], &[]),
    ];
    for (name, kind, more, addresses, told) in cases {
        let fake = serving(move || set(name, kind, more, addresses));
        assert_eq!(account(&fake).values(&record()).await.expect("read"), told, "{name} {kind} {more}");
    }
}
