"""Names in lists are in the order that people count in."""

from swarm.cli.natural_order import natural


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["web-10", "web-2", "web", "10", "9", "web-2a", "db"]
    assert sorted(names, key=natural) == ["9", "10", "db", "web", "web-2", "web-2a", "web-10"]
