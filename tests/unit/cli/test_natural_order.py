"""Names in lists are in the order that people count in."""

import pytest

from swarm.cli.natural_order import natural


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["web-10", "web-2", "web", "10", "9", "web-2a", "db"]
    assert sorted(names, key=natural) == ["9", "10", "db", "web", "web-2", "web-2a", "web-10"]


@pytest.mark.parametrize(
    "names",
    [
        ["web1", "web2", "web10", "web10a", "web10b"],
        ["1", "2", "10", "a"],
        ["a", "a-1", "a0", "a1-2", "a1-10", "a_1", "aa"],
        ["db.9", "db.10", "db.x", "db_1"],
    ],
)
def test_names_are_in_the_order_of_their_numbers(names):
    assert sorted(set(names), key=natural) == names
