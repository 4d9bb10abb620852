"""How fast are tasks placed? `python -m bench.scheduler`: the scheduler's loop over a store without Raft.

Every task is read from the store, placed, and committed with its node, as on a leader; left out are the disk
and the network below the commit. `planned_per_s` is the decision alone. Each case has a process of its own.
"""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import structlog

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NodeState
from swarm.clock import SystemClock
from swarm.manager.collector import tame_collector
from swarm.manager.scheduler.backlog import TASKS_PER_PLAN, Backlog
from swarm.manager.scheduler.demand import Group
from swarm.manager.scheduler.loop import SchedulerLoop
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.scheduler.plan import plan_group
from swarm.manager.scheduler.spread import Pools
from swarm.manager.store.testing import store_with
from swarm.model import task_state
from swarm.model.affinity import read_affinity
from swarm.steps import complete

SIZES = ((1000, 1000), (1000, 10_000), (1000, 100_000), (10_000, 100_000))
VARIANTS = ("constraints", "spread", "affinity", "one-service")
TASKS_PER_SERVICE = 1000
ZONES, RACKS = 10, 50
TASKS_PER_NODE_MAX = 200
TASK_NANO_CPUS = 100_000_000


@dataclass(frozen=True)
class Result:
    """One case. Seconds are those that one core worked for it; only the last are of the wall clock."""

    nodes: int
    tasks: int
    variant: str | None
    tasks_per_s: float
    planned_per_s: float
    tasks_per_wall_clock_s: float


def make_node(number: int) -> Node:
    node = Node(id=f"n{number:05}")
    node.status.state = NodeState.NODE_STATE_READY
    node.description.hostname = node.id
    node.description.platform.os, node.description.platform.architecture = "linux", "amd64"
    node.description.resources.nano_cpus = TASKS_PER_NODE_MAX * TASK_NANO_CPUS
    node.description.resources.memory_bytes = 64 << 30
    node.spec.annotations.labels.update(zone=f"z{number % ZONES}", rack=f"r{number % RACKS}", disk="ssd")
    return node


def make_tasks(count: int, variant: str | None) -> Iterator[Task]:
    size = count if variant == "one-service" else min(TASKS_PER_SERVICE, count // 2)
    for number in range(count):
        service = number // size
        task = Task(id=f"t{number:06}", service_id=f"s{service}", spec_version=1, slot=number % size + 1)
        task.service_annotations.name = f"web{service}"
        task.desired_state, task.status.state = task_state.RUNNING, task_state.PENDING
        task.spec.container.image = "example.com/web:1"
        task.spec.resources.reservations.nano_cpus = TASK_NANO_CPUS
        placement = task.spec.placement
        if variant == "constraints":
            placement.constraints.extend(["node.labels.disk==ssd", f"node.labels.zone!=z{service % ZONES}"])
        elif variant == "spread":
            placement.preferences.add(spread="node.labels.zone")
            placement.preferences.add(spread="node.labels.rack")
        elif variant == "affinity" and service % 2:
            for text in (f"service==web{service - 1}", f"service!=web{service},weight=50"):
                placement.affinities.append(read_affinity(text))
        yield task


async def place_all(nodes: Sequence[Node], tasks: Sequence[Task]) -> tuple[float, float]:
    """Return how long the loop took: seconds of the wall clock, and of the processor."""
    store = store_with(*nodes, *tasks)
    loop = SchedulerLoop(store, SystemClock())
    tame_collector()  # as a manager does
    wall, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(loop.run())
    waiting = [task.id for task in tasks]
    while waiting and not running.done():
        await asyncio.sleep(0.02)
        while waiting and (task := store.view.tasks.get(waiting[-1])) and task.node_id:
            waiting.pop()
    taken = time.perf_counter() - wall, time.process_time() - cpu
    if waiting:
        raise SystemExit(f"the scheduler ended: {running.exception()}")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return taken


def plan_all(nodes: Sequence[Node], tasks: Sequence[Task]) -> float:
    """Return how many seconds of the processor the decisions took."""
    view, backlog = ClusterView(), Backlog()
    pools = Pools(view)
    for node in nodes:
        view.put_node(node)
    for task in tasks:
        backlog.put(task)
    began = time.process_time()

    def at_once(group: Group) -> int:  # as the loop does it
        return max(TASKS_PER_PLAN, len(view.hosts(group[0])))

    while waiting := backlog.take_fresh(at_once):
        plan = complete(plan_group(view, pools, waiting, time.time_ns()))
        if len(plan.assignments) < len(waiting):
            raise SystemExit(f"not placed: {plan.refusals[0].reason}")
        for assignment in plan.assignments:
            backlog.drop(assignment.task_id)
    return time.process_time() - began


def measure(nodes: int, tasks: int, variant: str | None) -> Result:
    all_nodes = [make_node(number) for number in range(nodes)]
    all_tasks = list(make_tasks(tasks, variant))
    planning = plan_all(all_nodes, all_tasks)
    wall, cpu = asyncio.run(place_all(all_nodes, all_tasks))
    return Result(nodes, tasks, variant, round(tasks / cpu), round(tasks / planning), round(tasks / wall))


def apart(nodes: int, tasks: int, variant: str | None) -> Result:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "bench.scheduler", "--one", str(nodes), str(tasks), variant or ""]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Result(**json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--quick", action="store_true", help="without the two largest sizes")
    parser.add_argument("--variant", choices=("plain", *VARIANTS), help="this one only")
    parser.add_argument(
        "--one", nargs=3, metavar=("NODES", "TASKS", "VARIANT"), help="one case, in this process"
    )
    given = parser.parse_args()
    if given.one:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        print(json.dumps(asdict(measure(int(given.one[0]), int(given.one[1]), given.one[2] or None))))
        return
    variants = (
        [None, *VARIANTS] if given.variant is None else [{"plain": None}.get(given.variant, given.variant)]
    )
    results: list[Result] = []
    for variant in variants:
        for nodes, tasks in SIZES[: 2 if given.quick else None]:
            results.append(apart(nodes, tasks, variant))
            if not given.json:
                show(results)
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=2))


def show(results: Sequence[Result]) -> None:
    last = results[-1]
    first = next(result for result in results if result.variant == last.variant)
    if len(results) == 1:
        print("  nodes    tasks  variant       tasks/s  wall clock  planned/s  time per task")
    growth = first.tasks_per_s / last.tasks_per_s
    print(
        f"{last.nodes:>7}{last.tasks:>9}  {last.variant or '':<12}{last.tasks_per_s:>9.0f}"
        f"{last.tasks_per_wall_clock_s:>12.0f}{last.planned_per_s:>11.0f}  x {growth:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
