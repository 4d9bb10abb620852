"""A machine of the cluster: the real task machine, assignments and reporter of an agent, in virtual time."""

import asyncio
import random
from typing import TYPE_CHECKING

from swarm.agent import task_events as events
from swarm.agent.assignments import AssignmentStream, Changes
from swarm.agent.overlay.state import OverlayState
from swarm.agent.reporter import Reporter
from swarm.agent.task_machine import Step, TaskRecord, advance, begin
from swarm.api.v1.dispatcher_pb2 import SessionState
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.manager.dispatcher.assignments import AssignmentSet
from swarm.manager.dispatcher.overlay_news import Newspaper
from swarm.manager.dispatcher.settled import UNKNOWN, SessionProgress
from swarm.manager.dispatcher.statuses import worth_forwarding
from swarm.runtime.base import ContainerState
from tests.simulation.world.runtime import FOR_EVER_S, Runtime

if TYPE_CHECKING:
    from tests.simulation.world.world import World


class SimNode:
    """Does what the managers say, and reports; may be cut off, restarted, or lose its containers."""

    def __init__(self, world: "World", node_id: str) -> None:
        self.id = node_id
        self.runtime = Runtime(world.random, world.faults)
        self.up = True  # the machine and its agent run
        self.reachable = True  # and so are managers
        self.cut_at_s = self.back_at_s = -1000.0
        self.held: dict[str, TaskRecord] = {}
        self.overlays = OverlayState()  # as in the agent's database
        self.session_state = SessionState(node_id=node_id, connected=True, addr=f"addr-of-{node_id}")
        self._world = world
        self._loop = world.loop
        self._life = 0  # what an earlier life began comes to nothing
        self._current: dict[str, asyncio.TimerHandle] = {}
        self._waiters: dict[str, asyncio.TimerHandle] = {}
        self._reporter = Reporter()
        self._stream = AssignmentStream()
        self._set: AssignmentSet | None = None
        self._progress = SessionProgress()
        self._lateness = random.Random(f"in force {world.seed} {node_id}")
        self._news: dict[str, None] = {}
        self._news_due = self._report_due = False

    @property
    def online(self) -> bool:
        """Whether managers hear from it."""
        return self.up and self.reachable

    # Its session.

    def connect(self) -> None:
        """Open a session: hear everything, report everything."""
        self._set, self._stream = AssignmentSet(self.id), AssignmentStream()
        self._reporter.session_opened({one.task.id: one.status for one in self.held.values() if one.wanted})
        self._progress = SessionProgress()
        for message in self._set.complete(self._world.view):
            self._apply(self._stream.take(message, self.held))
        self._say_in_force(self._set.sequence)
        self._report_soon()

    def cut(self) -> None:
        """Lose the managers."""
        self.reachable, self._set = False, None
        self.cut_at_s = self._loop.time()

    def reconnect(self) -> None:
        """Find the managers again."""
        self.reachable = True
        if self.up:
            self.back_at_s = self._loop.time()
            self.connect()

    def note(self, task_id: str) -> None:
        """Hear soon that one of its tasks changed."""
        if self._set is None:
            return
        self._news[task_id] = None
        self._hear_soon()

    @property
    def reached(self) -> int:
        """Up to which entry it has in force what the store says of networks, as its manager knows."""
        if self._set is None or not self.online:
            return UNKNOWN
        lag = self._progress.lag
        return self._world.view.index if lag is None else lag

    def _say_in_force(self, sequence: int) -> None:
        """Have its manager know a little later that everything up to this message is in force."""
        self._progress.tell(sequence)
        if sequence:
            late_s = 0.01 + 0.2 * self._lateness.random()
            self._loop.call_later(late_s, self._progress.apply, sequence)

    def note_networks(self, paper: Newspaper, index: int) -> None:
        """Hear soon what differs in its networks."""
        if self._set is not None and self._set.note_networks(paper):
            self._progress.note(index)
            self._hear_soon()

    def _hear_soon(self) -> None:
        if not self._news_due:
            self._news_due = True
            late_s = self._world.slowness * (0.02 + 0.13 * self._world.random.random())
            self._loop.call_later(late_s, self._hear, self._life)

    def _hear(self, life: int) -> None:
        news, self._news, self._news_due = self._news, {}, False
        if self._set is None or life != self._life:
            return
        told = self._set.changes(self._world.view, news)
        for message in told:
            self._apply(self._stream.take(message, self.held))
        self._say_in_force(self._set.sequence if any(message.networks for message in told) else 0)

    def tick(self) -> None:
        """Send a heartbeat, and with it what has gone unanswered."""
        if not self._report_due:
            self._report()

    def _report_soon(self) -> None:
        if not self._report_due and self._set is not None:
            self._report_due = True
            self._loop.call_later(0.01 + 0.05 * self._world.random.random(), self._report)

    def _report(self) -> None:
        self._report_due = False
        report = self._reporter.take(self._loop.time()) if self._set is not None else None
        if report is None:
            return
        rng, faults = self._world.random, self._world.faults
        if faults.lose and rng.random() < faults.lose:
            return
        updates = worth_forwarding(self._world.view, self.id, report.updates)
        self._world.report(self, self._life, report.sequence, updates)
        if faults.repeat and rng.random() < faults.repeat:
            self._loop.call_later(5 * rng.random(), self._world.report, self, -1, 0, updates)

    def acknowledge(self, life: int, sequence: int) -> None:
        """Hear that a report is committed."""
        if life == self._life and self._set is not None and self._reporter.acknowledged(sequence):
            self._report_soon()

    # Its lives.

    def crash(self) -> None:
        """Stop dead: the agent is gone; its database and, for now, the containers are not."""
        self.up, self._set = False, None
        self._life += 1
        self.cut_at_s = self._loop.time()
        for handle in (*self._current.values(), *self._waiters.values()):
            handle.cancel()
        self._current.clear()
        self._waiters.clear()

    def start(self, *, keeping_containers: bool) -> None:
        """Start the agent again, after a crash of its own or of the whole machine."""
        if not keeping_containers:
            self.runtime.containers.clear()
            self.runtime.ports.clear()
        self.up = True
        self._reporter = Reporter()
        records, self.held = self.held, {}
        for container in self.runtime.containers.values():
            if container.ends_at_s <= self._loop.time():
                container.state = ContainerState.EXITED
        for record in records.values():
            self._begin(record.task, record.status, wanted=record.wanted)
        if self.reachable:
            self.back_at_s = self._loop.time()
            self.connect()

    # Its tasks: as the worker of an agent does it.

    def _apply(self, changes: Changes | None) -> None:
        if changes is None:
            return
        self.overlays.apply(changes.networks.changes, complete=changes.networks.complete)
        for task_id in changes.remove:
            self._deliver(task_id, events.Unwanted())
        for task in changes.update:
            self._deliver(task.id, events.Wanted(task))
        for task in changes.start:
            self._begin(task, None)

    def _begin(self, task: Task, stored: TaskStatus | None, *, wanted: bool = True) -> None:
        step = begin(task, stored, self._world.clock.now_ns())
        self._follow(task.id, step, None)
        if not wanted:
            self._deliver(task.id, events.Unwanted())

    def _deliver(self, task_id: str, event: events.Event) -> None:
        record = self.held.get(task_id)
        if record is not None:
            step = advance(record, event, self._world.clock.now_ns())
            self._follow(task_id, step, record.status)

    def _follow(self, task_id: str, step: Step, before: TaskStatus | None) -> None:
        record = self.held[task_id] = step.record
        if record.status is not before and record.wanted:
            self._reporter.changed(task_id, record.status)
            self._report_soon()
        for instruction in step.instructions:
            self._carry_out(task_id, record, instruction)

    def _carry_out(self, task_id: str, record: TaskRecord, instruction: events.Instruction) -> None:
        match instruction:
            case events.Forget():
                del self.held[task_id]
                self._reporter.forget(task_id)
                if record.wanted:
                    self._begin(record.task, record.status)
            case events.CancelCurrent():
                self._current.pop(task_id).cancel()
                self._later(task_id, 0.0, events.InstructionFailed("given up", temporary=True))
            case events.WaitContainer():
                container = self.runtime.containers[task_id]
                if container.ends_at_s < FOR_EVER_S:
                    rest_s = max(0.0, container.ends_at_s - self._loop.time())
                    self._waiters[task_id] = self._loop.call_later(rest_s, self._end, task_id)
            case _:
                if isinstance(instruction, events.StopContainer) and task_id in self._waiters:
                    self._waiters.pop(task_id).cancel()
                if task_id in self._current:
                    self._current[task_id].cancel()  # it drained, and its container ended meanwhile
                delay_s = self.runtime.duration_s(record.task, instruction)
                self._current[task_id] = self._loop.call_later(delay_s, self._perform, task_id, instruction)

    def _later(self, task_id: str, delay_s: float, event: events.Event) -> None:
        self._current[task_id] = self._loop.call_later(delay_s, self._deliver, task_id, event)

    def _perform(self, task_id: str, instruction: events.Instruction) -> None:
        record = self.held[task_id]
        event: events.Event
        if isinstance(instruction, events.AttachNetwork) and not self._has_joined(record.task):
            event = events.InstructionFailed("waits for an address of this node", temporary=True)
        else:
            if isinstance(instruction, events.StopContainer):
                self._world.container_stops(self, record.task)
            event = self.runtime.perform(record.task, instruction, self._loop.time())
        if isinstance(event, events.ContainerStarted):
            self._world.container_started(self, record.task)
        self._deliver(task_id, event)

    def _has_joined(self, task: Task) -> bool:
        return all(one.network_id in self.overlays.networks for one in task.networks)

    def _end(self, task_id: str) -> None:
        """Let a container come to its end."""
        del self._waiters[task_id]
        container = self.runtime.containers[task_id]
        container.state = ContainerState.EXITED
        self._deliver(task_id, events.ContainerEnded(container.info()))

    def end(self, task_id: str, exit_code: int) -> None:
        """End a running container, as somebody from outside may do."""
        container = self.runtime.containers[task_id]
        container.exit_code, container.ends_at_s = exit_code, self._loop.time()
        if task_id in self._waiters:
            self._waiters.pop(task_id).cancel()
        self._waiters[task_id] = self._loop.call_later(0.0, self._end, task_id)
