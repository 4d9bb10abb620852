"""What do tasks use? From the agents' reports to the leader's table; never written to the store.

Who holds the session gathers what its agents say, and tells the leader with its next report of sessions. A
report that is lost is not repeated: the next samples are five seconds away.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from swarm.api.v1.dispatcher_pb2 import NodeUsage, TaskUsage
from swarm.api.v1.objects_pb2 import Service
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Event
from swarm.model.autoscale import USED
from swarm.model.usage import Usage

NODE_TASKS_MAX = 2_000  # of one report of one node: more tasks run nowhere
REPORT_TASKS_MAX = 20_000  # of one report to the leader: about 1 MB; the others have to wait
# Averages are over one to two of these: two to four samples. What nobody says for longer is not known.
BUCKET_S = 10.0


class SampledServices:
    """The services whose use somebody wants to know: those that are scaled by it."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def look(self, services: Iterable[Service]) -> None:
        """Take over what there is, after changes were missed."""
        self._ids = {service.id for service in services if is_sampled(service)}

    def note(self, event: Event) -> bool:
        """Hear of a change of a service; return whether others are sampled now."""
        service = event.object
        assert isinstance(service, Service)
        wanted = event.action is not Action.REMOVE and is_sampled(service)
        if wanted == (service.id in self._ids):
            return False
        (self._ids.add if wanted else self._ids.discard)(service.id)
        return True

    def on_node(self, view: ReadView, node_id: str) -> list[str]:
        """Return the ids of those that have tasks on a node."""
        if not self._ids:
            return []
        return sorted({task.service_id for task in view.tasks.by_node(node_id)} & self._ids)


def is_sampled(service: Service) -> bool:
    """Whether the number of replicas of `service` depends on what its tasks use."""
    return any(rule.source in USED for rule in service.spec.autoscale.rules)


class UsageGatherer:
    """What agents of this manager said since it was last asked."""

    def __init__(self) -> None:
        self._pending: dict[str, list[TaskUsage]] = {}  # by node; a later report replaces an earlier one

    def add(self, view: ReadView, node_id: str, reported: Iterable[TaskUsage]) -> None:
        """Take what a node says of its own tasks; what it says of others does not count."""
        own: list[TaskUsage] = []
        for usage in reported:
            task = view.tasks.get(usage.task_id)
            if task is not None and task.node_id == node_id and len(own) < NODE_TASKS_MAX:
                own.append(usage)
        if own:
            self._pending[node_id] = own

    def take(self) -> list[NodeUsage]:
        """Return what to tell the leader, and forget it."""
        taken: list[NodeUsage] = []
        tasks = 0
        while self._pending and tasks < REPORT_TASKS_MAX:
            node_id = next(iter(self._pending))
            usage = NodeUsage(node_id=node_id, tasks=self._pending.pop(node_id))
            tasks += len(usage.tasks)
            taken.append(usage)
        return taken


@dataclass(slots=True)
class _Sum:
    count: int = 0
    nano_cpus: int = 0
    memory_bytes: int = 0


@dataclass(slots=True)
class UsageTable:
    """What tasks used lately, as all managers say. Bounded: two buckets, the older one is thrown away.

    Times are seconds of the leader's monotonic clock.
    """

    _began_s: float = float("-inf")
    _newer: dict[str, _Sum] = field(default_factory=dict)
    _older: dict[str, _Sum] = field(default_factory=dict)

    def take(self, nodes: Iterable[NodeUsage], now_s: float) -> None:
        """Take over what a manager reports."""
        self._turn(now_s)
        for node in nodes:
            for usage in node.tasks:
                known = self._newer.setdefault(usage.task_id, _Sum())
                known.count += 1
                known.nano_cpus += usage.nano_cpus
                known.memory_bytes += usage.memory_bytes

    def usage_of(self, task_id: str, now_s: float) -> Usage | None:
        """Return the average use of a task over the last seconds, None when nobody said so."""
        self._turn(now_s)
        found = [known for known in (self._newer.get(task_id), self._older.get(task_id)) if known]
        count = sum(known.count for known in found)
        if not count:
            return None
        return Usage(
            sum(known.nano_cpus for known in found) / count,
            sum(known.memory_bytes for known in found) / count,
        )

    def _turn(self, now_s: float) -> None:
        age_s = now_s - self._began_s
        if age_s < BUCKET_S:
            return
        self._older = self._newer if age_s < 2 * BUCKET_S else {}
        self._newer = {}
        self._began_s = now_s
