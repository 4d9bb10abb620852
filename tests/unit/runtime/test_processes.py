import asyncio
import errno
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from swarm.runtime.processes import Process, children, kill_and_wait, signal_number, start_time


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "100"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("pid", [-1, 0, 1, -1000])
def test_what_would_reach_more_than_one_process_is_never_opened(pid: int) -> None:
    assert Process.open(pid) is None


def test_the_start_time_tells_processes_apart(sleeper: subprocess.Popen[bytes]) -> None:
    started = start_time(sleeper.pid)
    process = Process.open(sleeper.pid, started)
    assert process is not None
    assert process.alive
    process.close()
    assert Process.open(sleeper.pid, started + 1) is None


def test_a_process_that_is_gone_is_not_opened() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert Process.open(ended.pid) is None
    assert start_time(ended.pid) == 0


@pytest.mark.parametrize("number", [errno.ESRCH, errno.EINVAL])
def test_a_process_that_is_being_taken_down_is_gone(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(pid: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert Process.open(sleeper.pid) is None


def test_command_names_with_parentheses_and_spaces() -> None:
    with subprocess.Popen(
        ["sh", "-c", "printf 'a) R 1 (b' >/proc/$$/comm; echo; exec cat"], stdin=-1, stdout=-1
    ) as odd:
        assert odd.stdout is not None
        odd.stdout.readline()
        assert start_time(odd.pid) > 0


def test_a_signal_reaches_it_once_and_no_more_when_it_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.open(sleeper.pid)
    assert process is not None
    assert process.send(signal.SIGTERM)
    assert sleeper.wait() == -signal.SIGTERM
    assert not process.send(signal.SIGTERM)
    assert process.ends_within(0)
    process.close()
    process.close()
    assert not process.send(signal.SIGTERM)
    assert process.ends_within(0)


async def test_any_number_may_wait_for_the_end(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.open(sleeper.pid)
    assert process is not None
    waiting = [asyncio.create_task(process.wait()) for _ in range(3)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    assert not waiting[1].done()
    sleeper.kill()
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 60)
    await process.wait()
    process.close()


async def test_closing_wakes_those_who_wait(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.open(sleeper.pid)
    assert process is not None
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    process.close()
    await asyncio.wait_for(waiting, 60)
    await process.wait()
    assert sleeper.poll() is None


def test_children_are_found(sleeper: subprocess.Popen[bytes]) -> None:
    assert sleeper.pid in list(children(os.getpid()))
    assert list(children(sleeper.pid)) == []
    assert list(children(2**22 + 1)) == []


def test_kill_and_wait(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.open(sleeper.pid)
    assert process is not None
    assert kill_and_wait(process, 60)
    process.close()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SIGTERM", 15),
        ("TERM", 15),
        ("term", 15),
        ("9", 9),
        (" SIGINT ", 2),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
    ],
)
def test_signal_names(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize(
    "name", ["", "SIGNOPE", "0", "33", "999", "-9", "SIGRTMIN+99", "SIGRTMIN+-1", "SIGRTMIN+x", "SIG_IGN"]
)
def test_what_is_no_signal(name: str) -> None:
    with pytest.raises(ValueError, match=rf'^"{re.escape(name)}" is not a signal, such as SIGTERM or 15$'):
        signal_number(name)
