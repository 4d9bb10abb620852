"""What people read of `task why`, `task history`, `service why` and in the column ERROR of `service ps`."""

import json

from swarm.api.v1.control_pb2 import ExplainTaskResponse, NodeVerdict
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.cli.convergence import look
from swarm.cli.service_why import by_reason, lines, view
from swarm.cli.task_table import task_rows
from swarm.cli.why_view import history_lines, history_view, why_lines, why_view
from swarm.clock import SECOND, timestamp
from swarm.model import task_state as ts

NOW_NS = 1_700_000_000 * SECOND


def a_task(slot: int, state: int, err: str = "", desired: int = ts.RUNNING) -> Task:
    task = Task(id=f"t{slot}", service_id="s1", slot=slot, desired_state=desired, spec_version=1)
    task.service_annotations.name = "web"
    task.spec.container.image = "web:1"
    task.status.state, task.status.err = state, err
    task.status.timestamp.CopyFrom(timestamp(NOW_NS - 5 * SECOND))
    return task


def an_answer() -> ExplainTaskResponse:
    failed = a_task(1, ts.FAILED, "exit code 3", ts.SHUTDOWN)
    failed.id = "t0"
    found = ExplainTaskResponse(task=a_task(1, ts.PENDING), reason="no suitable node", advice=["add a node"])
    found.nodes.add(node_id="n1", hostname="worker-1", reasons=["it is down", "needs 2 CPUs"])
    found.nodes.add(node_id="n2", hostname="w2", reasons=["needs 2 CPUs"])
    found.earlier.append(failed)
    found.earlier_reasons.append("the container ended with exit code 3")
    return found


def test_people_read_what_it_is_why_not_and_what_to_do() -> None:
    assert list(why_lines(an_answer(), NOW_NS)) == [
        "web.1: task t1, image web:1",
        "State:  pending for 5 seconds; it is meant to be: running",
        "Why:    no suitable node",
        "",
        "Nodes:",
        "  w2        needs 2 CPUs",
        "  worker-1  it is down; needs 2 CPUs",
        "",
        "What to do:",
        "  - add a node",
        "",
        "Before it in this slot (all of it: swarmctl task history t1):",
        "  2023-11-14T22:13:15Z  t0  failed: the container ended with exit code 3",
    ]


def test_a_reason_that_repeats_itself_is_told_once() -> None:
    found = an_answer()
    found.earlier.append(a_task(1, ts.FAILED))
    found.earlier_reasons.append("the container ended with exit code 3")
    assert list(why_lines(found, NOW_NS))[-1].endswith("t1  failed: the same")


def test_many_nodes_are_cut_for_people_and_whole_for_scripts() -> None:
    found = an_answer()
    found.nodes.extend(NodeVerdict(node_id=f"x{number}", reasons=["a", "b", "c"]) for number in range(30))
    assert "  … and 12 more nodes (--format json shows all)" in list(why_lines(found, NOW_NS))
    assert len(why_view(found)["Nodes"]) == 32
    assert json.dumps(why_view(found))


def test_a_running_task_is_told_to_be_well() -> None:
    found = ExplainTaskResponse(task=a_task(1, ts.RUNNING), hostname="worker-1")
    assert "Why:    it runs, as it is meant to" in list(why_lines(found, NOW_NS))


def test_history_tells_the_lives_of_all_tasks_of_the_slot() -> None:
    text = "\n".join(history_lines(an_answer()))
    assert "why: no suitable node" in text
    assert "before it: task t0" in text
    assert "exit code 3" in text
    shown = history_view(an_answer())
    assert shown["Earlier"][0]["History"][0]["State"] == "failed"
    assert json.dumps(shown)


def test_the_error_column_has_the_reason_of_what_should_run_and_no_word_for_a_good_end() -> None:
    tasks = [a_task(1, ts.PENDING), a_task(2, ts.SHUTDOWN, desired=ts.SHUTDOWN), a_task(3, ts.FAILED, "bad")]
    scaled = "it was stopped: its service was scaled down"
    reasons = {"t1": "no suitable node", "t2": scaled, "t3": "very bad"}
    rows = task_rows(tasks, {}, NOW_NS, truncate=False, reasons=reasons)
    assert [row["Error"] for row in rows] == ['"no suitable node"', "", '"very bad"']
    assert rows[1]["Why"] == scaled


def test_without_reasons_of_a_manager_the_task_speaks_for_itself() -> None:
    (row,) = task_rows([a_task(1, ts.PENDING, "no node")], {}, NOW_NS, truncate=False)
    assert row["Error"] == '"no node"'


def test_a_service_says_how_many_run_and_groups_the_rest_by_reason() -> None:
    service = Service(id="s1", spec_version=1)
    service.spec.replicated.replicas = 3
    tasks = [a_task(1, ts.RUNNING), a_task(2, ts.PENDING), a_task(3, ts.PENDING)]
    for task in tasks:
        task.spec.CopyFrom(service.spec.task)
    waiting = by_reason(tasks, ["", "no suitable node", "no suitable node"])
    picture = look(service, tasks, {})
    assert list(lines("web", picture, waiting, {})) == [
        "web: 1 of 3 tasks run, not converged yet",
        "  web.2, web.3: no suitable node",
        "More, and what to do: swarmctl task why t2",
    ]
    shown = view("web", picture, waiting)
    assert (shown["Converged"], shown["Waiting"][0]["TaskIDs"]) == (False, ["t2", "t3"])


def standing(state: int, message: str) -> list[str]:
    service = Service(id="s1", spec_version=1)
    service.spec.replicated.replicas = 1
    service.update_status.state, service.update_status.message = state, message
    task = a_task(1, ts.RUNNING)
    task.spec.CopyFrom(service.spec.task)
    return list(lines("web", look(service, [task], {}), {}, {}))


def test_a_service_whose_update_stands_still_says_why_and_what_to_do() -> None:
    assert standing(UpdateStatus.STATE_PAUSED, "update paused by hand") == [
        "web: 1 of 1 tasks run, its update is paused",
        "  paused: update paused by hand",
        "  go on: `swarmctl service resume web`, or go back: `swarmctl service rollback web`",
    ]
    assert standing(UpdateStatus.STATE_CANARY, "1 task is updated and waiting") == [
        "web: 1 of 1 tasks run, some of them canaries",
        "  1 task is updated and waiting",
    ]
    assert standing(UpdateStatus.STATE_ROLLBACK_COMPLETED, "rollback completed") == [
        "web: 1 of 1 tasks run, of the spec before the last one",
        "  it was rolled back: rollback completed",
    ]
