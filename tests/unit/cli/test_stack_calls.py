"""Making the changes of a stack: again when it may help, and never without saying what became of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.cli import stack_calls
from swarm.cli.connect import Connection
from swarm.cli.stack_calls import apply
from swarm.cli.stack_changes import Step
from swarm.errors import (
    InvalidArgument,
    NameConflict,
    NoQuorum,
    NotFound,
    OutcomeUnknown,
    StaleVersion,
    SwarmError,
    Unavailable,
)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_calls, "PAUSE_S", 0.0)


class Control:
    """Answers one request after the other: with an error, or by making the changes."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self._outcomes: Iterator[BaseException | None] = iter(outcomes)
        self.asked: list[c.ApplyChangesRequest] = []

    def ApplyChanges(self, request: c.ApplyChangesRequest) -> c.ApplyChangesResponse:
        self.asked.append(request)
        outcome = next(self._outcomes)
        if outcome is not None:
            raise outcome
        removed = ["secret shop_key", "network shop_back"]
        return c.ApplyChangesResponse(ids=["abc"] * len(request.changes), removed=removed)


def made(control: Control, *plans: str) -> list[str]:
    """Apply changes; `plans` are the names of the services of each plan, the last one from then on."""
    names = [*plans]

    def plan() -> list[Step]:
        name = names.pop(0) if len(names) > 1 else names[0]
        change = c.PlannedChange(remove_service=c.RemoveServiceRequest(ref=name))
        return [Step("Creating", name, change)]

    unused: Any = None
    return apply(Connection(control, unused), plan, quiet=False)


@pytest.mark.parametrize(
    "problem", [StaleVersion("older"), OutcomeUnknown("?"), Unavailable("gone"), NoQuorum("an election")]
)
def test_what_may_work_when_tried_again_is_planned_and_tried_again(problem: SwarmError) -> None:
    control = Control(problem, problem, None)
    assert made(control, "first", "second", "third") == ["abc"]
    assert [one.changes[0].remove_service.ref for one in control.asked] == ["first", "second", "third"]


def test_what_another_deploy_made_or_removed_just_now_is_found_when_planning_again() -> None:
    for problem in (NameConflict("the name is taken"), NotFound("there is no service")):
        assert made(Control(problem, None), "create", "update") == ["abc"]


def test_all_that_goes_with_a_stack_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    change = c.PlannedChange(remove_service=c.RemoveServiceRequest(ref="abc"))
    unused: Any = None

    def remove(*, quiet: bool) -> str:
        steps = [Step("Removing", "shop_web", change)]
        assert apply(Connection(Control(None), unused), lambda: steps, quiet=quiet) == []
        return capsys.readouterr().out

    assert remove(quiet=False).splitlines() == [
        "Removing service shop_web",
        "Removing secret shop_key",
        "Removing network shop_back",
    ]
    assert remove(quiet=True) == ""


def test_a_refusal_of_the_same_plan_is_told_and_not_asked_for_twice() -> None:
    control = Control(NameConflict("the name web is taken"), None)
    with pytest.raises(NameConflict, match="the name web is taken"):
        made(control, "create", "create")
    assert len(control.asked) == 1
    control = Control(InvalidArgument("no"), None)
    with pytest.raises(InvalidArgument):
        made(control, "create", "update")


def test_when_nobody_can_tell_whether_it_was_done_people_are_told_what_to_do() -> None:
    with pytest.raises(OutcomeUnknown, match="all of it was done, or nothing: run the command again"):
        made(Control(*[OutcomeUnknown("no answer")] * 9), "x")


def test_ctrl_c_in_the_middle_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        made(Control(KeyboardInterrupt()), "x")
    assert "Interrupted: all of it was done, or nothing; `swarmctl stack ls`" in capsys.readouterr().err
