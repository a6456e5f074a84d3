//! AWS: EC2's and STS's query APIs, Route 53, and the price list.
//!
//! Invariant: a client token stands for one instance of its account and region for ever. Absent: elastic addresses,
//! volumes of their own, launch templates, checking signatures.

mod auth;
mod catalog;
mod describe;
mod groups;
mod instances;
mod params;
mod pricing;
mod route53;
mod run;
mod shapes;
mod sts;
mod xml;

use sha1::{Digest, Sha1};

use crate::ask::{Answer, Ask, Reply, with_type};
use crate::budget::{Limit, Refill};
use crate::desk::Desk;
use crate::fault::{Operation, Place};
use crate::ledger::VerbClass;
use crate::provider::{Book, Caller, Provider, Refusal, Route};
use params::Params;

pub(crate) struct Aws;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Ec2,
    Sts,
    Route53,
    Pricing,
}

const EC2: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const ROUTE53: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
const REQUEST_ID: &str = "4f5c1d2e-0000-4000-8000-emulated0001";

impl Provider for Aws {
    fn route(&self, ask: &Ask) -> Route {
        if service(ask) == Service::Route53 {
            let class = if ask.method == http::Method::GET { VerbClass::Read } else { VerbClass::Change };
            let target = ask.target.clone();
            return Route { operation: Operation::Dns, class, target, place: Place::default() };
        }
        if service(ask) == Service::Pricing {
            let target = ask.header("x-amz-target").to_owned();
            return Route { operation: Operation::Catalog, class: VerbClass::Read, target, place: Place::default() };
        }
        let params = Params::of(ask);
        let action = params.get("Action").unwrap_or_default();
        let (operation, class) = kind(action, &params);
        Route { operation, class, target: action.to_owned(), place: run::place(&params, &region(ask)) }
    }

    fn identify(&self, book: &Book<'_>, ask: &Ask, now: i64) -> Result<Caller, Reply> {
        auth::identify(book, ask, now)
    }

    fn limits(&self, route: &Route) -> Vec<Limit> {
        let bucket = |name, most, rate| vec![Limit { name, most, refill: Refill::PerSecond(rate) }];
        match (route.operation, route.class) {
            (Operation::Dns, _) => bucket("route53", 5, 5),
            (Operation::Create, _) => bucket("run", 5, 2),
            (_, VerbClass::Read) => bucket("describe", 100, 20),
            _ => bucket("mutate", 50, 5),
        }
    }

