"""Ten machines become a cluster, each is rebooted, one is upgraded and goes back: `python -m tools.farm`.

With `--upgrade-all` all of them are upgraded before the end. Ends with exit code 0 when all was as it should
be, and says how long what took. Needs root and what `make setup` installs. What it leaves: the root file
system of the machines, in the cache directory.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.machine.conftest import Laptop
from tests.integration.machine.farm import Machine
from tests.integration.machine.upgrades import NEW, at_m1, bundle_of_next, processes, run_something
from tests.integration.operator import wait_until
from tools.farm.asker import Asker
from tools.farm.machines import ContainerFarm

MANAGERS = 3
PORT = 8080
PATIENCE_S = 900.0
COMMAND_S = 3600.0
# What is left of swarm on a machine, and what of that is the machine's: a disk, settings, its network.
LEFT = """
find / /var/lib/swarm -xdev -iname '*swarm*' ! -path '/proc/*' ! -path '/home/*'
find /var/lib/swarm -mindepth 1
nft list tables
ip -o link | awk '{sub("[@:].*", "", $2); print $2}'
"""
UNTOUCHED = {"/etc/swarm", "/var/lib/swarm", "lo", "eth0"}


def main() -> int:
    """Do all of it; raises AssertionError at the first thing that is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--machines", type=int, default=10, help="three of them are managers")
    parser.add_argument("--upgrade-all", action="store_true", help="one after the other, at the end")
    given = parser.parse_args()
    began = time.monotonic()
    # Not in memory: the machines have their disks there.
    with tempfile.TemporaryDirectory(prefix="farm-", dir="/var/tmp") as text:
        folder = Path(text)
        farm = ContainerFarm(folder)
        try:
            with timed(f"{given.machines} machines boot"):
                for _ in range(given.machines):
                    farm.add()
                for machine in farm.machines:
                    farm.wait(machine)
            live(Life(Laptop(farm, folder / "laptop")), upgrade_all=given.upgrade_all)
        finally:
            farm.down()
    say(f"all of it: {time.monotonic() - began:.0f} s")
    return 0


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long something took."""
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.0f} s")


class Life:
    """What somebody with a laptop does with the machines, and sees of them."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop
        self.machines = laptop.farm.machines
        self.replicas = 2 * len(self.machines)
        laptop.patience_s = COMMAND_S
        self.file = self._inventory()

    def _inventory(self) -> str:
        """Write the machines into a file for `swarmctl cluster`, the first ones as managers."""
        lines = [
            f"  {one.name}: {{host: {one.address}, role: {'manager' if number < MANAGERS else 'worker'}}}"
            for number, one in enumerate(self.machines)
        ]
        head = ["cluster: farm", f"defaults: {{user: ada, key: {self.laptop.farm.key}}}", "machines:"]
        self.laptop.inventory.write_text("\n".join([*head, *lines, ""]))
        return str(self.laptop.inventory)

    def whole(self, at: str) -> bool:
        """Whether all nodes are ready and all tasks run, as a manager sees it; no while it has no leader."""
        nodes = self._told(at, "node", "ls", "--format", "{{.Status}} {{.ManagerStatus}}").splitlines()
        services = self._told(at, "service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines()
        managers = [line for line in nodes if line in ("Ready Leader", "Ready Reachable")]
        return (
            len(nodes) == len(self.machines)
            and all(line.startswith("Ready") for line in nodes)
            and len(managers) == MANAGERS
            and f"web {self.replicas}/{self.replicas}" in services
            and f"keep {len(self.machines)}/{len(self.machines)}" in services
        )

    def _told(self, at: str, *words: str) -> str:
        return self.laptop.try_("machine", "exec", at, "swarmctl", *words).stdout


def live(life: Life, *, upgrade_all: bool) -> None:
    """From bare machines to a cluster and back."""
    begins(life)
    with Asker(life.laptop.farm, PORT) as asker:
        for machine in life.machines:
            rebooted(life, machine, asker)
        one_upgraded_and_back(life)
        if upgrade_all:
            all_upgraded(life)
        say(f"the service was asked {asker}")
        assert asker.longest_gap_s() < asker.GAP_MAX_S, asker
    with timed("cluster down"):
        life.laptop("cluster", "down", "--yes", "-f", life.file)
    for machine in life.machines:
        left = set(machine("sh", "-c", LEFT).split())
        assert left == UNTOUCHED, f"{machine.name}: {left}"


def begins(life: Life) -> None:
    """The machines become a cluster, and services run on it."""
    laptop = life.laptop
    with timed("cluster up"):
        laptop("cluster", "up", "-f", life.file, "--host-key-policy", "accept-new")
    with timed("cluster up, again"):
        again = laptop("cluster", "up", "-f", life.file)
        assert again.count("unchanged") == len(life.machines), again
    with timed("services run"):
        run_something(laptop, len(life.machines))
        options = ("--replicas", str(life.replicas), "--publish", f"{PORT}:8080")
        at_m1(laptop, "service", "create", "-d", "--name", "web", *options, "hello:1")
        wait_until(lambda: life.whole("m1"), PATIENCE_S, "the services")


def rebooted(life: Life, machine: Machine, asker: Asker) -> None:
    """Reboot a machine for real and wait until nothing is missing."""
    began, before = time.monotonic(), machine("cut", "-d ", "-f22", "/proc/1/stat")
    life.laptop("machine", "restart", machine.name)
    assert machine("cut", "-d ", "-f22", "/proc/1/stat") != before, machine.name
    back = time.monotonic()
    asked = "m2" if machine.name == "m1" else "m1"
    wait_until(lambda: life.whole(asked), PATIENCE_S, f"everything after the reboot of {machine.name}")
    end = time.monotonic()
    missed = asker.missed(began, end, without=machine.address)
    say(
        f"reboot of {machine.name}: back after {back - began:.0f} s, all runs after {end - began:.0f} s; "
        f"elsewhere {missed[0]} of {missed[1]} requests failed"
    )


def one_upgraded_and_back(life: Life) -> None:
    """The last machine gets another release, and goes back; its containers are the same."""
    laptop, count, last = life.laptop, len(life.machines), life.machines[-1]
    release = last("readlink", "/opt/swarm/current").rpartition("/")[2]
    before = processes(laptop, count)
    with timed("a release of the next version is made"):
        bundle = bundle_of_next(laptop.folder)
    with timed(f"{last.name} is upgraded"):
        laptop("machine", "upgrade", "--bundle", str(bundle), last.name)
    assert NEW in last("readlink", "/opt/swarm/current")
    wait_until(lambda: processes(laptop, count) == before, PATIENCE_S, "the same containers")
    with timed(f"{last.name} goes back"):
        laptop("machine", "upgrade", "--to", release, last.name)
    assert last("readlink", "/opt/swarm/current").endswith(release)
    wait_until(lambda: processes(laptop, count) == before, PATIENCE_S, "the same containers")


def all_upgraded(life: Life) -> None:
    """All machines get another release; the containers are the same, and the level is raised."""
    laptop, count = life.laptop, len(life.machines)
    before = processes(laptop, count)
    (bundle,) = (laptop.folder / "bundles").glob(f"{NEW}-*.tar.gz")
    with timed("cluster upgrade, workers two at a time"):
        words = ("--bundle", str(bundle), "--parallel-workers", "2")
        done = laptop("cluster", "upgrade", "-f", life.file, *words)
    assert done.count("upgraded") == count, done
    assert "The cluster is at level" in done, done
    wait_until(lambda: life.whole("m1"), PATIENCE_S, "everything after the upgrade")
    wait_until(lambda: processes(laptop, count) == before, PATIENCE_S, "the same containers")
    assert at_m1(laptop, "info", "--format", "{{.Version}}") == NEW


if __name__ == "__main__":
    sys.exit(main())
