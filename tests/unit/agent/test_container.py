"""From a task to what the driver creates."""

import pytest

from swarm.agent.container import (
    NodeFacts,
    container_config,
    published_ports,
    registry_credentials,
    resolver_client,
)
from swarm.agent.network.base import PublishedPort, Sandbox
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Mount, PortConfig, Privileges
from swarm.errors import TaskRejected
from swarm.model.devices import parse_device, parse_gpus
from swarm.model.generic_resources import parse_owned
from swarm.model.task import task_name
from swarm.runtime.base import (
    BindMount,
    BlockLimit,
    Dns,
    HostDevice,
    Limits,
    Security,
    Shared,
    TmpfsMount,
    Ulimit,
)

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


def test_options_reach_the_driver_and_what_was_not_said_stays_so() -> None:
    task = a_task()
    plain = container_config(task, "", SANDBOX, FACTS)
    assert (plain.security, plain.shared, plain.limits) == (Security(), Shared(), Limits())
    assert (plain.dns, plain.oom_score_adj) == (Dns(), None)
    spec, resources = task.spec.container, task.spec.resources
    spec.groups.append("audio")
    spec.privileges.privileged = True
    spec.privileges.no_new_privileges = True
    spec.privileges.seccomp.mode = Privileges.Seccomp.MODE_CUSTOM
    spec.privileges.seccomp.profile = b"{}"
    spec.privileges.apparmor, spec.privileges.unmasked_paths = "web", True
    spec.capability_add.append("CAP_BPF")
    spec.capability_drop.append("ALL")
    spec.sysctls["net.x"] = "1"
    spec.ulimits.add(name="nofile", soft=1, hard=2)
    spec.hosts.add(name="db", address="::1")
    spec.dns.search.append("x.org")
    spec.shm_size_bytes, spec.oom_score_adj, spec.cgroup_parent = 9, 0, "/batch"
    spec.annotations["a"] = "b"
    spec.namespaces.ipc, spec.namespaces.pid, spec.namespaces.uts = "host", "private", "host"
    resources.memory_swappiness, resources.memory_swap_bytes = 0, -1
    resources.cpu_shares, resources.cpu_quota_us, resources.cpu_period_us = 2, 3, 4
    resources.cpuset_cpus, resources.cpuset_mems, resources.blkio_weight = "0", "1", 10
    resources.block_limits.add(
        device="/dev/a", weight=10, read_bps=2, write_bps=3, read_iops=4, write_iops=5
    )
    config = container_config(task, "", SANDBOX, FACTS)
    assert config.security == Security(True, True, ("CAP_BPF",), ("ALL",), "{}", "web", True)
    assert config.shared == Shared(ipc=True, uts=True)
    assert (config.groups, config.sysctls) == (("audio",), {"net.x": "1"})
    assert config.ulimits == (Ulimit("nofile", 1, 2),)
    assert (config.hosts, config.dns) == ((("db", "::1"),), Dns(search=("x.org",)))
    assert (config.shm_size_bytes, config.oom_score_adj, config.cgroup_parent) == (9, 0, "/batch")
    assert config.annotations == {"a": "b"}
    assert config.limits == Limits(
        *(0, 0, 0, 0, 2, 3, 4, "0", "1", -1, 0, 10),
        block=(BlockLimit("/dev/a", 10, 2, 3, 4, 5),),
    )
    spec.privileges.seccomp.mode = Privileges.Seccomp.MODE_UNCONFINED
    assert container_config(task, "", SANDBOX, FACTS).security.seccomp == ""


def test_who_asks_the_name_server_of_the_node_does_so_also_with_servers_of_its_own() -> None:
    task = a_task()
    task.spec.container.dns.nameservers.append("9.9.9.9")
    task.spec.container.dns.options.append("rotate")
    alone = container_config(task, "sha256:1", Sandbox(task.id, "172.30.0.9", "/ns", "/resolv"), FACTS)
    assert alone.dns == Dns(options=("rotate",))
    without = container_config(task, "sha256:1", Sandbox(task.id, "127.0.0.9", "", ""), FACTS)
    assert without.dns == Dns(nameservers=("9.9.9.9",), options=("rotate",))
    client = resolver_client(task, "172.30.0.9", ("n1",), FACTS)
    assert (client.nameservers, client.network_ids) == (("9.9.9.9",), ("n1",))
    assert client.name == task_name(task)
    task.networks.add(network_id="n1", addresses=["10.0.0.3"])
    task.spec.networks.add(network_id="n1")
    joined = container_config(task, "sha256:1", Sandbox(task.id, "172.30.0.9", "/ns", "/resolv"), FACTS)
    assert joined.dns.options == ("rotate", "ndots:0")
    assert joined.address == "10.0.0.3"
