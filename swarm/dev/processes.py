"""The daemons of a dev cluster: found among the machine's processes, started, signalled.

No file says which process is whose: a daemon is found by the folder that its command line names, so a
reused process id cannot mislead and a lost file loses nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from swarm.agent.network import namespaces
from swarm.dev.plan import METRICS_PORT, Node, Plan
from swarm.errors import Unavailable
from swarm.runtime.processes import Process

_DAEMON_NAMES = ("swarmd", "swarm.daemon")
# The shell goes at once and leaves the daemon to init: nobody here has to wait for its end.
_IN_BACKGROUND = ["sh", "-c", '"$@" &', "sh"]


def daemon_command(plan: Plan, node: Node) -> list[str]:
    """Return the command line of a node's daemon."""
    return [
        *swarmd(),
        *_places(node),
        f"--listen-addr={node.peer_addr}",
        f"--advertise-addr={node.peer_addr}",
        f"--metrics-addr={node.address}:{METRICS_PORT}",
        f"--hostname={node.name}",
        f"--runtime={'auto' if plan.isolated else 'process'}",
        f"--cgroup-parent={plan.cgroup}/{node.name}",
        "--log-format=json",
    ]


def cleanup_command(plan: Plan, node: Node) -> list[str]:
    """Return the command that removes every container and the network of a node without a daemon."""
    runtime = "auto" if plan.isolated else "process"
    cgroup = f"--cgroup-parent={plan.cgroup}/{node.name}"
    return [*swarmd(), "cleanup", *_places(node), f"--runtime={runtime}", cgroup]


def swarmd() -> list[str]:
    """Return how to run the daemon that belongs to this installation."""
    beside = Path(sys.executable).with_name("swarmd")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "swarm.daemon"]


def find(plan: Plan) -> Mapping[str, int]:
    """Return the process ids of the running daemons, by node."""
    places = {f"--run-dir={node.run}": node.name for node in plan.nodes}
    found: dict[str, list[int]] = {}
    for pid, arguments in command_lines():
        if arguments[: len(_IN_BACKGROUND)] == _IN_BACKGROUND:
            arguments = arguments[len(_IN_BACKGROUND) :]  # noqa: PLW2901 -- a daemon in a moment
        if "cleanup" in arguments or not any(Path(part).name in _DAEMON_NAMES for part in arguments[:4]):
            continue
        for argument in arguments:
            if argument in places:
                found.setdefault(places[argument], []).append(pid)
    return {name: _daemon_of(pids) for name, pids in found.items()}


def _daemon_of(pids: Sequence[int]) -> int:
    """Return the one that no other has made: a daemon that starts a program is there twice for a moment."""
    made = [pid for pid in pids if len(pids) > 1 and _parent(pid) in pids]
    return next((pid for pid in pids if pid not in made), pids[0])


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def start(plan: Plan, node: Node) -> None:
    """Start a node's daemon, detached from this process, in the node's namespace."""
    for folder in (node.data, node.run):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    command = [*_IN_BACKGROUND, *daemon_command(plan, node)]
    with ExitStack() as stack:
        log = stack.enter_context(node.log.open("ab"))
        if plan.isolated:
            stack.enter_context(namespaces.entered(plan.namespace(node)))
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=True,
        )


def send(pid: int, number: int, wait_s: float) -> None:
    """Send a signal; for those that end a process wait until it is gone, else raise Unavailable."""
    process = Process.open(pid)
    if process is None:
        return
    try:
        process.send(number)
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT) and not process.ends_within(wait_s):
            raise Unavailable(f"process {pid} still runs {wait_s:.0f} s after {signal.Signals(number).name}")
    finally:
        process.close()


def is_stopped(pid: int) -> bool:
    """Return whether the process is suspended (SIGSTOP)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :].split()[0] in (b"T", b"t")


def command_lines() -> Iterator[tuple[int, Sequence[str]]]:
    """Yield process id and arguments of every process; those that have ended have none and are left out."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if arguments:
                yield int(entry.name), [os.fsdecode(part) for part in arguments.rstrip(b"\0").split(b"\0")]


def run(
    plan: Plan, node: Node, command: Sequence[str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a command as if on the node and return what it said; raises subprocess.TimeoutExpired."""
    with ExitStack() as stack:
        if plan.isolated and namespaces.is_namespace(plan.namespace(node)):
            stack.enter_context(namespaces.entered(plan.namespace(node)))
        return subprocess.run(
            command,
            env=environment(node),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )


def become(plan: Plan, node: Node, command: Sequence[str]) -> None:
    """Turn this process into a command on the node; raises FileNotFoundError for an unknown command."""
    found = shutil.which(command[0])
    if found is None:
        raise FileNotFoundError(command[0])
    if plan.isolated:
        with plan.namespace(node).open("rb") as namespace:
            namespaces.enter(namespace.fileno())
    os.execve(found, list(command), environment(node))  # noqa: S606


def environment(node: Node) -> dict[str, str]:
    """Return the environment for commands on a node: swarmctl there talks to that node."""
    return {**os.environ, "SWARMCTL_HOST": node.host}


def _places(node: Node) -> list[str]:
    return [f"--state-dir={node.state_dir}", f"--run-dir={node.run}"]
