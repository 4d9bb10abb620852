"""The shim of each container: how conmon is started, what it answers, how it is told to reopen its log.

conmon runs the OCI runtime, detaches, becomes the parent of the container, copies its output into a log file
and writes its exit code into a file. It needs nobody after that.
"""

import json
import os
import re
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.base import ContainerConfig
from swarm.runtime.oci.binaries import SEARCH_PATH
from swarm.runtime.processes import Process, descendants, kill_all

CREATE_TIMEOUT_S = 60.0
# When no agent is there to rotate, conmon starts the file anew at this size rather than fill the disk.
LOG_LIMIT_BYTES = 40 * 1024 * 1024

_REOPEN_LOG = b"2 0 0\n"


@dataclass(frozen=True, slots=True)
class ShimFiles:
    """Where a container's shim finds and leaves things."""

    bundle: Path
    log: Path

    def exit_file(self, container_id: str) -> Path:
        """Return the file that gets the exit code."""
        return self.bundle / container_id

    @property
    def config(self) -> Path:
        """What the runtime is to make.

        Whoever removes a half-made container removes this first: a shim that was just being started, and
        could not be told from the agent yet, makes nothing then and goes away.
        """
        return self.bundle / "config.json"

    @property
    def pid_file(self) -> Path:
        """The file that gets conmon's own process id."""
        return self.bundle / "conmon.pid"

    @property
    def control(self) -> Path:
        """The pipe on which conmon takes orders."""
        return self.bundle / "ctl"

    @property
    def attach(self) -> Path:
        """The socket of those who look on."""
        return self.bundle / "attach"

    @property
    def errors(self) -> Path:
        """What conmon had to complain about."""
        return self.bundle / "conmon.err"


def conmon_command(
    conmon: str,
    runtime: Sequence[str],
    runtime_root: Path,
    files: ShimFiles,
    config: ContainerConfig,
) -> list[str]:
    """Return the command line that creates a container; `runtime` are the words that start the runtime."""
    program, *arguments = *runtime, f"--root={runtime_root}"
    return [
        conmon,
        *("--api-version", "1"),
        *("--cid", config.id),
        *("--cuuid", config.id),
        *("--name", config.id),
        *("--runtime", program),
        *(word for argument in arguments for word in ("--runtime-arg", argument)),
        *("--bundle", str(files.bundle)),
        *("--exit-dir", str(files.bundle)),
        *("--container-pidfile", str(files.bundle / "container.pid")),
        *("--conmon-pidfile", str(files.pid_file)),
        *("--log-path", f"k8s-file:{files.log}"),
        *("--log-size-max", str(max(LOG_LIMIT_BYTES, 4 * config.log_max_bytes))),
        *("--log-level", "warning"),
        "--no-sync-log",  # fsync at the end of a container would delay the news of its end
        "--no-new-keyring",
        "--full-attach",  # a socket path longer than 107 characters works only so
        *(("--terminal",) if config.tty else ()),
        *(("--stdin",) if config.stdin else ()),
        *(("--leave-stdin-open",) if config.stdin and not config.stdin_once else ()),
    ]


def create(command: Sequence[str], errors: Path, name: str) -> int:
    """Run conmon until the container exists and return its process id; blocks.

    `name` is the first word of the container's command line, for the message of TaskRejected.
    """
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            process = _started(command, errors, write_fd)
        finally:
            os.close(write_fd)
        answer = _read_line(read_fd, CREATE_TIMEOUT_S)
        if answer is None:
            process.kill()
        process.wait()  # conmon has detached itself before it answers
    finally:
        os.close(read_fd)
        take_back_null()
    if answer is None:
        raise TaskRejected(f"the OCI runtime did not create the container in {CREATE_TIMEOUT_S:.0f} s")
    return _container_pid(answer, errors, name)


def _started(command: Sequence[str], errors: Path, report: int) -> subprocess.Popen[bytes]:
    with errors.open("wb") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=(report,),
            cwd=errors.parent,  # conmon leaves an empty file `oom` where it stands
            # No more than it needs: what stands in the agent's environment is not the containers' business.
            env={"PATH": SEARCH_PATH, "_OCI_SYNCPIPE": str(report)},
        )


