"""A service and its tasks without a cluster: the plans of the orchestrator, carried out on bare tables."""

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, TaskState, TaskStatus, UpdateConfig
from swarm.clock import timestamp
from swarm.manager.orchestrator.commit import commit_service_change, commit_steps
from swarm.manager.orchestrator.plan import Plan
from swarm.manager.orchestrator.preemption import victims_of
from swarm.manager.orchestrator.reconcile import plan_service, plan_without_service
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.store.tables import Tables, copy_of
from swarm.manager.store.testing import ManualClock
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.history import record_status
from swarm.model.service import new_service, replace_spec, roll_back
from swarm.steps import complete

R = TypeVar("R")

PASSES_MAX = 50  # more than any state needs to settle


def a_spec(replicas: int | None = 1, image: str = "v1") -> ServiceSpec:
    """Return a spec; without `replicas` a global one."""
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = image
    if replicas is None:
        getattr(spec, "global").SetInParent()
    else:
        spec.replicated.replicas = replicas
    return spec


def a_node(node_id: str, **labels: str) -> Node:
    """Return a ready node."""
    node = Node(id=node_id)
    node.status.state = NodeState.NODE_STATE_READY
    node.description.hostname = node_id
    node.description.resources.nano_cpus = 8 * 10**9
    node.description.resources.memory_bytes = 8 << 30
    for key, value in labels.items():
        node.spec.annotations.labels[key] = value
    return node


