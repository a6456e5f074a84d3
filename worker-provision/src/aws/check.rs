//! Whose account it is, and which permissions are missing, without doing anything in it.
//!
//! Invariants: nothing is made: each call that would is a dry run, which Amazon answers with whether it would do it. No
//! request names a machine that stands, dry or not: a client's machine must not hang on whether that word is heard. Absent:
//! the permissions to switch and delete machines, which show when they are used, and what a dry run cannot see without a
//! group to name, which is tried once there is one.

use aws_sdk_ec2::Client;
use aws_sdk_sts as sts;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use shared::{
    domain::ServerId,
    providers::cloud::{AccountInfo, Class, CloudError, MachineName, Order, Placement},
};

use super::{
    Aws, HOME, create,
    error::{self, Failed},
    group,
};

/// What stands for any size, of the architecture that every region has.
const SIZE: &str = "t3.micro";

/// What was refused so far.
#[derive(Default)]
struct Missing(Vec<String>);

impl Aws {
    pub(super) async fn look_into_account(&self) -> Result<AccountInfo, CloudError> {
        let credentials = self.login.credentials(&self.services).await?;
        self.login.prove_external_id(&self.services).await?;
        let config = self.services.config(HOME, Some(credentials))?;
        let identity = sts::Client::new(&config).get_caller_identity().send().await.map_err(|e| self.failed(&e))?;
        let client = Client::new(&config);
        let mut missing = Missing::default();
        self.try_reading(&client, &mut missing).await?;
        self.try_making(&client, &mut missing).await?;
        Ok(AccountInfo {
            account: identity.account().unwrap_or_default().to_owned(),
            identity: identity.account().map(ToOwned::to_owned),
            lasting: true,
            machine_limit: None,
            missing: missing.0,
        })
    }

    async fn try_reading(&self, c: &Client, missing: &mut Missing) -> Result<(), CloudError> {
        missing.note("ec2:DescribeRegions", c.describe_regions().dry_run(true).send().await)?;
        missing.note("ec2:DescribeInstances", c.describe_instances().dry_run(true).send().await)?;
        missing.note("ec2:DescribeInstanceTypes", c.describe_instance_types().dry_run(true).send().await)?;
        let offerings = c.describe_instance_type_offerings().dry_run(true).send().await;
        missing.note("ec2:DescribeInstanceTypeOfferings", offerings)?;
        missing.note("ec2:DescribeImages", c.describe_images().owners("self").dry_run(true).send().await)?;
        missing.note("ec2:DescribeVpcs", c.describe_vpcs().dry_run(true).send().await)?;
        missing.note("ec2:DescribeSubnets", c.describe_subnets().dry_run(true).send().await)?;
        missing.note("ec2:DescribeSecurityGroups", c.describe_security_groups().dry_run(true).send().await)
    }

    /// With a real image and subnet: Amazon looks for these before it looks at permissions.
    async fn try_making(&self, c: &Client, missing: &mut Missing) -> Result<(), CloudError> {
        let Some(vpc) = known(self.default_network(c).await)? else { return Ok(()) };
        let group = group::request(c, &self.install, &vpc).dry_run(true).send().await;
        missing.note("ec2:CreateSecurityGroup", group)?;
        if let Some(group) = known(self.group(c, &vpc).await)?.flatten() {
            let rule = c.authorize_security_group_ingress().set_group_id(group.group_id).ip_protocol("tcp");
            let opened = rule.from_port(22).to_port(22).cidr_ip("0.0.0.0/0").dry_run(true).send().await;
            missing.note("ec2:AuthorizeSecurityGroupIngress", opened)?;
        }
        let image = known(self.newest_debian(c, "amd64").await)?;
        let subnet = known(self.subnets(c, &vpc).await)?.and_then(|s| s.into_iter().next()?.subnet_id);
        let (Some(image), Some(subnet)) = (image, subnet) else { return Ok(()) };
        let order = self.order_of_nothing(image, subnet);
        missing.note("ec2:RunInstances", create::request(c, &order).dry_run(true).send().await)
    }

    fn order_of_nothing(&self, image: String, subnet: String) -> Order {
        let server = ServerId(Default::default());
        Order {
            name: MachineName { install: self.install.clone(), server, generation: 0 },
            attempt: 0,
            placement: Placement {
                region: HOME.to_owned(),
                zone: None,
                size: SIZE.to_owned(),
                flavor: None,
                image,
                network: Some(subnet),
                firewall: None,
                null_key: None,
            },
            user_data: String::new(),
        }
    }
}

impl Missing {
    /// Reads the answer to a dry run. What is neither a yes nor a refusal says nothing about permissions.
    fn note<T, E: ProvideErrorMetadata>(
        &mut self,
        action: &str,
        answer: Result<T, Failed<E>>,
    ) -> Result<(), CloudError> {
        let Err(failed) = answer else { return Ok(()) };
        let error = error::read(&failed);
        if error.code == "UnauthorizedOperation" {
            let action = refused(&error.message).unwrap_or(action);
            if !self.0.iter().any(|a| a == action) {
                self.0.push(action.to_owned());
            }
            return Ok(());
        }
        known(Err(error)).map(|_: Option<()>| ())
    }
}

/// The action that Amazon names itself: a request with tags needs more than its own.
fn refused(message: &str) -> Option<&str> {
    let (_, told) = message.split_once("to perform: ")?;
    told.split_whitespace().next().filter(|action| action.starts_with("ec2:"))
}

/// What is looked up on the way. That it is not there, or not to be seen, is no error here; other things are.
fn known<T>(answer: Result<T, CloudError>) -> Result<Option<T>, CloudError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.code == "UnauthorizedOperation" => Ok(None),
        Err(e) if matches!(e.class, Class::Later | Class::Auth | Class::Account) => Err(e),
        Err(_) => Ok(None),
    }
}
