//! Who one is, and taking another's role.
//!
//! Invariant: a role with an external id is taken only with that one. Absent: session policies, role chaining limits.

use super::params::Params;
use super::{REQUEST_ID, STS, Service, auth, typed_error, xml};
use crate::ask::{Answer, Reply, with_type};
use crate::clock::rfc3339;
use crate::desk::{Desk, Session};

pub(super) fn answer(desk: &mut Desk<'_>, params: &Params) -> Answer {
    let action = params.get("Action").unwrap_or_default();
    if !desk.allowed(&format!("sts:{action}")) {
        return Err(denied(desk, action, "*"));
    }
    let inner = match action {
        "GetCallerIdentity" => identity(desk),
        "AssumeRole" => assume(desk, params)?,
        _ => return Err(refuse(400, "InvalidAction", &format!("Could not find operation {action}"))),
    };
    let result = xml::wrap(&format!("{action}Result"), inner);
    let inner = result + &xml::wrap("ResponseMetadata", xml::tag("RequestId", REQUEST_ID));
    Ok(with_type(200, "text/xml", xml::root(&format!("{action}Response"), STS, &inner)))
}

fn refuse(status: u16, code: &str, message: &str) -> Reply {
    typed_error(Service::Sts, status, code, message)
}

fn arn(desk: &Desk<'_>) -> String {
    desk.role.clone().unwrap_or_else(|| format!("arn:aws:iam::{}:user/emulated", desk.account.name))
}

fn denied(desk: &Desk<'_>, action: &str, resource: &str) -> Reply {
    let message = format!("User: {} is not authorized to perform: sts:{action} on resource: {resource}", arn(desk));
    refuse(403, "AccessDenied", &message)
}

fn identity(desk: &Desk<'_>) -> String {
    xml::tag("Arn", arn(desk)) + &xml::tag("UserId", "AIDAEMULATED000000001") + &xml::tag("Account", &desk.account.name)
}

fn assume(desk: &mut Desk<'_>, params: &Params) -> Result<String, Reply> {
    let missing = |name: &str| refuse(400, "ValidationError", &format!("{name} is required"));
    let wanted = params.get("RoleArn").ok_or_else(|| missing("RoleArn"))?;
    let name = params.get("RoleSessionName").ok_or_else(|| missing("RoleSessionName"))?;
    let seconds: i64 = params.get("DurationSeconds").and_then(|text| text.parse().ok()).unwrap_or(3600);
    if !(900..=43_200).contains(&seconds) {
        return Err(refuse(400, "ValidationError", "DurationSeconds must be between 900 and 43200"));
    }
    let role = desk.settings.roles.iter().find(|role| role.arn == wanted);
    let open = |role: &&crate::settings::Role| {
        role.external_id.as_deref().is_none_or(|id| params.get("ExternalId") == Some(id))
    };
    let role = role.filter(open).ok_or_else(|| denied(desk, "AssumeRole", wanted))?;
    let owner = desk.settings.accounts.iter().position(|account| account.name == role.account);
    let account = owner.ok_or_else(|| denied(desk, "AssumeRole", wanted))?;
    let key = format!("ASIAEMULATOR{:08}", desk.world.next_id() % 100_000_000);
    let short = wanted.rsplit('/').next().unwrap_or_default();
    let arn = format!("arn:aws:sts::{}:assumed-role/{short}/{name}", role.account);
    let expires_at = desk.now + seconds * 1000;
    let session = Session { account, denied: role.denied.clone(), expires_at, arn: Some(arn.clone()) };
    desk.world.sessions.insert(key.clone(), session);
    let credentials = xml::tag("AccessKeyId", &key)
        + &xml::tag("SecretAccessKey", "emulated-session-secret")
        + &xml::tag("SessionToken", auth::session_token(&key))
        + &xml::tag("Expiration", rfc3339(expires_at));
    let user = xml::tag("AssumedRoleId", format!("AROAEMULATED:{name}")) + &xml::tag("Arn", arn);
    Ok(xml::wrap("Credentials", credentials) + &xml::wrap("AssumedRoleUser", user))
}