def take_back_null() -> None:
    """Make the node's /dev/null the node's again, before the container's program runs.

    conmon opens it as the container's standard input, and crun gives its streams to the container's user,
    who could shut it to everybody.
    """
    status = os.stat("/dev/null")  # noqa: PTH116 -- a microsecond, for each container
    if (status.st_uid, status.st_gid) != (0, 0):
        with suppress(OSError):
            os.chown("/dev/null", 0, 0)


def _container_pid(answer: bytes, errors: Path, name: str) -> int:
    try:
        document = json.loads(answer)
        pid = int(document["data"])
    except (ValueError, KeyError, TypeError):
        document, pid = {}, -1
    if pid > 1:
        return pid
    message = str(document.get("message") or "") or errors.read_text("utf-8", "replace")[-1000:]
    raise TaskRejected(readable_error(message, name))


def _read_line(fd: int, timeout_s: float) -> bytes | None:
    """Read until a line end or until the last writer is gone; None when neither comes in time."""
    deadline = time.monotonic() + timeout_s
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    received = b""
    while not received.endswith(b"\n"):
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        chunk = os.read(fd, 65536)
        if not chunk:
            break
        received += chunk
    return received


def readable_error(message: str, name: str) -> str:
    """Return a runtime's complaint as one sentence that is the same for all runtimes where it matters."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", message).split())
    if re.search(r"executable file.*not found in \$PATH", text):
        missing = "no such file or directory" if "/" in name else "not found in $PATH"
        return f'exec: "{name}": {missing}'
    logged = re.search(r'level=error msg="((?:[^"\\]|\\.)*)"', text)
    if logged:
        text = logged.group(1).replace('\\"', '"')
    if (
        name.startswith("/")
        and re.search(r"[Nn]o such file or directory", text)
        and _about_command(text, name)
    ):
        return f'exec: "{name}": no such file or directory'
    if re.search(r"[Pp]ermission denied", text) and _about_command(text, name):
        return f'exec: "{name}": permission denied'
    text = re.sub(r"^(?:\w+ create failed: )?(?:unable to start container process: )?", "", text)
    return text or "the OCI runtime failed without saying why"


def _about_command(text: str, name: str) -> bool:
    return f'exec: "{name}"' in text or f"executable file `{name}`" in text or "open executable" in text


def reopen_log(files: ShimFiles) -> bool:
    """Tell conmon to go on in a new log file; False when it is gone."""
    return _order(files, _REOPEN_LOG)


def resize_terminal(files: ShimFiles, rows: int, columns: int) -> None:
    """Tell conmon the size of the container's terminal; no error when it is gone."""
    _order(files, f"1 {rows} {columns}\n".encode())


def _order(files: ShimFiles, order: bytes) -> bool:
    with suppress(OSError):
        fd = os.open(files.control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, order)
        finally:
            os.close(fd)
        return True
    return False


def read_exit_code(files: ShimFiles, container_id: str) -> tuple[int, int] | None:
    """Return (exit code, when it was written in ns), None when conmon has not written it."""
    path = files.exit_file(container_id)
    try:
        return int(path.read_text("ascii")), path.stat().st_mtime_ns
    except (FileNotFoundError, ValueError):
        return None


def kill_strays(container_id: str, bundle: Path) -> None:
    """Kill shims and runtimes that work on a container and that nobody wrote down; blocks.

    Walks through all processes, again until there are none: the last ones may have been starting others.
    """

    def find() -> list[Process]:
        strays = _strays(container_id.encode(), str(bundle).encode())
        # What they started as well: half-made first processes do not say whose they are.
        return [*strays, *descendants(stray.pid for stray in strays)]

    kill_all(find)


def _strays(container_id: bytes, bundle: bytes) -> list[Process]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _works_on(entry, container_id, bundle):
            process = Process.open(int(entry.name))
            # Asked again now that the pidfd is open: the id may have changed hands in between.
            if process is not None and process.alive and _works_on(entry, container_id, bundle):
                found.append(process)
            elif process is not None:
                process.close()
    return found


def _works_on(entry: Path, container_id: bytes, bundle: bytes) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
        at = words.index(b"--bundle")
    except (OSError, ValueError):
        return False
    return words[at + 1 : at + 2] == [bundle] and container_id in words
