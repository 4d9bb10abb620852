"""The scheduler: hears of changes, places a group, commits; again while there is something to place."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import structlog

from swarm.api.v1.objects_pb2 import Cluster, Node, Service, Task, Volume
from swarm.clock import Clock
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.scheduler.backlog import TASKS_PER_PLAN, Backlog
from swarm.manager.scheduler.commit import commit_assignments, commit_nominations, commit_reasons
from swarm.manager.scheduler.demand import Group, group_of
from swarm.manager.scheduler.detail import same_reason
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.scheduler.nominate import plan_waiting
from swarm.manager.scheduler.plan import Assignment, Nominee, Refusal
from swarm.manager.scheduler.spread import Pools
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Action, Commit, Event, Watch, WatchOverflow
from swarm.model import defaults
from swarm.model.preemption import is_nominated
from swarm.pacing import Pacer

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
        self._backlog = Backlog(self._view.priority_of)
        self._assignments: list[Assignment] = []  # planned, not committed
        self._nominees: dict[str, Nominee | None] = {}  # by task id; None: room is kept no more
        self._reasons: list[Reason] = []
        self._doubtful = False  # a commit of ours may still come true
        self._retry_at_s = 0.0
        self._explain_at_s: dict[Group, float] = {}  # when a reason that changed again may be written

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        with self._store.watch(Cluster, Node, Service, Task, Volume) as watch:
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
                    self._doubtful = True
                    await asyncio.sleep(self._settings.failure_rest_s)
                    await self._rebuild()

    # Hearing of changes.

    async def _rebuild(self) -> None:
        now_ns = self._clock.now_ns()
        self._view = ClusterView()
        self._pools, self._backlog = Pools(self._view), Backlog(self._view.priority_of)
        self._assignments, self._reasons, self._nominees = [], [], {}
        for cluster in self._store.view.clusters:
            self._view.default_strategy = defaults.placement_strategy(cluster.spec)
        for volume in self._store.view.volumes:
            self._view.volumes.put(volume)
        nodes, tasks = tuple(self._store.view.nodes), tuple(self._store.view.tasks)
        for service in self._store.view.services:
            self._view.put_service(service)
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
            elif isinstance(event.object, Service):
                self._take_in_service(event, event.object)
            elif isinstance(event.object, Volume):
                self._take_in_volume(event, event.object)
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

    def _take_in_service(self, event: Event, service: Service) -> None:
        if event.action is Action.REMOVE:
            self._view.forget_service(service.id)
        elif self._view.put_service(service):
            self._backlog.note_precedence(service.id)

    def _take_in_volume(self, event: Event, volume: Volume) -> None:
        if event.action is Action.REMOVE:
            self._view.volumes.drop(volume.id)
        else:
            self._view.volumes.put(volume)
            self._backlog.note_volume()

    def _take_in_task(self, event: Event, task: Task, now_ns: int) -> None:
        if event.action is Action.REMOVE:
            roomy = self._view.drop_task(task.id)
            self._backlog.drop(task.id)
        else:
            roomy = self._view.put_task(task, now_ns)
            self._backlog.put(task)
        if is_nominated(task):  # whoever waits for the same node may have to look for another
            self._backlog.note_room(task.nomination.node_id)
        if roomy:
            self._backlog.note_room(roomy)

    # Placing.

    async def _work(self) -> bool:
        """Do the most urgent piece of work: tasks that know their node, new ones, those that had no luck.

        Those of higher priority first; what had no luck is then looked at before what is new.
        """
        backlog = self._backlog
        if backlog.has_urgent_stale and (tasks := self._stale_tasks()):
            await self._look_again(tasks)
        elif tasks := (backlog.take_bound() or backlog.take_fresh(self._tasks_at_once)):
            await self._carry_out(tasks)
        elif self._assignments or self._reasons or self._nominees:
            await self._commit()
        elif tasks := self._stale_tasks():
            await self._look_again(tasks)
        else:
            return False
        return True

    async def _look_again(self, tasks: Sequence[Task]) -> None:
        began_s = self._clock.monotonic_s()
        await self._carry_out(tasks)
        took_s = self._clock.monotonic_s() - began_s
        self._retry_at_s = began_s + took_s * (1 + self._settings.retry_rest)

    def _stale_tasks(self) -> tuple[Task, ...]:
        now_s = self._clock.monotonic_s()
        for group in [group for group, at_s in self._explain_at_s.items() if at_s <= now_s]:
            del self._explain_at_s[group]
            self._backlog.note_stale(group)
        return self._backlog.take_stale(self._tasks_at_once) if now_s >= self._retry_at_s else ()

    def _tasks_at_once(self, group: Group) -> int:
        # The nodes that have tasks of the service are ranked anew by every plan: one for each task, at most.
        return max(TASKS_PER_PLAN, len(self._view.hosts(group[0])))

    async def _carry_out(self, tasks: Sequence[Task]) -> None:
        now_ns = self._clock.now_ns()
        plan = await self._pacer.run(plan_waiting(self._view, self._pools, tasks, now_ns))
        for assignment in plan.assignments:
            self._backlog.drop(assignment.task_id)
            if assignment.note:
                log.warning(
                    "scheduler.task_not_with_its_data",
                    task_id=assignment.task_id,
                    node_id=assignment.node_id,
                    reason=assignment.note,
                )
            self._nominees.pop(assignment.task_id, None)
        self._backlog.note_company({assignment.node_id: None for assignment in plan.assignments})
        self._assignments += plan.assignments
        self._nominees |= dict.fromkeys(plan.withdrawn)
        self._nominees |= {one.task_id: one for one in plan.nominees}
        if plan.nominees:  # they say why they wait
            self._reasons = [reason for reason in self._reasons if self._nominees.get(reason[0]) is None]
        if len(plan.assignments) < len(tasks) and not tasks[0].node_id:
            self._backlog.give_up(group_of(tasks[0]))
        for node_id in plan.freed:
            self._backlog.note_room(node_id)
        for refusal in plan.refusals:
            self._note_reason(refusal)
        limit = self._settings.tasks_per_commit
        while len(self._assignments) + len(self._reasons) + len(self._nominees) >= limit:
            await self._commit()

    def _note_reason(self, refusal: Refusal) -> None:
        group = group_of(refusal.tasks[0])
        tasks = refusal.tasks
        if not tasks[0].node_id:
            waiting = self._backlog.waiting_in(group)
            tasks = tuple(task for task in waiting if self._view.kept_for(task.id) is None)
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
        nominees = dict(islice(self._nominees.items(), 0 if self._assignments else limit))
        for task_id in nominees:
            del self._nominees[task_id]

        def commit(transaction: Transaction) -> tuple[tuple[str, ...], tuple[str, ...]]:
            commit_reasons(transaction, reasons)
            refused = commit_assignments(transaction, assignments, now_ns, recount=self._doubtful)
            return refused, commit_nominations(transaction, nominees, now_ns)

        refused, unwanted = await self._store.update(commit)
        if len(refused) < len(assignments):  # it is in the log, and so is whatever was before it
            self._doubtful = False
        for task_id in (*refused, *unwanted):
            self._put_back(task_id, now_ns)
        for task_id, nominee in nominees.items():
            if nominee is not None:
                log.info(
                    "scheduler.task_nominated",
                    task_id=task_id,
                    node_id=nominee.node_id,
                    victims=len(nominee.victims),
                    refused=task_id in unwanted,
                )
        if assignments:
            log.info("scheduler.tasks_assigned", tasks=len(assignments) - len(refused), refused=len(refused))
        if reasons:
            log.info("scheduler.tasks_waiting", tasks=len(reasons), reason=reasons[0][1])

    def _put_back(self, task_id: str, now_ns: int) -> None:
        """See a task, whose assignment was refused, as the store has it."""
        task = self._store.view.tasks.get(task_id)
        if task is None:
            roomy = self._view.drop_task(task_id)
        else:
            roomy = self._view.put_task(task, now_ns)
            self._backlog.put(task)
        if roomy:
            self._backlog.note_room(roomy)
