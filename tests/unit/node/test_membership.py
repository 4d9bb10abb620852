"""A part of a node that fails is started again, without haste, and everybody can hear why."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from swarm.errors import FailedPrecondition
from swarm.manager.store.testing import ManualClock
from swarm.node import membership
from swarm.node.membership import RETRY_PAUSES_S, ManagerEnded, Membership


class Over(BaseException):
    """The test has seen enough."""


async def life(runs: list[tuple[float, Exception | None]], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let a part run so long and end so, one run after another; return each pause with the problem told."""
    clock, left = ManualClock(), iter(runs)
    node: Any = SimpleNamespace(problems={}, _clock=clock)
    told: list[tuple[float, str]] = []

    async def once() -> None:
        node.problems.pop("manager", None)
        try:
            seconds, error = next(left)
        except StopIteration:
            raise Over from None
        clock.advance(seconds)
        if error is not None:
            raise error

    async def sleep(seconds: float) -> None:
        told.append((seconds, node.problems["manager"]))
        clock.advance(seconds)

    monkeypatch.setattr(membership, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(Over):
        await Membership._again_and_again(node, "manager", once)
    return told


async def test_pauses_grow_and_the_reason_is_told_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    full = ManagerEnded("the disk with the Raft log failed: No space left on device")
    told = await life([(0.1, full)] * 7, monkeypatch)
    assert [pause for pause, _ in told] == [*RETRY_PAUSES_S, RETRY_PAUSES_S[-1], RETRY_PAUSES_S[-1]]
    assert {reason for _, reason in told} == {str(full)}


async def test_after_a_good_while_the_next_failure_is_met_without_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = FailedPrecondition("no")
    told = await life([(0.0, bad), (0.0, bad), (0.0, bad), (3600.0, bad), (0.0, bad)], monkeypatch)
    assert [pause for pause, _ in told] == [*RETRY_PAUSES_S[:3], *RETRY_PAUSES_S[:2]]


async def test_a_bug_and_an_end_without_a_reason_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    told = await life([(0.0, KeyError("x")), (0.0, None)], monkeypatch)
    assert [reason for _, reason in told] == ["KeyError('x')", "it ended by itself"]


async def test_the_retries_end_with_the_membership() -> None:
    node: Any = SimpleNamespace(problems={}, _clock=ManualClock())

    async def forever() -> None:
        await asyncio.Event().wait()

    running = asyncio.create_task(Membership._again_and_again(node, "manager", forever))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert node.problems == {}
