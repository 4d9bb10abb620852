"""A cluster in one process and in virtual time: the real loops of a leader over a real store, and machines
that run, fail, hang, vanish and come back. Everything random comes from one seed.

The log is what is committed. A manager that only follows applies it, too: invariants are checked on what it
sees, and a new leader begins with a snapshot of that and nothing else.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from swarm.api.v1.dispatcher_pb2 import TaskStatusUpdate
from swarm.api.v1.objects_pb2 import Node, Task
from swarm.clock import Clock
from swarm.errors import NoQuorum, NotLeader, SwarmError, TransientError
from swarm.ids import base36
from swarm.manager.allocator.loop import AllocatorLoop
from swarm.manager.dispatcher.liveness import LivenessTable, heartbeat_period_ns
from swarm.manager.dispatcher.loop import write_changes
from swarm.manager.dispatcher.overlay_news import news_of
from swarm.manager.dispatcher.settled import UNKNOWN, is_settled
from swarm.manager.dispatcher.statuses import write_statuses
from swarm.manager.dispatcher.withdrawal import WithdrawalLoop
from swarm.manager.leading import Loop
from swarm.manager.orchestrator.loop import OrchestratorLoop
from swarm.manager.orchestrator.service_loop import ServiceLoopSettings
from swarm.manager.planning.balance_loop import BalanceLoop
from swarm.manager.scheduler.loop import SchedulerLoop
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Commit
from tests.simulation.virtual_time import VirtualClock, VirtualLoop, run_virtually
from tests.simulation.world.node import SimNode
from tests.simulation.world.runtime import Faults
from tests.simulation.world.story import Line, Story

R = TypeVar("R")

HEARTBEAT_S = 1.0  # how often nodes are heard, and judged
BATCH_S = 0.05  # reports that come within this time are written together


class _Proposer:
    """The log, as the leader of one term writes to it."""

    def __init__(self, world: "World", term: int) -> None:
        self._world = world
        self._term = term

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        world = self._world
        await asyncio.sleep(0.0005 + 0.009 * world.random.random())
        if world.term != self._term:
            if world.random.random() < 0.5:  # the majority may have had it when the leader lost its place
                world.late.append(entry)
            raise NotLeader
        world.commit_late()
        if world.faults.proposal and world.random.random() < world.faults.proposal:
            fate = world.random.choice(("lost", "late", "committed"))
            if fate == "committed":
                world.commit(entry)
            elif fate == "late":
                world.late.append(entry)
            raise NoQuorum(f"simulated: {fate}")
        return world.commit(entry)


class World:
    """Managers, machines and the log between them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.slowness = 1.0  # of the way from managers to machines
        self._faults = Faults()  # one object for ever: every machine has it
        self.story = Story()
        self.nodes: dict[str, SimNode] = {}
        self.term = 0
        self.late: list[bytes] = []  # proposed, and not known to be lost
        self.kill_after: Callable[[Commit], bool] = lambda commit: False  # whether the leader dies with it
        self.on_commit: list[Callable[[Commit], None]] = []
        self.on_start: list[Callable[[SimNode, Task], None]] = []
        self.on_stop: list[Callable[[SimNode, Task], None]] = []
        self.scheduler: SchedulerLoop | None = None
        self.follower = Store(self.clock, "follower")
        self._news = self.follower.watch()
        self._news.__enter__()
        self._leader = self.follower
        self._liveness: LivenessTable | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reports: list[tuple[SimNode, int, int, list[TaskStatusUpdate]]] = []
        self._election: asyncio.Task[None] | None = None
        self._failed: asyncio.Future[None] | None = None
        self._ids = 0

    @property
    def faults(self) -> Faults:
        """How likely things go wrong now."""
        return self._faults

    @faults.setter
    def faults(self, wanted: Faults) -> None:
        vars(self._faults).update(vars(wanted))

    @property
    def view(self) -> ReadView:
        """What is committed."""
        return self.follower.view

    @property
    def leader_view(self) -> ReadView:
        """What the leader knows: the same, or something is wrong."""
        return self._leader.view

    def play(self, scenario: Callable[["World"], Coroutine[Any, Any, R]]) -> R:
        """Run `scenario(self)` with a leader leading; what goes wrong anywhere comes out here."""
        return run_virtually(self._run(scenario), self.loop)

    async def _run(self, scenario: Callable[["World"], Coroutine[Any, Any, R]]) -> R:
        self._failed = self.loop.create_future()
        self._elect()
        main = self.spawn(scenario(self))
        self.spawn(self._hear_nodes())
        try:
            await asyncio.wait((main, self._failed), return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            return main.result()
        finally:
            self._failed.cancel()
            self._depose()
            for task in tuple(self._tasks):
                task.cancel()

    def spawn(self, work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Run something beside the scenario; its errors end the world."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.fail(task.exception())

    def fail(self, error: BaseException) -> None:
        """End the world with the first thing that went wrong."""
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    def tell(self, note: str) -> None:
        """Note something that was done to the world."""
        self.story.lines.append(Line(self.loop.time(), None, None, note))

    def new_id(self) -> str:
        """Return the id of a new object."""
        self._ids += 1
        return base36(self._ids, 5)

    # The log.

    def commit(self, entry: bytes) -> int:
        """Append to the log; everybody applies it at once."""
        index = self.follower.view.index + 1
        self.follower.apply(index, entry)
        if self._leader is not self.follower:
            self._leader.apply(index, entry)
        for commit in self._news.drain():
            self._take_note(commit)
        return index

    def commit_late(self) -> None:
        """Let come true what was not known to be lost."""
        late, self.late = self.late, []
        for entry in late:
            self.commit(entry)

    def _take_note(self, commit: Commit) -> None:
        now_s = self.loop.time()
        for event in commit.events:
            self.story.lines.append(Line(now_s, event.action, event.object))
            if isinstance(event.object, Task):
                node = self.nodes.get(event.object.node_id)
                if node is not None:
                    node.note(event.object.id)
        paper = news_of(self.view, commit.events)
        for machine in self.nodes.values() if paper else ():
            machine.note_networks(paper, commit.index)
        try:
            for check in self.on_commit:
                check(commit)
        except AssertionError as error:
            self.fail(error)
        if self.kill_after(commit):
            self.tell("the leader dies right after this commit")
            self.change_leader()

    # Leaders.

    def change_leader(self) -> None:
        """End what the leader does, wherever it is; another one takes over after a while."""
        if self._election is not None and not self._election.done():
            return
        self.term += 1
        self._election = self.spawn(self._wait_for_leader())

    async def next_leader(self) -> None:
        """End what the leader does, and wait until another one leads."""
        self.change_leader()
        assert self._election is not None
        await self._election

    async def _wait_for_leader(self) -> None:
        self.tell("the leader is gone")
        self._depose()
        # What the old leader had under way finds out that it leads no more.
        await asyncio.sleep(0.02 + 2 * self.random.random())
        self.commit_late()
        self.tell("another leader begins")
        self._elect()

    def _depose(self) -> None:
        for loop in self._loops:
            loop.cancel()
        self._loops.clear()
        self._liveness = None

    def _elect(self) -> None:
        """Begin a term with what is committed."""
        store = Store(self.clock, f"manager-{self.term}")
        frozen = self.follower.freeze()
        store.restore(frozen.applied_index, frozen.records())
        store.attach(_Proposer(self, self.term))
        self._leader = store
        self._liveness = LivenessTable(self.loop.time())
        loops = self.make_loops(store, VirtualClock(self.loop, creep_s=0.0005))
        self._loops = [self.spawn(self._lead(loop.run(), self.term)) for loop in loops]

    def make_loops(self, store: Store, clock: Clock) -> tuple[Loop, ...]:
        """Return what runs while a manager leads."""
        self.scheduler = SchedulerLoop(store, clock)
        return (
            OrchestratorLoop(store, clock, ServiceLoopSettings(new_id=self.new_id)),
            AllocatorLoop(store, clock, settled=self._is_settled),
            WithdrawalLoop(store, self._reached, asyncio.Event()),
            self.scheduler,
            BalanceLoop(store, clock),
        )

    async def _lead(self, loop: Coroutine[Any, Any, None], term: int) -> None:
        try:
            await loop
        except* NotLeader:
            if term == self.term:
                raise

    # Writing.

    async def update(self, fn: Callable[[Transaction], R]) -> R:
        """Write as the leader does on behalf of others."""
        return await self._leader.update(fn)

    async def insist(self, fn: Callable[[Transaction], R]) -> R:
        """Write, again and again until it is known to be done: `fn` must bear being done twice."""
        while True:
            try:
                return await self.update(fn)
            except TransientError:
                await asyncio.sleep(0.1)

    async def try_to(self, fn: Callable[[Transaction], R]) -> R | None:
        """Write like somebody who takes no for an answer."""
        with suppress(SwarmError):
            return await self.update(fn)
        return None

    async def until(self, condition: Callable[[], bool], timeout_s: float, every_s: float = 0.5) -> bool:
        """Wait until `condition()` holds; return whether it did in time."""
        deadline_s = self.loop.time() + timeout_s
        while not condition():
            if self.loop.time() > deadline_s:
                return False
            await asyncio.sleep(every_s)
        return True

    # Machines.

    async def add_node(self, node: Node) -> SimNode:
        """Add a machine to the cluster; it has a session from the start."""
        await self.insist(lambda tx: None if node.id in tx.nodes else tx.create(node))
        machine = self.nodes[node.id] = SimNode(self, node.id)
        machine.connect()
        return machine

    def _reached(self, node_id: str) -> int:
        node = self.nodes.get(node_id)
        return node.reached if node is not None else UNKNOWN

    def _is_settled(self, network_id: str, index: int) -> bool:
        return is_settled(self.view, (network_id,), index, self._reached)

    def container_stops(self, node: SimNode, task: Task) -> None:
        """Be told of a container that gets its stop signal now."""
        try:
            for check in self.on_stop:
                check(node, task)
        except AssertionError as error:
            self.fail(error)

    def container_started(self, node: SimNode, task: Task) -> None:
        """Be told of a container that starts to run now; nobody else can see that."""
        try:
            for check in self.on_start:
                check(node, task)
        except AssertionError as error:
            self.fail(error)

    def report(self, node: SimNode, life: int, sequence: int, updates: list[TaskStatusUpdate]) -> None:
        """Take a report to the leader, with those of others that come at the same time."""
        self._reports.append((node, life, sequence, updates))
        if len(self._reports) == 1:
            self.spawn(self._write_reports())

    async def _write_reports(self) -> None:
        await asyncio.sleep(BATCH_S)
        reports, self._reports = self._reports, []
        batch = [(node.id, update) for node, _, _, updates in reports for update in updates]
        now_ns = self.clock.now_ns()
        if batch:
            with suppress(TransientError):
                await self.update(lambda tx: write_statuses(tx, batch, now_ns))
                batch = []
        if not batch:  # otherwise they are unanswered, and said again
            for node, life, sequence, _ in reports:
                node.acknowledge(life, sequence)

    async def _hear_nodes(self) -> None:
        """Hear heartbeats, and write down who is alive, as the loop of the leader does."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            online = [node for node in self.nodes.values() if node.online]
            for node in online:
                node.tick()
            if self._liveness is None:
                continue
            now_s, view = self.loop.time(), self.view
            period_s = heartbeat_period_ns(view.cluster, len(view.nodes)) / 1e9
            self._liveness.report("manager", True, [node.session_state for node in online], now_s)
            changes = self._liveness.plan(view.nodes, period_s, now_s)
            if changes:
                with suppress(TransientError):
                    await self.update(lambda tx, changes=changes: write_changes(tx, changes))
