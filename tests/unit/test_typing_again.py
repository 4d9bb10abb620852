"""What somebody in a test types again: what was not done, or told by who could not know; nothing else."""

import subprocess

import pytest

from tests.integration.operator import Operator

STARTING = "Error: the manager of this node is starting: try again in a moment"
ALONE = "Error: the cluster has no leader: 1 of 3 managers reachable from here; writes need 2."
PERHAPS = f"{ALONE}; no majority of managers confirmed the change within 4 s; it may still take effect"
LOST = "Error: leadership was lost before a majority confirmed the change"
OLD = "Warning: the cluster has no leader; this is what one manager last knew."


class Scripted(Operator):
    """Is told one thing after the other."""

    def __init__(self, *told: tuple[int, str]) -> None:
        self.told = list(told)

    def try_(self, *arguments: str, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
        code, complaint = self.told.pop(0)
        return subprocess.CompletedProcess(arguments, code, "", complaint)


@pytest.mark.parametrize("complaint", [STARTING, ALONE])
def test_what_no_manager_did_is_typed_again(complaint: str) -> None:
    operator = Scripted((1, complaint), (1, complaint), (0, ""))
    assert operator.typed("service", "rm", "web").returncode == 0
    assert operator.told == []


@pytest.mark.parametrize("complaint", [PERHAPS, "Error: there is no service web"])
def test_what_was_done_perhaps_or_is_wrong_is_typed_once(complaint: str) -> None:
    assert Scripted((1, complaint)).typed("service", "rm", "web").stderr == complaint


def test_what_is_the_same_when_done_twice_is_typed_again() -> None:
    operator = Scripted((1, LOST), (0, ""))
    assert operator.typed("update", "--dispatcher-heartbeat", "60s").returncode == 0
    assert Scripted((1, LOST)).typed("service", "rm", "web").stderr == LOST


def test_a_question_is_asked_until_somebody_answers_who_knows_and_a_change_is_made_once() -> None:
    operator = Scripted((0, OLD), (0, ""))
    assert operator.typed("service", "ls").stderr == ""
    assert Scripted((0, OLD)).typed("service", "create", "hello:1").stderr == OLD


def test_who_made_and_removed_something_without_being_told_is_content_to_find_it_so() -> None:
    operator = Scripted(
        (1, PERHAPS),
        (1, "Error: the name web is taken by another service"),
        (1, PERHAPS),
        (1, "Error: there is no service web; `swarmctl service ls` shows those there are"),
    )
    operator.create_in_turmoil("web")
    operator.remove_in_turmoil("service", "web")
    assert operator.told == []
