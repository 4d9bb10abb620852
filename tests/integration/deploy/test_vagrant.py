"""The Vagrantfile: what Vagrant thinks of it, and how its machines become one cluster.

Virtual machines take minutes and a hypervisor (`make vagrant-e2e`). Here machines of systemd-nspawn take
their place, and the code that Vagrant would run on the host does with them what it does with machines.
"""

import os
import shlex
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.machine.farm import Farm
from tests.integration.operator import ROOT, SWARMCTL, wait_until

NAMES = ("manager-1", "worker-1")


def vagrant(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    places = {
        "VAGRANT_HOME": str(folder / "home"),
        "VAGRANT_DOTFILE_PATH": str(folder / "dotfile"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }
    return subprocess.run(
        ["vagrant", *arguments],
        cwd=ROOT,
        env={**os.environ, **places, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize(("managers", "workers"), [("3", "2"), ("1", "0")])
def test_vagrant_accepts_the_file_for_any_number_of_machines(
    tmp_path: Path, managers: str, workers: str
) -> None:
    counts = {"SWARM_MANAGERS": managers, "SWARM_WORKERS": workers}
    done = vagrant(tmp_path, "validate", "--ignore-provider", **counts)
    assert done.returncode == 0, done.stdout + done.stderr
    for role, count in (("manager", int(managers)), ("worker", int(workers))):
        assert f"{role}-{count}: " in done.stdout or not count
        assert f"{role}-{count + 1}: " not in done.stdout


def test_a_number_that_cannot_be_is_refused_with_the_limits(tmp_path: Path) -> None:
    done = vagrant(tmp_path, "validate", "--ignore-provider", SWARM_MANAGERS="0")
    assert done.returncode != 0
    assert "SWARM_MANAGERS must be 1 to 9" in done.stderr


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """A machine for each name, as Vagrant would have made them."""
    farm = Farm(tmp_path_factory.mktemp("farm"))
    try:
        for machine in [farm.add() for _ in NAMES]:
            farm.wait(machine)
        yield farm
    finally:
        farm.down()


class Host:
    """The machine that Vagrant runs on."""

    def __init__(self, farm: Farm, folder: Path) -> None:
        self.farm, self.folder = farm, folder
        self.known = folder / "swarm"

    def __call__(self, action: str, *names: str) -> str:
        """Have Vagrant's triggers run for machines, all at once; return what they say."""
        addresses = {name: machine.address for name, machine in zip(NAMES, self.farm.machines, strict=True)}
        done = self.farm.run(
            *("ruby", str(Path(__file__).parent / "machines.rb"), str(self.known), action),
            *(str(self.farm.key), *(f"{name}={addresses[name]}" for name in names)),
            timeout_s=280,
            SWARMCTL=shlex.join(SWARMCTL),
            XDG_CACHE_HOME=str(self.folder / "cache"),
            HOME=str(self.folder),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def nodes(self) -> dict[str, str]:
        """The nodes as the manager sees them."""
        layout = "{{.Hostname}} {{.Status}}/{{.ManagerStatus}}"
        lines = self.farm.machines[0]("/usr/local/bin/swarmctl", "node", "ls", "--format", layout)
        return dict(line.split(maxsplit=1) for line in lines.splitlines())


@pytest.mark.timeout(900)  # two machines are provisioned, on however few cores
def test_machines_that_are_up_become_one_cluster_and_those_that_are_destroyed_leave_it(
    farm: Farm, tmp_path: Path
) -> None:
    host = Host(farm, tmp_path)
    assert "No manager is up yet: worker-1" in host("up", "worker-1")
    host("up", *NAMES)
    ready = {"m1": "Ready/Leader", "m2": "Ready/"}
    wait_until(lambda: host.nodes() == ready, 90, "the nodes")
    assert stat.S_IMODE(host.known.stat().st_mode) == 0o700
    assert "SWMTKN" not in "".join(path.read_text() for path in host.known.rglob("*.*") if path.is_file())

    again = host("up", "worker-1")
    assert [line.split()[2] for line in again.splitlines() if line.startswith(NAMES)] == ["unchanged"] * 2

    host("destroy", "worker-1")
    assert set(host.nodes()) == {"m1"}
    host("destroy", "manager-1")
    assert not host.known.exists()
