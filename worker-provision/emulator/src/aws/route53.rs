//! Route 53: hosted zones and their record sets.
//!
//! Invariant: a batch of changes is made whole or not at all. Absent: routing policies, aliases, health checks.

use super::{ROUTE53, Service, id, typed_error, xml};
use crate::ask::{Answer, Ask, Reply, with_type};
use crate::clock::{millis, with_millis};
use crate::desk::{Desk, DnsRecord};

pub(super) fn answer(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    let path: Vec<&str> = ask.path.iter().skip(1).map(String::as_str).collect();
    let (name, inner) = match (ask.method.as_str(), path.as_slice()) {
        ("GET", ["hostedzonesbyname"]) => {
            ("ListHostedZonesByName", zones_by_name(permitted(desk, "ListHostedZonesByName")?, ask))
        }
        ("GET", ["hostedzone"]) => ("ListHostedZones", zones(permitted(desk, "ListHostedZones")?)),
        ("GET", ["hostedzone", zone, "rrset"]) => {
            ("ListResourceRecordSets", sets(permitted(desk, "ListResourceRecordSets")?, ask, zone)?)
        }
        ("POST", ["hostedzone", zone, "rrset"]) => {
            ("ChangeResourceRecordSets", change(permitted(desk, "ChangeResourceRecordSets")?, ask, zone)?)
        }
        ("GET", ["change", change]) => ("GetChange", progress(permitted(desk, "GetChange")?, change)?),
        _ => return Err(refuse(404, "NoSuchOperation", "There is no such operation")),
    };
    Ok(with_type(200, "text/xml", xml::root(&format!("{name}Response"), ROUTE53, &inner)))
}

fn permitted<'a, 'b>(desk: &'a mut Desk<'b>, action: &str) -> Result<&'a mut Desk<'b>, Reply> {
    if desk.allowed(&format!("route53:{action}")) {
        return Ok(desk);
    }
    Err(refuse(403, "AccessDenied", &format!("User is not authorized to perform: route53:{action}")))
}

fn refuse(status: u16, code: &str, message: &str) -> Reply {
    typed_error(Service::Route53, status, code, message)
}

fn zone_id(domain: &str) -> String {
    id("Z", domain).replace('-', "").to_uppercase()
}

fn zone_xml(desk: &mut Desk<'_>, domain: &str) -> String {
    let count = desk.shelf().records.iter().filter(|record| record.zone == domain).count();
    let config = xml::tag("PrivateZone", false);
    xml::wrap(
        "HostedZone",
        xml::tag("Id", format!("/hostedzone/{}", zone_id(domain)))
            + &xml::tag("Name", format!("{domain}."))
            + &xml::tag("CallerReference", domain)
            + &xml::wrap("Config", config)
            + &xml::tag("ResourceRecordSetCount", count + 1),
    )
}

fn zones(desk: &mut Desk<'_>) -> String {
    let domains = desk.account.domains.clone();
    let all: String = domains.iter().map(|domain| zone_xml(desk, domain)).collect();
    xml::wrap("HostedZones", all) + &xml::tag("IsTruncated", false) + &xml::tag("MaxItems", 100)
}

/// From the asked name on, by labels from the right: so the first of the list is not always the one that was asked for.
fn zones_by_name(desk: &mut Desk<'_>, ask: &Ask) -> String {
    let key = |name: &str| name.trim_end_matches('.').rsplit('.').map(ToOwned::to_owned).collect::<Vec<_>>();
    let mut domains = desk.account.domains.clone();
    domains.sort_by_key(|domain| key(domain));
    let from = ask.query("dnsname").map(key);
    let most = ask.number("maxitems").unwrap_or(100);
    let later: Vec<&String> =
        domains.iter().filter(|domain| from.as_ref().is_none_or(|from| key(domain) >= *from)).collect();
    let shown: String = later.iter().take(most).map(|domain| zone_xml(desk, domain)).collect();
    xml::wrap("HostedZones", shown)
        + &xml::maybe("DNSName", ask.query("dnsname"))
        + &xml::tag("IsTruncated", later.len() > most)
        + &xml::tag("MaxItems", most)
}

fn domain(desk: &Desk<'_>, zone: &str) -> Result<String, Reply> {
    let missing = || refuse(404, "NoSuchHostedZone", &format!("No hosted zone found with ID: {zone}"));
    desk.account.domains.iter().find(|domain| zone_id(domain) == zone).cloned().ok_or_else(missing)
}

fn full_name(record: &DnsRecord) -> String {
    let name = if record.name == "@" { record.zone.clone() } else { format!("{}.{}", record.name, record.zone) };
    format!("{}.", name.replace('*', "\\052"))
}

fn set_xml(record: &DnsRecord) -> String {
    let values: String =
        record.values.iter().map(|value| xml::wrap("ResourceRecord", xml::tag("Value", value))).collect();
    let inner = xml::tag("Name", full_name(record))
        + &xml::tag("Type", &record.kind)
        + &xml::maybe("TTL", record.ttl)
        + &xml::wrap("ResourceRecords", values);
    xml::wrap("ResourceRecordSet", inner)
}

