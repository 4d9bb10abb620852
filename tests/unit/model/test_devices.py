"""What people say of devices, and what is wrong with it."""

import pytest

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import Device, DeviceRequest, NodeDescription
from swarm.errors import InvalidArgument
from swarm.model.devices import (
    NamedDevice,
    claims_for,
    device_problems,
    device_text,
    given_devices,
    parse_device,
    parse_gpus,
    things_of,
    wanted_devices,
)
from swarm.model.generic_resources import ALL, Claim, Ledger, lost_claims, parse_owned


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("nvidia.com/gpu=0", Device(cdi_name="nvidia.com/gpu=0")),
        ("vendor.com/net-card=a:b.c", Device(cdi_name="vendor.com/net-card=a:b.c")),
        ("/dev/fuse", Device(host_path="/dev/fuse")),
        ("/dev/ttyUSB0:/dev/serial", Device(host_path="/dev/ttyUSB0", container_path="/dev/serial")),
        ("/dev/fuse:r", Device(host_path="/dev/fuse", permissions="r")),
        ("/dev/a:/dev/b:rw", Device(host_path="/dev/a", container_path="/dev/b", permissions="rw")),
    ],
)
def test_a_device_is_a_cdi_name_or_a_path(text: str, device: Device) -> None:
    assert parse_device(text) == device
    assert parse_device(device_text(device)).host_path == device.host_path
    assert not list(device_problems(ContainerSpec(devices=[device])))


@pytest.mark.parametrize(
    "text",
    ["", "fuse", "dev/fuse", "/", "/dev/../etc", "/dev/a:b", "/dev/a:/dev/b:rx", "/dev/a:/dev/b:rr",
     "/dev/a:/dev/b:rw:x", "/dev/a:", "gpu=0", "nvidia.com/gpu", "nvidia.com/gpu=", "a/b=c d"],
)  # fmt: skip
def test_what_is_neither_is_refused_with_both_forms(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"VENDOR/CLASS=NAME .* HOST\[:CONTAINER"):
        parse_device(text)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("2", DeviceRequest(kind="nvidia.com/gpu", count=2)),
        ("all", DeviceRequest(kind="nvidia.com/gpu", all=True)),
        ("device=0,2", DeviceRequest(kind="nvidia.com/gpu", names=["0", "2"])),
        ('"device=GPU-1a,3"', DeviceRequest(kind="nvidia.com/gpu", names=["GPU-1a", "3"])),
        ("1,kind=amd.com/gpu", DeviceRequest(kind="amd.com/gpu", count=1)),
        ("device=0,1,kind=amd.com/gpu", DeviceRequest(kind="amd.com/gpu", names=["0", "1"])),
    ],
)
def test_gpus_are_a_number_all_or_names(text: str, request_: DeviceRequest) -> None:
    assert parse_gpus(text) == request_


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "some", "device=", "1,all", "2,device=0", "all,kind=gpu", "1,2", "1,x=y"]
)
def test_other_words_for_gpus_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="write a number of at least 1, all, or device=ID,ID"):
        parse_gpus(text)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (ContainerSpec(devices=[Device()]), "not absolute"),
        (ContainerSpec(devices=[Device(cdi_name="nonsense")]), "not the CDI name"),
        (ContainerSpec(devices=[Device(cdi_name="a/b=c", permissions="r")]), "and paths or permissions"),
        (ContainerSpec(devices=[Device(host_path="/dev/a", permissions="x")]), "not of r, w, m"),
        (ContainerSpec(devices=[Device(host_path="/dev/a")] * 2), 'two devices are "/dev/a"'),
        (ContainerSpec(device_requests=[DeviceRequest(kind="gpu", count=1)]), "not a kind"),
        (ContainerSpec(device_requests=[DeviceRequest(kind="a/b")]), "a number of at least 1, for all"),
        (ContainerSpec(device_requests=[DeviceRequest(kind="a/b", names=["!"])]), "not the name"),
        (ContainerSpec(device_requests=[DeviceRequest(kind="a/b", count=1)] * 2), "or twice: choose one"),
        (
            ContainerSpec(
                devices=[Device(cdi_name="a/b=0")], device_requests=[DeviceRequest(kind="a/b", all=True)]
            ),
            "by number and by name",
        ),
        (
            ContainerSpec(
                devices=[Device(cdi_name="a/b=0")], device_requests=[DeviceRequest(kind="a/b", names=["0"])]
            ),
            "asked for twice",
        ),
    ],
)
def test_every_problem_of_a_spec_is_a_sentence(spec: ContainerSpec, problem: str) -> None:
    assert any(problem in text for text in device_problems(spec))


