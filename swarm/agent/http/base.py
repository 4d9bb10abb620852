"""The contract of a node's HTTP proxy: what the agent tells it, and what it tells of itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from swarm.agent.assignments import DataChanges
from swarm.agent.overlay.state import OverlayState, Touched
from swarm.api.v1.types_pb2 import HttpProxyStatus

Counters = Mapping[tuple[str, str], float]  # requests by service and kind of answer (2xx, 3xx, …)


class HttpProxy(Protocol):
    """The HTTP proxy of one node. It goes on, as it was told last, while no agent runs."""

    changed: Callable[[], None]  # called when the status differs

    async def start(self) -> None:
        """Take care of the proxy from now on, also of one that an earlier life of this agent started."""

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Have the proxy be what follows from `state`, soon; with nothing touched, compare everything.

        The first call comes with a state that is complete.
        """

    def take_data(self, changes: DataChanges) -> None:
        """Hear of secrets that this node has now: certificates are among them."""

    def status(self) -> HttpProxyStatus | None:
        """Return how the proxy is; None when there is to be none."""

    async def counters(self) -> Counters:
        """Return what was counted since this agent began; empty while there is no proxy."""

    async def teardown(self) -> None:
        """End the proxy and leave nothing of it behind."""

    async def close(self) -> None:
        """Let go of the proxy, which goes on."""


class NoHttpProxy:
    """Implements HttpProxy where tasks share the node's own network: there is no ingress to go through."""

    changed: Callable[[], None] = staticmethod(lambda: None)

    async def start(self) -> None:
        """Do nothing."""

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Do nothing."""

    def take_data(self, changes: DataChanges) -> None:
        """Do nothing."""

    def status(self) -> HttpProxyStatus | None:
        """Return that there is none."""
        return None

    async def counters(self) -> Counters:
        """Return nothing."""
        return {}

    async def teardown(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
