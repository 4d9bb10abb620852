import pytest

from swarm.machine.cloud.plan import UNSEEN_S, Instance, Notes, State, Step, decide, notes_of

NEW = Notes(token="t")
ASKED = Notes(token="t", asked=True)
MADE = Notes(token="t", asked=True, instance="i-1")


def next_step(
    notes: Notes,
    seen: Instance | None,
    unseen_s: float = 0,
    *,
    idempotent: bool = True,
    member: bool = False,
    wanted: str = "",
) -> Step:
    return decide(notes, seen, unseen_s=unseen_s, idempotent=idempotent, wanted=wanted, member=member)


def test_a_machine_is_asked_for_once() -> None:
    assert next_step(NEW, None) is Step.CREATE
    assert next_step(MADE, None) is Step.WAIT
    assert next_step(ASKED, Instance("i-1", State.PENDING)) is Step.WAIT


def test_a_lost_answer_is_asked_for_again_only_where_that_makes_no_second_machine() -> None:
    assert next_step(ASKED, None) is Step.CREATE
    assert next_step(ASKED, None, idempotent=False) is Step.WAIT
    assert next_step(ASKED, None, UNSEEN_S, idempotent=False) is Step.CREATE


def test_it_is_ready_when_it_runs_and_can_be_reached() -> None:
    assert next_step(MADE, Instance("i-1", State.RUNNING)) is Step.WAIT
    both = Instance("i-1", State.RUNNING, public="198.51.100.7", private="10.0.0.7")
    assert next_step(MADE, both) is Step.READY
    assert (both.address(""), both.address("private")) == ("198.51.100.7", "10.0.0.7")
    inner = Instance("i-1", State.RUNNING, private="10.0.0.7")
    assert inner.address("") == "10.0.0.7"
    assert next_step(MADE, inner, wanted="public") is Step.WAIT


def test_a_machine_that_is_off_is_started() -> None:
    assert next_step(MADE, Instance("i-1", State.STOPPING)) is Step.WAIT
    assert next_step(MADE, Instance("i-1", State.STOPPED)) is Step.START


@pytest.mark.parametrize("seen", [None, Instance("i-1", State.GONE)])
def test_a_machine_that_is_gone_is_made_anew_unless_it_was_a_node(seen: Instance | None) -> None:
    assert next_step(MADE, seen, UNSEEN_S) is Step.AGAIN
    assert next_step(MADE, seen, UNSEEN_S, member=True) is Step.LOST


def test_notes_come_back_as_they_were_kept() -> None:
    notes = Notes("t", asked=True, instance="i-1", key="k", region="r", endpoint="e", settled=True)
    assert notes_of(notes.kept()) == notes
    assert notes_of({}) == Notes()
    assert Notes().kept() == {}
