"""Ours: a dev cluster of three managers and two workers, driven through swarmctl as a person would."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swarm.dev.cluster import DevCluster

NODES, MANAGERS = 5, 3
READY_S = 60
ROOT = Path(__file__).resolve().parents[1]
IMAGE_SCRIPT = "while :; do sleep 3600; done"


class SwarmCluster:
    """Five swarmd in namespaces; nodes are numbered 1 to 5, the first three are managers."""

    name = "swarm"

    def __init__(self) -> None:
        self.cluster = DevCluster.create("bench", MANAGERS, NODES - MANAGERS)
        self.names = [node.name for node in self.cluster.plan.nodes]

    def cli(self, node: int, *words: str, check: bool = True) -> str:
        """Run swarmctl against one node."""
        host = self.cluster.node(self.names[node - 1]).host
        command = [str(Path(sys.executable).with_name("swarmctl")), "--host", host, *words]
        return subprocess.run(command, check=check, capture_output=True, text=True).stdout

    def up(self) -> None:
        """Start the daemons, join them, load the image everywhere."""
        self.cluster.up()
        sys.path.insert(0, str(ROOT))
        from examples.hello import build

        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            archive.write(build.archive(build.build(build.shell("bench:1", IMAGE_SCRIPT))))
            archive.flush()
            self.cli(1, "image", "load", "-q", "-i", archive.name)
        # One task a node brings the image to all of them, as the control has it.
        self.cli(1, "service", "create", "-q", "--name", "warm", "--mode", "global", "bench:1")
        self.remove("warm")

    def create(self, name: str, replicas: int, constraint: str = "", node: int = 1) -> bool:
        """Ask for a service; tell whether it was accepted."""
        words = ["service", "create", "-q", "--detach", "--name", name, "--replicas", str(replicas)]
        words += ["--constraint", constraint] if constraint else []
        return bool(self.cli(node, *words, "bench:1", check=False).strip())

    def running(self, name: str, node: int = 1) -> set[str]:
        """Return the ids of the tasks of a service that run and should."""
        words = ("service", "ps", name, "--filter", "desired-state=running")
        lines = self.cli(node, *words, "--format", "{{.ID}} {{.CurrentState}}", check=False).splitlines()
        return {line.split()[0] for line in lines if line.split()[1:2] == ["Running"]}

    def remove(self, name: str) -> None:
        """Remove a service and wait until its containers are gone."""
        self.cli(1, "service", "rm", name)
        end = time.monotonic() + READY_S
        while any(any(node.run.glob("containers/*/bundles/*")) for node in self.cluster.plan.nodes):
            if time.monotonic() > end:
                raise TimeoutError("containers did not end")
            time.sleep(0.2)

    def kill_leader(self) -> tuple[int, int]:
        """Kill the leader's daemon with -9; return (its number, the number of another manager)."""
        shown = self.cli(1, "node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}")
        (name,) = [line.split()[0] for line in shown.splitlines() if line.endswith("Leader")]
        self.cluster.kill(name)
        number = self.names.index(name) + 1
        return number, number % MANAGERS + 1

    def kill(self, node: int) -> None:
        """Kill one daemon with -9."""
        self.cluster.kill(self.names[node - 1])

    def start(self, node: int) -> None:
        """Start one daemon."""
        self.cluster.start(self.names[node - 1])

    def down(self) -> None:
        """Stop everything and remove what it left."""
        self.cluster.down()
