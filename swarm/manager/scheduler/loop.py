"""The scheduler: hears of changes, places a group, commits; again while there is something to place."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from swarm.api.v1.objects_pb2 import Cluster, Node, Task
from swarm.clock import Clock
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.scheduler.backlog import TASKS_PER_PLAN, Backlog
from swarm.manager.scheduler.commit import commit_assignments, commit_reasons
from swarm.manager.scheduler.demand import Group, group_of
from swarm.manager.scheduler.detail import same_reason
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.scheduler.plan import Assignment, Plan, Refusal, plan_bound, plan_group
from swarm.manager.scheduler.spread import Pools
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Action, Commit, Event, Watch, WatchOverflow
from swarm.model import defaults
from swarm.pacing import Pacer
from swarm.steps import Steps

log = structlog.get_logger(__name__)

Reason = tuple[str, str]  # id of a task, why it waits


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Limits of the scheduler, each with its reason."""

    tasks_per_commit: int = 100  # a transaction of this size holds up the event loop for a few ms
    reason_period_s: float = 1.0  # a reason that keeps changing is written no more often
    retry_rest: float = 4.0  # looking again at what found no node rests this many times what it took
    failure_rest_s: float = 0.2  # after a commit that failed


class SchedulerLoop:
    """Binds PENDING tasks to nodes while this manager leads."""

    def __init__(self, store: Store, clock: Clock, settings: SchedulerSettings | None = None) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings or SchedulerSettings()
        self._pacer = Pacer(clock)
        self._view = ClusterView()
        self._pools = Pools(self._view)
        self._backlog = Backlog()
        self._assignments: list[Assignment] = []  # planned, not committed
        self._reasons: list[Reason] = []
        self._retry_at_s = 0.0
        self._explain_at_s: dict[Group, float] = {}  # when a reason that changed again may be written

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        with self._store.watch(Cluster, Node, Task) as watch:
            await self._rebuild()
            while True:
                try:
                    await self._take_in_waiting(watch)
                    if not await self._work():
                        await self._wait(watch)
                except WatchOverflow:
                    await self._rebuild()
                except (NoQuorum, OutcomeUnknown, StaleVersion) as error:
                    log.warning("scheduler.commit_failed", reason=str(error))
                    await asyncio.sleep(self._settings.failure_rest_s)
                    await self._rebuild()

    # Hearing of changes.

    async def _rebuild(self) -> None:
        now_ns = self._clock.now_ns()
        self._view, self._backlog = ClusterView(), Backlog()
        self._pools = Pools(self._view)
        self._assignments, self._reasons = [], []
        for cluster in self._store.view.clusters:
            self._view.default_strategy = defaults.placement_strategy(cluster.spec)
        nodes, tasks = tuple(self._store.view.nodes), tuple(self._store.view.tasks)
        for node in nodes:
            self._view.put_node(node)
            await self._pacer.breathe()
        for task in tasks:
            self._view.put_task(task, now_ns)
            self._backlog.put(task)
            await self._pacer.breathe()
        log.debug("scheduler.view_built", nodes=len(nodes), tasks=len(tasks))

    async def _take_in_waiting(self, watch: Watch) -> None:
        while commits := watch.drain():
            for commit in commits:
                await self._take_in(commit)

    async def _wait(self, watch: Watch) -> None:
        """Wait until something changes, or until it is time to look again."""
        times = list(self._explain_at_s.values())
        if self._backlog.has_stale:
            times.append(self._retry_at_s)
        rest_s = max(0.0, min(times) - self._clock.monotonic_s()) if times else None
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._take_in(await anext(watch))

    async def _take_in(self, commit: Commit) -> None:
        now_ns = self._clock.now_ns()
        for event in commit.events:
            if isinstance(event.object, Node):
                self._take_in_node(event, event.object)
            elif isinstance(event.object, Task):
                self._take_in_task(event, event.object, now_ns)
            elif isinstance(event.object, Cluster):
                self._view.default_strategy = defaults.placement_strategy(event.object.spec)
        await self._pacer.breathe()

    def _take_in_node(self, event: Event, node: Node) -> None:
        view = self._view.get(node.id)
        if event.action is not Action.REMOVE:
            self._pools.refresh(self._view.put_node(node))
        elif view is not None:
            self._view.drop_node(node.id)
            self._pools.refresh(view)
        self._backlog.note_room(node.id)

    def _take_in_task(self, event: Event, task: Task, now_ns: int) -> None:
        if event.action is Action.REMOVE:
            more_room = self._view.drop_task(task.id)
            self._backlog.drop(task.id)
        else:
            more_room = self._view.put_task(task, now_ns)
            self._backlog.put(task)
        if more_room:
            self._backlog.note_room(task.node_id)

    # Placing.

    async def _work(self) -> bool:
        """Do the most urgent piece of work: tasks that know their node, new ones, those that had no luck."""
        view, pools, backlog, now_ns = self._view, self._pools, self._backlog, self._clock.now_ns()
        if tasks := backlog.take_bound():
            await self._carry_out(plan_bound(view, tasks))
        elif tasks := backlog.take_fresh(self._tasks_at_once):
            await self._carry_out(plan_group(view, pools, tasks, now_ns))
        elif self._assignments or self._reasons:
            await self._commit()
        elif tasks := self._stale_tasks():
            began_s = self._clock.monotonic_s()
            await self._carry_out(plan_group(view, pools, tasks, now_ns))
            took_s = self._clock.monotonic_s() - began_s
            self._retry_at_s = began_s + took_s * (1 + self._settings.retry_rest)
        else:
            return False
        return True

    def _stale_tasks(self) -> tuple[Task, ...]:
        now_s = self._clock.monotonic_s()
        for group in [group for group, at_s in self._explain_at_s.items() if at_s <= now_s]:
            del self._explain_at_s[group]
            self._backlog.note_stale(group)
        return self._backlog.take_stale(self._tasks_at_once) if now_s >= self._retry_at_s else ()

    def _tasks_at_once(self, group: Group) -> int:
        # The nodes that have tasks of the service are ranked anew by every plan: one for each task, at most.
        return max(TASKS_PER_PLAN, len(self._view.hosts(group[0])))

    async def _carry_out(self, steps: Steps[Plan]) -> None:
        plan = await self._pacer.run(steps)
        for assignment in plan.assignments:
            self._backlog.drop(assignment.task_id)
            if assignment.note:
                log.warning(
                    "scheduler.task_not_with_its_data",
                    task_id=assignment.task_id,
                    node_id=assignment.node_id,
                    reason=assignment.note,
                )
        self._backlog.note_company({assignment.node_id: None for assignment in plan.assignments})
        self._assignments += plan.assignments
        for refusal in plan.refusals:
            self._note_reason(refusal)
        while len(self._assignments) + len(self._reasons) >= self._settings.tasks_per_commit:
            await self._commit()

    def _note_reason(self, refusal: Refusal) -> None:
        group = group_of(refusal.tasks[0])
        if refusal.tasks[0].node_id:
            tasks = refusal.tasks
        else:
            tasks = self._backlog.waiting_in(group)
            self._backlog.give_up(group)
        changed = [task for task in tasks if not same_reason(task.status.err, refusal.text)]
        if group in self._explain_at_s:  # one was written a moment ago: it will be looked at again
            changed = [task for task in changed if not task.status.err or task.node_id]
        elif changed:
            self._explain_at_s[group] = self._clock.monotonic_s() + self._settings.reason_period_s
        self._reasons += [(task.id, refusal.text) for task in changed]

    async def _commit(self) -> None:
        """Commit a bounded part of what is planned; what changed in between goes back to the backlog."""
        limit, now_ns = self._settings.tasks_per_commit, self._clock.now_ns()
        assignments, self._assignments = self._assignments[:limit], self._assignments[limit:]
        reasons, self._reasons = self._reasons[:limit], self._reasons[limit:]

        def commit(transaction: Transaction) -> tuple[str, ...]:
            commit_reasons(transaction, reasons)
            return commit_assignments(transaction, assignments, now_ns)

        refused = await self._store.update(commit)
        for task_id in refused:
            self._put_back(task_id, now_ns)
        if assignments:
            log.info("scheduler.tasks_assigned", tasks=len(assignments) - len(refused), refused=len(refused))
        if reasons:
            log.info("scheduler.tasks_waiting", tasks=len(reasons), reason=reasons[0][1])

    def _put_back(self, task_id: str, now_ns: int) -> None:
        """See a task, whose assignment was refused, as the store has it."""
        task = self._store.view.tasks.get(task_id)
        if task is None:
            self._view.drop_task(task_id)
        else:
            self._view.put_task(task, now_ns)
            self._backlog.put(task)
