"""The Vagrantfile: what Vagrant thinks of it, and how its machines become one cluster.

Real machines take minutes and a hypervisor. Here daemons on loopback addresses take their place, and the
code that Vagrant would run on the host does with them what it does with machines.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.operator import ROOT
from tests.integration.swarmd import Daemon, daemons, wait_for

NAMES = ("manager-1", "manager-2", "worker-1")


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


def up(folder: Path, machines: dict[str, Daemon]) -> None:
    """What `vagrant up` does with machines that have swarm installed."""
    words = []
    for name, machine in machines.items():
        host = f"unix://{machine.directory}/r/swarmd.sock"
        address = machine.addr.rpartition(":")[0]
        words.append(f"{name}={address}={sys.executable} -m swarm.cli.main --host {host}")
    script = Path(__file__).parent / "machines.rb"
    command = ["ruby", script, folder, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_machines_become_one_cluster_and_stay_it(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    with daemons(tmp_path, *NAMES) as machines:
        up(tokens, machines)
        first = machines["manager-1"]
        nodes = wait_for(lambda: len(first.nodes()) == 3 and first.nodes())
        assert [nodes[name].HasField("manager_status") for name in NAMES] == [True, True, False]
        assert {stat.S_IMODE(path.stat().st_mode) for path in tokens.iterdir()} == {0o600}
        assert stat.S_IMODE(tokens.stat().st_mode) == 0o700

        up(tokens, machines)
        assert {name: node.id for name, node in first.nodes().items()} == {
            name: node.id for name, node in nodes.items()
        }


def test_the_first_manager_made_anew_joins_the_others(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    with daemons(tmp_path, *NAMES, "manager-3") as machines:
        up(tokens, machines)
        others = machines["manager-2"].info().cluster_id
        machines["manager-1"].leave(force=True)  # gone, as far as the others can see
        assert not machines["manager-1"].info().node_id
        up(tokens, machines)
        assert machines["manager-1"].info().cluster_id == others