def a_node() -> NodeDescription:
    node = NodeDescription()
    node.resources.generic.extend(parse_owned(["ssd=3"]))
    for name, parts in (("0", ["0"]), ("1", ["1"]), ("GPU-b", ["1"]), ("all", ["0", "1"])):
        node.devices.add(name=f"nvidia.com/gpu={name}", parts=parts)
    return node


def test_a_node_has_as_many_whole_devices_as_there_are_however_many_names_they_have() -> None:
    assert [(one.kind, one.named or one.count) for one in things_of(a_node())] == [
        ("ssd", 3),
        ("nvidia.com/gpu", "0"),
        ("nvidia.com/gpu", "1"),
    ]


def test_other_names_claim_what_they_stand_for() -> None:
    parts = {one.name: tuple(one.parts) for one in a_node().devices}
    one = NamedDevice("nvidia.com/gpu", "GPU-b", shared=False)
    everything = NamedDevice("nvidia.com/gpu", "all", shared=True)
    assert claims_for((one, everything), parts) == (
        Claim("nvidia.com/gpu", 1, ("1",)),
        Claim("nvidia.com/gpu", 0, ("0", "1"), shared=True),
    )


def test_who_shares_keeps_out_who_wants_it_alone_and_the_other_way_round() -> None:
    ledger = Ledger(things_of(a_node()))
    shared, alone = Claim("nvidia.com/gpu", 0, ("0",), shared=True), Claim("nvidia.com/gpu", 1, ("0",))
    ledger.count((shared, shared), 1)
    assert ledger.grants((shared,))
    assert not ledger.grants((alone,))
    assert ledger.room((("nvidia.com/gpu", 1),), 9) == 1
    assert ledger.room((("nvidia.com/gpu", ALL),), 9) == 0
    ledger.count((shared, shared), -1)
    assert ledger.pick((("nvidia.com/gpu", ALL),)) == (Claim("nvidia.com/gpu", 2, ("0", "1")),)
    ledger.count((alone,), 1)
    assert not ledger.grants((shared,))


def test_a_task_whose_device_is_gone_has_lost_it() -> None:
    shared, alone = Claim("nvidia.com/gpu", 0, ("1",), shared=True), Claim("nvidia.com/gpu", 1, ("0",))
    claims = {"t1": (shared,), "t2": (shared,), "t3": (alone,)}
    node = a_node()
    assert lost_claims(things_of(node), claims) == frozenset()
    del node.devices[1:]
    assert lost_claims(things_of(node), claims) == {"t1", "t2"}


def test_a_container_is_given_what_it_names_and_what_was_chosen_for_its_task() -> None:
    task = Task(assigned_generic=parse_owned(["ssd=1"]))
    task.spec.container.devices.extend([parse_device("a.b/c=d"), parse_device("/dev/fuse")])
    task.spec.container.device_requests.append(parse_gpus("1"))
    task.assigned_generic.add(kind="nvidia.com/gpu", named="1")
    assert given_devices(task) == ("a.b/c=d", "nvidia.com/gpu=1")
    assert wanted_devices(task.spec.container) == (("nvidia.com/gpu", 1),)
    named = Task()
    named.spec.container.device_requests.append(parse_gpus("device=GPU-b"))
    named.assigned_generic.add(kind="nvidia.com/gpu", named="1")
    assert given_devices(named) == ("nvidia.com/gpu=GPU-b",)
