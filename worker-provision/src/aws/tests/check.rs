//! What a login lacks.

use shared::providers::cloud::{Class, Cloud};

use super::{place::known, *};

/// An account that may do all but some.
fn but(lacks: &'static [&'static str]) -> Arc<Fake> {
    Fake::new(move |seen| {
        let action = seen.action();
        if lacks.contains(&action.as_str()) {
            return refusal(403, "UnauthorizedOperation");
        }
        match (action.as_str(), seen.field("DryRun")) {
            ("GetCallerIdentity", _) => {
                xml("<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012\
                </Account></GetCallerIdentityResult></GetCallerIdentityResponse>")
            }
            (_, "true") => refusal(412, "DryRunOperation"),
            ("DescribeInstances", _) => instances(&instance("i-1", "running", "00112233aa", ""), None),
            _ => known(seen).unwrap_or_else(|| panic!("{action} for real")),
        }
    })
}

#[tokio::test]
async fn an_account_that_may_do_all_lacks_nothing_and_has_nothing_done() {
    let fake = but(&[]);
    let info = account(&fake).check().await.expect("an account");
    assert_eq!((info.account.as_str(), info.missing), ("123456789012", vec![]));
    for seen in fake.seen() {
        let action = seen.action();
        assert!(seen.field("DryRun") == "true" || action.starts_with("Describe") || action == "GetCallerIdentity");
        assert_eq!(seen.field("InstanceId.1"), "", "{action}: no machine that stands is named");
    }
    let run = fake.only("RunInstances");
    assert_eq!((run.field("ImageId"), run.field("NetworkInterface.1.SubnetId")), ("ami-new", "subnet-c"));
    assert_ne!(run.field("ClientToken"), order().token());
}

#[tokio::test]
async fn each_permission_that_lacks_is_named() {
    for (lacks, named) in [
        (&["RunInstances"][..], &["ec2:RunInstances"][..]),
        (&["DescribeVpcs"], &["ec2:DescribeVpcs"]),
        (&["DescribeInstances"], &["ec2:DescribeInstances"]),
        (&["DescribeImages", "DescribeSubnets"], &["ec2:DescribeImages", "ec2:DescribeSubnets"]),
        (
            &["CreateSecurityGroup", "AuthorizeSecurityGroupIngress"],
            &["ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress"],
        ),
    ] {
        assert_eq!(account(&but(lacks)).check().await.expect("an account").missing, named);
    }
}

#[tokio::test]
async fn amazon_may_name_the_permission_itself() {
    let message = "User: arn:aws:iam::1:user/x is not authorized to perform: ec2:CreateTags on resource: y";
    let fake = but(&[]);
    let inner = fake.clone();
    let fake = Fake::new(move |seen| match seen.action().as_str() {
        "RunInstances" => told(403, "UnauthorizedOperation", message),
        _ => (inner.reply)(seen),
    });
    assert_eq!(account(&fake).check().await.expect("an account").missing, ["ec2:CreateTags"]);
}

#[tokio::test]
async fn a_wrong_key_is_none() {
    let fake = Fake::new(|_| other_refusal(403, "InvalidClientTokenId", "The security token is invalid"));
    let e = account(&fake).check().await.expect_err("no key");
    assert_eq!((e.class, fake.seen().len()), (Class::Auth, 1));
}

#[tokio::test]
async fn a_check_that_is_cut_short_says_so() {
    let inner = but(&[]);
    let fake = Fake::new(move |seen| match seen.action().as_str() {
        "DescribeImages" => refusal(503, "RequestLimitExceeded"),
        _ => (inner.reply)(seen),
    });
    assert_eq!(account(&fake).check().await.expect_err("not known").class, Class::Later);
}
