"""cluster.yaml through Ray's own AWS code and moto's EC2: machines, profiles, what the head may do."""

import copy
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import botocore.client
import pytest
import yaml
from moto import mock_aws

ROOT = Path(__file__).parents[2]
ACCOUNT = yaml.safe_load((ROOT / "deploy" / "aws-account.yaml").read_text())["Resources"]


@pytest.fixture
def aws(tmp_path, monkeypatch):
    """An AWS account that is empty but for the instance profiles."""
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes the key pair to ~/.ssh
    with mock_aws():
        for name in ("WorkerProfile", "HeadProfile"):
            profile = ACCOUNT[name]["Properties"]["InstanceProfileName"]
            boto3.client("iam").create_instance_profile(InstanceProfileName=profile)
        yield boto3.client("ec2", region_name="us-west-2")


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Names of the AWS operations that are called, as policies name them."""
    made: list[str] = []
    call = botocore.client.BaseClient._make_api_call

    def noted(self: Any, operation: str, arguments: Any) -> Any:
        made.append(f"{self.meta.service_model.service_name}:{operation}")
        return call(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    return made


def bootstrapped() -> dict[str, Any]:
    """cluster.yaml as `ray up` makes it complete for AWS: key, subnets, security group."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.util import prepare_config

    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    return bootstrap_aws(copy.deepcopy(config))


def allowed(role: str) -> list[str]:
    """Actions that a role of the account's template may take itself."""
    statements = [
        statement
        for policy in ACCOUNT[role]["Properties"].get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = [statement["Action"] for statement in statements]
    return [one for action in actions for one in ([action] if isinstance(action, str) else action)]


@pytest.mark.cluster
def test_ray_starts_and_ends_the_machines_of_each_group(aws, calls):
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = bootstrapped()
    calls.clear()  # so far the user's own; from here on the head's
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name, group in config["available_node_types"].items():
        tags = {"ray-node-type": "worker", "ray-user-node-type": name}
        provider.create_node(copy.deepcopy(group["node_config"]), tags, 1)
    machines = [one for found in aws.describe_instances()["Reservations"] for one in found["Instances"]]
    by_group = {_tags(machine)["ray-user-node-type"]: machine for machine in machines}
    assert {name: machine.get("InstanceLifecycle") for name, machine in by_group.items()} == {
        "head": None,
        "cpu_gen": "spot",
        "gpu_train": None,
    }
    profiles = {
        name: machine["IamInstanceProfile"]["Arn"].rpartition("/")[2] for name, machine in by_group.items()
    }
    assert profiles == {"head": "relscale-head", "cpu_gen": "relscale-worker", "gpu_train": "relscale-worker"}
    assert all(_tags(machine)["project"] == "relscale" for machine in machines)
    assert all(machine["ImageId"].startswith("resolve:ssm:/aws/service/") for machine in machines)
    nodes = provider.non_terminated_nodes({})
    provider.set_node_tags(nodes[0], {"ray-node-status": "up-to-date"})
    provider.terminate_nodes(nodes)
    assert len(nodes) == 3 and provider.non_terminated_nodes({}) == []
    asked = set(calls)
    assert {"ec2:RunInstances", "ec2:TerminateInstances"} <= asked
    assert [one for one in asked if not any(fnmatch(one, action) for action in allowed("HeadRole"))] == []


@pytest.mark.cluster
def test_only_ssh_is_open_to_the_world(aws):
    group = bootstrapped()["available_node_types"]["head"]["node_config"]["SecurityGroupIds"]
    (rules,) = (
        found["IpPermissions"] for found in aws.describe_security_groups(GroupIds=group)["SecurityGroups"]
    )
    assert [rule["FromPort"] for rule in rules if rule["IpRanges"]] == [22]
    inside = [pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]]
    assert inside == group


def test_workers_reach_the_bucket_and_nothing_else():
    assert allowed("WorkerRole") == []
    assert ACCOUNT["WorkerRole"]["Properties"]["ManagedPolicyArns"] == [{"Ref": "Storage"}]
    statements = ACCOUNT["Storage"]["Properties"]["PolicyDocument"]["Statement"]
    actions = {action for statement in statements for action in statement["Action"]}
    assert all(action.startswith("s3:") and "*" not in action for action in actions)
    assert {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"} <= actions


def _tags(machine: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
