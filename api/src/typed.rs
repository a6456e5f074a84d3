//! Domain types in requests and answers: parsed at the edge by their own grammar.
//!
//! Invariant: what reaches a handler inside [`Typed`] is valid.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::Value;
use shared::domain::{
    AccessKeyId, AccountId, ApiKeyId, AppId, BackupId, BackupPolicyId, BackupTargetId, BucketName, BuildId, ClientId,
    CloudLogin, CommitSha, CustomerId, DeliveryId, DeployKeyId, DeploymentId, DomainId, DomainName, DomainPattern,
    EmailAddress, EnvName, EventId, FindingId, GitRef, HealthPath, HostAddress, ImageDigest, JobId, LoginName,
    MachineId, ObjectPrefix, OvhProject, RegionCode, RelPath, RestoreId, RoleArn, ServerId, ServiceId, SizeCode, Slug,
    StorageKeyId, StorageRegion, UserId, WebhookEndpointId,
    component::{ComponentName, MountPath, PublicImage, RoutePath, Schedule, ServiceVersion},
};

/// A text type with a grammar of its own.
pub trait Grammar: FromStr<Err: Display> + Display + Clone + Send + Sync + 'static {
    const FORMAT: &'static str;
}

macro_rules! grammar {
    ($($format:literal: $($name:ty),*;)*) => {$($(
        impl Grammar for $name { const FORMAT: &'static str = $format; }
    )*)*};
}

grammar! {
    "uuid": AccountId, ApiKeyId, AppId, BackupId, BackupPolicyId, BackupTargetId, BuildId, ClientId, CustomerId,
        DeliveryId, DeployKeyId, DeploymentId, DomainId, EventId, FindingId, JobId, MachineId, RestoreId, ServerId, ServiceId,
        UserId, WebhookEndpointId;
    "bucket": BucketName;
    "object-prefix": ObjectPrefix;
    "storage-key-id": StorageKeyId;
    "storage-region": StorageRegion;
    "slug": Slug;
    "commit": CommitSha;
    "git-ref": GitRef;
    "relative-path": RelPath;
    "absolute-path": HealthPath;
    "env-name": EnvName;
    "domain": DomainName, DomainPattern;
    "host": HostAddress;
    "image-digest": ImageDigest;
    "login": LoginName;
    "email": EmailAddress;
    "region": RegionCode;
    "size": SizeCode;
    "access-key-id": AccessKeyId;
    "role-arn": RoleArn;
    "cloud-login": CloudLogin;
    "ovh-project": OvhProject;
    "component-name": ComponentName;
    "mount-path": MountPath;
    "route-path": RoutePath;
    "image-by-digest": PublicImage;
    "service-version": ServiceVersion;
    "schedule": Schedule;
}

/// A domain type in a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed<T>(pub T);

impl<T: Grammar> Type for Typed<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        format!("string_{}", T::FORMAT).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", T::FORMAT)))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Grammar> ParseFromJSON for Typed<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value.unwrap_or_default() {
            Value::String(text) => text.parse().map(Self).map_err(ParseError::custom),
            other => Err(ParseError::expected_type(other)),
        }
    }
}

impl<T: Grammar> ParseFromParameter for Typed<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        value.parse().map(Self).map_err(ParseError::custom)
    }
}

impl<T: Grammar> ToJSON for Typed<T> {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.0.to_string()))
    }
}

/// A moment in unix milliseconds, shown in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub i64);

impl Type for Moment {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_date-time".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "date-time")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for Moment {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let value = value.unwrap_or_default();
        let parse = |text| time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok();
        let ms = value.as_str().and_then(parse).and_then(|t| i64::try_from(t.unix_timestamp_nanos() / 1_000_000).ok());
        ms.map(Self).ok_or_else(|| ParseError::expected_type(value))
    }
}

impl ToJSON for Moment {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(timestamp(self.0)))
    }
}

/// Unix milliseconds as an RFC 3339 text in UTC.
pub fn timestamp(ms: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_default()
}
