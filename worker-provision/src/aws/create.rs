//! The one request that makes a machine.
//!
//! Invariants: everything that a machine needs and everything that marks it is in this request, so that nothing is tagged
//! later and nothing outlives the machine; the token is the order's, never the SDK's own. Absent: the order.

use aws_sdk_ec2::{
    Client,
    config::Config,
    operation::run_instances::builders::RunInstancesFluentBuilder,
    types::{
        BlockDeviceMapping, EbsBlockDevice, HttpTokensState, InstanceMetadataEndpointState,
        InstanceMetadataOptionsRequest, InstanceMetadataTagsState, InstanceNetworkInterfaceSpecification, InstanceType,
        ResourceType, ShutdownBehavior, Tag, TagSpecification, VolumeType,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use shared::providers::cloud::{CloudError, Created, MachineName, Order};

use super::{AWS, Aws, GENERATION_TAG, INSTALL_TAG, SERVER_TAG, error, place::ROOT_DEVICE, services::unlogged};

/// What the system, the container engine and the images of a few apps take.
const DISK_GB: i32 = 20;

impl Aws {
    pub(super) async fn run_instance(&self, order: &Order) -> Created {
        let client = match self.ec2(&order.placement.region).await {
            Ok(client) => client,
            Err(e) => return Created::No(e),
        };
        let once = Config::builder().http_client(self.services.single.clone());
        let request = request(&client, order).customize().config_override(once);
        match unlogged(request.send()).await {
            Ok(answer) => match answer.instances().first().and_then(|i| i.instance_id()) {
                Some(id) => Created::Yes(id.to_owned()),
                None => Created::Unknown(CloudError::unreadable(AWS, "the answer names no machine")),
            },
            Err(e) if error::open(&e) => Created::Unknown(self.failed(&e)),
            Err(e) => Created::No(self.failed(&e)),
        }
    }
}

/// The same order makes the same request, to the byte.
pub fn request(client: &Client, order: &Order) -> RunInstancesFluentBuilder {
    let placement = &order.placement;
    client
        .run_instances()
        .client_token(order.token())
        .image_id(&placement.image)
        .instance_type(InstanceType::from(placement.size.as_str()))
        .min_count(1)
        .max_count(1)
        .user_data(BASE64.encode(&order.user_data))
        .metadata_options(metadata())
        .network_interfaces(interface(order))
        .block_device_mappings(disk())
        .set_tag_specifications(Some(tags(&order.name)))
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Stop)
}

/// Without the token that only a PUT from the machine itself gets, and one hop away nothing: no container reads
/// user-data.
fn metadata() -> InstanceMetadataOptionsRequest {
    InstanceMetadataOptionsRequest::builder()
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_tokens(HttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .instance_metadata_tags(InstanceMetadataTagsState::Disabled)
        .build()
}

fn interface(order: &Order) -> InstanceNetworkInterfaceSpecification {
    InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .set_subnet_id(order.placement.network.clone())
        .set_groups(order.placement.firewall.clone().map(|group| vec![group]))
        .associate_public_ip_address(true)
        .delete_on_termination(true)
        .build()
}

fn disk() -> BlockDeviceMapping {
    let volume = EbsBlockDevice::builder()
        .volume_type(VolumeType::Gp3)
        .volume_size(DISK_GB)
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    BlockDeviceMapping::builder().device_name(ROOT_DEVICE).ebs(volume).build()
}

fn tags(name: &MachineName) -> Vec<TagSpecification> {
    let all = [
        tag("Name", name.to_string()),
        tag(INSTALL_TAG, name.install.to_string()),
        tag(SERVER_TAG, name.server.0.to_string()),
        tag(GENERATION_TAG, name.generation.to_string()),
    ];
    let marked = [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
    marked.map(|kind| TagSpecification::builder().resource_type(kind).set_tags(Some(all.to_vec())).build()).into()
}

/// One tag of a resource.
pub fn tag(key: &str, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}
