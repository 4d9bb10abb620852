"""The numbers a manager shows to Prometheus."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NodeState, TaskState
from swarm.manager.store.tables import ReadView
from swarm.model.autoscale import wanted_replicas
from swarm.telemetry.samples import AutoscaledService, ManagerSample

SLICE = 5_000  # tasks counted before others get a turn: about 2 ms


class RaftPosition(Protocol):
    """What is shown of Raft."""

    @property
    def is_leader(self) -> bool:
        """Whether this manager leads."""

    @property
    def term(self) -> int:
        """The newest term seen."""

    @property
    def commit_index(self) -> int:
        """The newest entry known to be committed."""

    @property
    def delays_s(self) -> tuple[float, float]:
        """The longest delays lately: of the Raft thread, and of the event loop."""

    @property
    def members(self) -> Sequence[RaftMember]:
        """All members."""


async def sample_manager(view: ReadView, raft: RaftPosition) -> ManagerSample:
    """Return the numbers; large tables are counted in slices, because Raft runs on the same loop."""
    tasks = list(view.tasks)
    by_state: Counter[int] = Counter()
    for start in range(0, len(tasks), SLICE):
        by_state.update(task.status.state for task in tasks[start : start + SLICE])
        await asyncio.sleep(0)
    nodes: Counter[int] = Counter(node.status.state for node in view.nodes)
    raft_delay_s, loop_delay_s = raft.delays_s
    autoscaled = [
        AutoscaledService(
            one.spec.annotations.name, wanted_replicas(one), bool(one.autoscale_status.holding)
        )
        for one in view.services
        if one.spec.HasField("autoscale")
    ]
    return ManagerSample(
        leader=raft.is_leader,
        raft_term=raft.term,
        raft_commit_index=raft.commit_index,
        raft_delay_s=raft_delay_s,
        loop_delay_s=loop_delay_s,
        store_index=view.index,
        services=len(view.services),
        managers=len(raft.members),
        nodes={_word(name, "NODE_STATE_"): nodes[value] for name, value in NodeState.items()},
        # REMOVE is only ever a desired state.
        tasks={
            _word(name, "TASK_STATE_"): by_state[value]
            for name, value in TaskState.items()
            if value != TaskState.TASK_STATE_REMOVE
        },
        autoscaled=sorted(autoscaled, key=lambda one: one.service),
    )


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
