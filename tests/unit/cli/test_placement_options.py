"""Options that say which nodes take the tasks of a service."""

import click
import pytest

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.types_pb2 import PlacementStrategy
from swarm.cli.cluster_options import apply_options
from swarm.cli.inspect_view import node, service_spec, task
from swarm.errors import InvalidArgument
from swarm.model.generic_resources import parse_owned
from swarm.model.validate import validate_service
from tests.unit.cli.test_service_spec import created, updated


def test_generic_resources_are_added_replaced_and_removed_by_kind():
    spec = created("--name", "web", "--generic-resource", "gpu=2", "--generic-resource", "ssd=1", "web:1")
    validate_service(spec)
    view = service_spec(spec)["TaskTemplate"]["Resources"]["Reservations"]
    assert view["GenericResources"] == [
        {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}},
        {"DiscreteResourceSpec": {"Kind": "ssd", "Value": 1}},
    ]
    new = updated(spec, "--generic-resource-add", "gpu=4", "--generic-resource-rm", "ssd")
    assert [(one.kind, one.count) for one in new.task.resources.reservations.generic] == [("gpu", 4)]


def test_affinities_are_added_replaced_and_removed():
    spec = created(
        "--name", "web", "--affinity", "service==db", "--affinity", "service!=web,weight=5", "web:1"
    )
    validate_service(spec)
    assert service_spec(spec)["TaskTemplate"]["Placement"]["Affinities"] == [
        {"Expression": "service==db"},
        {"Expression": "service!=web", "Weight": 5},
    ]
    new = updated(spec, "--affinity-add", "service!=web", "--affinity-rm", "service==db")
    assert [(one.expression, one.weight) for one in new.task.placement.affinities] == [("service!=web", 0)]
    assert not updated(
        spec, "--affinity-rm", "service!=web,weight=5", "--affinity-rm", "service==db"
    ).task.placement.affinities
    with pytest.raises(InvalidArgument, match="--affinity-rm service==x"):
        updated(spec, "--affinity-rm", "service==x")


def test_a_strategy_is_the_services_own_until_it_is_given_back():
    spec = created("--name", "web", "--placement-strategy", "binpack", "web:1")
    assert spec.task.placement.strategy == PlacementStrategy.PLACEMENT_STRATEGY_BINPACK
    assert service_spec(spec)["TaskTemplate"]["Placement"]["Strategy"] == "binpack"
    back = updated(spec, "--placement-strategy", "default")
    assert not back.task.placement.strategy
    assert "Strategy" not in service_spec(back)["TaskTemplate"]["Placement"]
    plain = created("--name", "web", "web:1")
    assert updated(plain, "--placement-strategy", "default") == plain


def test_the_cluster_has_a_strategy_for_services_without():
    spec = ClusterSpec()
    apply_options(spec, {"placement_strategy": "least-reserved"})
    assert spec.placement_strategy == PlacementStrategy.PLACEMENT_STRATEGY_LEAST_RESERVED
    apply_options(spec, {"placement_strategy": None})
    assert spec.placement_strategy == PlacementStrategy.PLACEMENT_STRATEGY_LEAST_RESERVED


def test_a_strategy_that_does_not_exist_is_refused():
    spec = created("--name", "web", "web:1")
    spec.task.placement.strategy = 9
    with pytest.raises(InvalidArgument, match="placement strategy"):
        validate_service(spec)


def test_inspect_shows_what_nodes_have_and_tasks_were_given():
    one = o.Node()
    one.description.resources.generic.extend(parse_owned(["gpu=UUID1", "ssd=3"]))
    shown = [
        {"NamedResourceSpec": {"Kind": "gpu", "Value": "UUID1"}},
        {"DiscreteResourceSpec": {"Kind": "ssd", "Value": 3}},
    ]
    assert node(one)["Description"]["Resources"]["GenericResources"] == shown
    given = o.Task(assigned_generic=one.description.resources.generic)
    assert task(given)["AssignedGenericResources"] == shown
    assert "AssignedGenericResources" not in task(o.Task())