    fn answer(&self, desk: &mut Desk<'_>, ask: &Ask) -> Answer {
        match service(ask) {
            Service::Ec2 => ec2(desk, ask),
            Service::Sts => sts::answer(desk, &Params::of(ask)),
            Service::Route53 => route53::answer(desk, ask),
            Service::Pricing => pricing::answer(desk, ask),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Reply {
        match refusal {
            Refusal::TooMany(_) => error(503, "RequestLimitExceeded", "Request limit exceeded."),
            Refusal::Internal => error(500, "InternalError", "An internal error has occurred"),
            Refusal::AuthLost => unauthenticated(Service::Ec2),
        }
    }

    /// Refusals that came before it was known which service was meant are rewritten here, so all errors have its form.
    fn translate(&self, ask: &Ask, reply: Reply) -> Reply {
        let service = service(ask);
        let text = String::from_utf8_lossy(reply.body());
        if service == Service::Ec2 || !text.contains("<Errors>") {
            return reply;
        }
        let status = reply.status().as_u16();
        let message = xml::first(&text, "Message").unwrap_or_default();
        match xml::first(&text, "Code").as_deref() {
            Some("RequestLimitExceeded") => typed_error(service, 400, "Throttling", "Rate exceeded"),
            Some("AuthFailure") => unauthenticated(service),
            code => typed_error(service, status, code.unwrap_or("InternalFailure"), &message),
        }
    }
}

fn service(ask: &Ask) -> Service {
    if ask.path.first().is_some_and(|version| version == "2013-04-01") {
        return Service::Route53;
    }
    match auth::scope(ask) {
        Some(scope) if scope.service == "sts" => Service::Sts,
        Some(scope) if scope.service == "pricing" => Service::Pricing,
        _ => Service::Ec2,
    }
}

/// The region a request was signed for.
fn region(ask: &Ask) -> String {
    auth::scope(ask).map(|scope| scope.region).unwrap_or_default()
}

fn kind(action: &str, params: &Params) -> (Operation, VerbClass) {
    match action {
        "RunInstances" => (Operation::Create, VerbClass::Create),
        "DescribeInstances" | "DescribeInstanceStatus" if !params.list("InstanceId").is_empty() => {
            (Operation::Get, VerbClass::Read)
        }
        "DescribeInstances" | "DescribeInstanceStatus" => (Operation::List, VerbClass::Read),
        "TerminateInstances" => (Operation::Delete, VerbClass::Delete),
        "StartInstances" | "StopInstances" | "RebootInstances" => (Operation::Power, VerbClass::Change),
        "ModifyInstanceAttribute" => (Operation::Resize, VerbClass::Change),
        "DescribeSecurityGroups" => (Operation::Shared, VerbClass::Read),
        "CreateSecurityGroup" => (Operation::Shared, VerbClass::Create),
        "AuthorizeSecurityGroupIngress" | "DeleteSecurityGroup" => (Operation::Shared, VerbClass::Change),
        _ => (Operation::Catalog, VerbClass::Read),
    }
}

fn ec2(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    let (params, region) = (Params::of(ask), region(ask));
    let action = params.required("Action")?;
    if !catalog::is_open(&region) {
        return Err(unauthenticated(Service::Ec2));
    }
    if !desk.allowed(&format!("ec2:{action}")) {
        return Err(error(403, "UnauthorizedOperation", "You are not authorized to perform this operation."));
    }
    // RunInstances looks at its parameters first.
    if params.is_true("DryRun") && action != "RunInstances" {
        return Err(error(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."));
    }
    let inner = match action {
        "RunInstances" => run::run(desk, &params, &region),
        "DescribeInstances" => describe::instances(desk, &params, &region),
        "DescribeInstanceStatus" => describe::statuses(desk, &params, &region),
        "TerminateInstances" => instances::terminate(desk, &params, &region),
        "StopInstances" => instances::stop(desk, &params, &region),
        "StartInstances" => instances::start(desk, &params, &region),
        "RebootInstances" => instances::reboot(desk, &params, &region),
        "ModifyInstanceAttribute" => instances::modify(desk, &params, &region),
        "DescribeRegions" => catalog::regions(&params),
        "DescribeAvailabilityZones" => catalog::zones(&params, &region),
        "DescribeInstanceTypes" => catalog::types(&params, desk.settings.page_cap),
        "DescribeInstanceTypeOfferings" => catalog::offerings(&params, &region, desk.settings.page_cap),
        "DescribeImages" => catalog::images(&params, &region),
        "DescribeVpcs" => groups::vpcs(&params, &region, &desk.account.name),
        "DescribeSubnets" => groups::subnets(&params, &region, &desk.account.name),
        "CreateSecurityGroup" => groups::create(desk, &params, &region),
        "DescribeSecurityGroups" => groups::describe(desk, &params, &region),
        "AuthorizeSecurityGroupIngress" => groups::authorize(desk, &params, &region),
        "DeleteSecurityGroup" => groups::delete(desk, &params, &region),
        _ => Err(bad("InvalidAction", &format!("The action {action} is not valid for this web service."))),
    }?;
    let inner = format!("{}{inner}", xml::tag("requestId", REQUEST_ID));
    Ok(with_type(200, "text/xml;charset=UTF-8", xml::root(&format!("{action}Response"), EC2, &inner)))
}

/// EC2's form of an error.
fn error(status: u16, code: &str, message: &str) -> Reply {
    let error = xml::wrap("Error", xml::tag("Code", code) + &xml::tag("Message", message));
    let inner = xml::wrap("Errors", error) + &xml::tag("RequestID", REQUEST_ID);
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", xml::wrap("Response", inner));
    with_type(status, "text/xml;charset=UTF-8", body)
}

fn bad(code: &str, message: &str) -> Reply {
    error(400, code, message)
}

/// The form of an error of STS and Route 53, and of the price list.
fn typed_error(service: Service, status: u16, code: &str, message: &str) -> Reply {
    if service == Service::Pricing {
        let body = serde_json::json!({"__type": code, "message": message});
        return with_type(status.max(400), "application/x-amz-json-1.1", body.to_string());
    }
    let namespace = if service == Service::Sts { STS } else { ROUTE53 };
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let error = xml::tag("Type", kind) + &xml::tag("Code", code) + &xml::tag("Message", message);
    let inner = xml::wrap("Error", error) + &xml::tag("RequestId", REQUEST_ID);
    with_type(status, "text/xml", xml::root("ErrorResponse", namespace, &inner))
}

fn unauthenticated(service: Service) -> Reply {
    match service {
        Service::Ec2 => error(401, "AuthFailure", "AWS was not able to validate the provided access credentials"),
        _ => {
            typed_error(service, 403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        }
    }
}

fn expired(service: Service) -> Reply {
    match service {
        Service::Ec2 => bad("RequestExpired", "Request has expired."),
        _ => typed_error(service, 403, "ExpiredToken", "The security token included in the request is expired"),
    }
}

/// `prefix-` and 17 digits, the same for the same seed.
fn id(prefix: &str, seed: &str) -> String {
    format!("{prefix}-0{}", &hex::encode(Sha1::digest(format!("{prefix} {seed}")))[..16])
}
