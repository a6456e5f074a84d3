"""What clients that others wrote make of the emulator. Called by `independent`, with the addresses as JSON.

Each check is one life of a machine, and the errors that client has names for."""

import json
import os
import sys
import traceback
import urllib.request
from importlib import metadata

URLS = json.loads(sys.argv[1])
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGY2ZjZmNmY2ZjZmNmY2ZjZmNmY2ZjZmNmY2ZjZmNmY2 null"
# python-ovh's OAuth2 insists on TLS otherwise.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
os.environ["DIGITALOCEAN_END_POINT"] = URLS["digitalocean"] + "/v2/"


def control(cloud, what, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{URLS[cloud]}/_emulator/{what}", data) as reply:
        return json.load(reply)


def fault(cloud, operation, kind, **more):
    control(cloud, "fault", {"cloud": cloud, "operation": operation, "effect": {"kind": kind, **more}})


def live(cloud):
    return sum(machine["cloud"] == cloud for machine in control(cloud, "live"))


def same(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def raises(kinds, call, check=lambda error: True):
    try:
        call()
    except kinds as error:
        assert check(error), f"another error than expected: {error!r}"
        return
    raise AssertionError(f"no {kinds} was raised")


def hetzner():
    from hcloud import APIException, Client
    from hcloud.actions import ActionFailedException
    from hcloud.firewalls import FirewallRule
    from hcloud.images import Image
    from hcloud.locations import Location
    from hcloud.server_types import ServerType
    from hcloud.zones import ZoneRecord

    client = Client("hetzner-project-token", api_endpoint=URLS["hetzner"] + "/v1", poll_interval=0.01)
    key = client.ssh_keys.create(name="null", public_key=KEY)
    rule = FirewallRule(direction="in", protocol="tcp", port="22", source_ips=["0.0.0.0/0"])
    firewall = client.firewalls.create(name="byop", rules=[rule]).firewall
    same(client.firewalls.get_by_name("byop").rules[0].port, "22")

    def create(name, **more):
        return client.servers.create(
            name=name, server_type=ServerType(name="cx23"), image=Image(name="debian-12"),
            location=Location(name="fsn1"), labels={"byop.install": "i1"}, user_data="#cloud-config\n",
            ssh_keys=[key], firewalls=[firewall], **more)

    made = create("a")
    made.action.wait_until_finished()
    same(made.root_password, None)
    server = client.servers.get_by_id(made.server.id)
    same((server.status, server.labels["byop.install"], server.image.name), ("running", "i1", "debian-12"))
    assert server.public_net.ipv4.ip and server.public_net.ipv6.network_mask == "64"
    same([one.id for one in client.servers.get_all(label_selector="byop.install==i1")], [server.id])
    raises(APIException, lambda: create("a"), lambda error: error.code == "uniqueness_error")
    server.shutdown().wait_until_finished()
    server.change_type(ServerType(name="cx33"), upgrade_disk=False).wait_until_finished()
    server.power_on().wait_until_finished()
    server.reload()
    same((server.status, server.server_type.name), ("running", "cx33"))
    fault("hetzner", "create", "fails_async")
    raises(ActionFailedException, create("fails").action.wait_until_finished)
    fault("hetzner", "create", "capacity")
    raises(APIException, lambda: create("full"), lambda error: error.code == "resource_unavailable")
    server.delete().wait_until_finished()
    raises(APIException, lambda: client.servers.get_by_id(server.id), lambda error: error.code == "not_found")
    same(live("hetzner"), 0)

    kind, image = ServerType(name="cx23"), Image(name="debian-12")
    [client.servers.create(name=f"n{number}", server_type=kind, image=image) for number in range(25)]
    same(len(client.servers.get_list(page=2, per_page=10).servers), 10)
    same(len(client.servers.get_all()), 25)
    raises(APIException, lambda: create("more"), lambda error: error.code == "resource_limit_exceeded")
    [server.delete() for server in client.servers.get_all()]

    zone = client.zones.get("example.test")
    zone.create_rrset(name="app", type="A", ttl=60, records=[ZoneRecord(value="192.0.2.7")]).action.wait_until_finished()
    rrset = zone.get_rrset("app", "A")
    client.zones.set_rrset_records(rrset, [ZoneRecord(value="192.0.2.8")]).wait_until_finished()
    same([record.value for record in zone.get_rrset("app", "A").records], ["192.0.2.8"])
    client.zones.delete_rrset(rrset)
    assert all(one.prices for one in client.server_types.get_all()) and client.locations.get_by_name("fsn1")
    raises(APIException, lambda: Client("nobody", api_endpoint=URLS["hetzner"] + "/v1").servers.get_all(),
           lambda error: error.code == "unauthorized")


def digitalocean():
    import digitalocean as do
    import requests
    from digitalocean import baseapi

    token = "digitalocean-token"
    manager = do.Manager(token=token)
    same(manager.get_account().status, "active")
    key = do.SSHKey(token=token, name="null", public_key=KEY)
    key.create()
    key.load()
    same(len(key.fingerprint), 47)
    twice = do.SSHKey(token=token, name="null", public_key=KEY)
    raises(baseapi.DataReadError, twice.create, lambda error: "already in use on your account" in str(error))
    do.Tag(token=token, name="byop:install:i1").create()

    def droplet(name):
        return do.Droplet(token=token, name=name, region="fra1", size_slug="s-1vcpu-1gb", image="debian-12-x64",
                          ssh_keys=[key], ipv6=True, tags=["byop:install:i1"], user_data="#cloud-config\n")

    one = droplet("a")
    one.create()
    same(one.get_action(one.action_ids[0]).status, "completed")
    one.load()
    same((one.status, one.tags), ("active", ["byop:install:i1"]))
    assert one.ip_address and one.ip_v6_address
    two = droplet("a")
    two.create()
    same(len(manager.get_all_droplets(tag_name="byop:install:i1")), 2)
    one.shutdown(return_dict=False)
    one.load()
    same(one.status, "off")
    one.resize("s-1vcpu-2gb", disk=False)
    one.power_on()
    one.load()
    same((one.status, one.size_slug), ("active", "s-1vcpu-2gb"))
    fault("digitalocean", "create", "quota")
    raises(baseapi.DataReadError, droplet("full").create, lambda error: "will exceed your droplet limit" in str(error))
    fault("digitalocean", "create", "fails_async")
    gone = droplet("gone")
    gone.create()
    raises(baseapi.NotFoundError, gone.load)
    fault("digitalocean", "create", "reply_lost")
    raises(requests.exceptions.ConnectionError, droplet("lost").create)
    same(live("digitalocean"), 3)
    [machine.destroy() for machine in manager.get_all_droplets()]
    same(live("digitalocean"), 0)

    rule = do.InboundRule(protocol="tcp", ports="22", sources=do.Sources(addresses=["0.0.0.0/0"]))
    firewall = do.Firewall(token=token, name="byop", inbound_rules=[rule], outbound_rules=[], tags=["byop:install:i1"])
    firewall.create()
    same(manager.get_all_firewalls()[0].name, "byop")
    domain = manager.get_domain("example.test")
    made = domain.create_new_domain_record(type="A", name="app", data="192.0.2.7", ttl=60)["domain_record"]
    record = do.Record.get_object(token, "example.test", made["id"])
    record.data = "192.0.2.8"
    record.save()
    same([one.data for one in domain.get_records() if one.name == "app"], ["192.0.2.8"])
    assert manager.get_all_regions() and manager.get_all_sizes() and manager.get_distro_images()
    raises(baseapi.DataReadError, do.Manager(token="nobody").get_account)


def ovh():
    import ovh as client_library
    from ovh import exceptions

    client_library.client.ENDPOINTS["local"] = URLS["ovh"] + "/1.0"

    def client(secret="ovh-application-secret", consumer="ovh-consumer-key"):
        return client_library.Client(endpoint="local", application_key="ovh-application-key", application_secret=secret,
                                     consumer_key=consumer)

    api = client()
    project = f"/cloud/project/{api.get('/cloud/project')[0]}"
    same((api.get(project)["status"], api.get("/auth/currentCredential")["status"]), ("ok", "validated"))
    flavor = api.get(f"{project}/flavor", region="GRA11")[0]
    image = next(one for one in api.get(f"{project}/image", region="GRA11") if one["name"] == "Debian 12")
    key = api.post(f"{project}/sshkey", name="null", publicKey=KEY)
    order = dict(name="byop-a", region="GRA11", flavorId=flavor["id"], imageId=image["id"], sshKeyId=key["id"],
                 userData="#cloud-config\n", monthlyBilling=False)
    made = api.post(f"{project}/instance", **order)
    same((made["status"], made["name"]), ("BUILD", "byop-a"))
    path = f"{project}/instance/{made['id']}"
    same(api.get(path)["status"], "ACTIVE")
    same(sorted(one["version"] for one in api.get(path)["ipAddresses"]), [4, 6])
    same([one["id"] for one in api.get(f"{project}/instance", region="GRA11")], [made["id"]])
    raises(exceptions.ResourceConflictError, lambda: api.post(f"{path}/start"))
    same((api.post(f"{path}/stop"), api.get(path)["status"]), (None, "SHUTOFF"))
    api.post(f"{path}/start")
    api.post(f"{path}/reboot", type="hard")
    fault("ovh", "create", "fails_async")
    failed = api.post(f"{project}/instance", **order)["id"]
    same(api.get(f"{project}/instance/{failed}")["status"], "ERROR")
    fault("ovh", "create", "cut_before")
    raises(exceptions.HTTPError, lambda: api.post(f"{project}/instance", **order))
    for one in (failed, made["id"]):
        same(api.delete(f"{project}/instance/{one}"), None)
    raises(exceptions.ResourceNotFoundError, lambda: api.get(path))
    same(live("ovh"), 0)
    record = api.post("/domain/zone/example.test/record", fieldType="A", subDomain="app", target="192.0.2.7", ttl=60)
    api.post("/domain/zone/example.test/refresh")
    same(api.get("/domain/zone/example.test/record", fieldType="A", subDomain="app"), [record["id"]])
    client_library.client.OAUTH2_TOKEN_URLS["local"] = URLS["ovh"] + "/auth/oauth2/token"
    service = client_library.Client(endpoint="local", client_id="EU.emulator", client_secret="ovh-client-secret")
    same(service.get("/me")["ovhSubsidiary"], "FR")
    raises(exceptions.InvalidCredential, lambda: client(consumer="nobody").get("/me"))
    raises(exceptions.BadParametersError, lambda: client(secret="wrong").get("/me"))


def aws():
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError, ConnectionClosedError

    def service(name, **credentials):
        known = dict(aws_access_key_id="AKIAEMULATOR00000001", aws_secret_access_key="any")
        return boto3.client(name, region_name="eu-west-3", endpoint_url=URLS["aws"],
                            config=Config(retries={"total_max_attempts": 1}), **(credentials or known))

    ec2, sts = service("ec2"), service("sts")
    same(sts.get_caller_identity()["Account"], "111122223333")
    assert "eu-west-3" in [one["RegionName"] for one in ec2.describe_regions()["Regions"]]
    same(len(ec2.describe_availability_zones()["AvailabilityZones"]), 3)
    images = ec2.describe_images(Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}])
    ami = max(images["Images"], key=lambda one: one["CreationDate"])
    same((ami["Architecture"], ami["RootDeviceName"]), ("x86_64", "/dev/xvda"))
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnet = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][0]["SubnetId"]
    group = ec2.create_security_group(GroupName="byop", Description="byop", VpcId=vpc)["GroupId"]

    def code(wanted):
        return lambda error: error.response["Error"]["Code"] == wanted

    raises(ClientError, lambda: ec2.create_security_group(GroupName="byop", Description="byop", VpcId=vpc),
           code("InvalidGroup.Duplicate"))
    rule = dict(GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
                "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}])
    same(ec2.authorize_security_group_ingress(**rule)["SecurityGroupRules"][1]["CidrIpv6"], "::/0")
    raises(ClientError, lambda: ec2.authorize_security_group_ingress(**rule), code("InvalidPermission.Duplicate"))
    found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    same(found["IpPermissions"][0]["IpRanges"][0]["CidrIp"], "0.0.0.0/0")

    def run(token, **more):
        tags = [{"Key": "byop:server", "Value": token}, {"Key": "Name", "Value": "byop"}]
        wanted = dict(
            ImageId=ami["ImageId"], InstanceType="t3.small", MinCount=1, MaxCount=1, ClientToken=token,
            UserData="#cloud-config\n", MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group],
                                "AssociatePublicIpAddress": True, "DeleteOnTermination": True}],
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}}],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
        return ec2.run_instances(**{**wanted, **more})["Instances"][0]

    raises(ClientError, lambda: run("t1", DryRun=True), code("DryRunOperation"))
    one = run("t1")
    same(run("t1")["InstanceId"], one["InstanceId"])
    raises(ClientError, lambda: run("t1", InstanceType="t3.medium"), code("IdempotentParameterMismatch"))
    ids = [one["InstanceId"]]
    same([tag["Value"] for tag in one["Tags"] if tag["Key"] == "Name"], ["byop"])
    paginator = ec2.get_paginator("describe_instances")
    tagged = [{"Name": "tag:byop:server", "Values": ["t1"]}]
    seen = [instance for page in paginator.paginate(Filters=tagged) for reservation in page["Reservations"]
            for instance in reservation["Instances"]]
    same([(i["InstanceId"], i["State"]["Name"], i["ClientToken"]) for i in seen], [(ids[0], "running", "t1")])
    assert seen[0]["PublicIpAddress"] == seen[0]["NetworkInterfaces"][0]["Association"]["PublicIp"]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids)
    ec2.stop_instances(InstanceIds=ids)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=ids)
    ec2.modify_instance_attribute(InstanceId=ids[0], InstanceType={"Value": "t3.medium"})
    same(ec2.start_instances(InstanceIds=ids)["StartingInstances"][0]["PreviousState"]["Name"], "stopped")
    ec2.reboot_instances(InstanceIds=ids)
    kinds = ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 5})
    assert "t4g.small" in [kind["InstanceType"] for page in kinds for kind in page["InstanceTypes"]]
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone")["InstanceTypeOfferings"]
    assert {"InstanceType": "m7i.large", "LocationType": "availability-zone", "Location": "eu-west-3a"} in offered
    fault("aws", "create", "fails_async")
    failed = run("t2")["InstanceId"]
    reason = ec2.describe_instances(InstanceIds=[failed])["Reservations"][0]["Instances"][0]["StateReason"]["Code"]
    same(reason, "Server.InsufficientInstanceCapacity")
    fault("aws", "create", "too_many", retry_after_s=1)
    raises(ClientError, lambda: run("t3"), code("RequestLimitExceeded"))
    fault("aws", "create", "reply_lost")
    raises(ConnectionClosedError, lambda: run("t4"))
    again = run("t4")["InstanceId"]
    ec2.terminate_instances(InstanceIds=ids + [again])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)
    same(live("aws"), 0)
    raises(ClientError, lambda: ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"]),
           code("InvalidInstanceID.NotFound"))

    role = dict(RoleArn="arn:aws:iam::111122223333:role/byop", RoleSessionName="byop", DurationSeconds=900)
    raises(ClientError, lambda: sts.assume_role(**role), code("AccessDenied"))
    taken = sts.assume_role(**role, ExternalId="external-id")["Credentials"]
    session = dict(aws_access_key_id=taken["AccessKeyId"], aws_secret_access_key=taken["SecretAccessKey"],
                   aws_session_token=taken["SessionToken"])
    assert ":assumed-role/byop/byop" in service("sts", **session).get_caller_identity()["Arn"]
    assert service("ec2", **session).describe_regions()["Regions"]
    raises(ClientError, lambda: service("ec2", aws_access_key_id="x", aws_secret_access_key="y").describe_regions(),
           code("AuthFailure"))

    dns = service("route53")
    zone = dns.list_hosted_zones_by_name(DNSName="example.test")["HostedZones"][0]["Id"]
    record = {"Name": "app.example.test", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.7"}]}

    def change(action):
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        return dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)["ChangeInfo"]

    same(dns.get_change(Id=change("UPSERT")["Id"])["ChangeInfo"]["Status"], "INSYNC")
    listed = dns.list_resource_record_sets(HostedZoneId=zone, StartRecordName="app.example.test", StartRecordType="A")
    same(listed["ResourceRecordSets"][0]["ResourceRecords"], [{"Value": "192.0.2.7"}])
    change("DELETE")
    raises(dns.exceptions.InvalidChangeBatch, lambda: change("DELETE"))
    raises(dns.exceptions.NoSuchHostedZone, lambda: dns.list_resource_record_sets(HostedZoneId="ZNONE"))


def main():
    failures = 0
    for name, check in dict(hcloud=hetzner, digitalocean=digitalocean, ovh=ovh, boto3=aws).items():
        try:
            check()
            print(f"ok: {name} {version(name)}")
        except Exception:
            failures += 1
            traceback.print_exc()
            print(f"FAILED: {name}")
    sys.exit(1 if failures else 0)


def version(name):
    return metadata.version({"digitalocean": "python-digitalocean"}.get(name, name))


if __name__ == "__main__":
    main()
