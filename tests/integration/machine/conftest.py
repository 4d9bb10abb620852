"""Bare machines with systemd, and somebody with a laptop on their network."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.machine.farm import Farm, Machine
from tests.integration.operator import SWARMCTL

MEMBERS = 3
MACHINES = MEMBERS + 1  # one that stays bare


class Laptop:
    """Types swarmctl commands; what they know of machines is in a folder of its own."""

    def __init__(self, farm: Farm, folder: Path) -> None:
        self.farm = farm
        self.folder = folder
        folder.mkdir()
        self.inventory = folder / "cluster.yaml"
        self.patience_s = 600.0

    def _places(self) -> dict[str, str]:
        cache = self.folder.parent / "cache"  # what is built for machines is the same for all
        return {
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CACHE_HOME": str(cache),
        }

    def try_(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command and return what came of it."""
        return self.farm.run(
            *SWARMCTL, *arguments, timeout_s=self.patience_s, **self._places(), **environment
        )

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Begin a command; the caller ends it."""
        return subprocess.Popen(
            self.farm.command(*SWARMCTL, *arguments),
            env={**os.environ, **self._places(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __call__(self, *arguments: str, **environment: str) -> str:
        """Run a command that must succeed and return its output."""
        done = self.try_(*arguments, **environment)
        assert done.returncode == 0, f"swarmctl {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def create(
        self, name: str, machine: Machine, *more: str, user: str = "root", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Make a machine a node."""
        where = ("--ssh-host", f"{user}@{machine.address}", "--ssh-key", str(self.farm.key))
        trust = ("--host-key", self.farm.fingerprint(machine))
        return self.try_("machine", "create", *where, *trust, *more, name, **environment)

    def node_states(self, at: str) -> dict[str, str]:
        """What a manager says of the nodes: their manager status, or their state, by host name.

        Raises LookupError when it does not answer, as one that has just started again.
        """
        columns = "{{.Hostname}} {{.Status}}/{{.ManagerStatus}}"
        done = self.try_("machine", "exec", at, "swarmctl", "node", "ls", "--format", columns)
        if done.returncode != 0:
            raise LookupError(f"{at} tells nothing of nodes: {done.stderr}")
        return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


@pytest.fixture(scope="package")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """The machines, up; gone afterwards."""
    farm = Farm(tmp_path_factory.mktemp("farm"))
    try:
        machines = [farm.add() for _ in range(MACHINES)]
        for machine in machines:
            farm.wait(machine)
        yield farm
    finally:
        farm.down()


@pytest.fixture
def laptop(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """Somebody who knows no machine yet; what was built for machines is shared."""
    return new_laptop(farm, tmp_path_factory)


def new_laptop(farm: Farm, folders: pytest.TempPathFactory) -> Laptop:
    """Somebody on the network of a farm."""
    folder = folders.getbasetemp() / "laptops"
    folder.mkdir(exist_ok=True)
    return Laptop(farm, folder / f"laptop{len(list(folder.iterdir()))}")
