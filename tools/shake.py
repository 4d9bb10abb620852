"""Finds tests that wait for time where they should wait for a condition: runs a command and keeps stopping
random processes of it for a moment, as a busy machine does.

    python -m tools.shake -- .venv/bin/python -m pytest tests/integration/runtime -n 2

A process that is already stopped is left alone. A test that itself stops processes may be disturbed: one
that is to stay stopped can be woken here, when both fall on the same moment.
"""

import argparse
import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LOOK_INTERVAL_S = 0.5  # between two looks at which processes there are
NAP_S = 0.02


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stop-seconds", type=float, default=0.4, help="the longest stop")
    parser.add_argument("--at-once", type=int, default=3, help="how many are stopped at the same time")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # who outlives its parent stays ours
    child = subprocess.Popen(options.command)
    chance = random.Random(options.seed)  # noqa: S311 -- not a secret
    shaker = Shaker(chance, options.stop_seconds, options.at_once)
    try:
        while child.poll() is None:
            shaker.step(time.monotonic())
            reap(child.pid)
            time.sleep(NAP_S)
    finally:
        shaker.wake_all()
    return child.returncode


class Shaker:
    """Stops and wakes the descendants of this process."""

    def __init__(self, chance: random.Random, longest_s: float, at_once: int) -> None:
        """`chance` decides who is stopped and for how long."""
        self._chance, self._longest_s, self._at_once = chance, longest_s, at_once
        self._stopped: dict[int, float] = {}  # pidfd: when it is woken
        self._all: list[int] = []
        self._looked = 0.0

    def step(self, now: float) -> None:
        """Wake whose time is over and stop others in their place."""
        if now - self._looked > LOOK_INTERVAL_S:
            self._all, self._looked = descendants(os.getpid()), now
        for pidfd, until in list(self._stopped.items()):
            if until <= now:
                self._wake(pidfd)
        # Some always go on: who is woken to be stopped at once again gets nowhere.
        while len(self._stopped) < min(self._at_once, len(self._all) // 2):
            self._stop(self._chance.choice(self._all), now + self._longest_s * self._chance.random() ** 2)

    def wake_all(self) -> None:
        """Leave nobody stopped."""
        for pidfd in list(self._stopped):
            self._wake(pidfd)

    def _stop(self, pid: int, until: float) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            self._all.remove(pid)
            return
        state, parent = state_and_parent(pid)
        if state in "TtZX" or parent == 0:
            os.close(pidfd)
            self._all.remove(pid)
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        self._stopped[pidfd] = until

    def _wake(self, pidfd: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        os.close(pidfd)
        del self._stopped[pidfd]


def reap(child: int) -> None:
    """Let go of those who have outlived their parents, and ended; but for the child that is waited for."""
    while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
        if ended.si_pid == child:
            return
        os.waitpid(ended.si_pid, 0)


def state_and_parent(pid: int) -> tuple[str, int]:
    """Return the letter of a process's state and its parent; `X`, 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return fields[0], int(fields[1])


def descendants(root: int) -> list[int]:
    """Return all processes that `root` and its children have started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            children.setdefault(state_and_parent(int(entry.name))[1], []).append(int(entry.name))
    found: list[int] = []
    todo = list(children.get(root, []))
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


if __name__ == "__main__":
    sys.exit(main())
