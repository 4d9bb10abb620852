"""Docker's commands and flags: docs/docker.md says what became of each."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from swarm.api.v1.containers_pb2 import ContainerDetails
from swarm.api.v1.objects_pb2 import Image, Network
from swarm.api.v1.types_pb2 import HEALTH_STATE_HEALTHY, Annotations
from swarm.api.v1.volumes_pb2 import NodeVolume
from swarm.cli import image_view, network_view, volume_view
from swarm.cli.container_inspect import details_view
from swarm.cli.docker_reasons import ABSENT, REASONS, UNTOLD, reason_for
from swarm.cli.main import cli
from tools.docker_table.__main__ import COMMANDS, INSPECTED, command_of, flags_of, page

DOC = Path(__file__).parents[3] / "docs" / "docker.md"


def absent_flags():
    for command, flags in COMMANDS.items():
        ours = command_of(command)
        if ours is not None:
            yield from ((command, flag) for flag in flags if flag not in flags_of(ours))


def test_the_page_is_what_the_commands_are():
    assert DOC.read_text() == page(), "python -m tools.docker_table > docs/docker.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_not_here_has_a_reason(command):
    if command_of(command) is None:
        assert ABSENT[command]
    unexplained = [flag for name, flag in absent_flags() if name == command and not reason_for(name, flag)]
    assert not unexplained


def test_no_reason_is_given_for_what_is_here():
    gone = {command for command in ABSENT if command_of(command) is not None}
    known = {name for command, flag in absent_flags() for name in (flag, f"{command} --{flag}")}
    assert not gone | (REASONS.keys() - known)


def unknown_flags():
    """Those that are not read either; some are, and only what Docker has by default is taken."""
    for command, flag in absent_flags():
        if not any(f"--{flag}" in one.opts for one in command_of(command).params):
            yield f"{command} --{flag}"


@pytest.mark.parametrize("typed", sorted(unknown_flags()))
def test_whoever_types_a_flag_that_is_not_here_is_told_why(typed):
    done = CliRunner().invoke(cli, typed.split())
    command, _, flag = typed.partition(" --")
    assert done.exit_code == 2
    assert f"No such option '--{flag}': {reason_for(command, flag)}" in done.stderr


@pytest.mark.parametrize("command", sorted(ABSENT))
def test_whoever_types_a_command_that_is_not_here_is_told_why(command):
    for words in (command.split(), command.split()[1:]):
        done = CliRunner().invoke(cli, [*words, "x"])
        assert (done.exit_code, ABSENT[command] in done.stderr) == (2, True)


def test_what_docker_does_not_have_either_is_as_before():
    assert "Did you mean" in CliRunner().invoke(cli, ["service", "ls", "--fromat"]).stderr
    assert "Did you mean 'ls'" in CliRunner().invoke(cli, ["service", "lss"]).stderr


CONFIGURATION = b'{"architecture": "amd64", "os": "linux", "author": "a", "config": {}}'


def a_container():
    """A container as its node tells of it: in a network, with limits, looked at with its size."""
    found = ContainerDetails()
    found.summary.id, found.summary.plain, found.summary.written_bytes = "c1", True, 1
    found.summary.health.state = HEALTH_STATE_HEALTHY
    found.places.merged = "/c/merged"
    found.spec.stop_signal, found.spec.stop_grace_period_ns = "SIGINT", 1
    found.plain.healthcheck.test.append("true")
    found.plain.spec.networks.add(network_id="n1", network_name="NAME")
    return details_view(found, "n1", {})


VIEWS = {
    "container inspect": a_container,
    "image inspect": lambda: image_view.page(
        Image(annotations=Annotations(name="web:1")), (), CONFIGURATION
    ),
    "network inspect": lambda: network_view.network(Network(), (), verbose=False),
    "volume inspect": lambda: volume_view.page(NodeVolume(), "n1", {}),
}


def has(view, field):
    for part in field.split("."):
        if not isinstance(view, dict) or part not in view:
            return False
        view = view[part]
    return True


@pytest.mark.parametrize("command", INSPECTED)
def test_what_inspect_of_docker_shows_is_here_or_has_a_reason(command):
    view, untold = VIEWS[command](), UNTOLD.get(command, {})
    assert {field for field in INSPECTED[command] if not has(view, field)} == {
        field for field in untold if field in INSPECTED[command]
    }
    assert not [field for field in untold if has(view, field)]
    assert untold.keys() <= {*INSPECTED[command]}
