"""A machine to install on: this one's files, of which every change is gone afterwards."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.operator import ROOT

SOURCE = Path("/src")  # there: a copy, which nobody edits meanwhile
# What is mounted here exists in this process's mount namespace alone, and goes with it.
_SETUP = """
set -e
cd "$1"
mount -t tmpfs tmpfs .
cd "$1"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" root
mkdir root/src
cp -r "$2/pyproject.toml" "$2/README.md" "$2/swarm" "$2/deploy" root/src
mount --rbind /proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
mount -t tmpfs tmpfs root/tmp
rm -rf root/opt/swarm root/usr/local/bin/swarmd root/usr/local/bin/swarmctl root/etc/systemd/system/*swarmd*
echo ready
read end
"""


class Machine:
    """Runs programs on the machine; files are under `root`, seen from within only."""

    def __init__(self, pid: int, root: Path) -> None:
        self._enter = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "chroot", str(root)]

    def command(self, *command: str | Path) -> list[str]:
        """What to run here so that it runs there."""
        return [*self._enter, *map(str, command)]

    def try_(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program there and return what came of it."""
        return subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=280, check=False
        )

    def __call__(self, *command: str | Path) -> str:
        """Run a program there that must succeed; return what it printed."""
        done = self.try_(*command)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return (done.stdout + done.stderr).strip()

    def install(self) -> subprocess.CompletedProcess[str]:
        """Install this source there."""
        return self.try_("python3", SOURCE / "deploy" / "bootstrap.py", "install")


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A machine whose changes are kept in memory, below `folder`."""
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", _SETUP, "sh", folder, ROOT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        try:
            yield Machine(holder.pid, folder / "root")
        finally:
            holder.stdin.close()
