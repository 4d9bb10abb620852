"""Every state of a task is explained, each for the right cause."""

import pytest

from swarm.api.v1.control_pb2 import NodeVerdict
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import (
    NODE_AVAILABILITY_DRAIN,
    NODE_STATE_DOWN,
    NODE_STATE_UNKNOWN,
    HealthState,
    TaskState,
)
from swarm.clock import SECOND, timestamp
from swarm.errors import NotFound
from swarm.manager.controlapi.advice import advice
from swarm.manager.controlapi.tasks import explain_task, resolve_task
from swarm.manager.controlapi.why import Around, reason_in, reason_of
from swarm.manager.store.tables import Tables
from swarm.model import task_state as ts
from swarm.model.service import MOVED
from tests.unit.controlapi.fakes import a_node, a_service, a_task

NOW_NS = 1_700_000_000 * SECOND


def a_world(
    *tasks: Task, nodes: tuple[Node, ...] | None = None, services: tuple[Service, ...] | None = None
):
    view = Tables()
    for node in nodes if nodes is not None else (a_node("n1"),):
        view.nodes.put(node)
    for service in services if services is not None else (a_service("s1", "web"),):
        view.services.put(service)
    for number, task in enumerate(tasks):
        task.spec_version = task.spec_version or 1
        task.meta.created_at.CopyFrom(timestamp(NOW_NS - (100 - number) * SECOND))
        if not task.status.HasField("timestamp"):
            task.status.timestamp.CopyFrom(timestamp(NOW_NS - SECOND))
        view.tasks.put(task)
    return view


def reason(task: Task, *others: Task, **world: object) -> str:
    return reason_in(a_world(task, *others, **world), task, NOW_NS)  # type: ignore[arg-type]


def test_a_running_task_needs_no_reason() -> None:
    assert reason(a_task("t1", "s1", "n1", ts.RUNNING, ts.RUNNING)) == ""


@pytest.mark.parametrize("state", sorted(set(TaskState.values()) - {ts.RUNNING, ts.REMOVE}))
@pytest.mark.parametrize("desired", [ts.READY, ts.RUNNING, ts.SHUTDOWN, ts.REMOVE])
@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("node", ["here", "down", "gone"])
def test_every_task_that_does_not_run_has_a_reason(state: int, desired: int, slot: int, node: str) -> None:
    node_id = "n1" if state >= ts.ASSIGNED or not slot else ""
    task = a_task("t1", "s1", node_id, state, desired, slot)
    nodes = () if node == "gone" else (a_node("n1", state=NODE_STATE_DOWN if node == "down" else 2),)
    assert len(reason(task, nodes=nodes)) > 10


def test_a_task_without_node_says_what_the_scheduler_found() -> None:
    task = a_task("t1", "s1", "", ts.PENDING, ts.RUNNING)
    assert reason(task) == "it waits for a node to be chosen"
    task.status.err = "no suitable node (insufficient resources on 1 node)"
    assert reason(task) == task.status.err


def test_a_task_that_waits_long_points_at_the_managers() -> None:
    task = a_task("t1", "s1", "", ts.NEW, ts.RUNNING)
    assert "leader" not in reason(task)
    task.status.timestamp.CopyFrom(timestamp(NOW_NS - 60 * SECOND))
    found = reason(task)
    assert "without a leader" in found
    assert any("node ls" in text for text in advice(task, found))


def test_the_restart_delay_says_until_when_and_after_what() -> None:
    failed = a_task("t0", "s1", "n1", ts.FAILED, ts.SHUTDOWN)
    failed.status.err = "the container ended with exit code 3"
    task = a_task("t1", "s1", "n1", ts.READY, ts.READY)
    task.previous_task_id = "t0"
    task.start_not_before.CopyFrom(timestamp(NOW_NS + 5 * SECOND))
    assert reason(task, failed) == (
        "it waits for its restart delay until 2023-11-14 22:13:25 UTC (5 seconds more) because the task "
        "before it ended (the container ended with exit code 3)"
    )
    early = a_task("t1", "s1", "", ts.PENDING, ts.READY)
    early.previous_task_id = "t0"
    early.start_not_before.CopyFrom(task.start_not_before)
    assert "node to be chosen; then it waits for its restart delay" in reason(early, failed)


