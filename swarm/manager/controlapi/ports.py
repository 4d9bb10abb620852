"""What the control API needs of others: consensus, images, logs and a way to the leader."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import grpc

from swarm.api.v1.control_pb2 import (
    Filters,
    LoadImageRequest,
    NodeVerdict,
    PlanChangesResponse,
    PruneChosenImagesRequest,
    PullImageRequest,
    PullImageResponse,
    PushImageRequest,
    PushImageResponse,
    ServiceLogsResponse,
)
from swarm.api.v1.logs_pb2 import LogOptions, LogSelector
from swarm.api.v1.objects_pb2 import Image, Rebalance, Task
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.api.v1.users_pb2 import ReadAuditRequest, ReadAuditResponse
from swarm.manager.store.scope import Scope
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
        self, change: Callable[[Transaction], Iterable[str]], timeout_s: float, scope: Scope = ()
    ) -> PlanChangesResponse:
        """Return what would happen after `change`, which returns the services to look at as well.

        With a scope, only what is in it can be changed, and is told. What `change` raises comes out here;
        raises Unavailable when it takes too long.
        """

    async def moves(self, service_id: str, max_moves: int, timeout_s: float) -> Sequence[Rebalance.Move]:
        """Return which tasks of a service to move to balance it, at most `max_moves` (0: any number).

        Raises NotFound, FailedPrecondition when it cannot be balanced (now), and Unavailable.
        """


# Yields the audit trails of all managers.
ReadAudit = Callable[[ReadAuditRequest], AsyncIterator[ReadAuditResponse]]


class ImageStep(Protocol):
    """One step by which an image was made."""

    @property
    def created(self) -> str:
        """When, as RFC 3339 if the builder did so."""

    @property
    def created_by(self) -> str:
        """The command."""

    @property
    def comment(self) -> str:
        """What the builder adds."""

    @property
    def layer(self) -> str:
        """The digest of what it changed, empty when it changed no file."""

    @property
    def size_bytes(self) -> int:
        """The size of that."""


class PlatformImage(Protocol):
    """What an image has for a platform."""

    @property
    def platform(self) -> str:
        """As os/architecture[/variant]; empty where it does not say."""

    @property
    def digest(self) -> str:
        """The digest of its manifest."""

    @property
    def size_bytes(self) -> int:
        """The size of its content on this manager."""

    @property
    def held(self) -> bool:
        """Whether this manager has all of it."""


class ImageControl(Protocol):
    """Images that were loaded into the cluster."""

    async def load(self, requests: AsyncIterator[LoadImageRequest]) -> Sequence[Image]:
        """Take an archive into this manager and make its images known; called on any manager."""

    def list(self, filters: Filters) -> Sequence[Image]:
        """Return the images asked for, from this manager's store."""

    async def remove(self, ref: str, *, force: bool = False) -> str:
        """Forget an image that nothing uses (with `force`: nothing that runs); return its id.

        Named by reference, id or digest; called on the leader.
        """

    def pull(self, request: PullImageRequest) -> AsyncIterator[PullImageResponse]:
        """Fetch an image from its registry into this manager; called on any manager."""

    async def tags(self, reference: str, auth: RegistryAuth | None) -> Sequence[str]:
        """Return the tags that a registry has of a repository; called on any manager."""

    def push(self, request: PushImageRequest) -> AsyncIterator[PushImageResponse]:
        """Give an image to its registry; called on any manager."""

    def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        """Return an archive with images as a tar stream; called on any manager."""

    async def history(self, ref: str) -> tuple[Sequence[ImageStep], bytes]:
        """Return the steps by which an image was made, and its configuration; called on any manager."""

    def platforms(self, ref: str) -> Sequence[PlatformImage]:
        """Return what an image whose history was told has for its platforms."""

    async def tag(self, source: str, target: str) -> Image:
        """Give an image another name; called on the leader."""

    async def prune(self, *, everything: bool) -> tuple[Sequence[Image], int]:
        """Forget images that no service needs; return them and the bytes freed; called on the leader."""

    async def prune_chosen(
        self, choice: PruneChosenImagesRequest, *, everything: bool
    ) -> tuple[Sequence[Image], int, Sequence[str]]:
        """Forget some of them; return also the names of those that may or may not be meant, and stay."""


class LogControl(Protocol):
    """Output of containers."""

    def stream(self, selector: LogSelector, options: LogOptions) -> AsyncIterator[ServiceLogsResponse]:
        """Yield the lines asked for; called on any manager, closed when the reader leaves."""
