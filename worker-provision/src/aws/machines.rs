//! Machines that are there: looked at, switched, changed and ended.
//!
//! Invariant: what is changed or ended bears this installation's mark, which is looked at right before. Absent: making
//! machines, and waiting for them.

use std::collections::HashSet;

use aws_sdk_ec2::{
    operation::describe_instances::builders::DescribeInstancesFluentBuilder,
    types::{AttributeValue, Filter, Instance, InstanceStateName},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use shared::providers::cloud::{Class, CloudError, Machine, MachineName, Power, State};

use super::{AWS, Aws, INSTALL_TAG, error, error::Failed};

const NOT_FOUND: &str = "InvalidInstanceID.NotFound";
/// The reason of what ended because somebody asked for it.
const ASKED_FOR: &str = "Client.UserInitiatedShutdown";

impl Aws {
    /// The machines of this installation, or those of one name, on all pages.
    pub(super) async fn machines(&self, region: &str, name: Option<&MachineName>) -> Result<Vec<Machine>, CloudError> {
        let mut request = self.ec2(region).await?.describe_instances();
        request = request.filters(filter(&format!("tag:{INSTALL_TAG}"), self.install.as_str()));
        if let Some(name) = name {
            request = request.filters(filter("tag:Name", &name.to_string()));
        }
        Ok(self.instances(request).await?.iter().map(|i| machine(region, i)).collect())
    }

    pub(super) async fn machine(&self, region: &str, id: &str) -> Result<Option<Machine>, CloudError> {
        Ok(self.instance(region, id).await?.as_ref().map(|i| machine(region, i)))
    }

    pub(super) async fn switch(&self, region: &str, id: &str, power: Power) -> Result<(), CloudError> {
        self.our_own(region, id).await?;
        let client = self.ec2(region).await?;
        match power {
            Power::Start => self.done(client.start_instances().instance_ids(id).send().await),
            Power::Stop => self.done(client.stop_instances().instance_ids(id).send().await),
            Power::Off => self.done(client.stop_instances().instance_ids(id).skip_os_shutdown(true).send().await),
            Power::Reboot => self.done(client.reboot_instances().instance_ids(id).send().await),
        }
    }

    pub(super) async fn change_size(&self, region: &str, id: &str, size: &str) -> Result<(), CloudError> {
        let instance = self.our_own(region, id).await?;
        if instance.instance_type().is_some_and(|t| t.as_str() == size) {
            return Ok(());
        }
        if state(&instance) != State::Stopped {
            let told = "the machine has to be off while its size changes";
            return Err(CloudError::new(AWS, Class::Conflict, "IncorrectInstanceState", told));
        }
        let size = AttributeValue::builder().value(size).build();
        let client = self.ec2(region).await?;
        self.done(client.modify_instance_attribute().instance_id(id).instance_type(size).send().await)
    }

    /// One that EC2 does not show is taken for gone, though it may be one that was just made: whoever deletes looks
    /// again.
    pub(super) async fn terminate(&self, region: &str, id: &str) -> Result<(), CloudError> {
        let Some(instance) = self.instance(region, id).await? else { return Ok(()) };
        self.is_ours(&instance)?;
        if state(&instance) == State::Gone {
            return Ok(());
        }
        let client = self.ec2(region).await?;
        match client.terminate_instances().instance_ids(id).send().await {
            Err(e) if error::code(&e) == NOT_FOUND => Ok(()),
            ended => self.done(ended),
        }
    }

    async fn our_own(&self, region: &str, id: &str) -> Result<Instance, CloudError> {
        let found = self.instance(region, id).await?;
        let instance =
            found.ok_or_else(|| CloudError::new(AWS, Class::Later, NOT_FOUND, "there is no such machine"))?;
        self.is_ours(&instance)?;
        Ok(instance)
    }

    fn is_ours(&self, instance: &Instance) -> Result<(), CloudError> {
        if tag(instance, INSTALL_TAG) == Some(self.install.as_str()) {
            return Ok(());
        }
        let told = "the machine does not bear this installation's mark and is not touched";
        Err(CloudError::new(AWS, Class::Conflict, "not_ours", told))
    }

    async fn instance(&self, region: &str, id: &str) -> Result<Option<Instance>, CloudError> {
        match self.ec2(region).await?.describe_instances().instance_ids(id).send().await {
            Ok(answer) => Ok(answer.reservations().iter().flat_map(|r| r.instances()).next().cloned()),
            Err(e) if error::code(&e) == NOT_FOUND => Ok(None),
            Err(e) => Err(self.failed(&e)),
        }
    }

    async fn instances(&self, request: DescribeInstancesFluentBuilder) -> Result<Vec<Instance>, CloudError> {
        // By itself the SDK takes a page that leads to itself for the last one.
        let mut pages = request.into_paginator().page_size(1000).stop_on_duplicate_token(false).send();
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| self.failed(&e))?;
            if page.next_token().is_some_and(|next| !seen.insert(next.to_owned())) {
                return Err(CloudError::unreadable(AWS, "the list's pages lead in a circle"));
            }
            found.extend(page.reservations().iter().flat_map(|r| r.instances()).cloned());
        }
        Ok(found)
    }

    fn done<T, E: ProvideErrorMetadata>(&self, answer: Result<T, Failed<E>>) -> Result<(), CloudError> {
        answer.map(drop).map_err(|e| self.failed(&e))
    }
}

/// A filter for one value.
pub fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn machine(region: &str, instance: &Instance) -> Machine {
    let interfaces = instance.network_interfaces();
    let ipv6 = interfaces.iter().flat_map(|n| n.ipv6_addresses()).find_map(|a| a.ipv6_address());
    let state = state(instance);
    Machine {
        id: instance.instance_id().unwrap_or_default().to_owned(),
        name: tag(instance, "Name").and_then(|name| name.parse().ok()),
        region: region.to_owned(),
        size: instance.instance_type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        state,
        reason: reason(instance).filter(|_| matches!(state, State::Deleting | State::Gone | State::Failed)),
        ipv4: instance.public_ip_address().and_then(|a| a.parse().ok()),
        ipv6: ipv6.and_then(|a| a.parse().ok()),
        created_at: created_at(instance),
        busy: matches!(state, State::Pending | State::Stopping | State::Deleting),
    }
}

fn state(instance: &Instance) -> State {
    match instance.state().and_then(|s| s.name()) {
        Some(InstanceStateName::Running) => State::Running,
        Some(InstanceStateName::Stopping) => State::Stopping,
        Some(InstanceStateName::Stopped) => State::Stopped,
        Some(InstanceStateName::ShuttingDown) => State::Deleting,
        Some(InstanceStateName::Terminated) => State::Gone,
        // Pending, and what EC2 may add: it is there.
        _ => State::Pending,
    }
}

/// Why EC2 ended it, where nobody had asked.
fn reason(instance: &Instance) -> Option<String> {
    let reason = instance.state_reason()?;
    let code = reason.code().filter(|code| *code != ASKED_FOR)?;
    Some(reason.message().unwrap_or(code).to_owned())
}

/// The launch time is that of the last start; the first network interface was attached when the machine was made.
fn created_at(instance: &Instance) -> Option<i64> {
    let attached = instance.network_interfaces().iter().filter_map(|n| n.attachment());
    let first = attached.filter(|a| a.device_index() == Some(0)).find_map(|a| a.attach_time());
    first.or(instance.launch_time())?.to_millis().ok()
}

fn tag<'a>(instance: &'a Instance, key: &str) -> Option<&'a str> {
    instance.tags().iter().find(|t| t.key() == Some(key))?.value()
}
