"""The control: a genuine Docker Swarm of three managers and two workers, one dockerd a network namespace.

Entered with nsenter, because `ip netns exec` mounts a new /sys and hides the cgroups.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

NODES, MANAGERS = 5, 3
READY_S = 60


def run(*command: str, check: bool = True, **kwargs: object) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(command, check=check, capture_output=True, text=True, **kwargs)  # type: ignore[call-overload]
    return str(done.stdout)


class DockerSwarm:
    """Five Docker daemons in namespaces; nodes are numbered 1 to 5, the first three are managers."""

    name = "Docker Swarm"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-docker-"))
        self.docker = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
        self.daemons: dict[int, subprocess.Popen[bytes]] = {}

    def cli(self, node: int, *words: str, check: bool = True) -> str:
        """Run the Docker client against one daemon."""
        return run(self.docker, "-H", f"unix://{self.folder}/{node}.sock", *words, check=check)

    def up(self) -> None:
        """Start the daemons, join them, load the image everywhere."""
        run("ip", "netns", "add", "bdk-sw")
        run("ip", "-n", "bdk-sw", "link", "add", "br0", "type", "bridge")
        run("ip", "-n", "bdk-sw", "link", "set", "br0", "up")
        for node in range(1, NODES + 1):
            self._host(node)
            self.start(node)
        for node in range(1, NODES + 1):
            self._wait_daemon(node)
            self._image(node)
        self.cli(1, "swarm", "init", "--advertise-addr", "10.99.0.1")
        for role, nodes in (("manager", (2, 3)), ("worker", (4, 5))):
            token = self.cli(1, "swarm", "join-token", "-q", role).strip()
            for node in nodes:
                address = f"10.99.0.{node}"
                self.cli(
                    node, "swarm", "join", "--token", token, "--advertise-addr", address, "10.99.0.1:2377"
                )

    def _host(self, node: int) -> None:
        name = f"bdk-{node}"
        run("ip", "netns", "add", name)
        run(
            "ip",
            "-n",
            "bdk-sw",
            "link",
            "add",
            f"v{node}",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            name,
        )
        run("ip", "-n", "bdk-sw", "link", "set", f"v{node}", "master", "br0", "up")
        run("ip", "-n", name, "addr", "add", f"10.99.0.{node}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "-n", name, "route", "add", "default", "via", "10.99.0.254")

    def start(self, node: int) -> None:
        """Start one daemon."""
        folder = self.folder / str(node)
        folder.mkdir(exist_ok=True)
        # Without this variable every task first waits for a registry that is not there.
        surroundings = {**os.environ, "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE": "1"}
        command = ["nsenter", f"--net=/run/netns/bdk-{node}", "dockerd", "--data-root", f"{folder}/root"]
        command += ["--exec-root", f"{folder}/exec", "-H", f"unix://{self.folder}/{node}.sock"]
        command += ["--pidfile", f"{folder}/pid", "--bridge=none", "--iptables=false"]
        with (folder / "log").open("ab") as log:
            self.daemons[node] = subprocess.Popen(
                command, env=surroundings, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_daemon(self, node: int) -> None:
        end = time.monotonic() + READY_S
        while not self.cli(node, "info", "--format", "{{.ID}}", check=False).strip():
            if time.monotonic() > end:
                raise TimeoutError(f"dockerd {node} did not start: {self.folder}/{node}/log")
            time.sleep(0.2)

    def _image(self, node: int) -> None:
        root = self.folder / "rootfs" / "bin"
        if not root.exists():
            root.mkdir(parents=True)
            shutil.copy("/bin/busybox", root / "busybox")
            for applet in ("sh", "sleep"):
                (root / applet).symlink_to("busybox")
            run("tar", "-C", str(root.parent), "-cf", str(self.folder / "rootfs.tar"), ".")
        entry = 'CMD ["/bin/sh","-c","while :; do sleep 3600; done"]'
        self.cli(node, "import", "-c", entry, str(self.folder / "rootfs.tar"), "bench:1")

    def create(self, name: str, replicas: int, constraint: str = "", node: int = 1) -> bool:
        """Ask for a service; tell whether it was accepted."""
        words = ["service", "create", "-q", "--detach", "--no-resolve-image", "--name", name]
        words += ["--replicas", str(replicas)] + (["--constraint", constraint] if constraint else [])
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
        while any(self.cli(node, "ps", "-q").strip() for node in range(1, NODES + 1)):
            if time.monotonic() > end:
                raise TimeoutError("Docker containers did not end")
            time.sleep(0.2)

    def kill_leader(self) -> tuple[int, int]:
        """Kill the leader's daemon with -9; return (its number, the number of another manager)."""
        for node in range(1, MANAGERS + 1):
            shown = self.cli(node, "node", "ls", "--format", "{{.Self}} {{.ManagerStatus}}", check=False)
            if "true Leader" in shown:
                self.kill(node)
                return node, node % MANAGERS + 1
        raise RuntimeError("Docker Swarm has no leader")

    def kill(self, node: int) -> None:
        """Kill one daemon with -9."""
        os.kill(int((self.folder / str(node) / "pid").read_text()), signal.SIGKILL)
        self.daemons[node].wait()

    def down(self) -> None:
        """Stop everything and remove what it left."""
        for node, daemon in self.daemons.items():
            if daemon.poll() is None:
                self.cli(node, "swarm", "leave", "--force", check=False)
                daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for line in Path("/proc/mounts").read_text().splitlines()[::-1]:
            if f" {self.folder}/" in line:
                run("umount", "-l", line.split()[1], check=False)
        for name in (*(f"bdk-{node}" for node in range(1, NODES + 1)), "bdk-sw"):
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
