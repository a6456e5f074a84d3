//! Roles: taken on with the external id alone, and again in time.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use aws_smithy_types::{DateTime, date_time::Format};
use shared::providers::cloud::{Class, Cloud, Created};

use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/byop";
const EXTERNAL_ID: &str = "vT3mX0w1cQeU4bq2";

pub fn role() -> AwsLogin {
    AwsLogin::Role { role_arn: ROLE.to_owned(), external_id: EXTERNAL_ID.to_owned() }
}

/// A session of an hour.
pub fn session(key: &str) -> Reply {
    let end = DateTime::from(SystemTime::now() + Duration::from_secs(3600)).fmt(Format::DateTime).expect("a time");
    xml(&format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s3cret\
         </SecretAccessKey><SessionToken>t0ken</SessionToken><Expiration>{end}</Expiration></Credentials>\
         </AssumeRoleResult></AssumeRoleResponse>"
    ))
}

fn identity() -> Reply {
    xml("<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>\
         </GetCallerIdentityResponse>")
}

/// A role whose owner asks for the external id, or not, or only for some.
fn owner(trusts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Arc<Fake> {
    Fake::new(move |seen| match seen.action().as_str() {
        "AssumeRole" if trusts(seen.field("ExternalId")) => session("ASIA1"),
        "AssumeRole" => other_refusal(403, "AccessDenied", "not authorized to perform: sts:AssumeRole"),
        "GetCallerIdentity" => identity(),
        _ => refusal(412, "DryRunOperation"),
    })
}

#[tokio::test]
async fn a_role_is_taken_on_with_its_external_id() {
    let fake = owner(|id| id == EXTERNAL_ID);
    let info = with_login(&fake, role()).check().await.expect("a role as it should be");
    assert_eq!((info.account.as_str(), info.missing.len()), ("123456789012", 0));
    let asked: Vec<_> = fake.seen().into_iter().filter(|s| s.action() == "AssumeRole").collect();
    let [right, without, wrong] = &asked[..] else { panic!("{} requests", asked.len()) };
    assert_eq!(right.field("RoleArn"), ROLE);
    assert_eq!(right.field("RoleSessionName"), "byop-00112233aa");
    assert_eq!(right.field("DurationSeconds"), "3600");
    assert!(!without.form.contains_key("ExternalId"));
    assert!(!wrong.field("ExternalId").is_empty() && wrong.field("ExternalId") != EXTERNAL_ID);
    let signed = |seen: &Seen| seen.call.headers["authorization"].to_str().expect("text").to_owned();
    assert!(signed(right).contains("AKIABASE"));
    let identity = fake.only("GetCallerIdentity");
    assert!(signed(&identity).contains("ASIA1") && identity.call.headers["x-amz-security-token"] == "t0ken");
}

#[tokio::test]
async fn a_role_for_everybody_is_refused() {
    let trusting: [fn(&str) -> bool; 2] = [|_| true, |id| !id.is_empty()];
    for trusts in trusting {
        let fake = owner(trusts);
        let e = with_login(&fake, role()).check().await.expect_err("not enforced");
        assert_eq!((e.class, e.code.as_str()), (Class::Config, "external_id_not_enforced"));
        assert!(fake.actions().iter().all(|a| a == "AssumeRole"));
    }
}

#[tokio::test]
async fn a_proof_that_fails_otherwise_is_none() {
    let fake = Fake::new(|seen| match seen.field("ExternalId") {
        EXTERNAL_ID => session("ASIA1"),
        _ => other_refusal(400, "Throttling", "Rate exceeded"),
    });
    let e = with_login(&fake, role()).check().await.expect_err("not proven");
    assert_eq!((e.class, e.code.as_str()), (Class::Later, "Throttling"));
}

#[tokio::test]
async fn a_role_that_is_refused_is_told_and_nothing_is_asked() {
    let fake = owner(|_| false);
    let Created::No(e) = with_login(&fake, role()).create(&order()).await else { panic!("not refused") };
    assert_eq!((e.class, e.code.as_str()), (Class::Auth, "AccessDenied"));
    assert_eq!(fake.actions(), ["AssumeRole"]);
}

#[tokio::test]
async fn without_an_account_of_our_own_no_role_works() {
    let fake = owner(|_| true);
    let aws = Aws::new(AwsSettings { base: None, http: Some(fake.clone()), ..settings(role()) }).expect("an account");
    let e = aws.list("eu-west-1").await.expect_err("no account");
    assert_eq!((e.class, e.code.as_str(), fake.seen().len()), (Class::Config, "no_own_account", 0));
}

/// EC2 behind a role, with a new key for each session; sessions after the first only while `renews`.
fn sessions(renews: bool) -> Arc<Fake> {
    let given = AtomicU32::new(0);
    Fake::new(move |seen| match seen.action().as_str() {
        "AssumeRole" => match given.fetch_add(1, SeqCst) {
            0 => session("ASIA0"),
            n if renews => session(&format!("ASIA{n}")),
            _ => other_refusal(503, "ServiceUnavailable", "later"),
        },
        _ => instances("", None),
    })
}

#[tokio::test]
async fn a_session_is_renewed_when_three_quarters_are_over() {
    let fake = sessions(true);
    let aws = with_login(&fake, role());
    let count = || fake.actions().iter().filter(|a| *a == "AssumeRole").count();
    for (after, sessions) in [(0, 1), (2690, 1), (20, 2), (2690, 2), (20, 3)] {
        aws.login.age(Duration::from_secs(after));
        aws.list("eu-west-1").await.expect("a list");
        assert_eq!(count(), sessions, "after {after} s more");
    }
}

#[tokio::test]
async fn an_old_session_serves_while_it_holds() {
    let aws = with_login(&sessions(false), role());
    aws.list("eu-west-1").await.expect("a list");
    aws.login.age(Duration::from_secs(3000));
    aws.list("eu-west-1").await.expect("a list with the old session");
    aws.login.age(Duration::from_secs(700));
    assert_eq!(aws.list("eu-west-1").await.expect_err("over").class, Class::Later);
}

#[tokio::test]
async fn calls_at_one_time_share_a_session() {
    let fake = sessions(true);
    let aws = with_login(&fake, role());
    let all = futures::future::join_all((0..8).map(|_| aws.list("eu-west-1"))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.actions().iter().filter(|a| *a == "AssumeRole").count(), 1);
}

#[tokio::test]
async fn a_session_that_ended_early_is_made_anew() {
    let fake = Fake::new(|seen| match seen.action().as_str() {
        "AssumeRole" => session("ASIA1"),
        _ => refusal(400, "ExpiredToken"),
    });
    let aws = with_login(&fake, role());
    for _ in 0..2 {
        assert_eq!(aws.list("eu-west-1").await.expect_err("over").class, Class::Later);
    }
    assert_eq!(fake.actions(), ["AssumeRole", "DescribeInstances", "AssumeRole", "DescribeInstances"]);
}
