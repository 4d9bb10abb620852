"""What this machine offers an agent: runtime driver and network; and how all of it is taken back."""

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm.config import Settings

# `swarmd cleanup` is this file and little else: what only agents need would be most of its time.
if TYPE_CHECKING:
    from swarm.agent.http.base import HttpProxy
    from swarm.agent.network.base import NodeNetwork
    from swarm.agent.resolver.base import Resolver
    from swarm.runtime.base import Capabilities, RuntimeDriver
    from swarm.runtime.images.store import LocalImageStore


@dataclass(frozen=True, slots=True)
class Machine:
    """Opened once, for all lives of the agent."""

    driver: "RuntimeDriver"
    network: "NodeNetwork"
    resolver: "Resolver"
    http_proxy: "HttpProxy"
    capabilities: "Capabilities"

    async def close(self) -> None:
        """Let go of everything; containers live on."""
        await self.network.close()
        await self.driver.close()


async def open_machine(settings: Settings, images: "LocalImageStore") -> Machine:
    """Return what the machine offers; raises FailedPrecondition with what is missing."""
    from swarm.agent.http.select import open_http_proxy
    from swarm.agent.network.select import open_network
    from swarm.agent.resolver.select import open_resolver
    from swarm.runtime.select import open_driver

    network = open_network(settings)
    opened = await open_driver(settings, images)
    return Machine(
        opened.driver, network, open_resolver(settings), open_http_proxy(settings), opened.capabilities
    )


async def remove_everything(settings: Settings) -> None:
    """Remove every container, mount, cgroup and namespace of this node's folders; no agent may run."""
    from swarm.agent.http.select import open_http_proxy
    from swarm.agent.network.select import open_network
    from swarm.agent.resolver.select import open_resolver
    from swarm.runtime.select import cleanup

    await cleanup(settings)
    await open_http_proxy(settings).teardown()
    await open_resolver(settings).teardown()
    await open_network(settings).teardown()


def forget_seat(settings: Settings) -> None:
    """Give up a manager's place in Raft, with its log: as a whole, whatever interrupts this."""
    from swarm.security.keyfiles import sync_directory

    gone = settings.raft_dir.with_name("raft.gone")
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        settings.raft_dir.rename(gone)
        sync_directory(settings.raft_dir.parent)
        shutil.rmtree(gone, ignore_errors=True)


def wipe_membership(settings: Settings) -> None:
    """Delete what a node keeps about its cluster: keys, Raft log, tasks. Images stay: they are a cache."""
    from swarm.node.level import forget_level

    forget_seat(settings)
    settings.key_file.unlink(missing_ok=True)
    forget_level(settings.state_dir)
    for directory in (
        settings.raft_dir,
        settings.audit_dir,
        settings.agent_dir,
        settings.certificate_file.parent,
    ):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(directory)


def has_leftovers(settings: Settings) -> bool:
    """Tell whether a join, init or leave was interrupted here."""
    kept = (settings.raft_dir, settings.key_file, settings.agent_dir, settings.certificate_file)
    return any(path.exists() for path in kept)
