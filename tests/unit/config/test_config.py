"""Where settings come from, which source wins, and what is said about bad ones."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from swarm.config import Settings, load_settings, settings_options, split_address
from swarm.errors import InvalidArgument


def write(directory: Path, text: str) -> Path:
    path = directory / "swarmd.toml"
    path.write_text(text)
    return path


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings({}, {}, write(tmp_path, ""))
    assert settings.state_dir == Path("/var/lib/swarm")
    assert settings.socket == Path("/run/swarm/swarmd.sock")
    assert settings.hostname
    assert settings.certificate_file == Path("/var/lib/swarm/certificates/node.pem")


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'log_level = "debug"\nruntime = "oci"\nhostname = "file"')
    environment = {"SWARM_RUNTIME": "process", "SWARM_HOSTNAME": "environment", "SWARMX": "1"}
    settings = load_settings({"hostname": "flag", "runtime": None}, environment, file)
    assert (settings.log_level, settings.runtime, settings.hostname) == ("debug", "process", "flag")


def test_the_socket_follows_the_run_dir_unless_it_is_set(tmp_path: Path) -> None:
    file = write(tmp_path, 'run_dir = "/run/other"')
    assert load_settings({}, {}, file).socket == Path("/run/other/swarmd.sock")
    assert load_settings({"socket": "/tmp/s"}, {}, file).socket == Path("/tmp/s")


def test_values_become_what_the_field_is(tmp_path: Path) -> None:
    file = write(tmp_path, "raft_heartbeat_s = 1\nraft_election_timeout_s = 5\n[engine_labels]\nzone = 'a'")
    settings = load_settings({}, {"SWARM_RAFT_SNAPSHOT_INTERVAL": "50"}, file)
    assert settings.raft_heartbeat_s == 1.0
    assert settings.raft_snapshot_interval == 50
    assert settings.engine_labels == {"zone": "a"}


def test_labels_come_in_the_form_of_each_source(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    assert load_settings({}, {"SWARM_ENGINE_LABELS": "a=1, b=x=y"}, file).engine_labels == {
        "a": "1",
        "b": "x=y",
    }
    assert load_settings({"engine_labels": ("a=", "b=2")}, {}, file).engine_labels == {"a": "", "b": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", r"swarmd\.toml: unknown setting 'colour'"),
        ("log_level = 'loud'", "log_level is 'loud'; it must be one of debug"),
        ("hostname = 7", r"hostname from .*swarmd\.toml: 7 is not a text"),
        ("raft_snapshot_interval = true", "True is not a int"),
        ("raft_heartbeat_s = 9.0", "a third of raft_election_timeout_s"),
        ("listen_addr = 'here'", "'here' is not HOST:PORT"),
        ("node_subnet = '10.0.0.1/8'", "node_subnet"),
        ("hostname =", "cannot be read"),
        ("engine_labels = ['novalue']", "'novalue' is not KEY=VALUE"),
        ("run_dir = '/" + "x" * 120 + "'", "longer than the 107 bytes"),
    ],
)
def test_a_bad_file_is_an_error_that_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        load_settings({}, {}, write(tmp_path, text))


def test_a_bad_number_in_the_environment_names_its_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="raft_heartbeat_s from the environment"):
        load_settings({}, {"SWARM_RAFT_HEARTBEAT_S": "soon"}, write(tmp_path, ""))


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="there is no settings file"):
        load_settings({}, {}, tmp_path / "absent.toml")


def test_there_is_a_flag_for_every_setting(tmp_path: Path) -> None:
    seen: list[Settings] = []

    @click.command()
    @settings_options
    def command(config: Path | None, **flags: object) -> None:
        seen.append(load_settings(flags, {}, config))

    arguments = ["--config", str(write(tmp_path, "")), "--state-dir", str(tmp_path), "--engine-label", "a=1"]
    result = CliRunner().invoke(command, [*arguments, "--engine-label", "b=2", "--raft-heartbeat-s", "0.1"])
    assert result.exit_code == 0, result.output
    assert (seen[0].state_dir, seen[0].raft_heartbeat_s) == (tmp_path, 0.1)
    assert seen[0].engine_labels == {"a": "1", "b": "2"}
    assert "--metrics-addr" in CliRunner().invoke(command, ["--help"]).output


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("a:1", "a", 1), ("10.0.0.1:65535", "10.0.0.1", 65535), ("[::1]:22", "::1", 22)],
)
def test_addresses_are_split(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="HOST:PORT"):
        split_address(text)


def test_generic_resources_come_from_flags_environment_or_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'node-generic-resource = ["gpu=UUID1", "ssd=3"]')
    assert load_settings({}, {}, file).node_generic_resource == ("gpu=UUID1", "ssd=3")
    environment = {"SWARM_NODE_GENERIC_RESOURCE": "gpu=a,gpu=b"}
    assert load_settings({}, environment, file).node_generic_resource == ("gpu=a", "gpu=b")
    flags = {"node_generic_resource": ("ssd=1",)}
    assert load_settings(flags, environment, file).node_generic_resource == ("ssd=1",)
    with pytest.raises(InvalidArgument, match="a number and by names"):
        load_settings({"node_generic_resource": ("gpu=1", "gpu=a")}, {}, file)