def test_a_successor_waits_for_the_task_before_it_to_stop() -> None:
    before = a_task("t0", "s1", "n1", ts.RUNNING, ts.SHUTDOWN)
    task = a_task("t1", "s1", "n1", ts.READY, ts.READY)
    task.previous_task_id = "t0"
    assert reason(task, before) == "it waits until the task before it (t0) has stopped on node n1"


def test_a_pull_tells_how_far_it_is_and_what_failed_last() -> None:
    task = a_task("t1", "s1", "n1", ts.PREPARING, ts.RUNNING)
    task.status.message = "pulling web:1: 12MB of 40MB"
    assert reason(task) == "node host-n1 prepares it: pulling web:1: 12MB of 40MB"
    task.status.message, task.status.err = "trying again", "no route to registry"
    assert "trying again: no route to registry" in reason(task)


@pytest.mark.parametrize(
    ("state", "err", "todo"),
    [
        (
            ts.NEW,
            "network shop has no free address left: all 253 of 10.0.0.0/24 are taken",
            "network inspect",
        ),
        (ts.NEW, "address 10.0.0.9 of network shop is still that of task web.1.t0", "network inspect"),
        (ts.PENDING, "no suitable node (no overlay networks on 2 nodes)", "--network-rm NAME web"),
    ],
)
def test_what_networks_lack_is_told_with_advice(state: int, err: str, todo: str) -> None:
    task = a_task("t1", "s1", "", state, ts.RUNNING)
    task.service_annotations.name = "web"
    task.status.err = err
    assert reason(task) == err
    assert any(todo in text for text in advice(task, err))


def test_a_pull_that_goes_on_needs_no_advice_and_a_busy_registry_patience() -> None:
    task = a_task("t1", "s1", "n1", ts.PREPARING, ts.RUNNING)
    task.spec.container.image = "web:1"
    task.status.message = "pulling from registry example.com: 12MB of 40MB"
    assert advice(task, reason(task)) == []
    task.status.message = "example.com answered 429 (too many requests), asking again in 6 s"
    (text,) = advice(task, reason(task))
    assert "swarmctl image pull web:1" in text


def test_a_secret_that_has_not_come_is_named_and_there_is_advice() -> None:
    task = a_task("t1", "s1", "n1", ts.PREPARING, ts.RUNNING)
    task.status.message, task.status.err = "trying again", "secret key is not yet on this node: it waits"
    assert "secret key is not yet on this node" in reason(task)
    assert any("--secret-add source=NEW,target=OLD" in text for text in advice(task, reason(task)))


def test_a_node_that_is_down_is_the_reason_in_every_state() -> None:
    node = a_node("n1", state=NODE_STATE_DOWN)
    node.meta.updated_at.CopyFrom(timestamp(NOW_NS))
    node.status.message = "heartbeat failure"
    for state in (ts.ASSIGNED, ts.PREPARING, ts.STARTING, ts.RUNNING):
        found = reason(a_task("t1", "s1", "n1", state, ts.RUNNING), nodes=(node,))
        assert found.startswith(
            "node host-n1 is down (heartbeat failure), at least since 2023-11-14 22:13:20"
        )


def test_a_node_that_is_only_unheard_of_does_not_speak_against_a_running_task() -> None:
    node = a_node("n1", state=NODE_STATE_UNKNOWN)
    assert reason(a_task("t1", "s1", "n1", ts.RUNNING, ts.RUNNING), nodes=(node,)) == ""
    found = reason(a_task("t1", "s1", "n1", ts.STARTING, ts.RUNNING), nodes=(node,))
    assert "expected back" in found


def test_a_task_that_is_not_healthy_yet_says_what_the_last_probe_said() -> None:
    task = a_task("t1", "s1", "n1", ts.STARTING, ts.RUNNING)
    task.status.container.health.state = HealthState.HEALTH_STATE_STARTING
    assert reason(task) == "not healthy yet; its container runs on node host-n1"
    task.status.container.health.log.add(exit_code=1, output="no route\nto database")
    assert reason(task).startswith('not healthy yet: a probe said "no route to database"; its container')


def test_a_task_that_runs_unhealthy_says_why() -> None:
    task = a_task("t1", "s1", "n1", ts.RUNNING, ts.RUNNING)
    task.status.container.health.state = HealthState.HEALTH_STATE_UNHEALTHY
    task.status.err = "unhealthy: last probe said nothing"
    assert reason(task) == task.status.err
    task.status.container.health.state = HealthState.HEALTH_STATE_HEALTHY
    assert reason(task) == ""


