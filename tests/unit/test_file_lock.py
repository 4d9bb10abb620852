"""One process at a time holds a lock."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.file_lock import lock_alone

# Holds the lock, and is in the middle of starting a program: what it forked for that has its files still.
HOLDER = """
import os, sys
from swarm.file_lock import lock_alone
lock_alone(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC))
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.read()  # until the program begins
    os._exit(0)
os.wait()
"""


def test_the_lock_of_a_killed_process_is_free_when_the_program_that_it_was_starting_has_begun(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"forked\n"
        holder.send_signal(signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
        with path.open("ab") as file:
            begins = holder.stdin

            def pause(_seconds: float) -> None:
                begins.close()
                assert holder.stdout is not None
                holder.stdout.read()  # until it is gone

            lock_alone(file.fileno(), pause)
            assert begins.closed  # there was something to wait for


def test_who_holds_it_on_keeps_others_out(tmp_path: Path) -> None:
    holding = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    waiting = os.open(tmp_path / "lock", os.O_RDWR)
    lock_alone(holding)
    with pytest.raises(BlockingIOError):
        lock_alone(waiting, lambda _seconds: None)
    os.close(holding)
    lock_alone(waiting, lambda _seconds: pytest.fail("it is free"))
    os.close(waiting)
