//! Amazon's errors in our classes.
//!
//! Invariant: [`open`] says no only where Amazon has refused, or where nothing was sent. Absent: what is done about an
//! error.

use std::{error::Error as _, time::Duration};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use shared::providers::{
    cloud::{Class, CloudError},
    wire::NoAnswer,
};

use super::AWS;

pub type Failed<E> = SdkError<E, HttpResponse>;

/// Longer messages are cut.
const MESSAGE_LIMIT: usize = 400;

/// A failure in our words.
pub fn read<E: ProvideErrorMetadata>(failed: &Failed<E>) -> CloudError {
    match failed {
        SdkError::ServiceError(answer) => answered(answer.err(), answer.raw()),
        SdkError::ResponseError(_) => CloudError::unreadable(AWS, "the answer cannot be read"),
        SdkError::TimeoutError(_) => CloudError::no_answer(AWS, "no answer in time"),
        SdkError::ConstructionFailure(_) => {
            CloudError::new(AWS, Class::Config, "request", "the request cannot be written")
        }
        _ => CloudError::no_answer(AWS, carried(failed).map_or("no answer", |n| &n.message)),
    }
}

/// Amazon's own code; empty where it gave none.
pub fn code<E: ProvideErrorMetadata>(failed: &Failed<E>) -> &str {
    failed.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// Whether what was asked may have been done all the same.
pub fn open<E: ProvideErrorMetadata>(failed: &Failed<E>) -> bool {
    match failed {
        SdkError::ConstructionFailure(_) => false,
        SdkError::DispatchFailure(_) => carried(failed).is_none_or(|n| n.sent),
        SdkError::ServiceError(answer) => match code(failed) {
            "" => true,
            // The same token with another request, or with one that is under way: an earlier one was taken.
            "IdempotentParameterMismatch" => true,
            code if code.starts_with("Concurrent") => true,
            code => !matches!(answer.raw().status().as_u16(), 400..=407 | 409..=499) && !refuses(code),
        },
        _ => true,
    }
}

/// The session's time is over, or the machine's clock is wrong.
pub fn expired(code: &str) -> bool {
    matches!(code, "ExpiredToken" | "ExpiredTokenException" | "RequestExpired")
}

/// Codes that come with a status of the server's own and still refuse.
fn refuses(code: &str) -> bool {
    matches!(class(code), Some(Class::Capacity | Class::Quota)) || throttles(code)
}

fn carried<E>(failed: &Failed<E>) -> Option<&NoAnswer> {
    let SdkError::DispatchFailure(failure) = failed else { return None };
    failure.as_connector_error()?.source()?.downcast_ref()
}

fn answered<E: ProvideErrorMetadata>(error: &E, raw: &HttpResponse) -> CloudError {
    let status = raw.status();
    let Some(code) = error.code().filter(|code| !code.is_empty() && !status.is_success()) else {
        return CloudError::unreadable(AWS, format!("the answer (status {}) cannot be read", status.as_u16()));
    };
    let class = class(code).unwrap_or(match status.as_u16() {
        408 | 429 | 500.. => Class::Later,
        _ => Class::Config,
    });
    let after = raw.headers().get("retry-after").and_then(|s| s.parse().ok()).map(Duration::from_secs);
    let mut error = CloudError::new(AWS, class, code, shortened(error.message().unwrap_or("no message"))).after(after);
    error.throttled = throttles(code);
    error
}

/// Without the part of a refusal that only Amazon can read.
fn shortened(message: &str) -> String {
    let told = message.split("Encoded authorization failure message").next().unwrap_or_default();
    told.trim().chars().take(MESSAGE_LIMIT).collect()
}

fn throttles(code: &str) -> bool {
    code.starts_with("Throttl")
        || matches!(code, "RequestLimitExceeded" | "RequestThrottled" | "TooManyRequestsException" | "SlowDown")
}

/// The class of a code; `None` for those that the status decides.
fn class(code: &str) -> Option<Class> {
    Some(match code {
        code if throttles(code) => Class::Later,
        "Unavailable" | "ServiceUnavailable" | "InternalError" | "InternalFailure" | "ResourceNotReady" => Class::Later,
        // What was just made is not seen everywhere at once.
        "InvalidInstanceID.NotFound" | "InvalidGroup.NotFound" | "InvalidAllocationID.NotFound" => Class::Later,
        "DependencyViolation" | "InvalidGroup.InUse" | "PriorRequestNotComplete" | "RequestExpired" => Class::Later,
        "RequestTimeTooSkewed" => Class::Later,
        code if code.starts_with("Concurrent") => Class::Later,
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" | "InsufficientCapacity" | "Unsupported" => {
            Class::Capacity
        }
        "InsufficientFreeAddressesInSubnet" | "InsufficientAddressCapacity" => Class::Capacity,
        "VcpuLimitExceeded" | "InstanceLimitExceeded" | "AddressLimitExceeded" | "VolumeLimitExceeded" => Class::Quota,
        "SecurityGroupLimitExceeded" | "RulesPerSecurityGroupLimitExceeded" | "MaxIOPSLimitExceeded" => Class::Quota,
        "NetworkInterfaceLimitExceeded" | "SecurityGroupsPerInterfaceLimitExceeded" => Class::Quota,
        "PendingVerification" | "OptInRequired" | "Blocked" | "AccountDisabled" => Class::Account,
        "AuthFailure" | "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => Class::Auth,
        "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => Class::Auth,
        "ExpiredToken" | "ExpiredTokenException" | "InvalidAccessKeyId" | "MissingAuthenticationToken" => Class::Auth,
        "IncorrectInstanceState" | "IncorrectState" | "UnsupportedOperation" | "OperationNotPermitted" => {
            Class::Conflict
        }
        "IdempotentInstanceTerminated" | "InvalidChangeBatch" => Class::Conflict,
        "InvalidGroup.Duplicate" | "InvalidPermission.Duplicate" => Class::Conflict,
        "IdempotentParameterMismatch" => Class::Config,
        _ => return None,
    })
}
