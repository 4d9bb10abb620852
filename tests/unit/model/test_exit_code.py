import pytest

from swarm.model.exit_code import exit_reason


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (126, "could not be run"),
        (127, "not found in the image"),
        (134, "SIGABRT"),
        (137, "SIGKILL"),
        (139, "SIGSEGV"),
        (143, "SIGTERM"),
        (129, "SIGHUP"),
    ],
)
def test_what_many_exit_codes_mean_is_told(exit_code: int, words: str) -> None:
    assert exit_reason(exit_code).startswith(f"exit code {exit_code}: ")
    assert words in exit_reason(exit_code)


@pytest.mark.parametrize("exit_code", [1, 2, 42, 125, 128, 255, -1, 1000])
def test_codes_of_the_program_itself_are_left_to_its_author(exit_code: int) -> None:
    assert exit_reason(exit_code) == f"exit code {exit_code}"


def test_death_by_memory_names_the_limit() -> None:
    found = exit_reason(137, oom_killed=True, memory_limit="64 MiB")
    assert found == "exit code 137: OOMKilled, out of memory: the container used its limit of 64 MiB"
    assert "limit" not in exit_reason(137, oom_killed=True)


def test_a_program_that_gives_up_after_a_child_was_killed_says_both() -> None:
    found = exit_reason(1, oom_killed=True, memory_limit="64 MiB")
    assert found.startswith("exit code 1: a process of it was OOMKilled before, out of memory")
