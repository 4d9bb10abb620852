"""What the control API needs of others: consensus, images, logs and a way to the leader."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import grpc

from swarm.api.v1.control_pb2 import (
    Filters,
    LoadImageRequest,
    NodeVerdict,
    PlanChangesResponse,
    ServiceLogsResponse,
)
from swarm.api.v1.logs_pb2 import LogOptions, LogSelector
from swarm.api.v1.objects_pb2 import Image, Rebalance, Task
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.steps import Steps

Dial = Callable[[str], grpc.aio.Channel]

# Returns the digest of an image in its registry. Raises NotFound when there is no such image, and
# Unavailable or NotPermitted when the registry does not say.
ResolveImage = Callable[[str, RegistryAuth | None], Awaitable[str]]

# Returns what each node says to a task that waits for one, at a time in nanoseconds since the epoch.
JudgeNodes = Callable[[ReadView, Task, int], Steps[list[NodeVerdict]]]


class RaftStatus(Protocol):
    """Who leads, who belongs, who can be reached; RaftNode is one."""

    @property
    def is_leader(self) -> bool:
        """Whether this manager may write."""

    @property
    def leader(self) -> RaftMember | None:
        """The leader, as far as this manager knows."""

    @property
    def members(self) -> Sequence[RaftMember]:
        """Every voting member, this manager included."""

    @property
    def raft_id(self) -> str:
        """The id of this manager as a member."""

    def reachable(self, raft_id: str) -> bool:
        """Whether this manager reaches another member now."""

    async def move_member(self, raft_id: str, addr: str, timeout_s: float) -> None:
        """Note where a member is reached from now on.

        Raises InvalidArgument or FailedPrecondition if it cannot be, Unavailable while others change.
        """

    async def barrier(self, timeout_s: float) -> int:
        """Return once everything committed before is applied here; raises NotLeader or NoQuorum."""


class Planner(Protocol):
    """Looks ahead, and stores nothing."""

    async def forecast(
        self, change: Callable[[Transaction], Iterable[str]], timeout_s: float
    ) -> PlanChangesResponse:
        """Return what would happen after `change`, which returns the services to look at as well.

        What `change` raises comes out here; raises Unavailable when it takes too long.
        """

    async def moves(self, service_id: str, max_moves: int, timeout_s: float) -> Sequence[Rebalance.Move]:
        """Return which tasks of a service to move to balance it, at most `max_moves` (0: any number).

        Raises NotFound, FailedPrecondition when it cannot be balanced (now), and Unavailable.
        """


class ImageControl(Protocol):
    """Images that were loaded into the cluster."""

    async def load(self, requests: AsyncIterator[LoadImageRequest]) -> Sequence[Image]:
        """Take an archive into this manager and make its images known; called on any manager."""

    def list(self, filters: Filters) -> Sequence[Image]:
        """Return the images asked for, from this manager's store."""

    async def remove(self, ref: str) -> str:
        """Forget an image, named by reference, id or digest, and return its id; called on the leader."""


class LogControl(Protocol):
    """Output of containers."""

    def stream(self, selector: LogSelector, options: LogOptions) -> AsyncIterator[ServiceLogsResponse]:
        """Yield the lines asked for; called on any manager, closed when the reader leaves."""