def test_devices_are_added_replaced_and_removed():
    spec = created(
        "--name",
        "web",
        "--device",
        "/dev/a:/dev/b:r",
        "--device",
        "v.com/c=x",
        "--gpus",
        "device=0,1",
        "web:1",
    )
    validate_service(spec)
    view = service_spec(spec)["TaskTemplate"]["ContainerSpec"]
    assert view["Devices"] == [
        {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"},
        {"CDIName": "v.com/c=x"},
    ]
    assert view["DeviceRequests"] == [{"Kind": "nvidia.com/gpu", "DeviceIDs": ["0", "1"]}]
    new = updated(spec, "--device-add", "/dev/z:/dev/b", "--device-rm", "v.com/c=x", "--gpus", "all")
    view = service_spec(new)["TaskTemplate"]["ContainerSpec"]
    assert [one["PathOnHost"] for one in view["Devices"]] == ["/dev/z"]
    assert view["DeviceRequests"] == [{"Kind": "nvidia.com/gpu", "Count": -1}]
    view = service_spec(updated(spec, "--gpus", "0", "--device-rm", "/dev/a"))["TaskTemplate"][
        "ContainerSpec"
    ]
    assert view["Devices"] == [{"CDIName": "v.com/c=x"}]
    assert "DeviceRequests" not in view
    assert updated(spec, "--hostname", "h").task.container.devices == spec.task.container.devices
    with pytest.raises(InvalidArgument, match=r"--device-rm v\.com/c=y"):
        updated(spec, "--device-rm", "v.com/c=y")
    with pytest.raises(InvalidArgument, match='device "nothing"'):
        created("--name", "web", "--device", "nothing", "web:1")


def test_inspect_shows_the_devices_of_a_node_and_who_shares_them():
    one = o.Node()
    one.description.devices.add(name="v.com/c=0", parts=["0"])
    one.description.devices.add(name="v.com/c=all", parts=["0", "1"])
    assert node(one)["Description"]["Devices"] == [
        {"Name": "v.com/c=0"},
        {"Name": "v.com/c=all", "Parts": ["0", "1"]},
    ]
    given = o.Task()
    given.shared_devices.add(kind="v.com/c", named="0")
    assert task(given)["SharedDevices"] == [{"NamedResourceSpec": {"Kind": "v.com/c", "Value": "0"}}]


def test_a_priority_and_the_right_to_push_others_out_are_shown_where_they_were_given():
    plain = created("--name", "web", "web:1")
    assert not {"Priority", "Preempt"} & set(service_spec(plain)["TaskTemplate"])
    spec = created("--name", "web", "--priority", "-5", "--preempt", "web:1")
    validate_service(spec)
    view = service_spec(spec)["TaskTemplate"]
    assert (view["Priority"], view["Preempt"]) == (-5, True)
    assert updated(spec, "--no-preempt", "--priority", "0").task == plain.task
    assert updated(spec, "--image", "web:2").task.priority == -5


@pytest.mark.parametrize("text", ["1001", "-1001", "high"])
def test_a_priority_that_is_none_is_refused(text):
    with pytest.raises(click.BadParameter):
        created("--name", "web", "--priority", text, "web:1")


def test_a_task_shows_for_whom_it_goes_and_whose_room_it_waits_for():
    waiting, victim = o.Task(id="t1"), o.Task(id="t2")
    waiting.nomination.node_id = "n1"
    waiting.nomination.victims.append("t2")
    victim.preempted_by.task_id, victim.preempted_by.service_name = "t1", "shop"
    victim.preempted_by.priority = 10
    assert task(waiting)["Nomination"] == {"NodeID": "n1", "Victims": ["t2"]}
    assert task(victim)["PreemptedBy"] == {"TaskID": "t1", "Service": "shop", "Priority": 10}
    assert not {"Nomination", "PreemptedBy"} & set(task(o.Task(id="t3")))
