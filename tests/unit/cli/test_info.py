"""What `info` says of a node and its cluster: what scripts ask for, and what people read."""

import json

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.types_pb2 import Peer
from swarm.cli import info_view
from swarm.cli.node import _row
from swarm.cli.render import fill

MANAGER = c.InfoResponse(
    state=c.InfoResponse.STATE_ACTIVE,
    node_id="n1",
    cluster_id="c1",
    is_manager=True,
    connected=True,
    hostname="one",
    addr="[fd00::1]:2377",
    managers=[Peer(node_id="n2", addr="10.0.0.2:2377"), Peer(node_id="n1", addr="[fd00::1]:2377")],
)
WORKER = c.InfoResponse(state=c.InfoResponse.STATE_ACTIVE, node_id="n3", cluster_id="c1", hostname="three")
ALONE = c.InfoResponse(hostname="apart", version="1")


def known(managers: int, workers: int = 1) -> c.ListNodesResponse:
    nodes = [Node(id=f"n{number}") for number in range(1, managers + workers + 1)]
    for node in nodes[:managers]:
        node.manager_status.leader = node.id == "n1"
    nodes[0].description.resources.nano_cpus = 4 * 10**9
    return c.ListNodesResponse(nodes=nodes)


def of_manager(managers: int = 3) -> info_view.View:
    cluster = Cluster(id="c1")
    cluster.spec.task_history_limit = 0
    cluster.spec.autolock = True
    return info_view.info(MANAGER, cluster, known(managers))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (MANAGER, "active true n1 c1 one"),
        (WORKER, "active false n3 c1 three"),
        (ALONE, "inactive false   apart"),
    ],
    ids=["manager", "worker", "alone"],
)
def test_what_scripts_ask_first_is_there_on_every_node(answer: c.InfoResponse, said: str) -> None:
    view = info_view.info(answer, None, None)
    asked = "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.Swarm.NodeID}} {{.Swarm.Cluster.ID}}"
    assert fill(asked + " {{.Name}}", view) == said


def test_times_are_numbers_in_json_and_printed_as_go_does_in_templates() -> None:
    asked = (
        "{{with .Swarm.Cluster.Spec}}{{.CAConfig.NodeCertExpiry}} {{json .CAConfig.NodeCertExpiry}}{{end}}"
    )
    assert fill(asked, of_manager()) == "2160h0m0s 7776000000000000"


def test_managers_tell_of_the_cluster_and_its_settings() -> None:
    asked = "{{.Swarm.Managers}}/{{.Swarm.Nodes}} {{.Swarm.NodeAddr}} {{.NCPU}} {{with .Swarm.Cluster.Spec}}"
    asked += "{{.Orchestration.TaskHistoryRetentionLimit}} {{.EncryptionConfig.AutoLockManagers}}{{end}}"
    assert fill(asked, of_manager()) == "3/4 fd00::1 4 0 true"
    assert fill("{{range .Swarm.RemoteManagers}}{{.Addr}} {{end}}", of_manager()).split() == [
        "10.0.0.2:2377",
        "[fd00::1]:2377",
    ]
    json.dumps(of_manager())


def test_the_machine_is_told_in_the_words_of_docker_and_counts_where_they_are_known() -> None:
    answer = c.InfoResponse(node_id="n1", hostname="one")
    answer.machine.CopyFrom(
        c.MachineInfo(
            kernel_version="6.1.0",
            operating_system="Debian GNU/Linux 12 (bookworm)",
            os_type="linux",
            architecture="x86_64",
            cpus=2,
            memory_bytes=2 << 30,
            storage_driver="overlayfs",
            cgroup_driver="cgroupfs",
            cgroup_version="2",
        )
    )
    view = info_view.info(answer, None, None)
    assert fill("{{.ID}} {{.NCPU}} {{.MemTotal}} {{.OSType}}/{{.Architecture}}", view) == (
        "n1 2 2147483648 linux/x86_64"
    )
    asked = "{{.Driver}} {{.LoggingDriver}} {{.CgroupDriver}} {{.CgroupVersion}} {{.KernelVersion}}"
    assert fill(asked, view) == "overlayfs json-file cgroupfs 2 6.1.0"
    assert [view[key] for key in ("Containers", "ContainersRunning", "Images")] == [None] * 3
    assert not [line for line in info_view.lines(view) if "Containers" in line]
    answer.machine.containers.CopyFrom(c.ContainerCounts(running=3, paused=1, stopped=2, images=5))
    view = info_view.info(answer, None, None)
    asked = "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.Images}}"
    assert fill(asked, view) == "6 3 1 2 5"
    told = info_view.lines(view)
    assert told[1:6] == ["Containers: 6", " Running: 3", " Paused: 1", " Stopped: 2", "Images: 5"]
    assert {"Operating System: Debian GNU/Linux 12 (bookworm)", "Kernel Version: 6.1.0"} <= {*told}


def test_a_locked_manager_controls_nothing() -> None:
    locked = c.InfoResponse(state=c.InfoResponse.STATE_LOCKED, is_manager=True, node_id="n1")
    assert fill("{{.Swarm.ControlAvailable}}", info_view.info(locked, None, None)) == "false"


def test_people_read_the_state_first_and_nothing_that_is_not_known() -> None:
    assert info_view.lines(info_view.info(ALONE, None, None)) == [
        "Name: apart",
        "Server Version: 1",
        "Swarm: inactive",
    ]
    told = info_view.lines(of_manager())
    assert {"Swarm: active", " Is Manager: true", " Task History Retention Limit: 0"} <= set(told)
    assert info_view.NO_SPARE_MANAGER not in told
    assert info_view.NO_SPARE_MANAGER in info_view.lines(of_manager(managers=2))


def test_whether_a_node_is_the_one_asked_is_no_text() -> None:
    def shown(node_id: str) -> str:
        return fill(
            "{{if .Self}}here{{else}}there{{end}} {{.Self}}", _row(Node(id=node_id), "n1", c.RootStatus())
        )

    assert (shown("n1"), shown("n2")) == ("here true", "there false")
