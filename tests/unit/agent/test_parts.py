"""A part of the agent that ends, or that waits for somebody who goes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from swarm.agent.csi.plugins import CsiPlugins
from swarm.agent.system.disk_watch import DiskWatch
from swarm.api.v1 import csi_pb2 as csi
from swarm.errors import InvariantBroken, Unavailable
from swarm.model.task_state import RUNNING
from swarm.runtime.base import ContainerState
from tests.unit.agent.lab import a_lab, a_task, until


async def returns() -> None:
    pass


async def is_given_up() -> None:
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    await given_up


@pytest.mark.parametrize("ends", [returns, is_given_up])
async def test_a_part_that_ends_fails_the_agent_and_takes_no_task_along(
    ends: Callable[[], Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = asyncio.Event()

    async def run(watch: DiskWatch) -> None:
        await due.wait()
        await ends()

    monkeypatch.setattr(DiskWatch, "run", run)
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        running, node.running = node.running, None
        assert running is not None
        due.set()
        async with asyncio.timeout(60):
            with pytest.raises(ExceptionGroup) as caught:
                await running
        assert caught.group_contains(InvariantBroken, match="the agent's disks ended")
        assert node.driver.ids(ContainerState.RUNNING) == {task.id}


class Plugin(grpc.GenericRpcHandler):
    """Says who it is, and hangs in everything else."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        name = details.method.rpartition("/")[2]

        async def answer(request: bytes, context: Any) -> bytes:
            if name == "GetPluginInfo":
                return csi.GetPluginInfoResponse(name="disks").SerializeToString()
            if name == "NodePublishVolume":
                self.asked.set()
                await asyncio.Event().wait()
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_a_plugin_whose_socket_goes_while_it_works_is_said_to_be_away(tmp_path: Path) -> None:
    plugin, server = Plugin(), grpc.aio.server()
    server.add_generic_rpc_handlers((plugin,))
    server.add_insecure_port(f"unix:{tmp_path}/disks.sock")
    await server.start()
    plugins = CsiPlugins(tmp_path)
    try:
        async with asyncio.timeout(60):
            calling = asyncio.create_task(plugins.node_call("disks", csi.NodePublishVolumeRequest()))
            await plugin.asked.wait()
            (tmp_path / "disks.sock").unlink()
            assert await plugins.discover() == []
            with pytest.raises(Unavailable, match="plugin disks went away"):
                await calling
    finally:
        await plugins.close()
        await server.stop(None)
