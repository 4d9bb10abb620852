from importlib import metadata
from pathlib import Path

import pytest

from swarm.errors import InvalidArgument
from swarm.machine.drivers import base
from swarm.machine.drivers.base import Making
from swarm.machine.drivers.generic import GenericDriver
from swarm.machine.drivers.vagrant import VagrantDriver, endpoint_of, state_of
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import MachineError, PreCheckFailed
from swarm.machine.store import Record

SSH_CONFIG = """Host w1
  HostName 127.0.0.1
  User vagrant
  Port 2222
  IdentityFile /boxes/w1/private_key
  LogLevel FATAL
"""


NOWHERE = Endpoint(Hop(""))


def making(name: str, driver: str, options: dict[str, str]) -> Making:
    record = Record(name=name, driver=driver, endpoint=NOWHERE, options=options)
    return Making(record, Path(), lambda _made: None, lambda _text: None)


def test_every_own_driver_is_known_by_its_name() -> None:
    assert {name: base.driver(name).name for name in base.names()} == {
        "cloud": "cloud",
        "generic": "generic",
        "none": "none",
        "vagrant": "vagrant",
    }
    with pytest.raises(InvalidArgument, match="known: cloud, generic, none, vagrant"):
        base.driver("amazonec2")


def test_drivers_of_others_are_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "swarm.machine.drivers.generic:NoneDriver"
    other = metadata.EntryPoint("theirs", place, base.GROUP)

    def points(*, group: str) -> list[metadata.EntryPoint]:
        return [other] if group == base.GROUP else []

    monkeypatch.setattr(base.metadata, "entry_points", points)
    assert "theirs" in base.names()
    assert base.driver("theirs").name == "none"


def test_what_a_driver_cannot_is_refused_before_anything_is_done() -> None:
    with pytest.raises(PreCheckFailed, match="cannot stop machines"):
        base.check_capability(GenericDriver(), "stop")
    base.check_capability(VagrantDriver(), "stop")


def test_settings_of_another_driver_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="knows dir, machine, provider"):
        base.check_options(VagrantDriver(), {"region": "x"})


async def test_a_host_without_an_address_is_asked_for() -> None:
    with pytest.raises(InvalidArgument, match="--ssh-host"):
        await GenericDriver().create(making("m1", "generic", {}))


def test_what_vagrant_says_is_understood() -> None:
    assert endpoint_of("w1", SSH_CONFIG) == Endpoint(
        Hop("127.0.0.1", 2222, "vagrant"), "/boxes/w1/private_key"
    )
    assert state_of("1,w1,metadata,provider,libvirt\n1,w1,state,running\n") == "running"
    assert state_of("1,w1,state,poweroff\n") == "stopped"
    assert state_of("1,w1,state,not_created\n") == "missing"
    assert state_of("") == "missing"


@pytest.fixture
def vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "vagrant"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase $1 in\n'
        f"ssh-config) cat {tmp_path}/config;;\nhalt) echo 'no such machine' >&2; exit 1;;\nesac\n"
    )
    program.chmod(0o755)
    (tmp_path / "config").write_text(SSH_CONFIG)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


async def test_vagrant_brings_machines_up_without_its_own_provisioners(vagrant: Path) -> None:
    wanted = making("w1", "vagrant", {"provider": "libvirt", "dir": str(vagrant)})
    made = await VagrantDriver().create(wanted)
    assert made.endpoint.hop.port == 2222
    assert (vagrant / "calls").read_text().splitlines()[0] == "up --no-provision --provider=libvirt w1"
    with pytest.raises(MachineError, match="vagrant halt failed: no such machine"):
        await VagrantDriver().act("stop", wanted)


async def test_a_dry_run_brings_no_machine_up(vagrant: Path) -> None:
    wanted = making("w1", "vagrant", {"dir": str(vagrant)})
    assert "bring up the machine w1" in await VagrantDriver().foresee(wanted)
    assert (vagrant / "calls").read_text() == "status --machine-readable w1\n"


async def test_a_machine_without_vagrant_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreCheckFailed, match="cannot run vagrant"):
        await VagrantDriver().create(making("w1", "vagrant", {}))
