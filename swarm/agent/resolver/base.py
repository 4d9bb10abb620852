"""The contract of a node's name service: what the agent tells it, and what tasks may expect of it.

One name server for all tasks of the node, at the same address in each of them. Who asks is known by the
address in the node's own network that a question comes from.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from swarm.agent.overlay.state import OverlayState, Touched


@dataclass(frozen=True, slots=True)
class Client:
    """A task of this node, as the one who asks."""

    task_id: str
    address: str  # in the node's own network
    network_ids: Sequence[str] = ()  # overlays that it is in: the first one that knows a name answers
    name: str = ""  # of the container
    hostname: str = ""
    nameservers: Sequence[str] = ()  # of its own (--dns), asked from inside of it; empty: the node's


class Resolver(Protocol):
    """The name service of one node. Every call may be repeated and then changes nothing more.

    It goes on answering, with what it was told last, while no agent runs.
    """

    async def start(self) -> None:
        """Take over the name server of an earlier life of this agent, or start one; never fails for good."""

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Answer by `state`, of which at least `touched` is new; returns once that is in force.

        The first call after `start` counts as if everything were touched: until then, what an earlier life
        said is in force. So it must come with a state that is complete.
        """

    async def attach(self, client: Client) -> None:
        """Answer this task from now on; before its container starts."""

    async def detach(self, task_id: str) -> None:
        """Forget a task: its address may soon be another's."""

    async def keep_only(self, task_ids: Collection[str]) -> None:
        """Forget all tasks but these, also those that an earlier life attached."""

    async def counters(self) -> Mapping[str, float]:
        """Return what was counted since the name server started, by name; empty while none runs."""

    async def teardown(self) -> None:
        """End the name server and leave nothing of it behind."""

    async def close(self) -> None:
        """Let go of the name server, which goes on."""


class NoResolver:
    """Implements Resolver where tasks share the node's own network, and with it the node's name servers."""

    async def start(self) -> None:
        """Do nothing."""

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Do nothing."""

    async def attach(self, client: Client) -> None:
        """Do nothing."""

    async def detach(self, task_id: str) -> None:
        """Do nothing."""

    async def keep_only(self, task_ids: Collection[str]) -> None:
        """Do nothing."""

    async def counters(self) -> Mapping[str, float]:
        """Return nothing."""
        return {}

    async def teardown(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
