"""The longest time lately."""

from swarm.manager.raft.longest import Longest


def test_the_longest_of_a_window_is_kept_for_another_one_and_then_forgotten() -> None:
    longest = Longest(window_s=60)
    assert longest.read(0) == 0
    longest.note(0.2, 1)
    longest.note(3.0, 2)
    longest.note(0.1, 3)
    assert longest.read(60) == 3.0
    longest.note(0.5, 62)
    assert longest.read(63) == 3.0
    longest.note(0.4, 123)
    assert longest.read(123) == 0.5


def test_after_a_long_silence_nothing_old_is_told() -> None:
    longest = Longest(window_s=60)
    longest.note(3.0, 1)
    assert longest.read(100) == 3.0
    assert longest.read(121) == 0
    longest.note(0.1, 500)
    assert longest.read(500) == 0.1
