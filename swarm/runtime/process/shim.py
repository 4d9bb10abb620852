"""The shim of a plain process: its parent, writer of its log and of its exit code. Outlives the agent.

Runs as `python -I -S shim.py SPEC.json REPORT_FD PERMIT` and imports nothing but the standard library, so
that it starts quickly and stays small. It answers one JSON line on REPORT_FD: {"pid", "started", "shim_pid",
"shim_started"} or {"error"}.

All descendants of the process end with it: orphans become children of this shim, which kills them.
"""

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CHUNK_BYTES = 16384
DRAIN_S = 2.0
REAP_INTERVAL_S = 5.0


class Log:
    """The log of one container: lines with time and stream, in files of limited size."""

    def __init__(self, path: str, max_bytes: int, kept_files: int) -> None:
        """Append to `path`; older files are `path`.1 and so on."""
        self.path, self.max_bytes, self.kept_files = path, max_bytes, kept_files
        self.open_line: dict[str, bool] = {}  # stream → whether its last record goes on
        self._open()

    def _open(self) -> None:
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self.fd).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Append what a stream said, in whole lines and at most one piece of a line."""
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        prefix = f"{moment}.{nanoseconds:09d}Z {stream} ".encode()
        *lines, rest = data.split(b"\n")
        records = [prefix + b"F " + line + b"\n" for line in lines]
        if rest:
            records.append(prefix + b"P " + rest + b"\n")
        self.open_line[stream] = bool(rest)
        self._append(b"".join(records))

    def reopen(self) -> None:
        """Go on in a new file: somebody has renamed ours."""
        old = self.fd
        with contextlib.suppress(OSError):
            self._open()
            os.close(old)

    def end(self, stream: str) -> None:
        """Close a line that was not ended."""
        if self.open_line.get(stream):
            self.write(stream, b"\n")

    def _append(self, records: bytes) -> None:
        # A full disk costs output, never the process.
        with contextlib.suppress(OSError):
            self.size += os.write(self.fd, records)
        if self.size >= self.max_bytes:
            with contextlib.suppress(OSError):
                self._rotate()

    def _rotate(self) -> None:
        if self.kept_files == 1:
            os.unlink(self.path)  # noqa: PTH108
        for number in range(self.kept_files - 1, 0, -1):
            newer = self.path if number == 1 else f"{self.path}.{number - 1}"
            with contextlib.suppress(FileNotFoundError):
                # pathlib would double the start-up time
                os.replace(newer, f"{self.path}.{number}")  # noqa: PTH105
        old = self.fd
        self._open()
        os.close(old)


def write_atomically(path: str, text: str) -> None:
    """Replace a file as a whole."""
    with open(path + ".new", "w", encoding="ascii") as file:  # noqa: PTH123 - see above
        file.write(text)
    os.replace(path + ".new", path)  # noqa: PTH105


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        stat = file.read()
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def become_command(
    spec: dict[str, Any], libc: ctypes.CDLL, shim_pid: int, ready_fd: int, stdout: int, stderr: int
) -> str:
    """Turn this fresh child into the user's command; returns the reason if that is impossible."""
    os.setsid()
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would know the end of a process without its shim
    if os.getppid() != shim_pid:
        os._exit(1)
    if not os.read(ready_fd, 1):
        os._exit(1)  # the shim died before it had written down that this process exists
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
            os.dup2(source, target)
        for kind, (soft, hard) in spec["rlimits"].items():
            resource.setrlimit(int(kind), (soft, hard))
        for number in (signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(spec["cwd"])
        os.execve(spec["program"], spec["argv"], spec["env"])  # noqa: S606 - the whole point
    except OSError as error:
        return f'exec: "{spec["argv"][0]}": {(error.strerror or str(error)).lower()}'


def start(spec: dict[str, Any], libc: ctypes.CDLL) -> tuple[dict[str, int], int, int]:
    """Start the command; returns (pid, stdout, stderr); raises OSError with the reason."""
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    failed_read, failed_write = os.pipe()
    ready_read, ready_write = os.pipe()
    shim_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        for fd in (out_read, err_read, failed_read, ready_write):
            os.close(fd)
        obstacle = become_command(spec, libc, shim_pid, ready_read, out_write, err_write)
        os.write(failed_write, obstacle.encode())
        os._exit(127)
    for fd in (out_write, err_write, failed_write, ready_read):
        os.close(fd)
    processes = {
        "pid": pid,
        "started": start_time(pid),
        "shim_pid": shim_pid,
        "shim_started": start_time(shim_pid),
    }
    write_atomically(spec["processes_file"], json.dumps(processes))
    os.write(ready_write, b"x")
    os.close(ready_write)
    with open(failed_read, "rb") as failed:  # noqa: PTH123 - closed by a successful exec
        reason = failed.read()
    if reason:
        os.waitpid(pid, 0)
        raise OSError(reason.decode())
    return processes, out_read, err_read


def pump(selector: selectors.BaseSelector, log: Log, timeout: float) -> bool:
    """Copy output into the log once; returns True when the process has ended."""
    events = selector.select(timeout)
    for key, _ in events:
        if key.data == "end":
            selector.unregister(key.fileobj)
            return True
        data = os.read(key.fd, CHUNK_BYTES)
        if data:
            log.write(key.data, data)
            continue
        log.end(key.data)
        selector.unregister(key.fileobj)
        os.close(key.fd)
    return False


def children() -> list[int]:
    """Return this shim's children: the orphans of the process among them."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def kill_descendants() -> None:
    """Kill everything that is left; those of dead children become ours and are next."""
    while left := children():
        for pid in left:
            os.kill(
                pid, signal.SIGKILL
            )  # a child that nobody has waited for keeps its id: it is the one meant
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def reap_orphans(main_pid: int) -> None:
    """Let ended orphans go; the process itself is waited for at its end."""
    for pid in children():
        if pid != main_pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def supervise(processes: dict[str, int], stdout: int, stderr: int, log: Log) -> int:
    """Copy output until the process has ended and all that it said is written; returns its exit code."""
    selector = selectors.DefaultSelector()
    end = os.pidfd_open(processes["pid"])
    selector.register(stdout, selectors.EVENT_READ, "stdout")
    selector.register(stderr, selectors.EVENT_READ, "stderr")
    selector.register(end, selectors.EVENT_READ, "end")
    reaped = time.monotonic()
    while not pump(selector, log, REAP_INTERVAL_S):
        if time.monotonic() - reaped >= REAP_INTERVAL_S:
            reap_orphans(processes["pid"])
            reaped = time.monotonic()
    _, status = os.waitpid(processes["pid"], 0)
    kill_descendants()
    deadline = time.monotonic() + DRAIN_S
    while selector.get_map() and time.monotonic() < deadline:
        pump(selector, log, 0.1)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def report(fd: int, answer: dict[str, Any]) -> None:
    """Answer the agent, which may be gone by now."""
    with contextlib.suppress(OSError):
        os.write(fd, json.dumps(answer).encode() + b"\n")
    os.close(fd)


def run(spec: dict[str, Any], report_fd: int, permit: str) -> None:
    """Be the shim: from here on nobody is waited for but the process."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        os.rename(permit, permit + ".used")  # noqa: PTH104
    except OSError:
        return  # an agent that restarted in between has given up this start
    try:
        log = Log(spec["log"], spec["log_max_bytes"], spec["log_kept_files"])
        processes, stdout, stderr = start(spec, libc)
    except OSError as error:
        report(report_fd, {"error": str(error)})
        return
    report(report_fd, processes)
    code = supervise(processes, stdout, stderr, log)
    write_atomically(spec["exit_file"], str(code))


def main() -> None:
    """Detach from the agent and be the shim."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        spec = json.load(file)
    report_fd = int(sys.argv[2])
    os.set_inheritable(report_fd, False)
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    run(spec, report_fd, sys.argv[3])


if __name__ == "__main__":
    main()