class Bench:
    """One service called s."""

    def __init__(self, spec: ServiceSpec, nodes: int = 3, history_limit: int = 5) -> None:
        self.clock = ManualClock()
        self.tables = Tables()
        self.history_limit = history_limit
        self._ids = count(1)
        self.write(lambda tx: [tx.create(a_node(f"n{one}")) for one in range(1, nodes + 1)])
        self.write(lambda tx: tx.create(new_service("s", spec)))

    # The state.

    def write(self, fn: Callable[[Transaction], R]) -> R:
        transaction = Transaction(self.tables, timestamp(self.clock.now_ns()))
        result = fn(transaction)
        self.tables.index += 1
        for write in transaction.writes:
            table = self.tables.of(type(write.object))
            if write.kind == 2:  # REMOVE
                table.delete(write.object.id)
            else:
                write.object.meta.version.index = self.tables.index
                table.put(write.object)
        return result

    @property
    def service(self) -> Service:
        service = self.tables.services.get("s")
        assert service is not None
        return service

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.tables.tasks.by_service("s")

    @property
    def live(self) -> list[Task]:
        return [task for task in self.tasks if task.desired_state <= task_state.RUNNING]

    def task(self, task_id: str) -> Task:
        task = self.tables.tasks.get(task_id)
        assert task is not None
        return task

    def in_slot(self, slot: int) -> list[Task]:
        return [task for task in self.tasks if task.slot == slot]

    def images(self) -> list[str]:
        return sorted(task.spec.container.image for task in self.live)

    # What others do.

    def change_service(self, change: Callable[[Service], None]) -> None:
        service = copy_of(self.service)
        change(service)
        self.write(lambda tx: tx.update(service))

    def update(self, **fields: object) -> None:
        """Give the service a spec that differs in `image`, `replicas` or `force`."""

        def change(service: Service) -> None:
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            if "image" in fields:
                spec.task.container.image = str(fields["image"])
            if "replicas" in fields:
                spec.replicated.replicas = int(str(fields["replicas"]))
            if "force" in fields:
                spec.task.force_update += 1
            if "constraint" in fields:
                spec.task.placement.constraints[:] = [str(fields["constraint"])]
            replace_spec(service, spec, timestamp(self.clock.now_ns()))

        self.change_service(change)

    def reconfigure(self, edit: Callable[[ServiceSpec], None]) -> None:
        """Give the service a spec that `edit` has changed."""
        spec = ServiceSpec()
        spec.CopyFrom(self.service.spec)
        edit(spec)
        now = timestamp(self.clock.now_ns())
        self.change_service(lambda service: replace_spec(service, spec, now))

    def roll_back(self) -> None:
        now = timestamp(self.clock.now_ns())
        self.change_service(lambda service: roll_back(service, now, "asked for", keep_previous=True))

    def remove_service(self) -> None:
        self.write(lambda tx: tx.remove(self.service))

    def change_node(self, node_id: str, change: Callable[[Node], None]) -> None:
        current = self.tables.nodes.get(node_id)
        assert current is not None
        node = copy_of(current)
        change(node)
        self.write(lambda tx: tx.update(node))

    def drain(self, node_id: str) -> None:
        self.set_availability(node_id, NodeAvailability.NODE_AVAILABILITY_DRAIN)

    def set_availability(self, node_id: str, availability: "NodeAvailability") -> None:
        self.change_node(node_id, lambda node: setattr(node.spec, "availability", availability))

    def lose(self, node_id: str) -> None:
        self.change_node(node_id, lambda node: setattr(node.status, "state", NodeState.NODE_STATE_DOWN))

    def find(self, node_id: str) -> None:
        self.change_node(node_id, lambda node: setattr(node.status, "state", NodeState.NODE_STATE_READY))

    def report(self, task: Task, state: "TaskState", err: str = "") -> None:
        copy = copy_of(self.task(task.id))
        now = timestamp(self.clock.now_ns())
        record_status(copy, TaskStatus(state=state, timestamp=now, err=err))
        self.write(lambda tx: tx.update(copy))

    def assign(self, task: Task, node_id: str) -> None:
        copy = copy_of(self.task(task.id))
        copy.node_id = node_id
        self.write(lambda tx: tx.update(copy))
        self.report(copy, task_state.ASSIGNED)

    def place(self) -> None:
        """Assign every task without a node, to the node with the fewest tasks; without any, to none."""
        for task in self.live:
            if task.status.state < task_state.ASSIGNED:
                ready = [node for node in self.tables.nodes if node.status.state == 2]
                load = {node.id: len(self.tables.tasks.by_node(node.id)) for node in ready}
                chosen = task.node_id or min(load, key=lambda one: (load[one], one), default="")
                if chosen:
                    self.assign(task, chosen)

    def obey_one(self) -> None:
        """Let one task take one step."""
        self.obey(steps=1)

    def obey_except(self, image: str) -> None:
        """Do as agents do that cannot run `image`."""
        self.obey(image=image)

    def obey(self, steps: int = 1 << 30, image: str = "") -> None:
        """Run what is meant to run and stop what is not, as agents do that can be reached."""
        self.place()
        for task in self.tasks:
            before = self.tables.index
            if task.spec.container.image == image and task.desired_state <= task_state.RUNNING:
                continue
            node = self.tables.nodes.get(task.node_id)
            if node is None or node.status.state != NodeState.NODE_STATE_READY or task_state.is_done(task):
                continue
            if task.desired_state > task_state.RUNNING:
                self.report(task, task_state.SHUTDOWN)
            elif task.desired_state == task_state.RUNNING and task.status.state < task_state.RUNNING:
                self.report(task, task_state.RUNNING)
            steps -= self.tables.index != before
            if not steps:
                return

    # The orchestrator.

    def plan(self) -> Plan:
        if self.tables.services.get("s") is None:
            return complete(plan_without_service(self.tasks, self.tables.nodes))
        victims, now_ns = victims_of(self.service, self.tables.tasks), self.clock.now_ns()
        view = ServiceView(self.service, self.tasks, self.tables.nodes, self.history_limit, now_ns, victims)
        return complete(plan_service(view))

    def look(self) -> Plan:
        """Plan once and carry it out."""
        plan = self.plan()
        service = self.tables.services.get("s")
        version = service.meta.version.index if service is not None else 0
        ids = [f"t{next(self._ids)}" for step in plan.steps if step.create is not None]

        def commit(tx: Transaction) -> None:
            assert commit_steps(tx, "s", version, plan.steps, ids, self.clock.now_ns())
            if plan.service_change is not None:
                assert commit_service_change(tx, "s", version, plan.service_change)

        if plan:
            self.write(commit)
        return plan

    def settle(self) -> Plan:
        """Plan and carry out until there is nothing to do; return the last, empty plan."""
        for _ in range(PASSES_MAX):
            plan = self.look()
            if not plan:
                return plan
        raise AssertionError(f"it never settles: {plan}")

    def run(self, seconds: float = 0.0) -> None:
        """Let the orchestrator and the agents go on, for so many seconds, until nothing changes any more."""
        for _ in range(PASSES_MAX):
            self.settle()
            before = self.tables.index
            self.obey()
            if self.tables.index == before:
                break
        if seconds > 0:
            self.clock.advance(min(seconds, 0.5))
            self.run(seconds - 0.5)


def running(bench: Bench) -> list[Task]:
    """Return the tasks that run and are meant to."""
    return [task for task in bench.tasks if task_state.is_running(task)]


def with_update(spec: ServiceSpec, **fields: object) -> ServiceSpec:
    """Return `spec` with fields of its update config, and of its rollback config, set."""
    for config in (spec.update, spec.rollback):
        for name, value in fields.items():
            setattr(config, name, value)
    return spec


PAUSE = UpdateConfig.FAILURE_ACTION_PAUSE
CONTINUE = UpdateConfig.FAILURE_ACTION_CONTINUE
ROLLBACK = UpdateConfig.FAILURE_ACTION_ROLLBACK
START_FIRST = UpdateConfig.ORDER_START_FIRST
