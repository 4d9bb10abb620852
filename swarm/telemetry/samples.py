"""What the parts of a node tell about themselves when they are asked: numbers of one moment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AutoscaledService:
    """An autoscaled service, as was decided last."""

    service: str
    replicas: int
    held: bool  # something keeps the number from following the load


@dataclass(frozen=True, slots=True)
class ManagerSample:
    """What a manager knows of the cluster. Every manager tells; `leader` says whom to believe."""

    leader: bool
    raft_term: int
    raft_commit_index: int
    store_index: int
    services: int
    managers: int
    raft_delay_s: float = 0.0  # the longest lately
    loop_delay_s: float = 0.0
    nodes: Mapping[str, int] = field(default_factory=dict)  # by state
    tasks: Mapping[str, int] = field(default_factory=dict)  # by state
    autoscaled: Sequence[AutoscaledService] = ()


@dataclass(frozen=True, slots=True)
class TaskUse:
    """What one running task uses of its node."""

    service: str
    task: str  # service.slot
    cpu_seconds: float
    memory_bytes: int
    moved_bytes: Mapping[str, int] = field(default_factory=dict)  # by way; without those not known


@dataclass(frozen=True, slots=True)
class DiskUse:
    """A file system of a node."""

    path: str
    total_bytes: int
    free_bytes: int
    free_inodes: int


@dataclass(frozen=True, slots=True)
class AgentSample:
    """What an agent knows of its node."""

    connected: bool  # has a session with a manager
    containers: Mapping[str, int] = field(default_factory=dict)  # by state
    uses: Sequence[TaskUse] = ()
    names: Mapping[str, float] = field(default_factory=dict)  # what the name server counted
    tunnel: Mapping[str, float] = field(default_factory=dict)  # of encrypted networks; empty: there are none
    requests: Mapping[tuple[str, str], float] = field(default_factory=dict)  # HTTP; by service and answer
    unhealthy: int = 0  # containers, plain ones too
    plain: int = 0  # containers without a task that run
    disks: Sequence[DiskUse] = ()
    disk_pressure: bool = False  # new tasks stay away


@dataclass(frozen=True, slots=True)
class NodeSample:
    """Everything a scrape needs; a part is None while the node does not have it."""

    manager: ManagerSample | None = None
    agent: AgentSample | None = None
    certificate_expires_at_s: float | None = None  # seconds since the epoch


def count_by(states: Iterable[str], all_states: Iterable[str]) -> dict[str, int]:
    """Return how often each state occurs, with zero for those that do not: a series must not vanish."""
    counts = dict.fromkeys(all_states, 0)
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return counts
