"""Which tasks may start, when their service depends on others?

Only tasks that are NEW are held: what was let go runs on, whatever becomes of its dependencies. A task goes
when every condition holds, or when another task of the same version runs already: its service is up, and
what it depends on was there. That covers the first deploy and a full outage alike, for after an outage
nothing runs, whatever the tasks were before.

A task that replaces another one waits no longer than PATIENCE_NS: better a service that has to try than one
that stays away because of another. A first task waits for as long as it takes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import ServiceDependency, ServiceSpec
from swarm.api.v1.types_pb2 import NodeState
from swarm.model import defaults, task_state
from swarm.model.autoscale import wanted_replicas
from swarm.model.health import is_sound
from swarm.model.job import Job, is_completed, job_of, of_last_run, run_is_decided
from swarm.timestamps import SECOND, nanoseconds

PATIENCE_NS = 600 * SECOND

# A new leader believes what the store says of tasks only after so many heartbeat periods: by then every node
# has told what became of its tasks, or is down.
SETTLE_PERIODS = 4

STARTED = ServiceDependency.CONDITION_STARTED
HEALTHY = ServiceDependency.CONDITION_HEALTHY
COMPLETED = ServiceDependency.CONDITION_COMPLETED
WORDS: Mapping[str, "ServiceDependency.Condition"] = {
    "started": STARTED,
    "healthy": HEALTHY,
    "completed": COMPLETED,
}

LOOKING = "it waits for its restart delay, and until it is known what else has failed"
SETTLING = "it waits until all nodes have told the new leader what runs on them"


@dataclass(frozen=True, slots=True)
class Look:
    """How to find what dependencies are decided by."""

    service: Callable[[str], Service | None]  # by id
    service_named: Callable[[str], Service | None]
    task: Callable[[str], Task | None]  # by id
    tasks_of: Callable[[str], Sequence[Task]]  # by id of the service, in order of creation
    node: Callable[[str], Node | None]

    def runs(self, task: Task) -> bool:
        """Whether `task` runs on a node that is there."""
        if not task_state.is_running(task):
            return False
        node = self.node(task.node_id)
        return node is not None and node.status.state == NodeState.NODE_STATE_READY


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a task must wait, and the time at which it has to be looked at again, if there is one."""

    reason: str
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """Tells of tasks whether they must wait, at one moment; looks at every service once."""

    look: Look
    now_ns: int
    settled_ns: int = 0  # from when on the store is known to say the truth
    period_ns: int = defaults.HEARTBEAT_PERIOD_NS
    _unmet: dict[str, str] = field(init=False, default_factory=dict)  # by service id
    _up: dict[str, frozenset[int]] = field(init=False, default_factory=dict)

    def hold(self, task: Task) -> Hold | None:
        """Return why a NEW `task` must wait; None when it may go."""
        service = self.look.service(task.service_id)
        if service is None or not service.spec.depends_on:
            return None
        replaces = bool(task.previous_task_id)
        if replaces and self.now_ns < self.settled_ns:
            return Hold(SETTLING, self.settled_ns)
        created_ns = nanoseconds(task.meta.created_at)
        if replaces and self._failed(task.previous_task_id):
            # What failed together with the task before it is not known before: nodes are missed one by one.
            known_ns = max(created_ns + self.period_ns, nanoseconds(task.start_not_before))
            if known_ns > self.now_ns:
                return Hold(self._reason(service) or LOOKING, known_ns)
        if task.spec_version in self._versions_up(service.id):
            return None
        reason = self._reason(service)
        if not reason:
            return None
        if not replaces:
            return Hold(reason)
        give_up_ns = created_ns + PATIENCE_NS
        return None if give_up_ns <= self.now_ns else Hold(reason, give_up_ns)

    def _failed(self, task_id: str) -> bool:
        """Whether a task ended by itself or lost its node, and was not replaced while all was well."""
        task = self.look.task(task_id)
        if task is None or task.status.state > task_state.RUNNING:
            return task is None or task.status.state != task_state.SHUTDOWN
        if not task.node_id:
            return False
        node = self.look.node(task.node_id)
        return node is None or node.status.state != NodeState.NODE_STATE_READY

    def _versions_up(self, service_id: str) -> frozenset[int]:
        found = self._up.get(service_id)
        if found is None:
            tasks = self.look.tasks_of(service_id)
            found = frozenset(task.spec_version for task in tasks if self.look.runs(task))
            self._up[service_id] = found
        return found

    def _reason(self, service: Service) -> str:
        if service.id not in self._unmet:
            parts = [part for one in service.spec.depends_on if (part := unmet(one, self.look))]
            self._unmet[service.id] = f"it waits {' and '.join(parts)}" if parts else ""
        return self._unmet[service.id]