def a_failure(exit_code: int, err: str = "", *, oom: bool = False) -> Task:
    task = a_task("t1", "s1", "n1", ts.FAILED, ts.SHUTDOWN)
    task.status.err = err
    task.status.container.exit_code = exit_code
    task.status.container.oom_killed = oom
    task.spec.resources.limits.memory_bytes = 64 << 20
    return task


def test_exit_codes_are_explained() -> None:
    assert "SIGKILL" in reason(a_failure(137))
    assert "OOMKilled, out of memory: the container used its limit of 64 MiB" in reason(
        a_failure(137, oom=True)
    )
    assert "not found in the image" in reason(a_failure(127, "the container ended with exit code 127"))
    assert reason(a_failure(1, "the container ended with exit code 1")) == (
        "the container ended with exit code 1"
    )


def test_what_the_agent_said_of_the_end_is_not_said_twice() -> None:
    said = "exit code 137: OOMKilled, out of memory: the container used its limit of 64 MiB"
    assert reason(a_failure(137, said, oom=True)) == said


def test_a_stopped_task_says_who_wanted_that() -> None:
    old = a_task("t1", "s1", "n1", ts.SHUTDOWN, ts.SHUTDOWN)
    new = a_task("t2", "s1", "n1", ts.RUNNING, ts.RUNNING)
    new.previous_task_id, new.spec_version = "t1", 2
    assert reason(old, new) == "it was stopped: an update replaced it by version 2 of the service"
    assert reason(old, services=()) == "it was stopped: its service was removed"
    drained = a_node("n1")
    drained.spec.availability = NODE_AVAILABILITY_DRAIN
    assert reason(old, nodes=(drained,)) == "it was stopped: node host-n1 was drained"
    leaving = a_task("t1", "s1", "n1", ts.RUNNING, ts.REMOVE)
    assert reason(leaving) == (
        "it was told to stop: its service was scaled down; it has not stopped yet on node host-n1"
    )


def test_a_task_that_was_moved_to_balance_says_so() -> None:
    moved = a_task("t1", "s1", "n1", ts.SHUTDOWN, ts.SHUTDOWN, 1)
    moved.history.add(state=ts.RUNNING, message=MOVED)
    assert reason(moved) == "it was stopped: it moved, so that its service is spread evenly"


def test_a_rejection_is_the_word_of_the_node() -> None:
    task = a_task("t1", "s1", "n1", ts.REJECTED, ts.SHUTDOWN)
    task.status.err = 'cannot get image "web:1": registry.example: not found'
    about = Around(a_node("n1"), a_service("s1", "web"), None, None)
    assert reason_of(task, about, NOW_NS) == task.status.err
    assert any("with-registry-auth" in text for text in advice(task, task.status.err))


def test_advice_about_an_image_is_about_the_one_that_could_not_be_had() -> None:
    task = a_task("t1", "s1", "n1", ts.REJECTED, ts.SHUTDOWN)
    task.spec.container.image = "web:1"
    task.status.err = 'cannot get image "registry.example/mounted:2": cluster: no such image was loaded'
    assert any("the name registry.example/mounted:2 " in text for text in advice(task, task.status.err))


@pytest.mark.parametrize(
    ("reason", "named"),
    [
        ("node w1 prepares it: waiting for volume db", "swarmctl volume inspect VOLUME"),
        ("no suitable node (volume db is not made yet on 1 node)", "swarmctl volume inspect VOLUME"),
        ("node w1 prepares it: waiting for volume v1 of the volume plugin far", "node (n1)"),
        ("the volume plugin far does not answer Mount v1: timed out", "node (n1)"),
    ],
)
def test_advice_about_a_volume_that_does_not_come_is_about_its_plugin(reason: str, named: str) -> None:
    task = a_task("t1", "s1", "n1", ts.PREPARING, ts.RUNNING)
    assert [named in text for text in advice(task, reason)] == [True]


