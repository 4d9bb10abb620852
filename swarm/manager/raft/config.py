"""What one member needs to know before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import InvalidArgument
from swarm.security.keyring import DataKeys


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds, and when a snapshot is due."""

    election_min_s: float = 0.6
    election_max_s: float = 1.2
    heartbeat_s: float = 0.1
    snapshot_entries: int = 10_000
    snapshot_bytes: int = 64 * 1024 * 1024  # of entries
    trailing_entries: int = 1_000  # stay in the log behind a snapshot, for members that are a little behind
    trailing_bytes: int = 16 * 1024 * 1024  # of these, at most

    def check(self) -> None:
        """Raise InvalidArgument for values with which no leader would last."""
        if not 0 < 3 * self.heartbeat_s < self.election_min_s < self.election_max_s:
            raise InvalidArgument(
                f"a heartbeat every {self.heartbeat_s:g} s does not go with elections after "
                f"{self.election_min_s:g} to {self.election_max_s:g} s: at least three must fit in"
            )
        if self.snapshot_entries < 1 or self.trailing_entries < 0:
            raise InvalidArgument("the snapshot interval must be at least 1 entry")


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """One member. After the first start, identity and membership come from the log in `directory`.

    `members` are the voters that the answer to Join named; empty makes a new group of one. A member that
    joins starts as a learner, whatever `self_member.learner` says.
    """

    directory: Path
    cluster_id: str
    self_member: RaftMember
    keys: DataKeys = field(repr=False)  # that the files are encrypted with
    members: Sequence[RaftMember] = ()
    election_timeout_s: tuple[float, float] = (0.6, 1.2)
    heartbeat_s: float = 0.1
    snapshot_interval: int = 10_000  # entries
    trailing_entries: int = 1_000
    inflight_bytes_max: int = 16 * 1024 * 1024  # proposed here and not committed yet; more have to wait
    snapshot_bytes: int = field(default=64 * 1024 * 1024)  # of entries
    trailing_bytes: int = 16 * 1024 * 1024

    @property
    def timing(self) -> Timing:
        """Return the part that the core needs; raises InvalidArgument if it makes no sense."""
        low, high = self.election_timeout_s
        timing = Timing(
            election_min_s=low,
            election_max_s=high,
            heartbeat_s=self.heartbeat_s,
            snapshot_entries=self.snapshot_interval,
            snapshot_bytes=self.snapshot_bytes,
            trailing_entries=self.trailing_entries,
            trailing_bytes=self.trailing_bytes,
        )
        timing.check()
        return timing
