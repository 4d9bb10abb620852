"""`swarmctl update`: what was named is changed, and nothing else is."""

import pytest
from click.testing import CliRunner

from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.cli.cluster_options import apply_options
from swarm.cli.update import update
from swarm.errors import InvalidArgument, SwarmError, Unavailable


def run(*arguments: str) -> BaseException | None:
    return CliRunner().invoke(update, list(arguments), obj="unix:///nowhere/swarmd.sock").exception


def test_an_update_of_nothing_is_one_clear_error() -> None:
    problem = run()
    assert isinstance(problem, InvalidArgument)
    assert "nothing to change" in str(problem)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--dispatcher-heartbeat", "soon"),
        ("--dispatcher-heartbeat", "0"),
        ("--cert-expiry", "5m"),
        ("--cert-expiry", "forever"),
    ],
)
def test_wrong_values_are_told_before_anybody_is_asked(arguments: tuple[str, str]) -> None:
    problem = run(*arguments)
    assert isinstance(problem, SwarmError)
    assert not isinstance(problem, Unavailable)


@pytest.mark.parametrize(
    "arguments", [("--snapshot-interval", "0"), ("--max-snapshots", "-1"), ("--autolock=x",)]
)
def test_impossible_values_are_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(update, list(arguments), obj="unix:///nowhere").exit_code == 2


@pytest.mark.parametrize("text", ["--autolock", "--autolock=true", "--autolock=false"])
def test_autolock_alone_means_true(text: str) -> None:
    assert isinstance(run(text), Unavailable)


def test_only_what_was_given_is_written() -> None:
    spec = ClusterSpec(autolock=True, task_history_limit=3)
    apply_options(spec, {"autolock": None, "max_snapshots": 0, "dispatcher_heartbeat": "5s"})
    assert spec == ClusterSpec(
        autolock=True, task_history_limit=3, keep_old_snapshots=0, heartbeat_period_ns=5 * 10**9
    )
    apply_options(spec, {"autolock": False})
    assert not spec.autolock
