"""The contract of a node's network: what the agent asks for the tasks of its node.

The network is ours for every runtime driver: containers join a namespace that was made here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from swarm.agent.overlay.silence import FarRouter
from swarm.agent.overlay.state import OverlayState, Touched


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of the node that leads to a port of the task (host mode)."""

    protocol: str  # tcp, udp or sctp
    published_port: int
    target_port: int
    host_ip: str = ""  # at which addresses of the node: one, or a CIDR; empty: at all of them


@dataclass(frozen=True, slots=True)
class LocalSubnet:
    """A subnet of a network that the node connects tasks to by itself."""

    subnet: str
    range: str = ""  # what is given out of it; empty: all
    reserved: tuple[str, ...] = ()
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class TaskNetwork:
    """A network that a task joins."""

    network_id: str  # of `host`, `none` and the `bridge` of every node: their name
    addresses: tuple[str, ...] = ()  # one of each family; none yet where the node gives them
    driver: str = "overlay"
    subnets: tuple[LocalSubnet, ...] = ()  # of other drivers
    families: tuple[int, ...] = (4,)  # where it does, of 4 and 6: of those without a subnet it chooses one
    internal: bool = False  # as the managers say; of overlays `apply` heard it
    position: int = -1  # of its interface among those of the task, once it has one
    options: tuple[tuple[str, str], ...] = ()  # of other drivers than overlay
    mac: str = ""  # of the interface; empty: made of the first address


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The network of one task."""

    task_id: str
    address: str  # IPv4 address of the task
    netns_path: str  # empty when the node has no namespaces to give
    resolv_conf: str  # path of the file to mount at /etc/resolv.conf; empty: the node's own
    ports: Sequence[PublishedPort] = ()


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a node encrypts what goes to other nodes in encrypted networks."""

    key: bytes = b""  # public, by which other nodes know this one; empty: it cannot
    way: str = ""  # who does it, or why nobody can, for people


class NodeNetwork(Protocol):
    """Networks of one node. Every call may be repeated and then changes nothing more."""

    async def setup(self) -> None:
        """Make or adopt what all tasks share; keeps existing sandboxes working."""

    def drivers(self) -> frozenset[str]:
        """Return the drivers of networks that tasks can have here, see `swarm.model.network_support`."""

    def encryption(self) -> Encryption:
        """Return whether `setup` found a way to encrypt what goes to other nodes."""

    async def tunnel_counters(self) -> Mapping[str, float]:
        """Return what was counted of encrypted networks, see `swarm.agent.tunnel.plan.counters`."""

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Follow what the managers say of overlay networks; `touched` is what differs since the last call.

        With nothing touched, and in the first call, everything is compared with the kernel. Raises
        Unavailable for what could not be brought about; the next call tries again.
        """

    async def echoes(self, routers: Sequence[FarRouter]) -> frozenset[FarRouter]:
        """Return those routers on other nodes that answer, over what carries networks between nodes."""

    async def attach(
        self,
        task_id: str,
        ports: Sequence[PublishedPort],
        networks: Sequence[TaskNetwork] = (),
        mac: str = "",
    ) -> Sandbox:
        """Give a task its sandbox, in `networks` besides the node's own, where its interface has this `mac`.

        One that it has already, and that runs, joins and leaves networks so; what it keeps is not
        touched. Raises TaskRejected, e.g. when a port is taken on this node, Unavailable while `apply` has
        not heard of a network or of this node's own address there.
        """

    async def detach(self, task_id: str) -> None:
        """Take the sandbox away and free its address and ports."""

    async def keep_only(self, task_ids: Collection[str]) -> None:
        """Detach every sandbox, also of an earlier life, that belongs to none of these tasks."""

    async def teardown(self) -> None:
        """Leave nothing of this node's network behind."""

    async def close(self) -> None:
        """Let go of what this process holds, without touching what running tasks use."""