def word(dependency: ServiceDependency) -> str:
    """Return the condition as people write it."""
    return next((name for name, one in WORDS.items() if one == dependency.condition), "unknown")


def unmet(dependency: ServiceDependency, look: Look) -> str:
    """Return what is waited for, e.g. `for service db to be healthy (1 of 2 tasks run)`; empty: it holds."""
    service = look.service_named(dependency.service)
    if service is None:
        problem = "there is no such service yet"
    else:
        problem = _CHECKS[dependency.condition](service, look.tasks_of(service.id), look)
    return f"for service {dependency.service} to be {word(dependency)} ({problem})" if problem else ""


def find_cycle(name: str, wanted: Iterable[str], needs: Callable[[str], Iterable[str]]) -> Sequence[str]:
    """Return the names of a cycle through service `name` if it depends on `wanted`, else nothing.

    `needs` tells what other services depend on, by name.
    """
    came_from: dict[str, str] = {}
    open_names = [(one, name) for one in wanted]
    while open_names:
        one, before = open_names.pop()
        if one == name:
            path = [name]
            while before != name:
                path.append(before)
                before = came_from[before]
            return [name, *reversed(path[1:]), name]
        if one not in came_from:
            came_from[one] = before
            open_names += [(needed, one) for needed in needs(one)]
    return []


def dependency_problems(spec: ServiceSpec) -> Iterable[str]:
    """Yield what is wrong with the dependencies of a spec by itself."""
    named: set[str] = set()
    for one in spec.depends_on:
        if not one.service:
            yield "a dependency names no service"
        elif one.service == spec.annotations.name:
            yield f"it depends on itself: {one.service}"
        elif one.service in named:
            yield f"it depends twice on service {one.service}: one condition is enough"
        if one.condition not in WORDS.values():
            yield f"{one.condition} is not a condition of a dependency ({', '.join(WORDS)})"
        named.add(one.service)


# Each returns what is missing, empty when the condition holds.


def _started(service: Service, tasks: Sequence[Task], look: Look) -> str:
    if job_of(service.spec) is not None:
        tasks = [task for task in tasks if of_last_run(service, task)]
        if run_is_decided(service) and any(map(is_completed, tasks)):
            return ""
    return "" if any(map(look.runs, tasks)) else "none of its tasks runs"


def _healthy(service: Service, tasks: Sequence[Task], look: Look) -> str:
    if job_of(service.spec) is not None:
        return _completed(service, tasks, look)
    # A task whose health check only informs runs also while it is not healthy.
    running = [task for task in tasks if look.runs(task)]
    sound = [task for task in running if is_sound(task)]
    if defaults.is_global(service.spec):
        wanted, good = sum(map(task_state.wants_to_run, tasks)), len(sound)
    else:
        wanted, good = wanted_replicas(service), len({task.slot for task in sound})
    if not wanted:
        return "no task of it is wanted"
    how = "run" if len(sound) == len(running) else "run and are healthy"
    return "" if good >= wanted else f"{good} of {wanted} tasks {how}"


def _completed(service: Service, tasks: Sequence[Task], look: Look) -> str:
    job = job_of(service.spec)
    if job is not None:
        return _job_completed(service, job, tasks)
    newest = {(task.slot, "" if task.slot else task.node_id): task for task in tasks}
    done = sum(task.status.state == task_state.COMPLETE for task in newest.values())
    wanted = len(newest) if defaults.is_global(service.spec) else wanted_replicas(service)
    return "" if wanted and done >= wanted else f"{done} of {wanted} tasks have completed"


def _job_completed(service: Service, job: Job, tasks: Sequence[Task]) -> str:
    places: dict[tuple[int, str], bool] = {}
    for task in tasks:
        if of_last_run(service, task):
            key = (task.slot, "" if task.slot else task.node_id)
            places[key] = places.get(key, False) or is_completed(task)
    if not places or not run_is_decided(service):
        return "it has not run yet"
    done = sum(places.values())
    wanted = len(places) if job.is_global else job.total
    return "" if done >= wanted else f"{done} of {wanted} tasks have completed"


_CHECKS: Mapping[int, Callable[[Service, Sequence[Task], Look], str]] = {
    STARTED: _started,
    HEALTHY: _healthy,
    COMPLETED: _completed,
}
