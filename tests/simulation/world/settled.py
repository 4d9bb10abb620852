"""C5 and C11: in the end everything is as it should be, and nothing is left of what was removed."""

from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, UpdateStatus
from swarm.manager.dispatcher.assignments import wanted_tasks
from swarm.manager.orchestrator.reconcile import plan_service
from swarm.manager.orchestrator.restart import is_finished
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import slots_of
from swarm.manager.store.look import look_at
from swarm.model import defaults, job, task_state
from swarm.model.autoscale import wanted_replicas
from swarm.model.dependencies import unmet
from swarm.model.service import is_moving
from swarm.model.task import still_fits
from swarm.runtime.base import ContainerState
from swarm.steps import complete
from tests.simulation.world.networks import Networks
from tests.simulation.world.placement import Placement
from tests.simulation.world.world import World

_AT_REST = (UpdateStatus.STATE_NONE, UpdateStatus.STATE_COMPLETED, UpdateStatus.STATE_ROLLBACK_COMPLETED)
_UNREACHABLE = (NodeState.NODE_STATE_DOWN, NodeState.NODE_STATE_DISCONNECTED)


@dataclass
class Settled:
    """Looks at a calm world."""

    world: World
    placement: Placement
    networks: Networks
    hampered: set[str] = field(
        default_factory=set
    )  # services that cannot be updated: something is not there

    def problem(self) -> str:
        """Return what is not as it should be, empty when all is well."""
        view = self.world.view
        self.hampered.clear()
        for task in view.tasks:
            if task.service_id not in view.services:
                return f"task {task.id} is left of service {task.service_id}, which is gone"
        for service in view.services:
            if service.spec.HasField("cron"):
                continue
            one = job.job_of(service.spec)
            found = self._of_job(service, one) if one else self._of_service(service)
            found = found or (service.id not in self.hampered and self._plan_left(service)) or ""
            if found:
                return f"service {service.id}: {found}"
        for node in view.nodes:
            if node.status.state == NodeState.NODE_STATE_READY and self.placement.excess(node):
                return f"node {node.id} has promised too much: {self.placement.excess(node)}"
        return self._of_machines() or self._of_scheduler() or self.networks.problem()

    # Services.

    def _of_service(self, service: Service) -> str:
        tasks = self.world.view.tasks.by_service(service.id)
        slots = complete(slots_of(tasks))
        policy = defaults.restart(service.spec.task)
        filled = {key for key, slot in slots.items() if slot.live or is_finished(slot, policy)}
        if defaults.is_global(service.spec):
            wanted = self._places(service)
            filled = {key for key in filled if slots[key].live or key in wanted}
            if filled != wanted:
                return f"it has tasks in {sorted(filled)}, and should in {sorted(wanted)}"
        elif len(filled) != wanted_replicas(service):
            return f"it has tasks in {sorted(filled)}, and should have {wanted_replicas(service)}"
        live = [task for task in tasks if task.desired_state <= task_state.RUNNING]
        waiting = [task for task in live if not task_state.is_running(task)]
        if service.update_status.state not in _AT_REST and any(
            task.spec_version == service.spec_version and self._waits_rightly(service, task)
            for task in waiting
        ):  # and what is old stays, in whatever state it is
            self.hampered.add(service.id)
            return ""
        for task in waiting:
            if not self._waits_rightly(service, task):
                return f"task {task.id} does not run, and nothing hinders it"
        status = service.update_status
        if not waiting and status.state not in _AT_REST:
            return f"its update is {UpdateStatus.State.Name(status.state)}: {status.message}"
        if not waiting and len(live) != len([one for one in slots.values() if one.live]):
            return f"slots have several tasks: {[task.id for task in live]}"
        if not waiting and is_moving(service):
            return "its tasks are being moved, and nothing moves"
        return self._misplaced(service, live)

    def _places(self, service: Service) -> set[tuple[int, str]]:
        """Return where a global service should have tasks."""
        return {
            (0, node.id)
            for node in self.world.view.nodes
            if node.status.state != NodeState.NODE_STATE_DOWN and still_fits(service.spec.task, node)
        }

    def _misplaced(self, service: Service, live: list[Task]) -> str:
        nodes = self.world.view.nodes
        for task in live:
            node = nodes.get(task.node_id)
            if task.node_id and (node is None or node.status.state in _UNREACHABLE):
                return f"task {task.id} is meant to run on {task.node_id}, which is not there"
            if node is not None and not (still_fits(task.spec, node) or still_fits(service.spec.task, node)):
                return f"task {task.id} is on {node.id}, which does not meet its constraints"
        return ""

    def _waits_rightly(self, service: Service, task: Task) -> bool:
        """Whether `task` waits for something that is really not there."""
        view = self.world.view
        if self.networks.hinder(task):
            return True
        if task.status.state == task_state.NEW:
            return any(unmet(one, look_at(view)) for one in service.spec.depends_on)
        if task.status.state != task_state.PENDING or not task.status.err:
            return False
        nodes = [view.nodes.get(task.node_id)] if task.node_id else list(view.nodes)
        return not any(self.placement.fits(task, node) for node in nodes if node is not None)

    def _of_job(self, service: Service, one: job.Job) -> str:
        tasks = [t for t in self.world.view.tasks.by_service(service.id) if job.of_last_run(service, t)]
        policy = job.restart_of(service.spec)
        slots = complete(slots_of(tasks)).values()
        done = [slot for slot in slots if any(map(job.is_completed, slot.tasks))]
        over = [slot for slot in slots if slot not in done and is_finished(slot, policy)]
        live = [task for slot in slots if slot not in done for task in slot.live]
        live = [task for task in live if not one.is_global or self._is_there(service, task.node_id)]
        if live and all(self._waits_rightly(service, task) for task in live):
            return ""
        wanted = (
            len([n for n in self.world.view.nodes if self._takes(service, n)])
            if one.is_global
            else one.total
        )
        gone = len([slot for slot in done if slot.node_id and not self._is_there(service, slot.node_id)])
        if len(done) - gone + len(over) != wanted and not (one.is_global and len(done) >= wanted):
            return f"{len(done)} of {wanted} have completed, {len(over)} were given up"
        return ""

    def _is_there(self, service: Service, node_id: str) -> bool:
        node = self.world.view.nodes.get(node_id)
        return node is not None and self._takes(service, node)

    def _takes(self, service: Service, node: Node) -> bool:
        return (
            node.status.state == NodeState.NODE_STATE_READY
            and node.spec.availability == NodeAvailability.NODE_AVAILABILITY_ACTIVE
            and still_fits(service.spec.task, node)
        )

    def _plan_left(self, service: Service) -> str:
        """Reconciling once more finds nothing to do."""
        view, now_ns = self.world.view, self.world.clock.now_ns()
        tasks = view.tasks.by_service(service.id)
        plan = complete(
            plan_service(ServiceView(service, tasks, view.nodes, defaults.TASK_HISTORY_LIMIT, now_ns))
        )
        return f"there is something left to do: {plan}" if plan else ""

    # Machines and what is kept in memory.

    def _of_machines(self) -> str:
        view = self.world.view
        crons = {service.id for service in view.services if service.spec.HasField("cron")}
        for node in self.world.nodes.values():
            if not node.online or node.id not in view.nodes:
                continue
            wanted = {task.id for task in wanted_tasks(view, node.id)}
            held = {task_id for task_id, one in node.held.items() if one.task.service_id not in crons}
            extra = held - wanted
            if extra:
                return f"node {node.id} keeps {sorted(extra)}, which nobody wants"
            for task_id, container in node.runtime.containers.items():
                task = view.tasks.get(task_id)
                if task is None and container.task.service_id not in crons:
                    return f"node {node.id} keeps the container of {task_id}, which is forgotten"
                ended = task is not None and task_state.is_done(task)
                if ended and container.state is ContainerState.RUNNING:
                    return f"a container of {task_id} runs on node {node.id}, and the task has ended"
            strangers = {task_id for task_id in node.runtime.ports.values() if task_id not in view.tasks}
            if strangers:
                return f"node {node.id} keeps ports of {sorted(strangers)}, which are forgotten"
        return ""

    def _of_scheduler(self) -> str:
        """What the scheduler counts as free is free."""
        loop = self.world.scheduler
        if loop is None or any(service.spec.HasField("cron") for service in self.world.view.services):
            return ""
        for node in self.world.view.nodes:
            counted = loop._view.get(node.id)
            held = self.placement.by_node.get(node.id, {}).values()
            memory = sum(one.memory_bytes for one in held)
            cpus = sum(one.nano_cpus for one in held)
            resources = node.description.resources
            free = resources.memory_bytes - memory, resources.nano_cpus - cpus
            if counted is None or (counted.memory_bytes_free, counted.nano_cpus_free) != free:
                return f"the scheduler counts something on node {node.id} that is gone, or misses it"
        return ""
