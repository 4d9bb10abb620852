"""The storage plugins (CSI) of this node: found by their sockets, asked what they are, called."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from swarm.api.v1 import csi_pb2 as csi
from swarm.api.v1.types_pb2 import CsiPlugin
from swarm.endings import asked_to_end
from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable
from swarm.model.limits import CSI_PLUGINS

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)

ASK_TIMEOUT_S = 5.0  # what a plugin is
CALL_TIMEOUT_S = 40.0  # what it does: the leader waits a little longer
WATCH_PERIOD_S = 1.0

CONTROLLER_METHODS = frozenset(
    {"CreateVolume", "DeleteVolume", "ControllerPublishVolume", "ControllerUnpublishVolume"}
)
_CONTROLLER_SERVICE = csi.PluginCapability.Service.CONTROLLER_SERVICE
_CREATE = csi.ControllerServiceCapability.RPC.CREATE_DELETE_VOLUME
_PUBLISH = csi.ControllerServiceCapability.RPC.PUBLISH_UNPUBLISH_VOLUME
_STAGE = csi.NodeServiceCapability.RPC.STAGE_UNSTAGE_VOLUME
_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,  # "an operation is under way already"
        grpc.StatusCode.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class _Found:
    channel: grpc.aio.Channel
    plugin: CsiPlugin
    stages: bool


class CsiPlugins:
    """Everything that listens in one folder.

    Raises Unavailable (try again) and FailedPrecondition (it refuses).
    """

    def __init__(self, directory: Path) -> None:
        """`directory` is where the sockets are, NAME.sock; it need not exist."""
        self._directory = directory
        self._found: dict[str, _Found] = {}  # by name
        self._channels: dict[Path, grpc.aio.Channel] = {}
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        """Close all connections."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def discover(self) -> Sequence[CsiPlugin]:
        """Return the plugins that answer now, by name."""
        async with self._asking:
            return await self._discover()

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Tell whenever a socket came or went; runs until cancelled."""
        known = await asyncio.to_thread(self._sockets)
        while True:
            await asyncio.sleep(WATCH_PERIOD_S)
            now = await asyncio.to_thread(self._sockets)
            if now != known:
                known = now
                on_change()

    async def control(self, driver: str, method: str, request: bytes) -> bytes:
        """Have the controller of a plugin do something."""
        if method not in CONTROLLER_METHODS:
            raise InvalidArgument(f"this node knows no controller call {method}")
        found = await self._get(driver)
        return await _call(found.channel, driver, f"Controller/{method}", request)

    async def stages(self, driver: str) -> bool:
        """Whether volumes of a plugin are staged before they are published."""
        return (await self._get(driver)).stages

    async def node_call(self, driver: str, request: Message) -> None:
        """Have a plugin do something on this node."""
        found = await self._get(driver)
        method = type(request).DESCRIPTOR.name.removesuffix("Request")
        await _call(found.channel, driver, f"Node/{method}", request.SerializeToString())

    async def _get(self, driver: str) -> _Found:
        if driver not in self._found:
            await self.discover()
        if driver not in self._found:
            raise Unavailable(f"this node has no plugin {driver} that answers (looked in {self._directory})")
        return self._found[driver]

    def _sockets(self) -> dict[Path, int]:
        """Return the sockets and what tells a new one from an old one."""
        found = {}
        for path in sorted(self._directory.glob("*.sock"))[: CSI_PLUGINS.value]:
            try:
                found[path] = path.stat().st_ino
            except OSError:
                continue
        return found

    async def _discover(self) -> Sequence[CsiPlugin]:
        paths = await asyncio.to_thread(self._sockets)
        for path in [path for path in self._channels if path not in paths]:
            await self._channels.pop(path).close()
        for path in paths:
            if path not in self._channels:
                self._channels[path] = grpc.aio.insecure_channel(f"unix:{path}")
        answers = await asyncio.gather(*(self._ask(path, self._channels[path]) for path in paths))
        self._found = {one.plugin.name: one for one in answers if one is not None}
        return [self._found[name].plugin for name in sorted(self._found)]

    async def _ask(self, path: Path, channel: grpc.aio.Channel) -> _Found | None:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                return await _described(channel)
        except (TimeoutError, Unavailable, FailedPrecondition) as error:
            log.warning("csi.plugin_left_out", socket=str(path), reason=str(error) or "it does not answer")
            return None


async def _described(channel: grpc.aio.Channel) -> _Found:
    """Ask a plugin what it is; raises Unavailable, FailedPrecondition."""

    async def ask(method: str, request: Message, answer: type[M]) -> M:
        return answer.FromString(await _call(channel, "", method, request.SerializeToString()))

    info = await ask("Identity/GetPluginInfo", csi.GetPluginInfoRequest(), csi.GetPluginInfoResponse)
    node = await ask("Node/NodeGetInfo", csi.NodeGetInfoRequest(), csi.NodeGetInfoResponse)
    parts = await ask(
        "Identity/GetPluginCapabilities",
        csi.GetPluginCapabilitiesRequest(),
        csi.GetPluginCapabilitiesResponse,
    )
    abilities = await ask(
        "Node/NodeGetCapabilities", csi.NodeGetCapabilitiesRequest(), csi.NodeGetCapabilitiesResponse
    )
    plugin = CsiPlugin(
        name=info.name,
        node_id=node.node_id,
        topology=node.accessible_topology.segments,
        volumes_max=node.max_volumes_per_node,
        has_controller=any(one.service.type == _CONTROLLER_SERVICE for one in parts.capabilities),
    )
    if plugin.has_controller:
        try:
            can = await ask(
                "Controller/ControllerGetCapabilities",
                csi.ControllerGetCapabilitiesRequest(),
                csi.ControllerGetCapabilitiesResponse,
            )
        except FailedPrecondition:
            pass  # the controller is elsewhere
        else:
            kinds = {one.rpc.type for one in can.capabilities}
            plugin.controls, plugin.creates, plugin.publishes = True, _CREATE in kinds, _PUBLISH in kinds
    stages = any(one.rpc.type == _STAGE for one in abilities.capabilities)
    return _Found(channel, plugin, stages)


async def _call(channel: grpc.aio.Channel, driver: str, method: str, request: bytes) -> bytes:
    call: Any = channel.unary_unary(f"/csi.v1.{method}")  # bytes in, bytes out
    try:
        answer = await call(request, timeout=CALL_TIMEOUT_S, wait_for_ready=False)
    except asyncio.CancelledError as error:  # the connection was closed: its socket is not there any more
        if asked_to_end():
            raise
        raise Unavailable(f"plugin {driver} went away") from error
    except grpc.aio.AioRpcError as error:
        text = f"plugin {driver}: {method.partition('/')[2]}: {error.details() or error.code().name}"
        if error.code() in _AGAIN:
            raise Unavailable(text) from error
        raise FailedPrecondition(text) from error
    return bytes(answer)
