"""When a cron job runs, above all on the days on which the clocks change."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.errors import InvalidArgument
from swarm.model.schedule import Schedule
from swarm.timestamps import SECOND

BERLIN = "Europe/Berlin"
# 2026: at 02:00 on March 29 clocks go to 03:00; at 03:00 on October 25 they go back to 02:00.


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


def times(expression: str, zone: str, after: str, count: int) -> list[str]:
    schedule, at_ns, found = Schedule(expression, zone), ns(after), []
    for _ in range(count):
        at_ns = schedule.next_after(at_ns)
        found.append(datetime.fromtimestamp(at_ns / SECOND, ZoneInfo(zone)).isoformat())
    return found


def test_a_time_that_does_not_exist_runs_at_the_first_moment_after_the_gap():
    assert times("30 2 * * *", BERLIN, "2026-03-28T12:00:00+01:00", 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_several_times_within_the_gap_are_one_run():
    assert times("0,15,30 2,3 * * *", BERLIN, "2026-03-29T01:00:00+01:00", 3) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:15:00+02:00",
        "2026-03-29T03:30:00+02:00",
    ]


def test_a_time_that_comes_twice_runs_the_first_time_only():
    assert times("30 2 * * *", BERLIN, "2026-10-24T12:00:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_asked_within_the_second_of_two_hours_the_first_is_past():
    assert times("30 2 * * *", BERLIN, "2026-10-25T02:10:00+01:00", 1) == ["2026-10-26T02:30:00+01:00"]


def test_every_half_hour_follows_the_clock_through_the_gap_and_through_both_hours():
    assert times("*/30 * * * *", BERLIN, "2026-03-29T01:00:00+01:00", 2) == [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
    ]
    assert times("*/30 * * * *", BERLIN, "2026-10-25T01:45:00+02:00", 5) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


def test_the_latest_time_is_right_within_the_gap_and_the_repeated_hour():
    schedule = Schedule("30 2 * * *", BERLIN)
    assert schedule.latest_until(ns("2026-03-29T03:10:00+02:00")) == ns("2026-03-29T03:00:00+02:00")
    assert schedule.latest_until(ns("2026-10-25T02:10:00+01:00")) == ns("2026-10-25T02:30:00+02:00")
    assert schedule.latest_until(ns("2026-10-25T02:29:59+02:00")) == ns("2026-10-24T02:30:00+02:00")
    assert schedule.latest_until(ns("2026-10-25T02:30:00+02:00")) == ns("2026-10-25T02:30:00+02:00")


def test_no_zone_is_utc_and_nicknames_are_known():
    assert times("@daily", "UTC", "2026-11-21T12:00:00+00:00", 1) == ["2026-11-22T00:00:00+00:00"]
    assert Schedule("0 0 29 2 *", "").next_after(ns("2026-11-21T12:00:00+00:00")) == ns(
        "2028-02-29T00:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("expression", "zone", "complaint"),
    [
        ("* * * *", "", "five fields"),
        ("* * * * * *", "", "five fields"),
        ("", "", "five fields"),
        ("61 * * * *", "", "minute"),
        ("0 0 30 2 *", "", "day-of-month"),
        ("x y z a b", "", "minute"),
        ("* * * * *", "Mars/Olympus", "time zone"),
        ("* * * * *", "Europe", "time zone"),
        ("* * * * *", "../etc/passwd", "time zone"),
        ("* * * * *", "/etc/passwd", "time zone"),
    ],
)
def test_what_nobody_can_keep_to_is_refused_with_a_reason(expression, zone, complaint):
    with pytest.raises(InvalidArgument, match=complaint):
        Schedule(expression, zone)


EXPRESSIONS = ("30 2 * * *", "*/7 * * * *", "0,30 1-3 * * *", "15 */2 * * 0", "*/20 2 25-29 3,10 *")
ZONES = (BERLIN, "America/New_York", "Australia/Adelaide", "UTC", "Asia/Kolkata")
CHANGES = ("03-08", "03-29", "04-05", "10-04", "10-25", "11-01")  # of clocks, somewhere


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(ZONES),
    st.sampled_from(CHANGES),
    st.integers(0, 48 * 60),
)
def test_times_only_go_forward_and_the_latest_one_is_the_one_before_the_next(expression, zone, day, minutes):
    schedule = Schedule(expression, zone)
    start = (
        datetime.fromisoformat(f"2026-{day}T00:00:00+00:00") - timedelta(days=1) + timedelta(minutes=minutes)
    )
    at_ns = int(start.timestamp()) * SECOND
    for _ in range(4):
        later_ns = schedule.next_after(at_ns)
        assert later_ns > at_ns
        assert schedule.latest_until(later_ns) == later_ns
        assert schedule.latest_until(later_ns - 1) <= at_ns or at_ns == int(start.timestamp()) * SECOND
        at_ns = later_ns
