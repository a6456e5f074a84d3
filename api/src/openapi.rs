//! The OpenAPI document: made from the operations, committed as `openapi/openapi.json`.

use poem_openapi::{OpenApi, OpenApiService, Tags};
use serde_json::Value;

use crate::resources as r;

/// The groups of operations.
#[derive(Tags)]
pub enum Tag {
    /// Sign-up, login, and who one is.
    Sessions,
    /// Keys for programs.
    ApiKeys,
    /// What is built and deployed.
    Apps,
    /// Variables of the client, of an app and of a customer. Of one name the last of these counts.
    Environment,
    /// SSH keys and host keys for Git sources.
    Sources,
    Builds,
    /// The end-customers.
    Customers,
    /// Accounts at clouds: what they offer, what is rented there, and what was found there.
    Clouds,
    /// One VPS per customer.
    Servers,
    /// Releases on servers.
    Deployments,
    /// Proof that a client controls a name.
    Domains,
    /// Copies of databases and volumes in a client's own bucket, and their way back.
    Backups,
    /// Events, and the webhooks that hear of them.
    Webhooks,
    /// For those who run the installation.
    Operators,
}

type Service<T> = OpenApiService<T, ()>;

/// Every operation. They hold no state: each finds the server's in its request.
pub fn service() -> Service<impl OpenApi + 'static> {
    let clouds =
        (r::provider_accounts::ProviderAccounts, r::catalogs::Catalogs, r::machines::Machines, r::findings::Findings);
    let servers = (r::server_orders::ServerOrders, r::servers::Servers, r::server_actions::ServerActions);
    let backups = (
        r::backup_targets::BackupTargets,
        r::backup_policies::BackupPolicies,
        r::backups::Backups,
        r::restores::Restores,
    );
    let operations = (
        r::sessions::Sessions,
        r::api_keys::ApiKeys,
        (r::apps::Apps, r::components::Components),
        r::env::Env,
        (r::deploy_keys::DeployKeys, r::forge_host_keys::ForgeHostKeys),
        r::builds::Builds,
        r::customers::Customers,
        clouds,
        servers,
        (r::deployments::Deployments, r::deployment_logs::DeploymentLogs, r::composes::Composes, r::services::Services),
        (r::releases::Releases, r::rollbacks::Rollbacks),
        (r::domains::Domains, r::deployment_domains::DeploymentDomains),
        (r::states::States, r::container_logs::ContainerLogs),
        backups,
        (r::webhook_endpoints::WebhookEndpoints, r::events::Events),
        r::operators::Operators,
    );
    OpenApiService::new(operations, "byop-engine", env!("CARGO_PKG_VERSION"))
        .description(
            "Builds apps from Git and deploys them to servers of their own. Errors are problem documents (RFC 9457) with \
             a stable `code`. What runs as a job is answered with 202 and a Location. A POST that makes something takes \
             an Idempotency-Key. Lists are pages: give `next_cursor` as `cursor` to read on.",
        )
        .server("/")
}

/// The document as it is served and committed: keys in order, a newline at the end.
pub fn document() -> String {
    let mut spec: Value = serde_json::from_str(&service().spec()).unwrap_or_default();
    plain_media_types(&mut spec);
    name_scopes(&mut spec);
    serde_json::to_string_pretty(&spec).unwrap_or_default() + "\n"
}

/// The framework names the media type with its charset, which JSON has none of; generators look for the plain one.
fn plain_media_types(value: &mut Value) {
    if let Some(content) = value.get_mut("content").and_then(Value::as_object_mut)
        && let Some(json) = content.remove("application/json; charset=utf-8")
    {
        content.insert("application/json".into(), json);
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(plain_media_types),
        Value::Array(items) => items.iter_mut().for_each(plain_media_types),
        _ => {}
    }
}

/// The scope that an operation's description names, for machines.
fn name_scopes(spec: &mut Value) {
    let paths = spec.get_mut("paths").and_then(Value::as_object_mut);
    let operations = paths.into_iter().flat_map(|p| p.values_mut()).filter_map(Value::as_object_mut);
    for operation in operations.flat_map(|p| p.values_mut()).filter_map(Value::as_object_mut) {
        let about = operation.get("description").and_then(Value::as_str).unwrap_or_default();
        let scope = about.split_once("Needs scope `").and_then(|(_, rest)| rest.split_once('`'));
        if let Some(scope) = scope.map(|(scope, _)| scope.to_owned()) {
            operation.insert("x-required-scope".into(), scope.into());
        }
    }
}
