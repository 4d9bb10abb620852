"""A manager's control API on a socket, with objects, ids and clocks that are the same each time."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from swarm.api.status import ErrorInterceptor
from swarm.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from swarm.api.v1.objects_pb2 import (
    Cluster,
    Config,
    Image,
    Network,
    Node,
    Secret,
    Service,
    Stack,
    StackRevision,
    Task,
)
from swarm.api.v1.types_pb2 import (
    NODE_AVAILABILITY_DRAIN,
    NODE_ROLE_MANAGER,
    NODE_STATE_DOWN,
    NODE_STATE_READY,
    TASK_STATE_FAILED,
    TASK_STATE_RUNNING,
    TASK_STATE_SHUTDOWN,
    PortConfig,
)
from swarm.clock import SECOND
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Object
from swarm.manager.store.testing import ManualClock, store_with
from tests.unit.controlapi.fakes import FakeImages, FakeLogs, FakeRaft

NOW_NS = 1_700_000_000 * SECOND
HOURS = 3600 * SECOND


class CountingSecrets:
    """Numbers instead of chance, so that ids are the same each time."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def randbits(self, bits: int) -> int:
        return int.from_bytes(next(self._numbers).to_bytes(2, "big") * (bits // 16), "big")


class ListedImages(FakeImages):
    """Images of the store."""

    def list(self, filters: object) -> list[Image]:
        image = Image(id="image1image1image1image1im", digest="sha256:" + "ab" * 32, size_bytes=12_345_678)
        image.annotations.name = "docker.io/library/web:1"
        image.meta.created_at.FromNanoseconds(NOW_NS - 48 * HOURS)
        return [image]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a cluster of three nodes and two services on a socket; yield its address."""
    address = f"unix://{folder / 'control.sock'}"
    store = store_with(*_objects(), clock=ManualClock(NOW_NS - 3 * HOURS))
    ready, loop = threading.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=_serve, args=(loop, store, address, ready), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)


def _serve(loop: asyncio.AbstractEventLoop, store: Store, address: str, ready: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    server = loop.run_until_complete(_start(store, address))
    ready.set()
    loop.run_forever()
    loop.run_until_complete(server.stop(0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _start(store: Store, address: str) -> grpc.aio.Server:
    clock = ManualClock(NOW_NS)
    raft = FakeRaft(1)
    servicer = ControlServicer(store, clock, raft, ListedImages(), FakeLogs(), "m1", _nobody)
    server = grpc.aio.server(interceptors=[ErrorInterceptor()])
    add_ControlServicer_to_server(servicer, server)
    server.add_insecure_port(address.replace("unix://", "unix:"))
    await server.start()
    return server


def _nobody(address: str) -> grpc.aio.Channel:
    raise AssertionError(f"nobody is dialled: {address}")


def _objects() -> Iterator[Object]:
    cluster = Cluster(id="cluster1cluster1cluster1c")
    cluster.spec.annotations.name = "default"
    yield cluster
    yield _node("m1", "alpha", manager=True)
    yield _node("w2", "beta")
    yield _node("w3", "gamma", down=True)
    yield _service("service1service1service1s", "web", "web:1", 3, port=8080)
    yield _service("service2service2service2s", "shop_db", "db:5", 1, stack="shop")
    for slot, node, state in ((1, "m1", "running"), (2, "w2", "running"), (3, "w3", "failed")):
        yield _task(f"task{slot}web{slot}task{slot}web{slot}task{slot}web{slot}t", slot, node, state)
    for kind, name in ((Secret, "password"), (Config, "web.conf")):
        item = kind(id=f"{kind.__name__.lower():a<25}")
        item.spec.annotations.name = name
        yield item
    network = Network(id="network1network1network1n")
    network.spec.annotations.name = "shop_default"
    network.spec.driver = "overlay"
    yield network
    stack = Stack(id="stack1stack1stack1stack1s", revisions=[StackRevision(revision=1)])
    stack.annotations.name = "shop"
    yield stack


def _node(node_id: str, hostname: str, *, manager: bool = False, down: bool = False) -> Node:
    node = Node(id=f"{node_id}" if manager else f"{node_id}{hostname}".ljust(25, "0"))
    node.description.hostname = hostname
    node.description.engine_version = "0.1.0"
    node.description.resources.nano_cpus = 4 * SECOND
    node.description.resources.memory_bytes = 8 << 30
    node.description.platform.os, node.description.platform.architecture = "linux", "amd64"
    node.status.state = NODE_STATE_DOWN if down else NODE_STATE_READY
    node.status.addr = f"192.0.2.{ord(node_id[-1]) - 48}"
    if manager:
        node.role = node.spec.desired_role = NODE_ROLE_MANAGER
    if down:
        node.spec.availability = NODE_AVAILABILITY_DRAIN
        node.status.message = "heartbeat failure"
    return node


def _service(
    service_id: str, name: str, image: str, replicas: int, *, port: int = 0, stack: str = ""
) -> Service:
    service = Service(id=service_id, spec_version=1)
    service.spec.annotations.name = name
    service.spec.task.container.image = image
    service.spec.replicated.replicas = replicas
    if stack:
        service.spec.annotations.labels["com.docker.stack.namespace"] = stack
    if port:
        service.spec.endpoint.ports.add(
            target_port=80, published_port=port, publish_mode=PortConfig.PUBLISH_MODE_HOST
        )
    return service


def _task(task_id: str, slot: int, node_id: str, state: str) -> Task:
    hostnames = {"m1": "m1", "w2": "w2beta".ljust(25, "0"), "w3": "w3gamma".ljust(25, "0")}
    task = Task(id=task_id[:25], service_id="service1service1service1s", slot=slot, spec_version=1)
    task.node_id = hostnames[node_id]
    task.service_annotations.name = "web"
    task.spec.container.image = "web:1"
    failed = state == "failed"
    task.desired_state = TASK_STATE_SHUTDOWN if failed else TASK_STATE_RUNNING
    task.status.state = TASK_STATE_FAILED if failed else TASK_STATE_RUNNING
    task.status.timestamp.FromNanoseconds(NOW_NS - 2 * HOURS)
    if failed:
        task.status.err = "the process exited with code 3"
        task.status.container.exit_code = 3
    return task
