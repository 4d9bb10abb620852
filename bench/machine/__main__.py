"""Ten bare machines get a release: swarmctl beside pyinfra and ansible-core, which do the same steps.

    python -m bench.machine [--hosts 10] [--rounds 3] [--parallel 10] [--json]

Cold: nothing is there. Again: nothing is to be done. All bring the same archive, unpack it with the same
script, link it, install the same unit, start the service and ask it, as many machines at a time. `swarmctl
cluster up` makes the machines a cluster besides. The machines are those of the tests (systemd-nspawn). Needs
root, and installs the others into an environment of their own.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine.ways import WAYS, Laptop, Way, install_others
from swarm.machine import bundle, probe
from tests.integration.machine.farm import Farm, Machine

Results = dict[str, dict[str, list[float]]]  # seconds, by what is measured, by way
# What a machine gets from any of them.
BARE = """
systemctl disable -q --now swarmd 2>/dev/null
swarm=/etc/systemd/system/swarmd.service
rm -rf /opt/swarm /var/lib/swarm /run/swarm $swarm /usr/local/bin/swarmd /usr/local/bin/swarmctl
rm -rf /var/tmp/* /home/ada/.cache /home/ada/.ansible /root/.ansible
systemctl daemon-reload
systemctl reset-failed
! [ -e /opt/swarm ]
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=10, help="machines at a time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("only root can have machines")
    versions = install_others()
    with laptop(given.hosts, given.parallel) as place:
        results = measure(place, given.rounds)
    load = os.getloadavg()[2] / (os.cpu_count() or 1)
    if given.json:
        print(json.dumps({"versions": versions, "load_per_core": round(load, 1), "seconds": results}))
        return
    show(results)
    print(f"({given.hosts} machines, {given.rounds} rounds; {versions}; ", end="")
    print(f"{load:.1f} programs wanted each core in the last quarter of an hour)")


@contextmanager
def laptop(hosts: int, parallel: int) -> Iterator[Laptop]:
    """Yield somebody with bare machines that are up; all is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bench-machine-"))
    (folder / "farm").mkdir()
    try:
        farm = Farm(folder / "farm")
        try:
            for machine in [farm.add() for _ in range(hosts)]:
                farm.wait(machine)
            yield Laptop(farm, folder, parallel, release(farm.machines[0], folder))
        finally:
            farm.down()
    finally:
        shutil.rmtree(folder)


def release(machine: Machine, folder: Path) -> dict[str, str]:
    """Build what is brought to the machines, before anybody waits for it; return what others must know."""
    facts = probe.parse_facts(machine("sh", "-c", probe.script("probe.sh")))
    archive = bundle.build(bundle.target_of(facts), folder / "cache" / "swarmctl" / "bundles")
    source = Path(bundle.__file__).parent
    return {
        "release": archive.name.removesuffix(".tar.gz"),
        "archive": str(archive),
        "digest": bundle.file_digest(archive),
        "unpack": str(source / "scripts" / "unpack.sh"),
        "unit": str(source / "swarmd.service"),
        "python_path": facts.python_path,
        "python": facts.python,
    }


def measure(place: Laptop, rounds: int) -> Results:
    """Have all take turns; each round begins with another one."""
    results: Results = {"cold": {}, "again": {}}
    for number in range(rounds):
        shift = number % len(WAYS)
        for kind in (*WAYS[shift:], *WAYS[:shift]):
            for machine in place.farm.machines:
                machine("sh", "-c", BARE)
            shutil.rmtree(place.folder / "way", ignore_errors=True)
            way = kind(place, place.folder / "way")
            for what, seconds in results.items():
                took_s = timed(way)
                seconds.setdefault(way.name, []).append(took_s)
                print(f"  {what}: {way.name} {took_s:.2f} s", file=sys.stderr, flush=True)
                check(place)
            way.check_unchanged()
    return results


def timed(way: Way) -> float:
    """Return the seconds that one run takes."""
    started = time.monotonic()
    way.go()
    took_s = time.monotonic() - started
    way.end()
    return took_s


def check(place: Laptop) -> None:
    """Raise RuntimeError unless each machine has what it was to get: nobody is fast by doing nothing."""
    for machine in place.farm.machines:
        there = machine("readlink", "/opt/swarm/current").rpartition("/")[2]
        state = machine("systemctl", "is-active", "swarmd"), machine("systemctl", "is-enabled", "swarmd")
        if (there, *state) != (place.release["release"], "active", "enabled"):
            raise RuntimeError(f"{machine.name} has release {there}, its service is {' and '.join(state)}")


def show(results: Results) -> None:
    """Print a table: medians, and how many times as long as ours."""
    names = [kind.name for kind in WAYS]
    print("| | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for what, seconds in results.items():
        medians = [statistics.median(seconds[name]) for name in names]
        cells = [f"{median:.2f} s, {median / medians[0]:.1f}" for median in medians]
        print(f"| {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
