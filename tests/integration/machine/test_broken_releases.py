"""A machine is given releases that are broken, each in another way; it goes back, and containers run on."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.machine.conftest import Laptop, new_laptop
from tests.integration.machine.farm import Farm, Machine
from tests.integration.machine.upgrades import processes, run_something
from tests.integration.operator import ROOT, wait_until

RELEASES = "/opt/swarm/releases"
NEVER = ("--health-timeout", "3600")  # whoever waits for all of it, waits longer than the test
_NO_UNIT = "[Unit]\nDescription=swarm node\n\n[Service]\nType=notify\nRestart=always\n"
_MISSING_UNIT = (
    "[Unit]\nRequires=nowhere.service\n\n[Service]\nKillMode=process\nExecStart=/usr/local/bin/swarmd\n"
)
_ENDS_FOR_GOOD = "[Service]\nType=notify\nKillMode=process\nExecStart=/bin/false\n"
# The daemon of before is stopped by the rules of the new unit.
_ENDS_CONTAINERS = "[Service]\nType=notify\nRestart=always\nExecStart=/usr/local/bin/swarmd\n"
_SAYS_NOTHING = """\
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""
# Ends when it has been asked, by whoever decides whether it is healthy, and a while has passed.
_DIES_LATER = """\
#!/bin/sh
(until /usr/local/bin/swarmctl info; do sleep 0.2; done; sleep 20; kill -9 $$) >/dev/null 2>&1 </dev/null &
exec {good}/bin/swarmd
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """One bare machine; gone afterwards."""
    farm = Farm(tmp_path_factory.mktemp("broken"))
    try:
        farm.wait(farm.add())
        yield farm
    finally:
        farm.down()


class Node:
    """A machine that is a node with a container, and gets other releases."""

    def __init__(self, laptop: Laptop, machine: Machine) -> None:
        self.laptop, self.machine = laptop, machine
        made = laptop.create("m1", machine, "--role", "manager")
        assert made.returncode == 0, made.stdout + made.stderr
        run_something(laptop, 1)
        self.good = self.release()
        self.processes = processes(laptop, 1)

    def release(self) -> str:
        return self.machine("readlink", "/opt/swarm/current").rpartition("/")[2]

    def copy(self, name: str, file: str, text: str) -> str:
        """A release like the good one, with another file in it; returns its name."""
        folder = f"{RELEASES}/{name}"
        self.machine("cp", "-a", f"{RELEASES}/{self.good}", folder)
        self.machine("sh", "-c", f'printf %s "$1" >{folder}/{file}', "sh", text)
        return name

    def refuses(self, code: int, *words: str, upgrade: tuple[str, ...]) -> str:
        """Return what an upgrade says that must fail, with these words; all is as before."""
        failed = self.laptop.try_("machine", "upgrade", *upgrade, "m1")
        assert failed.returncode == code, failed.stdout + failed.stderr
        for word in words:
            assert word in failed.stderr, failed.stderr
        assert self.release() == self.good
        show = ("systemctl", "show", "-p", "LoadState", "--value", "swarmd")
        assert self.machine(*show) == "loaded"
        wait_until(lambda: self.laptop.node_states("m1") == {"m1": "Ready/Leader"}, 60, "the node")
        assert wait_until(lambda: processes(self.laptop, 1), 60, "the container") == self.processes
        return failed.stderr


@pytest.mark.timeout(1500)
def test_a_machine_goes_back_from_whatever_does_not_work(
    alone: Farm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    laptop = new_laptop(alone, tmp_path_factory)
    node = Node(laptop, alone.machines[0])
    back = f"went back to {node.good}"
    units = {
        "no-unit": (_NO_UNIT, "bad unit file setting", "Service has no ExecStart="),
        "unreadable-unit": ("[Unit\n", "cannot be used", "Bad message"),
        "missing-unit": (_MISSING_UNIT, "is not run by systemd", "nowhere.service not found"),
        "ends-containers": (_ENDS_CONTAINERS, "would end all containers", "KillMode=control-group"),
        "ends-for-good": (_ENDS_FOR_GOOD, "is not run by systemd", "exited with error code"),
    }
    for name, (text, *words) in units.items():
        release = node.copy(f"9.9.9-{name}", "swarmd.service", text)
        node.refuses(8, *words, back, upgrade=("--to", release, *NEVER))

    silent = node.copy("9.9.9-silent", "bin/swarmd", f"#!/usr/bin/python3\n{_SAYS_NOTHING}")
    upgrade = ("--to", silent, "--health-timeout", "20")
    told = node.refuses(8, "is not healthy after 20 s", back, upgrade=upgrade)
    assert "daemon.stopped" not in told, told  # that was said by the one before

    dies = node.copy("9.9.9-dies", "bin/swarmd", _DIES_LATER.format(good=f"{RELEASES}/{node.good}"))
    upgrade = ("--to", dies, "--health-timeout", "120", "--watch", "60")
    node.refuses(8, "was healthy, and died soon after", back, upgrade=upgrade)

    archive = of_another_processor(laptop.folder)
    node.refuses(1, "does not run with /usr/bin/python3", upgrade=("--bundle", str(archive), *NEVER))
    there = node.machine("ls", "-A", RELEASES, "/opt/swarm").split()
    assert archive.name.removesuffix(".tar.gz") not in there
    assert not [name for name in there if name.startswith(".new")]


def of_another_processor(folder: Path) -> Path:
    """A file with a release whose compiled parts are of a processor that the machine has not."""
    command = [sys.executable, "-m", "swarm.cli.main", "machine", "bundle", str(folder / "bundles")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    wrong = folder / "8.8.8-0a0b0c0d.tar.gz"
    machine_at = 18  # of the ELF header; 243 is RISC-V
    with tarfile.open(done.stdout.strip()) as old, tarfile.open(wrong, "w:gz", compresslevel=1) as new:
        for item in old:
            file = old.extractfile(item) if item.isfile() else None
            if file is None or not item.name.endswith(".so"):
                new.addfile(item, file)
                continue
            part = folder / "part"
            data = bytearray(file.read())
            data[machine_at : machine_at + 2] = (243).to_bytes(2, "little")
            part.write_bytes(data)
            with part.open("rb") as changed:
                new.addfile(item, changed)
    return wrong
