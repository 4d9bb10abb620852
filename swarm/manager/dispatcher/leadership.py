"""What the dispatcher asks of Raft: who leads, who belongs, and is that still so."""

from typing import Protocol

from swarm.api.v1.raft_pb2 import RaftMember


class Leadership(Protocol):
    """Implemented by the Raft node of this manager."""

    @property
    def is_leader(self) -> bool:
        """Whether this manager leads, as far as it knows."""

    @property
    def leader(self) -> RaftMember | None:
        """The leader, None when this manager knows of none."""

    @property
    def term(self) -> int:
        """The newest term this manager has seen."""

    @property
    def members(self) -> tuple[RaftMember, ...]:
        """All managers."""

    def reachable(self, raft_id: str) -> bool:
        """Tell whether a manager is connected with this one."""

    async def barrier(self, timeout_s: float) -> int:
        """Return an index after which this manager is known to have led; raises NotLeader or NoQuorum."""
