"""The allocator: hears of new tasks, gives them what they need, makes them PENDING.

Tasks that wait for other services, and whatever found no address left, are looked at again after changes
that could let them go.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import structlog

from swarm.api.v1.objects_pb2 import Attachment, Network, Node, Service, Task
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.clock import SECOND, Clock
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.allocator.nodes import is_joined, needs_its_node
from swarm.manager.allocator.plan import (
    AllocationPlan,
    commit_allocation,
    needs_allocation,
    plan_allocation,
)
from swarm.manager.allocator.resting import Resting
from swarm.manager.allocator.services import is_settled
from swarm.manager.store.look import look_at
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Commit, Event, Watch, WatchOverflow
from swarm.model import defaults
from swarm.model.dependencies import SETTLE_PERIODS, Gate, Hold
from swarm.pacing import Pacer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """Limits of the allocator, each with its reason."""

    tasks_per_commit: int = 100  # a transaction of this size holds up the event loop for a few ms
    failure_rest_s: float = 0.2  # after a commit that failed
    look_again_s: float = 0.2  # between two looks at all that is held: deployments report many states


# Without a commit: how many are looked at before others have their turn.
SERVICES_PER_LOOK = 100
NODES_PER_LOOK = 10  # all their tasks are looked at


class AllocatorLoop:
    """Takes tasks from NEW to PENDING while this manager leads."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: AllocatorSettings | None = None,
        *,
        settled: Callable[[str, int], bool] | None = None,
    ) -> None:
        """`settled` says whether all nodes in a network have in force what an entry says of it.

        Without, what becomes free is given again at once.
        """
        self._resting = Resting(settled)
        self._store = store
        self._clock = clock
        self._settings = settings or AllocatorSettings()
        self._pacer = Pacer(clock)
        self._new: dict[str, Task] = {}  # to be looked at
        self._held: dict[str, Hold] = {}  # were looked at, and wait
        # Ids of services and nodes that may lack addresses; `_wanting` were looked at, and nothing was left.
        self._services: dict[str, None] = {}
        self._nodes: dict[str, None] = {}
        self._wanting: tuple[dict[str, None], dict[str, None]] = ({}, {})
        self._stirred = False  # something happened that could let them go
        self._looked_ns = 0  # when they were looked at last
        self._settled_ns = 0
        self._period_ns = defaults.HEARTBEAT_PERIOD_NS

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        with self._store.watch(Task, Service, Node, Network, Attachment) as watch:
            cluster = self._store.view.cluster
            self._period_ns = defaults.heartbeat_period_ns(
                cluster.spec if cluster is not None else ClusterSpec()
            )
            self._settled_ns = self._clock.now_ns() + SETTLE_PERIODS * self._period_ns
            await self._rebuild()
            while True:
                try:
                    self._release_due()
                    if self._has_work():
                        await self._commit()
                    await self._follow(watch)
                except WatchOverflow:
                    await self._rebuild()
                except (NoQuorum, OutcomeUnknown, StaleVersion) as error:
                    log.warning("allocator.commit_failed", reason=str(error))
                    await asyncio.sleep(self._settings.failure_rest_s)
                    await self._rebuild()

    async def _rebuild(self) -> None:
        self._new, self._held, self._wanting = {}, {}, ({}, {})
        self._services = dict.fromkeys(service.id for service in self._store.view.services)
        self._nodes = dict.fromkeys(node.id for node in self._store.view.nodes)
        self._resting.begin(self._store.view, self._clock.now_ns())
        for task in tuple(self._store.view.tasks):
            if needs_allocation(task):
                self._new[task.id] = task
            if task.networks and task.node_id:
                self._nodes[task.node_id] = None
            await self._pacer.breathe()

    def _has_work(self) -> bool:
        return bool(self._new or self._services or self._nodes)

    async def _follow(self, watch: Watch) -> None:
        """Take in what changed; wait for it when there is nothing else to do."""
        commits = watch.drain()
        if not commits and not self._has_work():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    commits = [await anext(watch)]
        await self._take_in(commits)

    async def _take_in(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            for event in commit.events:
                self._stirred = self._stirred or _could_let_go(event)
                self._resting.note(event, commit.index, self._clock.now_ns)
                if isinstance(event.object, Service):
                    self._services[event.object.id] = None
                if isinstance(event.object, Attachment):
                    self._nodes[event.object.node_id] = None
                self._nodes.update(dict.fromkeys(_may_join_ingress(event, self._store.view)))
                if not isinstance(event.object, Task):
                    continue
                if _moves_in_networks(event):
                    self._nodes[event.object.node_id] = None
                self._held.pop(event.object.id, None)
                if event.action is not Action.REMOVE and needs_allocation(event.object):
                    self._new[event.object.id] = event.object
                else:
                    self._new.pop(event.object.id, None)
            await self._pacer.breathe()

    def _rest_s(self) -> float | None:
        """Return how long to wait for a change; None: for as long as there is none."""
        at_ns = self._look_again_ns()
        return None if at_ns is None else max(0.0, (at_ns - self._clock.now_ns()) / SECOND)

    def _look_again_ns(self) -> int | None:
        """Return when tasks that are held have to be looked at again."""
        if not self._held and not any(self._wanting):
            return None
        due = [hold.until_ns for hold in self._held.values() if hold.until_ns is not None]
        if self._stirred or self._resting:
            due.append(self._looked_ns + int(self._settings.look_again_s * SECOND))
        return min(due, default=None)

    def _release_due(self) -> None:
        """Look at all tasks that are held, when it is time to."""
        at_ns, now_ns = self._look_again_ns(), self._clock.now_ns()
        if at_ns is None or at_ns > now_ns:
            return
        held, self._held = self._held, {}
        (services, nodes), self._wanting = self._wanting, ({}, {})
        self._services |= services
        self._nodes |= nodes
        self._stirred, self._looked_ns = False, now_ns
        for task_id in held:
            task = self._store.view.tasks.get(task_id)
            if task is not None and needs_allocation(task):
                self._new.setdefault(task_id, task)

    async def _commit(self) -> None:
        tasks = tuple(islice(self._new.values(), self._settings.tasks_per_commit))
        services, nodes = _first(self._services, SERVICES_PER_LOOK), _first(self._nodes, NODES_PER_LOOK)
        view, now_ns = self._store.view, self._clock.now_ns()
        self._resting.look(view, now_ns)
        gate = Gate(look_at(view), now_ns, self._settled_ns, self._period_ns)
        plan = plan_allocation(tasks, gate, _unsettled(view, services), _unjoined(view, nodes))
        for known, looked_at in ((self._services, services), (self._nodes, nodes)):
            for one in looked_at:
                del known[one]
        done = 0
        if plan:
            done = await self._carry_out(plan, now_ns)
        for task in tasks:
            self._new.pop(task.id, None)
        self._held.update(plan.held)
        if done:
            log.info("allocator.tasks_allocated", tasks=done)
        await self._pacer.breathe()

    async def _carry_out(self, plan: AllocationPlan, now_ns: int) -> int:
        """Commit a plan; return how many tasks are PENDING now. Who found nothing left is kept in mind."""
        became = await self._store.update(
            lambda transaction: commit_allocation(transaction, plan, now_ns, self._resting)
        )
        plan.held.update(became.lacking)
        for waiting, ids in zip(self._wanting, (became.service_ids, became.node_ids), strict=True):
            waiting.update(dict.fromkeys(ids))
        if became.lacking or became.service_ids or became.node_ids:
            log.warning(
                "allocator.nothing_left",
                tasks=len(became.lacking),
                services=len(became.service_ids),
                nodes=len(became.node_ids),
            )
        return became.tasks


def _first(ids: Iterable[str], number: int) -> tuple[str, ...]:
    return tuple(islice(ids, number))


def _unsettled(view: ReadView, service_ids: Iterable[str]) -> tuple[str, ...]:
    found = (view.services.get(one) for one in service_ids)
    return tuple(one.id for one in found if one is not None and not is_settled(view, one))


def _unjoined(view: ReadView, node_ids: Iterable[str]) -> tuple[str, ...]:
    found = (view.nodes.get(one) for one in node_ids)
    return tuple(one.id for one in found if one is not None and not is_joined(view, one))


def _moves_in_networks(event: Event) -> bool:
    """Whether a node may need other addresses after an event of a task."""
    before, after = event.previous, event.object
    if not isinstance(after, Task) or not after.networks or not after.node_id:
        return False
    if event.action is Action.REMOVE or not isinstance(before, Task):
        return True
    return before.node_id != after.node_id or needs_its_node(before) != needs_its_node(after)


def _may_join_ingress(event: Event, view: ReadView) -> Iterable[str]:
    """Return the nodes that an event lets into the ingress network, or takes out of it."""
    before, after = event.previous, event.object
    if isinstance(after, Network) and after.spec.ingress and event.action is not Action.UPDATE:
        return tuple(node.id for node in view.nodes)
    if not isinstance(after, Node) or event.action is Action.REMOVE:
        return ()
    changed = not isinstance(before, Node) or before.status.state != after.status.state
    return (after.id,) if changed else ()


def _could_let_go(event: Event) -> bool:
    """Whether tasks that are held could go after `event`."""
    before, after = event.previous, event.object
    if isinstance(before, Task) and isinstance(after, Task):
        return (before.status.state, before.desired_state) != (after.status.state, after.desired_state)
    if isinstance(before, Node) and isinstance(after, Node):
        return before.status.state != after.status.state
    # Of networks nothing changes but how far their addresses have come.
    return not (isinstance(before, Network) and isinstance(after, Network))
