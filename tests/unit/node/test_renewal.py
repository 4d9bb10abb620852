"""When certificates are renewed."""

from hypothesis import given
from hypothesis import strategies as st

from swarm.node.renewal import renewal_time_ns, retry_pause_s

DAY = 86_400 * 10**9


@given(st.floats(0, 1), st.integers(0, 10**18), st.integers(3600 * 10**9, 400 * DAY))
def test_a_certificate_is_renewed_between_half_and_four_fifths_of_its_life(
    chance: float, start: int, life: int
) -> None:
    moment = renewal_time_ns((start, start + life), chance)
    assert start + 0.499 * life <= moment <= start + 0.801 * life


def test_chance_spreads_the_renewals() -> None:
    assert renewal_time_ns((0, 100 * DAY), 0.0) == 50 * DAY
    assert renewal_time_ns((0, 100 * DAY), 1.0) == 80 * DAY


def test_pauses_double_up_to_an_hour() -> None:
    pauses = [retry_pause_s(failures, 1e9) for failures in (1, 2, 3, 10, 20, 1000)]
    assert pauses == [5, 10, 20, 2560, 3600, 3600]


def test_a_certificate_about_to_expire_is_tried_more_often() -> None:
    assert retry_pause_s(20, 600) == 60
    assert retry_pause_s(20, -50) == 5
