"""A cluster of machines gets another version, and one of them goes back: part of the test of machines."""

import json
import subprocess
import sys
from pathlib import Path

from swarm.model.compatibility import swarm_version
from tests.integration.machine.conftest import MEMBERS, Laptop
from tests.integration.machine.farm import Machine
from tests.integration.operator import ROOT, wait_until
from tests.integration.versions import make_version

SUDO = {"SWARMCTL_SUDO_PASSWORD": "secret"}
NEW = "0.2.0"


def upgraded_and_back(laptop: Laptop, two: Machine, three: Machine) -> None:
    """All machines get a release from a file, as long as they may one goes back, and then none may."""
    archive = bundle_of_next(laptop.folder)
    run_something(laptop)
    before = processes(laptop)
    patience = ("--health-timeout", "240", "--watch", "5")
    upgrade = ("cluster", "upgrade", "-f", str(laptop.inventory), "--bundle", str(archive), *patience)

    planned = laptop(*upgrade, "--dry-run", **SUDO)
    assert "m3: would use it and start the service" in planned
    assert planned.index("m3: would") < planned.index("m2: would")
    done = laptop(*upgrade, "--keep-level", **SUDO)
    assert done.count("upgraded") == 3, done
    assert wait_until(lambda: processes(laptop) == before, 90, "the same containers")

    assert f"upgraded ({swarm_version()}-" in laptop(
        "machine", "upgrade", "--to", swarm_version(), *patience, "m3"
    )
    assert wait_until(lambda: processes(laptop) == before, 90, "the same containers")

    again = laptop(*upgrade, **SUDO)
    assert (again.count("upgraded"), again.count("unchanged")) == (1, 2), again
    assert "The cluster is at level 2 now." in again
    wait_until(lambda: "level.json" in two("ls", "/var/lib/swarm"), 90, "the mark of the level")
    back = laptop.try_("machine", "upgrade", "--to", swarm_version(), "--health-timeout", "40", "m2", **SUDO)
    assert back.returncode == 8, back.stderr
    assert f"went back to {NEW}-" in back.stderr
    assert "is of level 2" in back.stderr
    assert wait_until(lambda: processes(laptop) == before, 90, "the same containers")


def bundle_of_next(folder: Path) -> Path:
    """The file with a release of a version that does not exist yet."""
    tree = make_version(folder / "next", NEW, LEVEL_MAX=2)
    command = [sys.executable, "-m", "swarm.cli.main", "machine", "bundle", str(folder / "bundles")]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.name.startswith(f"{NEW}-")
    return path


def run_something(laptop: Laptop, machines: int = MEMBERS) -> None:
    """Have a service run on every machine."""
    archive = laptop.folder / "image.tar"
    build = [sys.executable, ROOT / "examples/hello/build.py", archive]
    subprocess.run(build, check=True, capture_output=True)
    laptop("machine", "scp", str(archive), "m1:/tmp/image.tar")
    # However long a restart takes on a busy machine, nobody takes the node for lost.
    at_m1(laptop, "update", "--dispatcher-heartbeat", "1m")
    at_m1(laptop, "image", "load", "-i", "/tmp/image.tar")
    at_m1(laptop, "service", "create", "-d", "--name", "keep", "--mode", "global", "hello:1")
    wait_until(lambda: processes(laptop, machines), 240, "the service")


def at_m1(laptop: Laptop, *words: str) -> str:
    return laptop("machine", "exec", "m1", "swarmctl", *words)


def processes(laptop: Laptop, machines: int = MEMBERS) -> dict[str, int]:
    """The first process of each task, seen from its machine; nothing until all run."""
    done = laptop.try_(
        "machine", "exec", "m1", "swarmctl", "service", "ps", "keep", "--no-trunc", "--format", "json"
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ids = [row["ID"] for row in rows if row["CurrentState"].startswith("Running")]
    if len(ids) != machines:
        return {}
    done = laptop.try_("machine", "exec", "m1", "swarmctl", "task", "inspect", *ids)
    tasks = json.loads(done.stdout) if done.returncode == 0 else []
    return {task["ID"]: task["Status"]["ContainerStatus"]["PID"] for task in tasks}
