"""The volume manager against plugins that fail, are away, or did it although nobody heard so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swarm.api.v1 import csi_pb2 as csi
from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.objects_pb2 import Node, Secret, Task, Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.types_pb2 import CsiPlugin, NodeState
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition, SwarmError, Unavailable
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import store_with
from swarm.manager.volumes.loop import VolumeLoop
from swarm.manager.volumes.plugins import PluginCalls
from swarm.manager.volumes.work import Worker
from swarm.model.task_state import ASSIGNED, RUNNING, SHUTDOWN


class Plugins:
    """What nodes answer, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []  # node, what
        self.requests: list[bytes] = []
        self.errors: dict[str, list[SwarmError]] = {}
        self.made: dict[str, str] = {}

    async def converse(self, node_id: str, request: ContainerRequest) -> AsyncIterator[ContainerOutput]:
        verb = request.WhichOneof("verb") or ""
        what = request.controller_call.method if verb == "controller_call" else verb
        self.asked.append((node_id, what))
        answer: object = b""
        if what == "CreateVolume":
            wanted = csi.CreateVolumeRequest.FromString(request.controller_call.request)
            assert dict(wanted.secrets) == {"chap": "word"}
            made = self.made.setdefault(wanted.name, f"p{len(self.made)}")
            answer = csi.CreateVolumeResponse(volume=csi.Volume(volume_id=made)).SerializeToString()
        elif what == "ControllerPublishVolume":
            answer = csi.ControllerPublishVolumeResponse(publish_context={"lun": "7"}).SerializeToString()
        elif what == "attach_volume":
            assert dict(request.attach_volume.publish_context) == {"lun": "7"}
        if self.errors.get(what):  # after the work was done
            raise self.errors[what].pop(0)
        if verb == "controller_call":
            yield ContainerOutput(controller_answer=answer)
        yield ContainerOutput(done=True)

    def did(self) -> list[str]:
        return [what for _, what in self.asked]


def a_node(name: str, state: int = NodeState.NODE_STATE_READY, **plugin: bool) -> Node:
    node = Node(id=name)
    node.status.state = state
    given = {"has_controller": True, "controls": True, "creates": True, "publishes": True, **plugin}
    node.description.csi_plugins.append(CsiPlugin(name="csi.test", node_id=f"csi-{name}", **given))
    return node


def a_volume() -> Volume:
    volume = Volume(id="v1", spec=VolumeSpec(driver="csi.test"))
    volume.spec.annotations.name = "db"
    volume.spec.secrets.add(key="chap", secret_id="s1")
    return volume


def a_task(state: int = ASSIGNED, node: str = "n1") -> Task:
    task = Task(id="t1", node_id=node)
    task.status.state = state
    task.volumes.add(volume_id="v1", source="db", target="/data")
    return task


def a_secret() -> Secret:
    secret = Secret(id="s1")
    secret.spec.annotations.name, secret.spec.secret_data = "word", b"word"
    return secret


@asynccontextmanager
async def leading(store: Store, plugins: Plugins) -> AsyncIterator[None]:
    loop = VolumeLoop(store, SystemClock(), Worker(store, PluginCalls(store, plugins.converse)))
    running = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def put(store: Store, task: Task) -> None:
    def change(transaction):
        changed = copy_of(transaction.tasks.get(task.id))
        changed.status.state = task.status.state
        transaction.update(changed)

    await store.update(change)


def volume_of(store: Store) -> Volume:
    return store.view.volumes.get("v1") or Volume()


async def delete(store: Store) -> None:
    def change(transaction):
        changed = copy_of(transaction.volumes.get("v1"))
        changed.pending_delete = True
        transaction.update(changed)

    await store.update(change)


async def test_a_volume_goes_all_its_ways_in_order() -> None:
    store, plugins = store_with(a_node("n1"), a_volume(), a_secret(), a_task()), Plugins()
    async with leading(store, plugins):
        await until(lambda: "attach_volume" in plugins.did())
        await put(store, a_task(RUNNING))
        await put(store, a_task(SHUTDOWN))
        await until(lambda: not volume_of(store).publish)
        await delete(store)
        await until(lambda: "v1" not in store.view.volumes)
    assert plugins.did() == [
        "CreateVolume",
        "ControllerPublishVolume",
        "attach_volume",
        "detach_volume",
        "ControllerUnpublishVolume",
        "DeleteVolume",
    ]


