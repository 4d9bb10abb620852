"""Four ways to bring a release to machines. Each is a program with files of its own, run from a laptop."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integration.machine.farm import Farm
from tests.integration.operator import SWARMCTL

HERE = Path(__file__).resolve().parent
USER = "ada"  # may become root without a password
MANAGERS = 3
PATIENCE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Laptop:
    """Who runs the programs: the machines' network, a folder, and what is to be brought."""

    farm: Farm
    folder: Path
    parallel: int
    release: Mapping[str, str]  # what the playbook and the deploy need to know

    def inventory(self) -> str:
        """Return the cluster: the first three are managers, or the first one of fewer."""
        managers = MANAGERS if len(self.farm.machines) > MANAGERS else 1
        lines = [
            f"  {machine.name}: {{host: {machine.address}, role: {'manager' if n < managers else 'worker'}}}"
            for n, machine in enumerate(self.farm.machines)
        ]
        head = (f"defaults: {{user: {USER}, key: {self.farm.key}}}", "machines:")
        return "\n".join((*head, *lines, ""))


class Way:
    """One way; `name` is for tables, `unchanged` what it says of a machine that lacks nothing, how often."""

    name = ""
    unchanged = ("unchanged", 1)

    def __init__(self, laptop: Laptop, folder: Path) -> None:
        """Whoever begins has nothing in the folder but what a person would have written."""
        self.laptop = laptop
        self.folder = folder
        folder.mkdir()
        self.write()

    def write(self) -> None:
        """Write the files that a person would write."""
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        """Return what a person would type."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return what the program needs in its environment."""
        return {"HOME": str(self.folder)}

    def go(self) -> None:
        """Run it on all machines; raises RuntimeError with its last words."""
        environment = {**os.environ, **self.environment()}
        with (self.folder / "log").open("wb") as log:
            command = self.laptop.farm.command(*self.command())
            done = subprocess.run(
                command,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=PATIENCE_S,
                check=False,
            )
        if done.returncode:
            words = (self.folder / "log").read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{self.name} failed with {done.returncode}:\n{words}")

    def check_unchanged(self) -> None:
        """Raise RuntimeError unless the last run found nothing to do: else it is no second run."""
        words, each = self.unchanged
        said = (self.folder / "log").read_text(errors="replace")
        if said.count(words) != each * len(self.laptop.farm.machines):
            raise RuntimeError(f"{self.name} did something again:\n{said[-3000:]}")

    def end(self) -> None:
        """Close what a run leaves open, so that the next one begins without connections."""


class ClusterUp(Way):
    """What people use: it makes the machines a cluster, too."""

    name = "swarmctl cluster up"

    def write(self) -> None:
        (self.folder / "cluster.yaml").write_text(self.laptop.inventory())

    def environment(self) -> dict[str, str]:
        bundles = str(self.laptop.folder / "cache")
        data = str(self.folder / "data")
        root = str(HERE.parent.parent)
        return {
            **super().environment(),
            "XDG_CACHE_HOME": bundles,
            "XDG_DATA_HOME": data,
            "PYTHONPATH": root,
        }

    def command(self) -> Sequence[str]:
        limits = ("--parallel", str(self.laptop.parallel), "--health-timeout", "600")
        return (*SWARMCTL, "cluster", "up", "-f", "cluster.yaml", "--host-key-policy", "accept-new", *limits)


class Install(ClusterUp):
    """Its first half, which is what the others do."""

    name = "swarm"

    def command(self) -> Sequence[str]:
        return (sys.executable, "-m", "bench.machine.install", "cluster.yaml", str(self.laptop.parallel))


class Pyinfra(Way):
    """A deploy of operations, with paramiko and gevent."""

    name = "pyinfra"
    unchanged = ("] No changes", 6)  # of each operation but the last, which asks

    def write(self) -> None:
        data = {
            **self.laptop.release,
            "ssh_user": USER,
            "ssh_key": str(self.laptop.farm.key),
            "ssh_strict_host_key_checking": "accept-new",
            "ssh_known_hosts_file": str(self.folder / "known_hosts"),
        }
        hosts = [machine.address for machine in self.laptop.farm.machines]
        (self.folder / "inventory.py").write_text(f"hosts = ({hosts!r}, {data!r})\n")

    def command(self) -> Sequence[str]:
        program = str(venv() / "bin" / "pyinfra")
        deploy = str(HERE / "deploy.py")
        return (program, "-y", "--sudo", "--parallel", str(self.laptop.parallel), "inventory.py", deploy)


class Ansible(Way):
    """A playbook, with OpenSSH, pipelining, and connections that stay open between tasks."""

    name = "ansible"
    unchanged = ("changed=0 ", 1)

    def write(self) -> None:
        hosts = {
            machine.name: {"ansible_host": machine.address, "ansible_python_interpreter": "/usr/bin/python3"}
            for machine in self.laptop.farm.machines
        }
        given = {
            **self.laptop.release,
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(self.laptop.farm.key),
        }
        # JSON is YAML.
        (self.folder / "inventory.yaml").write_text(json.dumps({"all": {"hosts": hosts, "vars": given}}))
        (self.folder / "ansible.cfg").write_text(
            f"[defaults]\nforks = {self.laptop.parallel}\n"
            "[ssh_connection]\npipelining = true\n"
            "ssh_args = -C -o ControlMaster=auto -o ControlPersist=60s "
            f"-o UserKnownHostsFile={self.folder}/known_hosts -o StrictHostKeyChecking=accept-new\n"
        )

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.laptop.folder / "cp")}

    def command(self) -> Sequence[str]:
        program = str(venv() / "bin" / "ansible-playbook")
        return (program, "-i", "inventory.yaml", str(HERE / "playbook.yaml"))

    def end(self) -> None:
        for socket in (self.laptop.folder / "cp").glob("*"):
            close = ("ssh", "-o", f"ControlPath={socket}", "-O", "exit", "none")
            subprocess.run(close, capture_output=True, check=False)


WAYS: tuple[type[Way], ...] = (Install, Pyinfra, Ansible, ClusterUp)


def venv() -> Path:
    """Return where the others are installed: not beside the project's own packages."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "swarm" / "bench" / "machine"


def install_others() -> str:
    """Install the others unless they are there; return their versions."""
    python = str(venv() / "bin" / "python")
    if not (venv() / "bin" / "pyinfra").exists():
        subprocess.run((sys.executable, "-m", "venv", "--clear", str(venv())), check=True)
        others = ("ansible-core", "pyinfra")
        subprocess.run((python, "-m", "pip", "install", "--quiet", *others), check=True)
    ask = "from importlib.metadata import version as v; print(*map(v, ('pyinfra', 'ansible-core')))"
    found = subprocess.run((python, "-c", ask), check=True, capture_output=True, text=True).stdout.split()
    return f"pyinfra {found[0]}, ansible-core {found[1]}"
