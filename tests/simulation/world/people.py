"""What people do to a cluster: the functions of the control API, called in the middle of everything."""

import asyncio
from collections.abc import Callable

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import NodeSpec, ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability, UpdateStatus
from swarm.clock import SECOND, timestamp
from swarm.errors import FailedPrecondition
from swarm.manager.controlapi.nodes import remove_node, update_node
from swarm.manager.controlapi.services import create_service, remove_service, update_service
from swarm.manager.controlapi.steering import steer
from swarm.manager.planning.balance import plan_rebalance
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import rollout
from swarm.model.service import is_moving, start_moving
from swarm.steps import complete
from tests.simulation.world.workload import Wishes
from tests.simulation.world.world import World

Steer = control.SteerUpdateRequest
SERVICES_MAX = 4


class _NoManagers:
    """The machines of the simulation are workers."""

    members = ()


class People:
    """Create, change and remove services, drain nodes, and look after updates that wait for a word."""

    def __init__(self, world: World, wishes: Wishes) -> None:
        self._world = world
        self._wishes = wishes
        self._made = 0
        self.finish: Callable[[ServiceSpec], None] = lambda spec: None  # what else new services ask for

    async def bother(self, pause_s: float) -> None:
        """Do something now and then, until cancelled."""
        rng = self._world.random
        actions: list[tuple[Callable[[], object], int]] = [
            (self.create, 3), (self.reimage, 6), (self.rescale, 4), (self.remove, 1), (self.go_back, 1),
            (self.steer, 2), (self.drain, 2), (self.activate, 2), (self.relabel, 1), (self.rebalance, 1),
            (self.force, 1), (self.reprioritise, 1),
        ]  # fmt: skip
        weights = [weight for _, weight in actions]
        while True:
            await asyncio.sleep(rng.expovariate(1 / pause_s))
            ((act, _),) = rng.choices(actions, weights)
            if not len(self._world.view.services):
                act = self.create
            await act()

    # Services.

    async def create(self) -> None:
        """Make a service."""
        names = [service.id for service in self._world.view.services]
        if len(names) >= SERVICES_MAX:
            return
        self._made += 1
        name = f"s{self._made}"
        spec = self._wishes.a_spec(name, names)
        self.finish(spec)
        self._world.tell(f"somebody creates {name}")
        await self._world.try_to(lambda tx: create_service(tx, spec, name))

    async def change(self, edit: Callable[[ServiceSpec], None]) -> None:
        """Give some service another spec."""
        service = self._some_service()
        if service is not None:
            await self.change_one(service.id, edit)

    async def change_one(self, service_id: str, edit: Callable[[ServiceSpec], None]) -> None:
        """Give a service another spec; the second time changes nothing."""
        now_ns = self._world.clock.now_ns()

        def write(tx: Transaction) -> None:
            service = tx.services.get(service_id)
            if service is None:
                return
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            edit(spec)
            version = service.meta.version.index
            update_service(
                tx, control.UpdateServiceRequest(id=service_id, version=version, spec=spec), now_ns
            )

        await self._world.try_to(write)

    async def reimage(self) -> None:
        """Update a service."""
        service = self._some_service()
        if service is not None:
            image = self._wishes.another_image(service.spec)
            self._world.tell(f"somebody updates {service.id} to {image}")
            await self.change_one(service.id, lambda spec: setattr(spec.task.container, "image", image))

    async def rescale(self) -> None:
        """Scale a service."""
        replicas = self._world.random.randrange(0, 6)

        def edit(spec: ServiceSpec) -> None:
            if spec.HasField("replicated"):
                spec.replicated.replicas = replicas

        await self.change(edit)

    async def force(self) -> None:
        """Replace every task, or run a job again."""
        await self.change(lambda spec: setattr(spec.task, "force_update", spec.task.force_update + 1))

    async def reprioritise(self) -> None:
        """Make a service more or less important."""
        priority, preempt = self._wishes.a_priority()

        def edit(spec: ServiceSpec) -> None:
            spec.task.priority, spec.task.preempt = priority, preempt

        await self.change(edit)

    async def remove(self) -> None:
        """Remove a service."""
        service = self._some_service()
        if service is not None:
            self._world.tell(f"somebody removes {service.id}")
            await self._world.try_to(lambda tx: remove_service(tx, service.id))

    async def go_back(self) -> None:
        """Roll a service back."""
        service, now_ns = self._some_service(), self._world.clock.now_ns()
        if service is not None:
            version = service.meta.version.index
            request = Steer(ref=service.id, action=Steer.ACTION_ROLLBACK, version=version)
            await self._world.try_to(lambda tx: steer(tx, request, now_ns))

    async def steer(self) -> None:
        """Pause, resume or promote an update."""
        service, now_ns = self._some_service(), self._world.clock.now_ns()
        if service is not None:
            action = self._world.random.choice(
                (Steer.ACTION_PAUSE, Steer.ACTION_RESUME, Steer.ACTION_PROMOTE)
            )
            await self._world.try_to(lambda tx: steer(tx, Steer(ref=service.id, action=action), now_ns))

    async def look_after(self, service: Service) -> None:
        """Say the word that an update waits for."""
        now_ns, state = self._world.clock.now_ns(), service.update_status.state
        if state == UpdateStatus.STATE_CANARY:
            action = Steer.ACTION_PROMOTE
        elif state in rollout.PAUSED:
            action = Steer.ACTION_RESUME
        else:
            return
        await self._world.try_to(lambda tx: steer(tx, Steer(ref=service.id, action=action), now_ns))

    async def rebalance(self) -> None:
        """Have the tasks of a service moved to where they should be."""
        service, now_ns = self._some_service(), self._world.clock.now_ns()
        if service is None or not service.spec.HasField("replicated"):
            return
        try:
            moves = complete(plan_rebalance(self._world.view, service, now_ns))
        except FailedPrecondition:
            return

        def begin(tx: Transaction) -> None:
            current = tx.services.get(service.id)
            if (
                current is not None
                and current.meta.version == service.meta.version
                and not is_moving(current)
            ):
                moving = copy_of(current)
                start_moving(moving, moves, timestamp(now_ns))
                tx.update(moving)

        if moves:
            self._world.tell(f"somebody rebalances {service.id}")
            await self._world.try_to(begin)

    def _some_service(self) -> Service | None:
        services = list(self._world.view.services)
        return self._world.random.choice(services) if services else None

    # Nodes.

    async def drain(self) -> None:
        """Empty a node, or let it take no new tasks."""
        availability = self._world.random.choice(
            (NodeAvailability.NODE_AVAILABILITY_DRAIN, NodeAvailability.NODE_AVAILABILITY_PAUSE)
        )
        timeout_ns = self._world.random.choice((0, 5, 60)) * SECOND

        def edit(spec: NodeSpec) -> None:
            spec.availability = availability
            spec.drain_timeout_ns = timeout_ns

        await self.change_node(self._world.random.choice(sorted(self._world.nodes)), edit)

    async def activate(self) -> None:
        """Let every node take tasks."""
        for node_id in sorted(self._world.nodes):
            await self.change_node(node_id, make_active)

    async def relabel(self) -> None:
        """Give a node another label."""
        zone = self._world.random.choice("abc")
        node_id = self._world.random.choice(sorted(self._world.nodes))
        await self.change_node(node_id, lambda spec: spec.annotations.labels.update(zone=zone))

    async def change_node(
        self, node_id: str, edit: Callable[[NodeSpec], None], *, insist: bool = False
    ) -> None:
        """Give a node another spec."""
        now_ns = self._world.clock.now_ns()

        def write(tx: Transaction) -> None:
            node = tx.nodes.get(node_id)
            if node is None:
                return
            spec = NodeSpec()
            spec.CopyFrom(node.spec)
            edit(spec)
            request = control.UpdateNodeRequest(id=node_id, version=node.meta.version.index, spec=spec)
            update_node(tx, _NoManagers(), request, now_ns)

        await (self._world.insist(write) if insist else self._world.try_to(write))

    async def remove_node(self, node_id: str) -> None:
        """Take a node out of the cluster, whatever it does."""
        now_ns = self._world.clock.now_ns()
        self._world.tell(f"somebody removes {node_id}")

        def write(tx: Transaction) -> None:
            if node_id in tx.nodes:
                remove_node(tx, _NoManagers(), node_id, force=True, now_ns=now_ns)

        await self._world.insist(write)
        self._world.nodes.pop(node_id).cut()


def make_active(spec: NodeSpec) -> None:
    """Let a node take tasks again."""
    spec.availability = NodeAvailability.NODE_AVAILABILITY_ACTIVE
    spec.ClearField("drain_timeout_ns")
