"""One HAProxy process: started in the router of the ingress network, found again, asked, ended. Blocks.

It accepts in the node's own network, with sockets that it is given, and connects from the router, where all
tasks are reached. It runs as nobody, in an empty folder, and outlives the agent.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from swarm.agent.http.config import certificate_list, config, digest_of, proofs_map, routes_map
from swarm.agent.http.plan import Wanted
from swarm.agent.http.sockets import Sockets
from swarm.agent.network import namespaces
from swarm.errors import Unavailable
from swarm.runtime.processes import Process, carriers, kill_and_wait

PROGRAM = "haproxy"
MARK = "SWARM_HTTP_PROXY"  # in its environment, with its control socket: by it, it is found
_START_TIMEOUT_S = 30.0
_ANSWER_TIMEOUT_S = 10.0
_KILL_WAIT_S = 5.0
_EMPTY = Path("/var/empty")
_BATCH = 40  # commands said at once: the proxy reads no more than 16 KiB


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that answers."""

    pid: int
    version: str
    digest: str  # of what it was started with
    namespace: int  # number of the network that it connects from


def find_program() -> str | None:
    """Return the path of HAProxy, None when it is not installed."""
    return shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class ProxyFiles:
    """The files and processes of the proxy of one node."""

    def __init__(self, run_dir: Path) -> None:
        """Keep them below the node's `run_dir`."""
        self.folder = run_dir.absolute() / "http"
        self.control = self.folder / "control.sock"
        self.proofs = self.folder / "proofs.map"

    def start(
        self,
        program: str,
        wanted: Wanted,
        certificates: Mapping[str, bytes],
        default: bytes,
        sockets: Sockets,
        router: Path,
        instead_of: list[int],
    ) -> Running:
        """Start a proxy; those of `instead_of` finish what they have, and end.

        Certificates and keys are read out of memory. Raises Unavailable with what it says.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _EMPTY.mkdir(mode=0o755, exist_ok=True)
        digest = digest_of(wanted, certificates)
        paths = {name: self.folder / name for name in ("haproxy.cfg", "routes.map")}
        told = config(wanted, digest, str(paths["routes.map"]), str(self.proofs))
        paths["haproxy.cfg"].write_text(told, encoding="utf-8")
        self.proofs.write_text(proofs_map(wanted), encoding="utf-8")
        paths["routes.map"].write_text(routes_map(wanted), encoding="utf-8")
        with ExitStack() as stack:
            by_id = {key: stack.enter_context(_in_memory(pem)) for key, pem in certificates.items()}
            shown = {key: f"/proc/self/fd/{fd}" for key, fd in by_id.items()}
            first = wanted.tls_secret_id
            own = by_id[first] if first in by_id else stack.enter_context(_in_memory(default))
            listed = certificate_list(wanted, f"/proc/self/fd/{own}", shown)
            crt_list = stack.enter_context(_in_memory(listed.encode()))
            control = stack.enter_context(self._new_control())
            fds = {name: one.fileno() for name, one in sockets.items()}
            fds["SWARM_CONTROL"] = control.fileno()
            environment = {name: str(fd) for name, fd in fds.items()}
            environment["SWARM_CERTIFICATES"] = f"/proc/self/fd/{crt_list}"
            environment[MARK] = str(self.control)
            environment["PATH"] = os.environ.get("PATH", "")
            command = [program, "-D", "-f", str(paths["haproxy.cfg"])]
            if instead_of:
                command += ["-sf", *map(str, instead_of)]
            self._run(command, environment, [*fds.values(), *by_id.values(), own, crt_list], router)
            self.control.with_suffix(".new").rename(self.control)
        return self.ask_who()

    def _run(self, command: list[str], environment: Mapping[str, str], fds: list[int], router: Path) -> None:
        log_path = self.folder / "start.log"
        with log_path.open("wb") as log, namespaces.entered(router):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=fds,
                env=environment,
            )
        try:
            status = process.wait(_START_TIMEOUT_S)  # another one has branched off and serves
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Unavailable("the HTTP proxy of this node does not start: it says nothing") from None
        if status != 0:
            lines = log_path.read_text(errors="replace").splitlines()
            alerts = [line.partition(" : ")[2] for line in lines if line.startswith("[ALERT]")]
            reason = (alerts or lines or [f"exit code {status}"])[0]
            raise Unavailable(f"the HTTP proxy of this node does not start: {reason}")

    @contextmanager
    def _new_control(self) -> Iterator[socket.socket]:
        fresh = self.control.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            with _short(fresh) as address:
                control.bind(address)
            fresh.chmod(0o600)
            control.listen(16)
            yield control

    def ask(self, commands: list[str]) -> str:
        """Return what the proxy answers; raises OSError when there is none."""
        answers = [
            self._ask("; ".join(commands[at : at + _BATCH])) for at in range(0, len(commands), _BATCH)
        ]
        return "\n".join(answers)

    def _ask(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_TIMEOUT_S)
            with _short(self.control) as address:
                connection.connect(address)
            connection.sendall(line.encode() + b"\n")
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts).decode(errors="replace")

    def ask_who(self) -> Running:
        """Return who answers at the control socket; raises OSError."""
        said = dict(line.partition(": ")[::2] for line in self._ask("show info").splitlines())
        pid = int(said.get("Pid") or 0)
        if pid <= 1:
            raise ConnectionError("no HTTP proxy answers there")
        namespace = Path(f"/proc/{pid}/ns/net").stat().st_ino
        return Running(pid, said.get("Version", ""), said.get("description", ""), namespace)

    def processes(self) -> list[Process]:
        """Return all proxies of this node, also those that only finish what they have."""
        return carriers(f"{MARK}={self.control}")

    def pids(self) -> list[int]:
        """Return the process ids of all of them."""
        found = []
        for process in self.processes():
            found.append(process.pid)
            process.close()
        return found

    def stop(self) -> None:
        """End all proxies of this node at once, and leave nothing of them."""
        for process in self.processes():
            process.send(signal.SIGTERM)
            if not process.ends_within(_KILL_WAIT_S):
                kill_and_wait(process, _KILL_WAIT_S)
            process.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """Yield a file that is on no disk, and gone as soon as nobody has it."""
    fd = os.memfd_create("swarm")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Make a path as short as the address of a socket must be."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
