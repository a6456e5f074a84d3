//! The security group that all machines of one installation share in a network.
//!
//! Invariant: it lets in SSH and the web, and whatever of that is missing is put back each time; what else somebody has
//! let in stays. Absent: a firewall of one machine's own, which its bootstrap makes.

use aws_sdk_ec2::{
    Client,
    operation::create_security_group::builders::CreateSecurityGroupFluentBuilder,
    types::{IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup, TagSpecification},
};
use shared::providers::cloud::{Class, CloudError, Install};

use super::{AWS, Aws, INSTALL_TAG, create::tag, error, machines::filter};

/// What machines answer, from everywhere: SSH, and the web in its three versions.
const OPEN: [(&str, i32); 4] = [("tcp", 22), ("tcp", 80), ("tcp", 443), ("udp", 443)];
const EVERYBODY: &str = "0.0.0.0/0";
const EVERYBODY_V6: &str = "::/0";

impl Aws {
    /// The group's id; made where there is none, and opened where it is not.
    pub(super) async fn shared_group(&self, client: &Client, vpc: &str) -> Result<String, CloudError> {
        let group = match self.group(client, vpc).await? {
            Some(group) => group,
            None => self.new_group(client, vpc).await?,
        };
        let id = group.group_id().ok_or_else(|| CloudError::unreadable(AWS, "a security group without an id"))?;
        for rule in OPEN.iter().filter_map(|(protocol, port)| missing(&group, protocol, *port)) {
            let opened = client.authorize_security_group_ingress().group_id(id).ip_permissions(rule).send().await;
            match opened {
                Err(e) if error::code(&e) != "InvalidPermission.Duplicate" => return Err(self.failed(&e)),
                _ => {}
            }
        }
        Ok(id.to_owned())
    }

    pub(super) async fn group(&self, client: &Client, vpc: &str) -> Result<Option<SecurityGroup>, CloudError> {
        let filters = [filter("group-name", &name(&self.install)), filter("vpc-id", vpc)];
        let answer = client.describe_security_groups().set_filters(Some(filters.into())).send().await;
        Ok(answer.map_err(|e| self.failed(&e))?.security_groups.unwrap_or_default().into_iter().next())
    }

    async fn new_group(&self, client: &Client, vpc: &str) -> Result<SecurityGroup, CloudError> {
        match request(client, &self.install, vpc).send().await {
            Ok(made) => Ok(SecurityGroup::builder().set_group_id(made.group_id).build()),
            // Somebody was faster, or it was not shown yet.
            Err(e) if error::code(&e) == "InvalidGroup.Duplicate" => {
                let hidden =
                    || CloudError::new(AWS, Class::Later, error::code(&e), "the security group is not shown yet");
                self.group(client, vpc).await?.ok_or_else(hidden)
            }
            Err(e) => Err(self.failed(&e)),
        }
    }
}

/// The request that makes the group.
pub fn request(client: &Client, install: &Install, vpc: &str) -> CreateSecurityGroupFluentBuilder {
    let kind = TagSpecification::builder().resource_type(ResourceType::SecurityGroup);
    client
        .create_security_group()
        .group_name(name(install))
        .description("Machines that byop-engine made: SSH and the web")
        .vpc_id(vpc)
        .tag_specifications(kind.tags(tag(INSTALL_TAG, install.as_str())).build())
}

/// What the group does not let in yet, of one port.
fn missing(group: &SecurityGroup, protocol: &str, port: i32) -> Option<IpPermission> {
    let there = group
        .ip_permissions()
        .iter()
        .filter(|p| p.ip_protocol() == Some(protocol) && p.from_port() == Some(port) && p.to_port() == Some(port));
    let v4 = there.clone().flat_map(|p| p.ip_ranges()).any(|r| r.cidr_ip() == Some(EVERYBODY));
    let v6 = there.flat_map(|p| p.ipv6_ranges()).any(|r| r.cidr_ipv6() == Some(EVERYBODY_V6));
    let v4 = (!v4).then(|| IpRange::builder().cidr_ip(EVERYBODY).build());
    let v6 = (!v6).then(|| Ipv6Range::builder().cidr_ipv6(EVERYBODY_V6).build());
    if v4.is_none() && v6.is_none() {
        return None;
    }
    let rule = IpPermission::builder().ip_protocol(protocol).from_port(port).to_port(port);
    Some(rule.set_ip_ranges(v4.map(|r| vec![r])).set_ipv6_ranges(v6.map(|r| vec![r])).build())
}

fn name(install: &Install) -> String {
    format!("byop-{install}")
}
