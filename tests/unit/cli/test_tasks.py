"""Lists of tasks: which are chosen by what they are asked to reach, and what --quiet prints."""

from types import SimpleNamespace

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Task
from swarm.cli.tasks import list_tasks
from swarm.errors import InvalidArgument
from swarm.model import task_state

LONG = {"first": "1" * 25, "second": "2" * 25, "job": "3" * 25}
FLAGS = {"no_resolve": True, "no_trunc": False, "quiet": True}


def cluster() -> SimpleNamespace:
    running = Task(id=LONG["first"], slot=1, desired_state=task_state.RUNNING)
    stopped = Task(id=LONG["second"], slot=2, desired_state=task_state.REMOVE)
    job = Task(id=LONG["job"], slot=3, desired_state=task_state.RUNNING, job_iteration=1)
    answer = c.ListTasksResponse(tasks=[running, stopped, job])
    return SimpleNamespace(control=SimpleNamespace(ListTasks=lambda _request: answer))


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ((), ["first", "second", "job"]),
        (("desired-state=running",), ["first"]),
        (("desired-state=shutdown",), ["second"]),
        (("desired-state=complete",), ["job"]),
        (("desired-state=running", "desired-state=complete"), ["first", "job"]),
        (("desired-state=accepted",), []),
        (("",), ["first", "second", "job"]),
    ],
)
def test_states_choose_tasks_by_what_is_shown_and_quiet_prints_whole_ids(
    filters: tuple[str, ...], ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    list_tasks(cluster(), c.Filters(), filters, "", FLAGS)
    assert sorted(capsys.readouterr().out.split()) == [LONG[one] for one in ids]


def test_a_state_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"desired-state=foo: write one of .*running"):
        list_tasks(cluster(), c.Filters(), ("desired-state=foo",), "", FLAGS)
