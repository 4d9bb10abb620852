"""A large placement on a real cluster of managers, and somebody who asks questions all the while."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from bench.raft.managers import elections_won, term
from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.api.v1.types_pb2 import NodeAvailability, NodeRole
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import METRICS_PORT, Node

TASK_NANO_CPUS = 10_000_000
LOOK_S = 0.5
JOIN_TIMEOUT_S, PLACE_TIMEOUT_S = 900.0, 900.0
CREATE_TIMEOUT_S = 60.0

_SAMPLE = re.compile(r'^(swarm_\w+?)(?:\{state="(\w+)"\})? (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Placement:
    """What was seen while so many tasks were placed on so many nodes."""

    nodes: int
    tasks: int
    seconds: float  # from the first request until the last task had a node
    elections: int
    asked: Mapping[str, Sequence[float]]  # seconds of each answer, by method
    failures: Sequence[str]
    raft_delay_s: float  # the longest time that the leader's Raft thread was late
    loop_delay_s: float  # the longest time that anything waited for the leader's event loop


def socket_of(node: Node) -> str:
    """Return how gRPC calls the socket of a daemon."""
    return node.host.replace("unix://", "unix:")


def metrics(node: Node) -> dict[tuple[str, str], float]:
    """Return what a manager shows: by name and state."""
    with urllib.request.urlopen(f"http://{node.address}:{METRICS_PORT}/metrics", timeout=30) as answer:
        return {
            (name, state): float(value) for name, state, value in _SAMPLE.findall(answer.read().decode())
        }


def tasks_by_state(node: Node) -> dict[str, int]:
    """Return how many tasks are in each state."""
    return {
        state: int(value) for (name, state), value in metrics(node).items() if name == "swarm_manager_tasks"
    }


def waiting(node: Node) -> int:
    """Return how many tasks have no node."""
    counts = tasks_by_state(node)
    return counts["new"] + counts["pending"]


def placed(node: Node) -> int:
    """Return how many tasks have one."""
    return sum(tasks_by_state(node).values()) - waiting(node)


def leader_of(cluster: DevCluster) -> Node:
    """Return the manager that leads."""
    return next(node for node in cluster.plan.nodes if metrics(node)["swarm_manager_leader", ""])


async def drain_managers(socket: str) -> None:
    """Let no task come to the managers' own nodes, which are real."""
    async with grpc.aio.insecure_channel(socket) as channel:
        stub = ControlStub(channel)
        answer = await stub.ListNodes(
            control.ListNodesRequest(filters=control.Filters(roles=[NodeRole.NODE_ROLE_MANAGER]))
        )
        for node in answer.nodes:
            node.spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
            await stub.UpdateNode(
                control.UpdateNodeRequest(id=node.id, version=node.meta.version.index, spec=node.spec)
            )


async def create_all(socket: str, services: int, replicas: int) -> None:
    """Create the services all at once."""
    async with grpc.aio.insecure_channel(socket) as channel:
        stub = ControlStub(channel)
        requests = []
        for number in range(services):
            request = control.CreateServiceRequest(skip_image_resolution=True)
            request.spec.annotations.name = f"load-{number}"
            request.spec.task.container.image = "example.com/web:1"
            request.spec.task.resources.reservations.nano_cpus = TASK_NANO_CPUS
            request.spec.replicated.replicas = replicas
            requests.append(stub.CreateService(request, timeout=CREATE_TIMEOUT_S))
        await asyncio.gather(*requests)


@contextlib.contextmanager
def child(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `python -m WORDS…`, which ends when its input does."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended early")
    return line


def _close(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Let an asker end; return what it saw."""
    out, _ = process.communicate(timeout=60)
    seen: dict[str, Any] = json.loads(out)
    return seen


@contextlib.contextmanager
def simulated_nodes(cluster: DevCluster, count: int) -> Iterator[None]:
    """Add so many nodes; they are ready within the block."""
    watched, leader = cluster.plan.nodes[-1], leader_of(cluster)
    asyncio.run(drain_managers(socket_of(leader)))
    with child("bench.placement.simulated_nodes", socket_of(watched), str(count)) as process:
        _line(process)
        _wait(lambda: metrics(watched)["swarm_manager_nodes", "ready"] >= count, JOIN_TIMEOUT_S, "nodes")
        yield


def _wait(condition: Any, timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {timeout_s:g} s")
        time.sleep(LOOK_S)


def place(cluster: DevCluster, nodes: int, services: int, replicas: int) -> Placement:
    """Create the services and ask until every task has a node; the nodes are there already."""
    leader = leader_of(cluster)
    other = next(node for node in cluster.plan.nodes if node is not leader)
    before = max(map(term, cluster.plan.nodes)), elections_won(cluster)
    with contextlib.ExitStack() as stack:
        askers = [
            stack.enter_context(child("bench.placement.asker", socket_of(node), name))
            for node, name in ((leader, "beside"), (other, "elsewhere"))
        ]
        began_s = time.monotonic()
        asyncio.run(create_all(socket_of(leader), services, replicas))
        for asker in askers:
            _line(asker)
        _wait(lambda: placed(other) >= services * replicas, PLACE_TIMEOUT_S, "placement")
        seen = [_close(asker) for asker in askers]
        # They created services, too: only now it is sure that every task has a node.
        _wait(lambda: waiting(other) == 0, PLACE_TIMEOUT_S, "placement")
        took_s = time.monotonic() - began_s
    asked: dict[str, list[float]] = {}
    for one, where in zip(seen, ("leader", "follower"), strict=True):
        for method, seconds in one["seconds"].items():
            asked[f"{method}, {where}"] = seconds
    shown = metrics(leader)
    return Placement(
        nodes=nodes,
        tasks=services * replicas,
        seconds=took_s,
        elections=max(max(map(term, cluster.plan.nodes)) - before[0], elections_won(cluster) - before[1]),
        asked=asked,
        failures=[text for one in seen for texts in one["failures"].values() for text in texts],
        raft_delay_s=shown["swarm_raft_delay_seconds", ""],
        loop_delay_s=shown["swarm_manager_loop_delay_seconds", ""],
    )
