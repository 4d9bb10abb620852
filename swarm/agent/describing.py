"""What the managers are told that this node is like."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from swarm.agent.csi.plugins import CsiPlugins
from swarm.agent.description import describe_node
from swarm.agent.http.base import HttpProxy
from swarm.agent.network.base import NodeNetwork
from swarm.agent.system.disk_watch import DiskWatch
from swarm.api.v1.types_pb2 import NodeCondition, NodeDescription, TlsInfo
from swarm.config import Settings
from swarm.model.network_support import ENCRYPTION, NODE_SUBNET
from swarm.model.networks import OVERLAY
from swarm.runtime.base import Capabilities, RuntimeDriver
from swarm.runtime.cdi.registry import read_registry

log = structlog.get_logger(__name__)

DESCRIBE_PERIOD_S = 20.0


class Describer:
    """Describes this node now and then, and at once when it is asked to."""

    def __init__(
        self,
        settings: Settings,
        driver: RuntimeDriver,
        network: NodeNetwork,
        csi: CsiPlugins,
        disks: DiskWatch,
        http_proxy: HttpProxy,
        *,
        capabilities: Capabilities | None = None,
        tls_info: Callable[[], TlsInfo] | None = None,
    ) -> None:
        """`capabilities` are those that the driver told before; it is asked once without them."""
        self.description = NodeDescription()
        self.warnings: Callable[[], Iterable[NodeCondition]] = tuple  # what people should mend
        self._settings = settings
        self._driver = driver
        self._network = network
        self._csi = csi
        self._disks = disks
        self._http_proxy = http_proxy
        self._capabilities = capabilities
        self._tls_info = tls_info
        self._due = asyncio.Event()
        self._device_problems: tuple[str, ...] = ()  # as they were logged last

    def again(self) -> None:
        """Describe the node soon: something of it changed."""
        self._due.set()

    async def isolated(self) -> bool:
        """Whether containers of this node are kept apart from it."""
        return (await self._known_capabilities()).isolated

    async def refresh(self) -> bool:
        """Describe the node as it is now; return whether that differs from `description` before."""
        capabilities = await self._known_capabilities()
        fresh = describe_node(
            self._settings.hostname,
            self._settings.engine_labels,
            capabilities,
            generic_resources=self._settings.node_generic_resource,
            devices=await self._devices() if capabilities.isolated else {},
            csi_plugins=await self._csi.discover() if capabilities.isolated else (),
            network_drivers=self._network.drivers(),
        )
        if OVERLAY in self._network.drivers():
            fresh.runtime_info[NODE_SUBNET] = self._settings.node_subnet
        encryption = self._network.encryption()
        if encryption.way:
            fresh.runtime_info[ENCRYPTION] = encryption.way
        fresh.tunnel_key = encryption.key
        fresh.data_path_addr = self._settings.data_path_addr
        fresh.conditions.extend(self._disks.pressure.conditions())
        fresh.warnings.extend(self.warnings())
        if (proxy := self._http_proxy.status()) is not None:
            fresh.http_proxy.CopyFrom(proxy)
        if self._tls_info is not None:
            fresh.tls_info.CopyFrom(self._tls_info())
        changed = fresh != self.description
        self.description = fresh
        return changed

    async def run(self, tell: Callable[[NodeDescription], None]) -> None:
        """Call `tell` with each description that differs from the one before, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DESCRIBE_PERIOD_S):
                    await self._due.wait()
            self._due.clear()
            if await self.refresh():
                tell(self.description)

    async def _known_capabilities(self) -> Capabilities:
        if self._capabilities is None:
            self._capabilities = await self._driver.probe()
        return self._capabilities

    async def _devices(self) -> Mapping[str, Sequence[str]]:
        """Return the CDI devices that containers on this node can have, by full name, with their parts."""
        registry = await asyncio.to_thread(read_registry, self._settings.cdi_directories)
        if registry.problems != self._device_problems:
            for problem in registry.problems:
                log.warning("agent.device_left_out", reason=problem)
            self._device_problems = registry.problems
        return registry.parts()
