"""What a manager is told that wants to leave."""

import pytest

from swarm.node.leaving import explain_manager_leave


@pytest.mark.parametrize(
    ("managers", "reachable", "said", "stands_still"),
    [
        (1, 1, "the last manager", False),
        (3, 3, "2 of the 2 managers that remain can be reached now, and 2 are needed", False),
        (3, 2, "1 of the 2 managers", True),
        (2, 2, "1 of the 1 managers", False),
        (5, 4, "3 of the 4 managers that remain can be reached now, and 3 are needed", False),
    ],
)
def test_the_consequences_for_the_majority_are_told(
    managers: int, reachable: int, said: str, stands_still: bool
) -> None:
    text = explain_manager_leave(managers, reachable)
    assert said in text
    assert "--force" in text
    assert ("stand still" in text) == stands_still
