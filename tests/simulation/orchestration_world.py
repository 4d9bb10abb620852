"""A cluster in one process and in virtual time: the real loops of a leader over real stores, and agents
that run, fail, hang, vanish and come back. Everything random comes from one seed."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from swarm.api.v1.dispatcher_pb2 import TaskStatusUpdate
from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, TaskStatus
from swarm.clock import timestamp
from swarm.errors import NoQuorum, NotLeader, TransientError
from swarm.ids import base36
from swarm.manager.allocator.loop import AllocatorLoop
from swarm.manager.dispatcher.assignments import wanted_tasks
from swarm.manager.dispatcher.statuses import write_statuses
from swarm.manager.orchestrator.loop import OrchestratorLoop
from swarm.manager.orchestrator.service_loop import ServiceLoopSettings
from swarm.manager.planning.balance_loop import BalanceLoop
from swarm.manager.scheduler.loop import SchedulerLoop
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from tests.simulation.virtual_time import VirtualClock, VirtualLoop

DOWN_AFTER_S = 3.0


@dataclass
class Faults:
    """How likely things go wrong; all zero: a calm day."""

    proposal: float = 0.0  # a commit fails, and may come true later
    crash: float = 0.0  # a running task ends, at each look of its agent
    reject: float = 0.0  # an image cannot be pulled
    hang: float = 0.0  # a task does not stop, at each look
    lose: float = 0.0  # a report gets lost
    repeat: float = 0.0  # a report comes twice, the second time late


class SimProposer:
    """The log of the cluster, as one of its managers writes to it."""

    def __init__(self, world: "World", manager: int) -> None:
        self._world = world
        self._manager = manager

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        world = self._world
        await asyncio.sleep(world.random.uniform(0.0005, 0.01))
        if world.leader != self._manager:
            raise NotLeader
        world.commit_late()
        if world.random.random() < world.faults.proposal:
            fate = world.random.choice(("lost", "late", "committed"))
            if fate == "committed":
                world.commit(entry)
            elif fate == "late":
                world.late.append(entry)
            raise NoQuorum(f"simulated: {fate}")
        return world.commit(entry)


class Agent:
    """One node: it does what the store says, and reports."""

    def __init__(self, world: "World", node_id: str) -> None:
        self._world = world
        self.node_id = node_id
        self.reachable = True
        self.unreachable_since_s = 0.0
        self.reachable_since_s = -1000.0
        self.containers: dict[str, TaskStatus] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._world.random.uniform(0.1, 0.5))
            wanted = {}
            if self.reachable:
                wanted = {task.id: task for task in wanted_tasks(self._world.view, self.node_id)}
                for task_id in [one for one in self.containers if one not in wanted]:
                    del self.containers[task_id]
            self._live_on(wanted)
            if self.reachable and self._world.random.random() < 0.1:
                for task_id in self.containers:  # as an agent does in a new session
                    self._report(task_id)

    def reboot(self) -> None:
        """Lose every container."""
        for task_id, status in self.containers.items():
            if status.state >= task_state.STARTING and status.state not in task_state.TERMINAL:
                self._move(task_id, task_state.FAILED, "the container is gone")

    def _live_on(self, wanted: dict[str, Task]) -> None:
        faults, chance = self._world.faults, self._world.random.random
        for task_id, status in tuple(self.containers.items()):
            if status.state == task_state.RUNNING and chance() < faults.crash:
                self._move(task_id, self._world.random.choice((task_state.FAILED, task_state.COMPLETE)))
        for task in wanted.values():
            held = self.containers.get(task.id)
            state = held.state if held is not None else task.status.state
            if state in task_state.TERMINAL:
                continue
            if task.desired_state > task_state.RUNNING:
                if chance() >= faults.hang:
                    self._move(task.id, task_state.SHUTDOWN)
            elif state == task_state.PREPARING and self._is_bad(task):
                self._move(task.id, task_state.REJECTED, "no such image")
            elif state in _NEXT and (state != task_state.READY or task.desired_state == task_state.RUNNING):
                self._move(task.id, _NEXT[state])

    def _is_bad(self, task: Task) -> bool:
        return task.spec.container.image == "bad" or self._world.random.random() < self._world.faults.reject

    def _move(self, task_id: str, state: int, err: str = "") -> None:
        if state == task_state.STARTING:
            self._world.check_start(self, task_id)
        now = timestamp(self._world.clock.now_ns())
        self.containers[task_id] = TaskStatus(state=state, timestamp=now, err=err)
        self._report(task_id)

    def _report(self, task_id: str) -> None:
        if not self.reachable or self._world.random.random() < self._world.faults.lose:
            return
        status = TaskStatus()
        status.CopyFrom(self.containers[task_id])
        self._world.spawn(self._deliver(task_id, status, 0.05))
        if self._world.random.random() < self._world.faults.repeat:
            self._world.spawn(self._deliver(task_id, status, 5.0))

    async def _deliver(self, task_id: str, status: TaskStatus, delay_s: float) -> None:
        await asyncio.sleep(self._world.random.uniform(0, delay_s))
        update = TaskStatusUpdate(task_id=task_id, status=status)
        now_ns = self._world.clock.now_ns()
        with suppress(TransientError):
            await self._world.update(lambda tx: write_statuses(tx, [(self.node_id, update)], now_ns))


_NEXT = {
    task_state.ASSIGNED: task_state.ACCEPTED,
    task_state.ACCEPTED: task_state.PREPARING,
    task_state.PREPARING: task_state.READY,
    task_state.READY: task_state.STARTING,
    task_state.STARTING: task_state.RUNNING,
}


@dataclass
class World:
    """Managers, agents and the log between them."""

    seed: int
    loop: VirtualLoop
    managers: int = 3
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.clock = VirtualClock(self.loop)
        self.stores = [Store(self.clock, f"manager-{number}") for number in range(self.managers)]
        for number, store in enumerate(self.stores):
            store.attach(SimProposer(self, number))
        self.leader = 0
        self.on_start: Callable[[Agent, str], None] | None = None
        self.agents: dict[str, Agent] = {}
        self.late: list[bytes] = []
        self._index = 0
        self._ids = 0
        self._background: asyncio.TaskGroup | None = None
        self._leading: asyncio.Task[None] | None = None

    @property
    def view(self) -> ReadView:
        return self.stores[self.leader].view

    async def update(self, fn):
        return await self.stores[self.leader].update(fn)

    def commit(self, entry: bytes) -> int:
        self._index += 1
        for store in self.stores:
            store.apply(self._index, entry)
        return self._index

    def commit_late(self) -> None:
        late, self.late = self.late, []
        for entry in late:
            self.commit(entry)

    def new_id(self) -> str:
        self._ids += 1
        return base36(self._ids, 5)

    def check_start(self, starting: Agent, task_id: str) -> None:
        """Be told of a container that starts now; the place for checks of what nobody else can see."""
        if self.on_start is not None:
            self.on_start(starting, task_id)

    def spawn(self, coroutine) -> asyncio.Task:
        assert self._background is not None
        return self._background.create_task(coroutine)

    async def run(self, scenario) -> None:
        """Run `scenario(self)` with a leader leading; what goes wrong in any loop comes out here."""
        async with asyncio.TaskGroup() as self._background:
            self._leading = self.spawn(self._lead())
            running = [self.spawn(self._judge_nodes())]
            try:
                await scenario(self)
            finally:
                self._leading.cancel()
                for task in (*running, *self._background._tasks):
                    if task is not asyncio.current_task():
                        task.cancel()

    async def _lead(self) -> None:
        store, loops_clock = self.stores[self.leader], VirtualClock(self.loop, creep_s=0.0005)
        settings = ServiceLoopSettings(new_id=self.new_id)
        async with asyncio.TaskGroup() as group:
            group.create_task(OrchestratorLoop(store, loops_clock, settings).run())
            group.create_task(AllocatorLoop(store, loops_clock).run())
            group.create_task(SchedulerLoop(store, loops_clock).run())
            group.create_task(BalanceLoop(store, loops_clock).run())

    async def change_leader(self) -> None:
        """Stop everything the leader does, wherever it is; another manager takes over."""
        assert self._leading is not None
        self._leading.cancel()
        with suppress(asyncio.CancelledError):
            await self._leading
        self.leader = (self.leader + 1) % self.managers
        if self.random.random() < 0.5:
            self.late.clear()
        self.commit_late()
        await asyncio.sleep(self.random.uniform(0, 2))
        self._leading = self.spawn(self._lead())

    # Nodes.

    async def add_node(self, node_id: str, labels: dict[str, str] | None = None, cpus: int = 4) -> None:
        node = Node(id=node_id)
        node.status.state = NodeState.NODE_STATE_READY
        node.description.hostname = node_id
        node.description.resources.nano_cpus = cpus * 10**9
        node.description.resources.memory_bytes = cpus << 30
        for key, value in (labels or {}).items():
            node.spec.annotations.labels[key] = value
        await self.insist(lambda tx: tx.create(node) if node_id not in tx.nodes else None)
        self.agents[node_id] = Agent(self, node_id)
        self.spawn(self.agents[node_id].run())

    async def remove_node(self, node_id: str) -> None:
        """Remove a node as the control API does."""
        self.agents[node_id].reachable = False

        def remove(tx: Transaction) -> None:
            node = tx.nodes.get(node_id)
            if node is None:
                return
            for task in tx.tasks.by_node(node_id):
                if not task_state.is_done(task):
                    orphan = copy_of(task)
                    orphan.status.state = task_state.ORPHANED
                    tx.update(orphan)
            tx.remove(node)

        await self.insist(remove)
        del self.agents[node_id]

    async def change_node(self, node_id: str, change) -> None:
        def write(tx: Transaction) -> None:
            current = tx.nodes.get(node_id)
            if current is not None:
                node = copy_of(current)
                change(node)
                tx.update(node)

        await self.insist(write)

    async def set_availability(self, node_id: str, availability: "NodeAvailability") -> None:
        def change(node: Node) -> None:
            node.spec.availability = availability

        await self.change_node(node_id, change)

    def cut_off(self, node_id: str) -> None:
        agent = self.agents[node_id]
        agent.reachable, agent.unreachable_since_s = False, self.loop.time()

    def reconnect(self, node_id: str) -> None:
        agent = self.agents[node_id]
        if not agent.reachable:
            agent.reachable, agent.reachable_since_s = True, self.loop.time()

    async def _judge_nodes(self) -> None:
        """Call nodes down that were silent for too long, and ready when they are back."""
        while True:
            await asyncio.sleep(0.5)
            for agent in tuple(self.agents.values()):
                silent_s = self.loop.time() - agent.unreachable_since_s
                state = NodeState.NODE_STATE_READY
                if not agent.reachable:
                    if silent_s < DOWN_AFTER_S:
                        continue
                    state = NodeState.NODE_STATE_DOWN
                node = self.view.nodes.get(agent.node_id)
                if node is not None and node.status.state != state:
                    await self.change_node(
                        agent.node_id, lambda node, state=state: setattr(node.status, "state", state)
                    )

    async def insist(self, fn) -> None:
        """Write, again and again until it is done."""
        while True:
            try:
                await self.update(fn)
            except TransientError:
                await asyncio.sleep(0.1)
            else:
                return

    async def until(self, condition, timeout_s: float) -> bool:
        """Wait until `condition()` holds; return whether it did in time."""
        deadline_s = self.loop.time() + timeout_s
        while not condition():
            if self.loop.time() > deadline_s:
                return False
            await asyncio.sleep(0.2)
        return True
