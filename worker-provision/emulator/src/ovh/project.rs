//! The customer, the credential, the project, its quota and its SSH keys.
//!
//! Invariant: an account has one project, and its id is the account's name. Absent: invoices.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{bad, catalog, conflict, not_found, null};
use crate::ask::{Answer, Reply, json as json_reply, text};
use crate::desk::Desk;
use crate::hetzner::fingerprint;

pub(super) fn me(desk: &Desk<'_>) -> Reply {
    let me = json!({
        "nichandle": "em00000-ovh", "customerCode": &desk.account.name[..desk.account.name.len().min(10)],
        "email": "owner@example.test", "firstname": "Emu", "name": "Lator", "country": "FR", "state": "complete",
        "currency": {"code": "EUR", "symbol": "€"}, "ovhSubsidiary": "FR", "ovhCompany": "ovh", "language": "en_GB",
    });
    json_reply(200, &me)
}

pub(super) fn credential(desk: &Desk<'_>) -> Reply {
    let rule = |method: &str| json!({"method": method, "path": "/*"});
    let all = || ["GET", "POST", "PUT", "DELETE"].map(rule).to_vec();
    // A credential that may not do everything names nothing but what it may read.
    let rules = if desk.denied.is_empty() { all() } else { vec![rule("GET")] };
    let credential = json!({
        "applicationId": 1, "credentialId": 2, "status": "validated", "rules": rules, "expiration": null,
        "creation": "2025-01-01T00:00:00Z", "lastUse": null, "ovhSupport": false, "allowedIPs": null,
    });
    json_reply(200, &credential)
}

pub(super) fn project(desk: &Desk<'_>) -> Reply {
    let status = if desk.account.locked { "suspended" } else { "ok" };
    let project = json!({
        "project_id": desk.account.name, "projectName": "emulated", "description": "emulated", "status": status,
        "planCode": "project.2018", "unleash": false, "orderId": null, "creationDate": "2025-01-01T00:00:00Z",
        "access": "full", "expiration": null, "manualQuota": false,
    });
    json_reply(200, &project)
}

pub(super) fn quota(desk: &Desk<'_>) -> Reply {
    let limit = desk.account.machine_limit;
    let in_region = |region: &&str| {
        let here = |record: &crate::record::Record| record.exists(desk.now) && record.order.region == **region;
        let used = desk.mine().filter(|(_, record)| here(record)).count();
        let instance = json!({"maxInstances": limit, "usedInstances": used, "maxCores": limit * 4, "usedCores": used,
                              "maxRam": limit * 16_000, "usedRAM": used * 2000});
        json!({"region": region, "instance": instance, "keypair": {"maxCount": 100}})
    };
    json_reply(200, &json!(catalog::region_names().iter().map(in_region).collect::<Vec<_>>()))
}

pub(super) fn keys(desk: &mut Desk<'_>) -> Reply {
    json_reply(200, &json!(desk.shelf().keys))
}

pub(super) fn create_key(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let (name, public_key) = (text(body, "name"), text(body, "publicKey"));
    let fingerprint = fingerprint(public_key).filter(|_| !name.is_empty()).ok_or_else(|| bad("Invalid SSH key"))?;
    if desk.shelf().keys.iter().any(|key| text(key, "name") == name) {
        return Err(conflict("SSH key already exists"));
    }
    let id = URL_SAFE_NO_PAD.encode(name);
    let key = json!({"id": id, "name": name, "publicKey": public_key, "fingerPrint": fingerprint, "regions": catalog::region_names()});
    desk.shelf().keys.push(key.clone());
    Ok(json_reply(200, &key))
}

pub(super) fn delete_key(desk: &mut Desk<'_>, id: &str) -> Answer {
    let at = desk.shelf().keys.iter().position(|key| text(key, "id") == id);
    desk.shelf().keys.remove(at.ok_or_else(|| not_found("SSH key does not exist"))?);
    Ok(null())
}
