//! Amazon's codes in our classes, and what of its words is told on.

use shared::providers::cloud::{Class, Cloud};

use super::*;

#[tokio::test]
async fn every_code_has_its_class() {
    let classes = [
        (Class::Later, "RequestLimitExceeded Throttling ThrottlingException Unavailable ServiceUnavailable"),
        (Class::Later, "InternalError InternalFailure ConcurrentMutationLimitExceeded DependencyViolation"),
        (Class::Later, "InvalidGroup.InUse ResourceNotReady InvalidGroup.NotFound RequestExpired"),
        (Class::Capacity, "InsufficientInstanceCapacity InsufficientHostCapacity Unsupported"),
        (Class::Capacity, "InsufficientFreeAddressesInSubnet"),
        (Class::Quota, "VcpuLimitExceeded InstanceLimitExceeded AddressLimitExceeded VolumeLimitExceeded"),
        (Class::Quota, "SecurityGroupLimitExceeded RulesPerSecurityGroupLimitExceeded"),
        (Class::Account, "PendingVerification OptInRequired Blocked AccountDisabled"),
        (Class::Auth, "AuthFailure UnauthorizedOperation InvalidClientTokenId SignatureDoesNotMatch AccessDenied"),
        (Class::Auth, "ExpiredToken"),
        (Class::Conflict, "IncorrectInstanceState IdempotentInstanceTerminated"),
        (Class::Config, "InvalidParameter InvalidParameterValue InvalidParameterCombination InvalidAMIID.Malformed"),
        (Class::Config, "InvalidSubnetID.NotFound InvalidUserData.Malformed MissingParameter InvalidInstanceType"),
    ];
    for (class, codes) in classes {
        for code in codes.split(' ') {
            let answer = code.to_owned();
            let fake = Fake::new(move |_| refusal(400, &answer));
            let e = account(&fake).list("eu-west-1").await.expect_err("refused");
            assert_eq!((e.class, e.code.as_str(), e.cloud, e.message.as_str()), (class, code, "aws", "told so"));
            assert_eq!(fake.seen().len(), 1, "no second try of {code}");
        }
    }
}

#[tokio::test]
async fn an_unknown_code_is_read_by_its_status() {
    for (status, class) in [(400, Class::Config), (429, Class::Later), (500, Class::Later), (503, Class::Later)] {
        let fake = Fake::new(move |_| refusal(status, "SomethingNew"));
        assert_eq!(account(&fake).list("eu-west-1").await.expect_err("refused").class, class, "{status}");
        assert_eq!(fake.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_only_amazon_can_read_is_not_told_on() {
    let message = "You are not authorized. Encoded authorization failure message: abcDEF";
    let fake = Fake::new(move |_| told(403, "UnauthorizedOperation", message));
    assert_eq!(account(&fake).list("eu-west-1").await.expect_err("refused").message, "You are not authorized.");
}
