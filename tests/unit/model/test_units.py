"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import InvalidArgument
from swarm.model.units import (
    exact_size,
    format_age,
    format_duration,
    format_size,
    parse_bytes,
    parse_cpus,
    parse_duration,
)

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("10s", 10 * SECOND),
        ("1m30s", 90 * SECOND),
        ("250ms", 250_000_000),
        ("1.5h", 5400 * SECOND),
    ],
)
def test_a_duration_is_read_as_docker_reads_it(text, nanoseconds):
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-1s", "1d", "1m30", "m1"])
def test_a_malformed_duration_is_refused_with_an_example(text):
    with pytest.raises(InvalidArgument, match="1m30s"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**18))
def test_a_formatted_duration_reads_back_the_same(nanoseconds):
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("64m", 64 << 20), ("1.5g", 3 << 29), ("10KB", 10 << 10), ("5MiB", 5 << 20)],
)
def test_a_size_counts_in_powers_of_1024(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "m", "-5m", "1x", "1 2m"])
def test_a_malformed_size_is_refused(text):
    with pytest.raises(InvalidArgument, match="invalid size"):
        parse_bytes(text)


def test_cpus_are_billionths():
    assert parse_cpus("0.5") == 500_000_000
    assert parse_cpus(".25") == 250_000_000
    with pytest.raises(InvalidArgument, match="CPUs"):
        parse_cpus("half")


def test_sizes_and_ages_are_rough_for_people():
    assert format_size(1_234_567) == "1.23MB"
    assert format_size(2 * 10**15) == "2e+03TB"  # no greater unit
    assert format_age(5 * 60 * SECOND) == "5 minutes"
    assert format_age(0) == "Less than a second"
    assert format_age(3 * 86400 * SECOND) == "3 days"


@pytest.mark.parametrize(("text", "expected"), [(".5s", 500_000_000), ("+1m", 60 * 10**9), ("1.s", 10**9)])
def test_durations_are_written_as_go_reads_them(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["+", ".s", "++1s", "1s+", "."])
def test_half_a_duration_is_none(text):
    with pytest.raises(InvalidArgument):
        parse_duration(text)


@pytest.mark.parametrize(
    ("count", "text"), [(10 << 20, "10m"), (1536, "1536"), (3 << 30, "3g"), (2048, "2k")]
)
def test_a_size_is_written_in_the_largest_unit_that_says_it(count, text):
    assert exact_size(count) == text
    assert parse_bytes(text) == count