def test_a_place_names_its_newest_task_that_is_meant_to_run() -> None:
    old = a_task("abc1", "s1", "n1", ts.FAILED, ts.SHUTDOWN)
    live = a_task("abd2", "s1", "n1", ts.RUNNING, ts.RUNNING)
    later = a_task("abe3", "s1", "", ts.SHUTDOWN, ts.SHUTDOWN)
    other = a_task("xyz4", "s1", "n1", ts.RUNNING, ts.RUNNING, slot=11)
    view = a_world(old, live, later, other)
    assert resolve_task(view, "web.1").id == "abd2"
    assert resolve_task(view, "web.11").id == "xyz4"
    assert resolve_task(view, "abc").id == "abc1"
    assert resolve_task(view, "web.1.abc1").id == "abc1"
    for unknown in ("web.2", "web", "web.", "nothing.1"):
        with pytest.raises(NotFound):
            resolve_task(view, unknown)


def test_a_task_of_a_global_service_is_named_by_its_node() -> None:
    task = a_task("t1", "s1", "n1", ts.RUNNING, ts.RUNNING, slot=0)
    node = a_node("n1")
    node.description.hostname = "worker-1.example"
    view = a_world(task, nodes=(node,))
    assert resolve_task(view, "web.worker-1.example").id == "t1"
    assert resolve_task(view, "web.n1").id == "t1"


def test_an_explanation_has_the_tasks_before_it_and_advice_for_what_nodes_say() -> None:
    first = a_task("t0", "s1", "n1", ts.FAILED, ts.SHUTDOWN)
    first.status.container.exit_code = 137
    second = a_task("t1", "s1", "", ts.PENDING, ts.RUNNING)
    view = a_world(first, second)
    verdict = NodeVerdict(node_id="n1", reasons=["constraint node.labels.disk==ssd is not met: it has none"])
    found = explain_task(view, second, [verdict], NOW_NS)
    assert [task.id for task in found.earlier] == ["t0"]
    assert "SIGKILL" in found.earlier_reasons[0]
    assert any("--label-add" in text for text in found.advice)
    assert explain_task(view, first, (), NOW_NS).earlier == []


def test_advice_is_given_only_where_something_is_wrong() -> None:
    task = a_task("t1", "s1", "n1", ts.SHUTDOWN, ts.SHUTDOWN)
    assert advice(task, "it was stopped: node host-n1 was drained") == []
    assert advice(a_task("t1", "s1", "n1", ts.RUNNING, ts.RUNNING), "") == []


def test_a_task_that_waits_for_another_service_says_for_what_and_what_to_do() -> None:
    web = a_service("s1", "web")
    web.spec.depends_on.add(service="db", condition=1)
    task = a_task("t1", "s1", "", ts.NEW, ts.RUNNING)
    told = reason(task, services=(web,))
    assert told == "it waits for service db to be healthy (there is no such service yet)"
    assert any("--depends-on-rm" in text for text in advice(task, told))
    assert "db" not in reason(a_task("t1", "s1", "", ts.NEW, ts.SHUTDOWN), services=(web,))


@pytest.mark.parametrize(
    "reason",
    [
        "no suitable node (no device nvidia.com/gpu=0 on 2 nodes)",
        "no device /dev/none on this node: No such file or directory",
        "the device nvidia.com/gpu=0 is in use by another task",
    ],
)
def test_who_lacks_a_device_is_told_where_to_look(reason: str) -> None:
    assert any("--device-rm" in text for text in advice(Task(), reason))


def test_both_sides_of_a_preemption_are_told() -> None:
    victim = a_task("t1", "s1", "n1", ts.RUNNING, ts.SHUTDOWN)
    victim.preempted_by.task_id, victim.preempted_by.service_name = "t9", "shop"
    victim.preempted_by.priority = 10
    why = "preempted by task t9 of shop (priority 10)"
    assert reason(victim) == f"it was told to stop: it was {why}; it has not stopped yet on node host-n1"
    stopped = a_task("t1", "s1", "n1", ts.SHUTDOWN, ts.SHUTDOWN)
    stopped.preempted_by.CopyFrom(victim.preempted_by)
    assert reason(stopped) == f"it was stopped: it was {why}"
    successor = a_task("t2", "s1", "", ts.PENDING, ts.RUNNING)
    successor.previous_task_id, successor.status.err = "t1", "no suitable node"
    text = reason(successor, stopped)
    assert text == f"no suitable node; the task before it was {why}"
    assert any("--priority" in line for line in advice(successor, text))
