"""From a task to what the driver creates."""

import pytest

from swarm.agent.container import NodeFacts, container_config, published_ports, registry_credentials
from swarm.agent.network.base import PublishedPort, Sandbox
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Mount, PortConfig
from swarm.errors import TaskRejected
from swarm.model.devices import parse_device, parse_gpus
from swarm.model.generic_resources import parse_owned
from swarm.runtime.base import BindMount, HostDevice, Limits, TmpfsMount

FACTS = NodeFacts("n1", "worker-1", "linux", "amd64")
SANDBOX = Sandbox("t1", "10.0.0.2", "/run/ns", "/run/resolv", ())


def a_task() -> Task:
    task = Task(id="t1" + "0" * 23, service_id="s1", slot=3)
    task.service_annotations.name = "web"
    task.spec.container.image = "web:1"
    return task


def test_everything_of_the_spec_reaches_the_driver() -> None:
    task = a_task()
    spec = task.spec.container
    spec.command.extend(["/bin/sh"])
    spec.args.extend(["-c", "true"])
    spec.env.extend(["SLOT={{.Task.Slot}}"])
    spec.labels["team"] = "{{.Service.Name}}"
    spec.hostname = "{{.Service.Name}}-{{.Task.Slot}}"
    spec.dir, spec.user, spec.stop_signal = "/srv", "www", "SIGINT"
    spec.read_only = spec.init = spec.tty = True
    task.spec.resources.limits.nano_cpus = 5
    task.spec.resources.limits.memory_bytes = 6
    task.spec.resources.limits.pids = 7
    task.spec.resources.reservations.memory_bytes = 8
    config = container_config(task, "sha256:1", SANDBOX, FACTS)
    assert (config.id, config.image, config.image_digest) == (task.id, "web:1", "sha256:1")
    assert (config.command, config.args) == (("/bin/sh",), ("-c", "true"))
    assert config.env == ("SLOT=3",)
    assert config.hostname == "web-3"
    assert (config.working_dir, config.user, config.stop_signal) == ("/srv", "www", "SIGINT")
    assert (config.read_only, config.init, config.tty) == (True, True, True)
    assert config.limits == Limits(5, 6, 7, 8)
    assert (config.netns_path, config.resolv_conf, config.address) == ("/run/ns", "/run/resolv", "10.0.0.2")
    assert config.labels["team"] == "web"


def test_devices_reach_the_driver_and_are_no_variables() -> None:
    task = a_task()
    task.spec.container.devices.extend(map(parse_device, ["a.b/c=d", "/dev/fuse:/dev/mine:r"]))
    task.spec.container.device_requests.append(parse_gpus("1"))
    task.assigned_generic.add(kind="nvidia.com/gpu", named="1")
    config = container_config(task, "", SANDBOX, FACTS)
    assert config.cdi_devices == ("a.b/c=d", "nvidia.com/gpu=1")
    assert config.devices == (HostDevice("/dev/fuse", "/dev/mine", "r"),)
    assert config.env == ()


def test_the_labels_of_swarm_name_the_task_and_cannot_be_overwritten() -> None:
    task = a_task()
    task.spec.container.labels["com.docker.swarm.task.id"] = "mine"
    labels = container_config(task, "", SANDBOX, FACTS).labels
    assert labels["com.docker.swarm.task.id"] == task.id
    assert labels["com.docker.swarm.task.name"] == f"web.3.{task.id}"
    assert labels["com.docker.swarm.node.id"] == "n1"
    assert labels["com.docker.swarm.service.id"] == "s1"
    assert labels["com.docker.swarm.service.name"] == "web"


def test_the_slot_of_a_global_task_is_its_node() -> None:
    task = a_task()
    task.slot = 0
    task.node_id = "n1"
    task.spec.container.env.append("S={{.Task.Slot}}")
    assert container_config(task, "", SANDBOX, FACTS).env == ("S=n1",)


def test_mounts_become_binds_and_tmpfs_with_their_options() -> None:
    task = a_task()
    bind = task.spec.container.mounts.add(
        type=Mount.TYPE_BIND, source="/data/{{.Task.Slot}}", target="/data", read_only=True
    )
    bind.bind.create_source = True
    bind.bind.propagation = "rshared"
    task.spec.container.mounts.add(type=Mount.TYPE_BIND, source="/etc/x", target="/x")
    tmpfs = task.spec.container.mounts.add(type=Mount.TYPE_TMPFS, target="/tmp")
    tmpfs.tmpfs.size_bytes = 1024
    tmpfs.tmpfs.mode = 0
    assert container_config(task, "", SANDBOX, FACTS).mounts == (
        BindMount("/data/3", "/data", True, "rshared", True),
        BindMount("/etc/x", "/x"),
        TmpfsMount("/tmp", 1024, 0),
    )


def test_a_bad_placeholder_rejects_the_task() -> None:
    task = a_task()
    task.spec.container.env.append("A={{.Nothing.Here}}")
    with pytest.raises(TaskRejected):
        container_config(task, "", SANDBOX, FACTS)


def test_only_ports_in_host_mode_are_opened_for_the_task() -> None:
    task = a_task()
    task.endpoint.ports.add(target_port=80, published_port=8080, publish_mode=PortConfig.PUBLISH_MODE_HOST)
    task.endpoint.ports.add(
        target_port=53, protocol=PortConfig.PROTOCOL_UDP, publish_mode=PortConfig.PUBLISH_MODE_HOST
    )
    task.endpoint.ports.add(
        target_port=81, published_port=8081, publish_mode=PortConfig.PUBLISH_MODE_INGRESS
    )
    assert published_ports(task) == (PublishedPort("tcp", 8080, 80), PublishedPort("udp", 0, 53))


def test_registry_credentials_come_from_the_spec_or_not_at_all() -> None:
    task = a_task()
    assert registry_credentials(task) is None
    task.spec.container.registry_auth.username = "anna"
    found = registry_credentials(task)
    assert found is not None
    assert found.username == "anna"


def test_a_container_is_told_which_generic_resources_it_was_given() -> None:
    task = a_task()
    task.spec.container.env.extend(["A=1"])
    task.assigned_generic.extend(parse_owned(["gpu=UUID2,gpu=UUID1", "ssd=3"]))
    config = container_config(task, "sha256:1", SANDBOX, FACTS)
    assert config.env == ("A=1", "DOCKER_RESOURCE_GPU=UUID1,UUID2", "DOCKER_RESOURCE_SSD=3")
