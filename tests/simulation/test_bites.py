"""The simulator must find what is wrong, or its silence means nothing: real code is broken on purpose."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog

from swarm.api.v1.objects_pb2 import JobStatus, Service, Task
from swarm.manager.allocator import addresses
from swarm.manager.dispatcher import overlay_news, statuses
from swarm.manager.dispatcher.overlay_news import OverlaySet
from swarm.manager.orchestrator import commit, jobs, reconcile, restart, service_loop
from swarm.manager.orchestrator.plan import Plan
from swarm.manager.orchestrator.restart import Cause
from swarm.manager.orchestrator.slots import Slot
from swarm.manager.orchestrator.updater import Updater
from swarm.manager.scheduler import node_view
from swarm.manager.scheduler.demand import Demand, demand_of
from swarm.manager.scheduler.node_view import NodeView
from swarm.manager.store.tables import Table
from swarm.model.generic_resources import Claim, Ledger, Wants
from swarm.model.job import Job, job_of
from swarm.model.service import roll_back
from swarm.steps import Steps
from tests.simulation.world.many import quiet
from tests.simulation.world.storm import play
from tests.simulation.world.story import Broken

SEEDS = 100  # most are found within ten: whoever breaks something must not need luck to hear of it

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _restored_log() -> Iterator[None]:
    earlier = structlog.get_config()
    quiet()
    yield
    structlog.configure(**earlier)


def blind_to(**nothing: object) -> Callable[[Patch], None]:
    """Have the scheduler not see a part of what tasks ask for."""

    def break_it(patch: Patch) -> None:
        def demand(task: Task) -> Demand:
            return replace(demand_of(task), **nothing)  # type: ignore[arg-type]

        patch.setattr(node_view, "demand_of", demand)

    return break_it


def same_thing_for_all(patch: Patch) -> None:
    """Give every task the first things of a kind, whoever has them."""

    def pick(self: Ledger, wants: Wants) -> tuple[Claim, ...]:
        return tuple(Claim(kind, count, self._named.get(kind, ())[:count]) for kind, count in wants)

    patch.setattr(Ledger, "pick", pick)


def never_free_memory(patch: Patch) -> None:
    """Let the scheduler forget to give back what a task had."""
    count = NodeView.count

    def leak(self: NodeView, bound: Any, sign: int) -> None:
        before = self.memory_bytes_free
        count(self, bound, sign)
        self.memory_bytes_free = min(before, self.memory_bytes_free)

    patch.setattr(NodeView, "count", leak)


def all_at_once(patch: Patch) -> None:
    """Let the updater forget its parallelism."""
    patch.setattr(Updater, "_room", lambda self, todo: todo)


def old_tasks_first(patch: Patch) -> None:
    """Let the updater stop old tasks before the new ones run."""
    patch.setattr(Updater, "_may_stop_old", lambda self, one: bool(one.new))


def another_spec(patch: Patch) -> None:
    """Let a rollback end somewhere else."""

    def astray(service: Service, *arguments: Any, **named: Any) -> None:
        roll_back(service, *arguments, **named)
        service.spec.task.container.image = "v9"

    patch.setattr(commit, "roll_back", astray)


def no_waiting(patch: Patch) -> None:
    """Start what comes next before the task before it has stopped."""
    patch.setattr(restart, "stopping", lambda slot, nodes: ())


def doubles_stay(patch: Patch) -> None:
    """Let a commit not look whether its slot is still free, and nobody clear up after it."""
    patch.setattr(commit, "_is_free", lambda transaction, service_id, step: True)
    patch.setattr(reconcile, "_plan_doubles", lambda plan, view, well: None)


def lost_tasks_stay(patch: Patch) -> None:
    """Forget that a task whose node is gone does not run."""
    cause_of = reconcile.cause_of

    def blind(task: Task, nodes: Table[Any]) -> Cause | None:
        cause = cause_of(task, nodes)
        return None if cause is Cause.LOST else cause

    patch.setattr(reconcile, "cause_of", blind)


def leave_tasks_behind(patch: Patch) -> None:
    """Forget to remove the tasks of a service that is gone."""

    def nothing(tasks: Any, nodes: Any) -> Steps[Plan]:
        return Plan()
        yield

    patch.setattr(service_loop, "plan_without_service", nothing)


def time_comes_twice(patch: Patch) -> None:
    """Let the run of a cron job forget that its time has been."""
    next_status = jobs.next_status

    def forgetful(service: Service, now_ns: int, *, busy: bool) -> JobStatus | None:
        status = next_status(service, now_ns, busy=busy)
        cron = service.spec.HasField("cron")
        if cron and status is not None and status.iteration == service.job_status.iteration + 1 == 2:
            status.next_run.CopyFrom(service.job_status.next_run)
        return status

    patch.setattr(jobs, "next_status", forgetful)


def everything_together(patch: Patch) -> None:
    """Let a job forget how many of its tasks may run at a time."""

    def careless(spec: Any) -> Job | None:
        job = job_of(spec)
        return replace(job, max_concurrent=job.total) if job is not None else None

    patch.setattr(reconcile, "job_of", careless)


def again_and_again(patch: Patch) -> None:
    """Let a job do again what it has done."""

    def unfinished(slot: Slot, policy: Any) -> bool:
        return False

    patch.setattr(jobs, "is_completed", lambda task: False)
    patch.setattr(jobs, "is_finished", unfinished)


def old_news_count(patch: Patch) -> None:
    """Believe whatever an agent says, however late it comes."""
    patch.setattr(statuses, "counts", lambda task, node_id, status: task is not None)


def taken_addresses_too(patch: Patch) -> None:
    """Give an address without looking who has it."""
    patch.setattr(addresses, "is_taken", lambda view, network_id, address: False)


def nobody_is_told(patch: Patch) -> None:
    """Let sessions not hear what changes in networks."""
    patch.setattr(OverlaySet, "note", lambda self, paper: False)


def nodes_are_forgotten(patch: Patch) -> None:
    """Tell nobody of nodes that come and go."""
    patch.setattr(overlay_news, "_of_node", lambda view, paper, before, after: None)


@dataclass(frozen=True)
class Breakage:
    """What is broken, and what the simulator must say."""

    invariant: str
    break_it: Callable[[Patch], None]
    says: str
    feature: str = ""  # that services must have for it to matter


BREAKAGES = {
    "the scheduler ignores memory": Breakage("C8", blind_to(memory_bytes=0), "not so much memory", "memory"),
    "the scheduler ignores CPUs": Breakage("C8", blind_to(nano_cpus=0), "not so many CPUs", "cpus"),
    "the scheduler ignores constraints": Breakage(
        "C8", blind_to(constraints=()), "does not meet", "constraint"
    ),
    "the scheduler ignores max-per-node": Breakage(
        "C8", blind_to(replicas_max_per_node=0), "tasks of the service", "max-per-node"
    ),
    "the scheduler ignores affinities": Breakage(
        "C8", blind_to(affinities=(), guards=()), "keeps away|is there", "affinity"
    ),
    "one host port is given twice": Breakage("C7", blind_to(ports=()), "port .* is taken", "port"),
    "one thing is given twice": Breakage("C7", same_thing_for_all, "the same thing", "generic"),
    "reservations leak": Breakage("C11", never_free_memory, "counts something|nothing hinders", "memory"),
    "updates ignore parallelism": Breakage("C9", all_at_once, "its parallelism is"),
    "start-first stops first": Breakage("C9", old_tasks_first, "the order is start-first"),
    "a rollback goes astray": Breakage("C9", another_spec, "another spec"),
    "nobody waits for a stop": Breakage("C6", no_waiting, "still run in its slot|seen running"),
    "nobody looks whether a slot is free": Breakage("C6", doubles_stay, "in one slot|several tasks"),
    "lost tasks are not replaced": Breakage("C5", lost_tasks_stay, "does not settle"),
    "tasks of removed services stay": Breakage("C11", leave_tasks_behind, "which is gone"),
    "a time of a cron job runs twice": Breakage(
        "C10", time_comes_twice, "second run for one time|a time that it ran for", "cron"
    ),
    "a job ignores its concurrency": Breakage("C10", everything_together, "tasks of one run", "job"),
    "a job does its work again": Breakage("C10", again_and_again, "has done", "job"),
    "addresses are given twice": Breakage("C7", taken_addresses_too, "is that of", "network"),
    "nodes hear nothing of networks": Breakage(
        "C5", nobody_is_told, "does not know what is|nothing hinders", "network"
    ),
    "nodes hear nothing of nodes": Breakage(
        "C5", nodes_are_forgotten, "does not know what is|nothing hinders", "network"
    ),
    "late reports count": Breakage("C6", old_news_count, "went back|came back to life"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_it_finds_what_is_broken_on_purpose(name: str, monkeypatch: Patch) -> None:
    breakage = BREAKAGES[name]
    breakage.break_it(monkeypatch)
    heard: list[str] = []
    for seed in range(SEEDS):
        try:
            play(seed, feature=breakage.feature)
        except Broken as error:
            heard.append(str(error).splitlines()[0])
            if re.search(breakage.says, heard[-1]):
                return
    pytest.fail(f"{SEEDS} seeds do not find that {name}; they say {heard}")
