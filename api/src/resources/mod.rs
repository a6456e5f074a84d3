//! The operations, one module per kind of thing.
//!
//! Invariant: a request body is a type of its own with unknown fields refused, so nothing but what it names can be set;
//! an answer is a type of its own, so nothing but what it names is shown.

pub mod api_keys;
pub mod apps;
pub mod backup_policies;
pub mod backup_targets;
pub mod backups;
pub mod builds;
pub mod catalogs;
mod claims;
mod component_spec;
pub mod components;
pub mod composes;
pub mod container_logs;
mod credentials;
pub mod customers;
pub mod deploy_keys;
pub mod deployment_domains;
pub mod deployment_logs;
pub mod deployments;
pub mod domains;
pub mod env;
pub mod events;
pub mod findings;
pub mod forge_host_keys;
pub mod machines;
mod names;
pub mod operators;
mod plans;
pub mod provider_accounts;
pub mod releases;
mod replay;
pub mod restores;
pub mod rollbacks;
pub mod server_actions;
pub mod server_orders;
pub mod servers;
pub mod services;
pub mod sessions;
mod state_views;
pub mod states;
pub mod status;
pub mod webhook_endpoints;
mod work;

/// It is gone.
#[derive(poem_openapi::ApiResponse)]
pub enum Gone {
    #[oai(status = 204)]
    Gone,
}
