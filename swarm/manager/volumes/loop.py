"""The volume manager: hears of changes, and does for each volume what has to be done."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from swarm.api.v1.objects_pb2 import Node, Task, Volume
from swarm.api.v1.types_pb2 import NodeState
from swarm.clock import Clock
from swarm.errors import SwarmError
from swarm.manager.store.store import Store
from swarm.manager.store.watch import Action, Commit, Watch, WatchOverflow
from swarm.manager.volumes.plan import NodeFacts, Step, User, Work, next_steps
from swarm.manager.volumes.work import Worker
from swarm.model.cluster_volumes import has_volumes
from swarm.model.task_state import RUNNING

log = structlog.get_logger(__name__)

STEPS_AT_ONCE = 16
RETRY_FIRST_S = 0.1  # doubled each time
RETRY_LAST_S = 60.0
RETRY_DETACH_S = 5.0  # most often it only waits for a container to stop
ATTACH_AGAIN_S = 20.0  # a task still waits although its node said that it has the volume: ask again


@dataclass(slots=True)
class _Retry:
    at_s: float
    pause_s: float


class VolumeLoop:
    """Makes, publishes, attaches and removes cluster volumes."""

    def __init__(self, store: Store, clock: Clock, worker: Worker) -> None:
        self._store = store
        self._clock = clock
        self._worker = worker
        self._tasks: dict[str, Task] = {}  # that have volumes
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}  # by place
        self._retries: dict[tuple[str, str], _Retry] = {}
        self._attached: dict[tuple[str, str], tuple[frozenset[str], float]] = {}  # for whom, when
        self._problems: dict[tuple[str, str], str] = {}
        self._wanted: dict[str, tuple[bool, int]] = {}  # what people want of a volume, by id
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        with self._store.watch(Volume, Task, Node) as watch:
            self._rebuild()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(watch), name="volumes-listen")
                while True:
                    self._wake.clear()
                    rest_s = self._begin_due(group)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(rest_s):
                            await self._wake.wait()

    def _rebuild(self) -> None:
        self._tasks = {task.id: task for task in self._store.view.tasks if has_volumes(task)}
        self._wake.set()

    async def _listen(self, watch: Watch) -> None:
        while True:
            try:
                self._take_in(await anext(watch))
            except WatchOverflow:
                self._rebuild()

    def _take_in(self, commit: Commit) -> None:
        for event in commit.events:
            if isinstance(event.object, Task):
                if event.action is not Action.REMOVE and has_volumes(event.object):
                    self._tasks[event.object.id] = event.object
                elif self._tasks.pop(event.object.id, None) is None:
                    continue
            elif isinstance(event.object, Node):
                self._retries.clear()  # perhaps with the plugin that was missing
            elif isinstance(event.object, Volume):
                self._take_in_volume(event.object, gone=event.action is Action.REMOVE)
            self._wake.set()

    def _take_in_volume(self, volume: Volume, *, gone: bool) -> None:
        wanted = None if gone else (volume.pending_delete, volume.spec.availability)
        if self._wanted.get(volume.id) == wanted:
            return
        for place in [place for place in self._retries if place[0] == volume.id]:
            del self._retries[place]  # people want something else now: try at once
        if wanted is None:
            del self._wanted[volume.id]
            for known in (self._attached, self._problems):
                for place in [place for place in known if place[0] == volume.id]:
                    known.pop(place)
        else:
            self._wanted[volume.id] = wanted

    def _begin_due(self, group: asyncio.TaskGroup) -> float | None:
        """Begin the steps that are due; return after how many seconds to look again, if that is known."""
        now_s, later = self._clock.monotonic_s(), list[float]()
        for step in self._steps():
            due_s = self._due_s(step)
            if due_s > now_s:
                later.append(due_s - now_s)
            elif step.place not in self._running and len(self._running) < STEPS_AT_ONCE:
                self._running[step.place] = group.create_task(self._do(step), name="volumes-step")
        return min(later, default=None)

    def _steps(self) -> Iterator[Step]:
        view = self._store.view
        users: dict[str, dict[str, list[User]]] = {}
        for task in self._tasks.values():
            for one in task.volumes:
                there = users.setdefault(one.volume_id, {}).setdefault(task.node_id, [])
                there.append(User(task.id, waits=task.status.state < RUNNING))
        nodes = {
            node.id: NodeFacts(is_up=node.status.state == NodeState.NODE_STATE_READY) for node in view.nodes
        }
        for volume in tuple(view.volumes):
            yield from next_steps(volume, users.get(volume.id, {}), nodes)

    def _due_s(self, step: Step) -> float:
        retry = self._retries.get(step.place)
        due_s = retry.at_s if retry is not None else 0.0
        known = self._attached.get(step.place)
        if step.work is Work.ATTACH and known is not None and step.for_tasks <= known[0]:
            due_s = max(due_s, known[1] + ATTACH_AGAIN_S)
        return due_s

    async def _do(self, step: Step) -> None:
        try:
            await self._worker.do(step)
            self._retries.pop(step.place, None)
            self._problems.pop(step.place, None)
            if step.work is Work.ATTACH:
                self._attached[step.place] = step.for_tasks, self._clock.monotonic_s()
            else:
                self._attached.pop(step.place, None)
            await self._note(step)
        except SwarmError as error:
            self._put_off(step, str(error))
            with contextlib.suppress(SwarmError):
                await self._note(step)
        finally:
            self._running.pop(step.place, None)
            self._wake.set()

    def _put_off(self, step: Step, reason: str) -> None:
        before = self._retries.get(step.place)
        last_s = RETRY_DETACH_S if step.work is Work.DETACH else RETRY_LAST_S
        pause_s = min(last_s, before.pause_s * 2) if before is not None else RETRY_FIRST_S
        self._retries[step.place] = _Retry(self._clock.monotonic_s() + pause_s, pause_s)
        self._problems[step.place] = reason
        log.warning(
            "volumes.step_failed",
            volume_id=step.volume_id,
            node_id=step.node_id,
            step=step.work.value,
            reason=reason,
            again_s=pause_s,
        )

    async def _note(self, step: Step) -> None:
        problems = [text for place, text in self._problems.items() if place[0] == step.volume_id]
        await self._worker.note_problem(step.volume_id, problems[0] if problems else "")