/// From the asked name and type on; the zone's own name servers are among them.
fn sets(desk: &mut Desk<'_>, ask: &Ask, zone: &str) -> Result<String, Reply> {
    let zone = domain(desk, zone)?;
    let values = vec!["ns-1.emulated.test.".to_owned()];
    let (name, kind) = ("@".to_owned(), "NS".to_owned());
    let servers = DnsRecord { id: 0, zone: zone.clone(), name, kind, values, ttl: Some(172_800) };
    let key = |name: &str| name.trim_end_matches('.').rsplit('.').map(ToOwned::to_owned).collect::<Vec<_>>();
    let own = desk.shelf().records.iter().filter(|record| record.zone == zone).cloned();
    let mut records: Vec<DnsRecord> = own.chain([servers]).collect();
    records.sort_by_key(|record| (key(&full_name(record)), record.kind.clone()));
    let from =
        ask.query("name").map(|name| (key(&name.replace('*', "\\052")), ask.query("type").unwrap_or("").to_owned()));
    let most = ask.number("maxitems").unwrap_or(300);
    let later: Vec<&DnsRecord> = records
        .iter()
        .filter(|record| from.as_ref().is_none_or(|from| (key(&full_name(record)), record.kind.clone()) >= *from))
        .collect();
    let shown: String = later.iter().take(most).map(|record| set_xml(record)).collect();
    let next = later.get(most);
    Ok(xml::wrap("ResourceRecordSets", shown)
        + &xml::tag("IsTruncated", next.is_some())
        + &xml::maybe("NextRecordName", next.map(|record| full_name(record)))
        + &xml::maybe("NextRecordType", next.map(|record| &record.kind))
        + &xml::tag("MaxItems", most))
}

fn change(desk: &mut Desk<'_>, ask: &Ask, zone: &str) -> Result<String, Reply> {
    let zone = domain(desk, zone)?;
    let text = String::from_utf8_lossy(&ask.body);
    let mut records = desk.shelf().records.clone();
    let changes = xml::all(&text, "Change");
    if changes.is_empty() {
        return Err(refuse(400, "MalformedXML", "The XML you provided was not well-formed"));
    }
    for change in changes {
        let id = desk.world.next_id();
        apply(&mut records, change, &zone, id)?;
    }
    desk.shelf().records = records;
    let (change, now) = (format!("C{:016}", desk.world.next_id()), desk.now);
    desk.shelf().changes.push((change.clone(), now));
    Ok(change_xml(&change, "PENDING", now))
}

fn apply(records: &mut Vec<DnsRecord>, change: &str, zone: &str, id: u64) -> Result<(), Reply> {
    let invalid = |why: &str| refuse(400, "InvalidChangeBatch", why);
    let field = |name: &str| xml::first(change, name).unwrap_or_default();
    let full = field("Name").trim_end_matches('.').replace("\\052", "*").to_lowercase();
    let label = match full.strip_suffix(zone) {
        Some("") => "@",
        Some(rest) if rest.ends_with('.') => rest.trim_end_matches('.'),
        _ => return Err(invalid(&format!("RRSet with DNS name {full}. is not permitted in zone {zone}."))),
    };
    let values: Vec<String> = xml::all(change, "Value").into_iter().map(ToOwned::to_owned).collect();
    let (name, kind, ttl) = (label.to_owned(), field("Type"), field("TTL").parse().ok());
    let record = DnsRecord { id, zone: zone.to_owned(), name, kind, values, ttl };
    let at = records.iter().position(|one| one.zone == zone && one.name == record.name && one.kind == record.kind);
    match (field("Action").as_str(), at) {
        ("CREATE" | "UPSERT", None) => records.push(record),
        ("UPSERT", Some(at)) => records[at] = record,
        ("CREATE", Some(_)) => return Err(invalid("Tried to create a resource record set that already exists")),
        ("DELETE", Some(at)) if records[at].values == record.values && records[at].ttl == record.ttl => {
            records.remove(at);
        }
        ("DELETE", _) => return Err(invalid("Tried to delete a resource record set that was not found as given")),
        _ => return Err(refuse(400, "InvalidInput", "Invalid action")),
    }
    Ok(())
}

fn change_xml(change: &str, status: &str, at: i64) -> String {
    let inner = xml::tag("Id", format!("/change/{change}"))
        + &xml::tag("Status", status)
        + &xml::tag("SubmittedAt", with_millis(at));
    xml::wrap("ChangeInfo", inner)
}

fn progress(desk: &mut Desk<'_>, change: &str) -> Result<String, Reply> {
    let known = desk.shelf().changes.iter().find(|(id, _)| id == change).cloned();
    let (id, at) = known.ok_or_else(|| refuse(404, "NoSuchChange", "A change with that ID does not exist"))?;
    let status = if desk.now >= at + millis(desk.delays().dns) { "INSYNC" } else { "PENDING" };
    Ok(change_xml(&id, status, at))
}
