"""Which of a node's streams is the session, which are missing, which are too many."""

from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.links import Link, Plan, Role, plan, suspect_after_s


def a_link(number: int, role: Role = Role.STANDBY, silent_s: float = 0.1, **fields: object) -> Link:
    return Link(number, f"m{number}", role, silent_s, suspect_s=3.0, **fields)  # type: ignore[arg-type]


SESSION = a_link(1, Role.SESSION)
SILENT_SESSION = a_link(1, Role.SESSION, 4.0)
STANDBY = a_link(2)


def test_a_session_and_a_standby_are_enough() -> None:
    assert plan([SESSION, STANDBY], 2) == Plan()


def test_what_is_missing_is_said() -> None:
    assert plan([], 2).missing == 2
    assert plan([SESSION], 2) == Plan(missing=1)
    assert plan([SESSION], 1) == Plan()
    assert plan([SESSION, a_link(2, Role.OPENING)], 2) == Plan(missing=1)


def test_a_silent_or_leaderless_session_is_replaced_by_the_standby_and_kept_until_then() -> None:
    assert plan([SILENT_SESSION, STANDBY], 2) == Plan(promote=2, missing=1)
    assert plan([a_link(1, Role.SESSION, leaderless=True), STANDBY], 2).promote == 2


def test_a_session_that_is_gone_is_replaced_at_once_even_by_a_doubtful_standby() -> None:
    assert plan([STANDBY], 2).promote == 2
    assert plan([a_link(2, silent_s=9.0), a_link(3, silent_s=5.0)], 2).promote == 3
    assert plan([a_link(2, leaderless=True), a_link(3, silent_s=5.0)], 2).promote == 3


def test_a_silent_session_is_not_replaced_by_something_as_silent() -> None:
    assert plan([SILENT_SESSION, a_link(2, silent_s=5.0)], 2) == Plan(missing=2)


def test_one_standby_at_a_time_is_asked_and_another_when_it_does_not_answer() -> None:
    asked = a_link(2, asked_s=0.5)
    assert plan([SILENT_SESSION, asked, a_link(3)], 2).promote is None
    late = a_link(2, silent_s=2.0, asked_s=1.5)
    assert plan([SILENT_SESSION, late, a_link(3)], 2).promote == 3


def test_a_silent_stream_goes_when_there_are_enough_healthy_ones() -> None:
    assert plan([SESSION, a_link(2, silent_s=5.0)], 2).drop == ()
    assert plan([SESSION, a_link(2, silent_s=5.0), a_link(3)], 2).drop == (2,)
    assert plan([SESSION, STANDBY, a_link(3, Role.OPENING)], 2).drop == (3,)


def test_the_session_goes_to_the_manager_it_should_move_to_as_soon_as_there_is_a_stream() -> None:
    assert plan([SESSION, STANDBY], 2, "m3") == Plan(open_at="m3")
    assert plan([SESSION, STANDBY, a_link(3, Role.OPENING)], 2, "m3") == Plan()
    assert plan([SESSION, STANDBY, a_link(3)], 2, "m3").promote == 3
    assert plan([SESSION, STANDBY, a_link(3, silent_s=5.0)], 2, "m3").promote is None
    assert plan([SESSION, STANDBY], 2, "m1") == Plan()


def test_a_standby_speaks_half_as_often_and_may_be_silent_longer() -> None:
    assert suspect_after_s(False, 2.0, 1.0) == 2.0
    assert suspect_after_s(True, 2.0, 1.0) == 3.0


LINKS = st.lists(
    st.builds(
        Link,
        number=st.integers(),
        manager_id=st.sampled_from(["m1", "m2", "m3"]),
        role=st.sampled_from([Role.OPENING, Role.STANDBY]),
        silent_s=st.floats(0, 10),
        suspect_s=st.just(3.0),
        leaderless=st.booleans(),
        asked_s=st.none() | st.floats(0, 5),
    ),
    max_size=6,
    unique_by=lambda link: link.number,
)


@given(LINKS, st.booleans(), st.floats(0, 10), st.sampled_from(["", "m1", "m2"]))
def test_decisions_never_leave_a_node_worse_off(
    others: list[Link], has_session: bool, silent_s: float, move_to: str
) -> None:
    session = [Link(10**6, "m1", Role.SESSION, silent_s, 3.0)] if has_session else []
    links = session + [link for link in others if link.number != 10**6]
    decided = plan(links, 2, move_to)
    kept = [link for link in links if link.number not in decided.drop]
    assert all(link in kept for link in session)
    assert decided.promote not in decided.drop
    healthy = sum(link.healthy for link in links)
    assert sum(link.healthy for link in kept) >= min(2, healthy)
    assert decided.missing == max(0, 2 - healthy)
    assert (decided.promote is None) or any(
        link.number == decided.promote and link.role is Role.STANDBY for link in kept
    )
    sure = sum(link.asked_s is not None or link.number == decided.promote for link in kept)
    assert sum(link.role is not Role.OPENING for link in kept) <= 2 + sure + len(session)