async def test_what_fails_is_tried_again_and_said_until_it_works() -> None:
    store, plugins = store_with(a_node("n1"), a_volume(), a_secret()), Plugins()
    plugins.errors["CreateVolume"] = [FailedPrecondition("no space left")] * 2
    seen = set()
    async with leading(store, plugins):
        await until(lambda: seen.add(volume_of(store).problem) or volume_of(store).plugin_volume_id)
        await until(lambda: not volume_of(store).problem)
    assert "no space left" in seen
    assert len(plugins.made) == 1
    assert plugins.did() == ["CreateVolume"] * 3


async def test_a_controller_that_cannot_be_reached_is_asked_through_another_node() -> None:
    nodes = (
        a_node("n0", NodeState.NODE_STATE_DOWN),
        a_node("n1", controls=False),
        a_node("n2"),
        a_node("n3"),
    )
    store, plugins = store_with(*nodes, a_volume(), a_secret()), Plugins()
    plugins.errors["CreateVolume"] = [Unavailable("no answer")]
    async with leading(store, plugins):
        await until(lambda: volume_of(store).plugin_volume_id)
    assert plugins.asked == [("n2", "CreateVolume"), ("n3", "CreateVolume")]


async def test_a_volume_that_was_made_but_never_noted_is_found_again_and_removed() -> None:
    found = a_volume()
    found.create_begun = found.pending_delete = True
    store, plugins = store_with(a_node("n1"), found, a_secret()), Plugins()
    async with leading(store, plugins):
        await until(lambda: "v1" not in store.view.volumes)
    assert plugins.did() == ["CreateVolume", "DeleteVolume"]


async def test_one_that_no_plugin_ever_heard_of_is_just_forgotten() -> None:
    found = a_volume()
    found.pending_delete = True
    store, plugins = store_with(found), Plugins()
    async with leading(store, plugins):
        await until(lambda: "v1" not in store.view.volumes)
    assert plugins.asked == []


async def test_a_plugin_without_controller_has_its_volumes_by_name() -> None:
    node = a_node("n1", has_controller=False, controls=False, creates=False, publishes=False)
    store, plugins = store_with(node, a_volume(), a_secret()), Plugins()
    async with leading(store, plugins):
        await until(lambda: volume_of(store).plugin_volume_id == "db")
    assert plugins.asked == []


async def test_a_node_that_is_down_keeps_its_volume_and_one_that_is_removed_does_not() -> None:
    volume = a_volume()
    volume.plugin_volume_id = "p0"
    state = Volume.PUBLISH_STATE_PENDING_NODE_UNPUBLISH
    volume.publish.add(node_id="n1", plugin_node_id="csi-n1", state=state)
    down = a_node("n1", NodeState.NODE_STATE_DOWN)
    store, plugins = store_with(down, a_node("n2"), volume, a_secret()), Plugins()
    async with leading(store, plugins):
        await asyncio.sleep(0)
        await store.update(lambda transaction: transaction.remove(transaction.nodes.get("n1")))
        await until(lambda: not volume_of(store).publish)
    assert plugins.asked == [("n2", "ControllerUnpublishVolume")]


@pytest.mark.parametrize("word", ["", "again"])
async def test_a_new_leader_goes_on_where_the_last_one_stopped(word: str) -> None:
    volume = a_volume()
    volume.plugin_volume_id = "p0"
    volume.publish.add(node_id="n1")
    store, plugins = store_with(a_node("n1"), volume, a_secret(), a_task()), Plugins()
    if word:
        plugins.errors["ControllerPublishVolume"] = [Unavailable(word)]
    async with leading(store, plugins):
        await until(lambda: "attach_volume" in plugins.did())
    assert [what for what in plugins.did() if what != "ControllerPublishVolume"] == ["attach_volume"]
