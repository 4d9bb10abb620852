"""A cluster that always does at once what is decided: the decisions of the leader over bare tables."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count

from swarm.api.v1.control_pb2 import PlanChangesResponse, PlannedStep
from swarm.api.v1.objects_pb2 import Node, Rebalance, Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.clock import SECOND, timestamp
from swarm.manager.planning.balance import plan_rebalance
from swarm.manager.planning.forecast import Forecast
from swarm.manager.planning.forecaster import look_ahead
from swarm.manager.planning.scratch import Scratch, freeze
from swarm.manager.store.tables import Tables, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.service import new_service, replace_spec, start_moving
from swarm.steps import complete
from tests.unit.orchestrator.bench import a_node, a_spec

NOW_NS = 1_700_000_000 * SECOND
KINDS = {value: name.removeprefix("KIND_").lower() for name, value in PlannedStep.Kind.items()}


class World:
    """Nodes and services; `do` makes a change and lets everything come to rest."""

    def __init__(self, *nodes: Node) -> None:
        self.tables = Tables()
        self.now_ns = NOW_NS
        self._ids = count(1)
        self.do(lambda tx: [tx.create(node) for node in nodes] and [])

    def do(self, change: Callable[[Transaction], Iterable[str] | None]) -> Forecast:
        forecast = Forecast(Scratch(self.tables, self.now_ns))
        complete(forecast.prepare())
        forecast.change(change)
        for service in self.tables.services:
            forecast.involve(service.id)
        complete(forecast.run())
        assert forecast.is_complete
        self.now_ns = forecast.scratch.now_ns + SECOND
        return forecast

    def ask(self, change: Callable[[Transaction], Iterable[str] | None]) -> PlanChangesResponse:
        """Return what would happen."""
        return complete(
            look_ahead(freeze(self.tables), self.tables.index, self.now_ns, lambda tx: change(tx) or ())
        )

    def service(self, name: str) -> Service:
        found = self.tables.services.by_name(name)
        assert found is not None
        return found

    def run(self, spec: ServiceSpec) -> Service:
        self.do(creating(spec, f"s-{spec.annotations.name}"))
        return self.service(spec.annotations.name)

    def where(self, name: str) -> dict[str, int]:
        """Return how many tasks of a service run on each node."""
        tasks = self.tables.tasks.by_service(self.service(name).id)
        running = Counter(task.node_id for task in tasks if task_state.is_running(task))
        return {node.id: running[node.id] for node in self.tables.nodes}

    def moves(self, name: str, max_moves: int = 0) -> list[Rebalance.Move]:
        return list(complete(plan_rebalance(self.tables, self.service(name), self.now_ns, max_moves)))

    def rebalance(self, name: str, max_moves: int = 0) -> list[Rebalance.Move]:
        moves = self.moves(name, max_moves)
        if moves:
            self.do(moving(self.service(name).id, moves))
        return moves


def a_service_spec(
    name: str = "web", replicas: int | None = 1, image: str = "v1", **more: object
) -> ServiceSpec:
    """`more`: cpus, per_node, spread, constraints, order, parallelism, strategy, canary."""
    spec = a_spec(replicas, image)
    spec.annotations.name = name
    spec.task.resources.reservations.nano_cpus = int(float(str(more.get("cpus", 0))) * 10**9)
    spec.task.placement.max_replicas_per_node = int(str(more.get("per_node", 0)))
    spec.task.placement.constraints.extend(more.get("constraints", ()))  # type: ignore[arg-type]
    for label in more.get("spread", ()):  # type: ignore[attr-defined]
        spec.task.placement.preferences.add(spread=label)
    if "order" in more:  # who says stop-first has no overlap while a node is drained
        spec.update.order = int(str(more["order"]))
    spec.update.parallelism = int(str(more.get("parallelism", 1)))
    spec.update.canary = int(str(more.get("canary", 0)))
    spec.task.placement.strategy = int(str(more.get("strategy", 0)))
    return spec


def a_job_spec(name: str = "fill", total: int = 1, concurrent: int = 1) -> ServiceSpec:
    spec = a_spec()
    spec.annotations.name = name
    spec.replicated_job.total_completions = total
    spec.replicated_job.max_concurrent = concurrent
    return spec


def creating(spec: ServiceSpec, service_id: str) -> Callable[[Transaction], None]:
    def change(tx: Transaction) -> None:
        tx.create(new_service(service_id, spec))

    return change


def updating(service: Service, edit: Callable[[ServiceSpec], object]) -> Callable[[Transaction], None]:
    changed = copy_of(service)
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    edit(spec)
    replace_spec(changed, spec, timestamp(NOW_NS))

    def change(tx: Transaction) -> None:
        tx.update(changed)

    return change


def scaling(service: Service, replicas: int) -> Callable[[Transaction], None]:
    return updating(service, lambda spec: setattr(spec.replicated, "replicas", replicas))


def moving(service_id: str, moves: list[Rebalance.Move]) -> Callable[[Transaction], None]:
    def change(tx: Transaction) -> None:
        service = tx.services.get(service_id)
        assert service is not None
        service = copy_of(service)
        start_moving(service, moves, timestamp(NOW_NS))
        tx.update(service)

    return change


def draining(
    node_id: str,
    availability: "NodeAvailability" = NodeAvailability.NODE_AVAILABILITY_DRAIN,
    since_ns: int = 0,
) -> Callable[[Transaction], None]:
    """`since_ns`: tasks wait for their replacements, from then on; without it they leave at once."""

    def change(tx: Transaction) -> None:
        node = tx.nodes.get(node_id)
        assert node is not None
        node = copy_of(node)
        node.spec.availability = availability
        if since_ns:
            node.spec.drain_started_at.CopyFrom(timestamp(since_ns))
        tx.update(node)

    return change


def told(answer: PlanChangesResponse) -> list[str]:
    """Return an answer as lines: action, service.slot, from, to."""
    return [
        f"{KINDS[step.kind]} {step.service_name}.{step.slot} "
        f"{step.from_hostname or '-'} {step.hostname or '-'}"
        for step in answer.steps
    ]


def kinds(answer: PlanChangesResponse) -> Counter[str]:
    return Counter(KINDS[step.kind] for step in answer.steps)


def nodes(number: int, cpus: float = 8) -> list[Node]:
    found = [a_node(f"n{one}") for one in range(1, number + 1)]
    for node in found:
        node.description.resources.nano_cpus = int(cpus * 10**9)
    return found
