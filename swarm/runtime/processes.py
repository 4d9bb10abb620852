"""Which process is it, is it still alive? Processes that are not our children, held by pidfd.

A process id alone may come to mean another process. Everything here opens a pidfd first and then compares
the start time of the process, so a signal can only reach the process that was meant.
"""

import asyncio
import errno
import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Self

from swarm.errors import InvalidArgument

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# What pidfd_open says of a process that is not there; the second while it is being taken down (kernel 6.1).
GONE = (errno.ESRCH, errno.EINVAL)
_REAL_TIME = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
KILL_ROUNDS = 50  # processes that start others while they are being killed are outrun by then


@cache
def boot_id() -> str:
    """Return the identity of this boot of the machine; no process outlives it, nor do we."""
    return BOOT_ID.read_text(encoding="ascii").strip()


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (field 22 of its stat); 0 when there is
    none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The command name in parentheses may hold spaces and parentheses itself: count from the last one.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[19])


def children(pid: int) -> Iterator[int]:
    """Yield the direct children of a process, of all its threads."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return
    for task in tasks:
        try:
            yield from map(int, (task / "children").read_text(encoding="ascii").split())
        except (FileNotFoundError, ProcessLookupError):
            continue


def signal_to_stop(name: str, usual: int) -> int:
    """Return the signal that is to ask a container to end; raises InvalidArgument for an unknown one."""
    try:
        return signal_number(name) if name else usual
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def signal_number(name: str) -> int:
    """Return the number of a signal given as `SIGTERM`, `TERM` or `15`; raises ValueError."""
    text = name.strip().upper()
    try:
        if text.isdecimal():
            number = int(text)
            return number if number in _REAL_TIME else signal.Signals(number).value
        text = text if text.startswith("SIG") else f"SIG{text}"
        base, plus, offset = text.partition("+")
        if plus and base == "SIGRTMIN" and offset.isdecimal():
            return _REAL_TIME[int(offset)]
        return signal.Signals[text].value
    except (KeyError, ValueError, IndexError):
        raise ValueError(f'"{name}" is not a signal, such as SIGTERM or 15') from None


class Process:
    """One process of this machine, held by its pidfd."""

    def __init__(self, pid: int, started: int, fd: int) -> None:
        self.pid = pid
        self.started = started  # clock ticks since boot
        self._fd = fd
        self._gone: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, pid: int, started: int = 0) -> Self | None:
        """Return the process, None when it is gone or when its id belongs to a later process by now.

        `started` is its start time as `start_time` gave it; 0 accepts any.
        """
        if pid <= 1:
            return None  # 0 and negative numbers mean whole groups of processes to the kernel
        try:
            fd = os.pidfd_open(pid)
        except OSError as error:
            if error.errno in GONE:
                return None
            raise
        found = start_time(pid)
        if not found or (started and found != started):
            os.close(fd)
            return None
        return cls(pid, found, fd)

    def ends_within(self, timeout_s: float) -> bool:
        """Block until the process has ended, at most `timeout_s`; one that its parent has not reaped has
        ended."""
        if self._fd < 0:
            return True
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return not self.ends_within(0)

    def send(self, number: int) -> bool:
        """Send a signal; returns False when the process is gone."""
        if self._fd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> asyncio.Future[None]:
        """Return what is done when the process has ended, or is let go of; nobody may cancel it."""
        if self._gone is None:
            loop = asyncio.get_running_loop()
            self._gone = loop.create_future()
            if self._fd < 0:
                self._gone.set_result(None)
            else:
                loop.add_reader(self._fd, self._on_end)
        return self._gone

    async def wait(self) -> None:
        """Return when the process has ended; any number of tasks may wait."""
        await asyncio.shield(self.end())

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def close(self) -> None:
        """Let go of the process without touching it; waiters return."""
        if self._fd < 0:
            return
        if self._gone is not None:
            if not self._gone.done():
                self._gone.get_loop().remove_reader(self._fd)
                self._gone.set_result(None)
            self._gone = None
        os.close(self._fd)
        self._fd = -1


def kill_and_wait(process: Process, timeout_s: float) -> bool:
    """Kill a process and block until it is gone; returns False when it is still there. For threads only."""
    process.send(signal.SIGKILL)
    return process.ends_within(timeout_s)


def descendants(pids: Iterable[int]) -> list[Process]:
    """Return all processes that those with `pids` have started, as far as the line of parents lives."""
    found: list[Process] = []
    left = [child for pid in pids for child in children(pid)]
    while left:
        process = Process.open(left.pop())
        if process is not None:
            found.append(process)
            left.extend(children(process.pid))
    return found


def kill_all(find: Callable[[], list[Process]]) -> bool:
    """Kill what `find` finds until it finds nothing more; blocks. False when something would not go."""
    for _ in range(KILL_ROUNDS):
        found = find()
        if not found:
            return True
        for process in found:
            kill_and_wait(process, 1.0)
            process.close()
    return False


def carriers(entry: str, pids: Iterable[int] | None = None) -> list[Process]:
    """Return the living processes that were started with `KEY=value` in their environment.

    Looks at `pids`, or at all of the machine, which takes milliseconds.
    """
    wanted, own = entry.encode(), os.getpid()
    if pids is None:
        pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()]
    found = (_open_if(pid, wanted) for pid in pids if pid != own)
    return [process for process in found if process is not None]


def running_with(word: bytes) -> list[Process]:
    """Return the living processes that have a word in their command line; walks through all processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or not _has_word(entry, word):
            continue
        process = Process.open(int(entry.name))
        # Asked again now that the pidfd is open: the id may have changed hands in between.
        if process is not None and _has_word(entry, word):
            found.append(process)
        elif process is not None:
            process.close()
    return living(found)


def _has_word(entry: Path, word: bytes) -> bool:
    try:
        return word in (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def living(processes: Iterable[Process]) -> list[Process]:
    """Return those that live, and let go of the others."""
    kept = []
    for process in processes:
        if process.alive:
            kept.append(process)
        else:
            process.close()
    return kept


def _open_if(pid: int, entry: bytes) -> Process | None:
    if not _carries(pid, entry):
        return None
    process = Process.open(pid)
    # Asked again now that the pidfd is open: the id may have changed hands in between.
    if process is not None and not (process.alive and _carries(pid, entry)):
        process.close()
        return None
    return process


def _carries(pid: int, entry: bytes) -> bool:
    try:
        return entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ESRCH, errno.EIO}:
            return False
        raise
