"""Terminals, the freezer and lists of processes, by themselves."""

import asyncio
import os
import signal
import struct
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition
from swarm.runtime.base import ExecConfig
from swarm.runtime.oci.cgroups import CgroupLayout
from swarm.runtime.oci.console import ReceivedTerminal, wanted_terminal
from swarm.runtime.oci.freezer import freeze, is_frozen, thaw
from swarm.runtime.terminal import OwnTerminal, Terminal
from swarm.runtime.top import read_processes


async def start(terminal: OwnTerminal, *command: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *terminal.command(command),
        stdin=terminal.slave,
        stdout=terminal.slave,
        stderr=terminal.slave,
        start_new_session=True,
    )
    terminal.started()
    return process


async def read_to_end(terminal: Terminal) -> bytes:
    found = b""
    async with asyncio.timeout(60):
        while data := await terminal.read():
            found += data
    return found


async def test_a_command_gets_a_terminal_of_its_own_with_a_size() -> None:
    terminal = OwnTerminal(33, 111)
    process = await start(
        terminal, "/bin/sh", "-c", "stty size </dev/tty; read word; echo got $word; exit 4"
    )
    terminal.resize(44, 122)
    await terminal.write(b"x\n")
    text = await read_to_end(terminal)
    assert b"33 111" in text or b"44 122" in text
    assert b"got x" in text
    assert await process.wait() == 4
    terminal.close()
    assert await terminal.read() == b""
    await terminal.write(b"nobody")
    terminal.resize(1, 1)


async def test_closing_hangs_up_and_wakes_who_waits() -> None:
    terminal = OwnTerminal(0, 0)
    process = await start(terminal, "/bin/sh", "-c", "echo ready; exec sleep 1000")
    found = b""
    while b"ready" not in found:  # before that the terminal is not its own
        found += await terminal.read()
    reading = asyncio.create_task(terminal.read())
    await asyncio.sleep(0)
    terminal.close()
    assert await asyncio.wait_for(reading, 60) == b""
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGHUP


async def test_much_that_is_typed_waits_for_who_reads_it() -> None:
    terminal = OwnTerminal(0, 0)
    process = await start(terminal, "/bin/sh", "-c", "stty raw -echo; echo ready; head -c 300000 | wc -c")
    found = b""
    while b"ready" not in found:
        found += await terminal.read()
    typing = asyncio.create_task(terminal.write(b"a" * 300_000))
    assert b"300000" in await read_to_end(terminal)
    await typing
    await process.wait()
    terminal.close()


async def test_a_terminal_comes_over_a_socket_with_a_long_name_and_gets_its_size(tmp_path: Path) -> None:
    import socket

    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    config = ExecConfig(command=("sh",), tty=True, rows=33, columns=111)
    terminal = wanted_terminal(config, "/usr/bin/crun", folder / "console")
    assert isinstance(terminal, ReceivedTerminal)
    line = terminal.command(["crun", "--root=/r", "exec", "id"])
    assert line == ["crun", "--root=/r", "exec", f"--console-socket={folder}/console", "id"]
    master, slave = os.openpty()
    directory = os.open(folder, os.O_PATH)

    def send() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{directory}/console")
            socket.send_fds(connection, [b"tty"], [master])

    await asyncio.to_thread(send)
    terminal.ended()  # what was sent before the end counts
    os.write(slave, b"hello")
    assert await asyncio.wait_for(terminal.read(), 60) == b"hello"
    assert struct.unpack("HHHH", ioctl(slave, termios.TIOCGWINSZ, b"\0" * 8))[:2] == (33, 111)
    terminal.close()
    for fd in (master, slave, directory):
        os.close(fd)
    assert not (folder / "console").exists()


async def test_a_terminal_that_never_comes_is_not_waited_for(tmp_path: Path) -> None:
    terminal = ReceivedTerminal(tmp_path / "console", 0, 0)
    reading = asyncio.create_task(terminal.read())
    await asyncio.sleep(0)
    terminal.ended()
    assert await asyncio.wait_for(reading, 60) == b""
    terminal.close()


def test_runc_keeps_its_terminal_and_who_wants_none_gets_none(tmp_path: Path) -> None:
    own = wanted_terminal(ExecConfig(command=("sh",), tty=True), "/usr/sbin/runc", tmp_path / "s")
    assert isinstance(own, OwnTerminal)
    asyncio.run(_close(own))
    assert wanted_terminal(ExecConfig(command=("sh",)), "/usr/bin/crun", tmp_path / "s") is None


async def _close(terminal: Terminal) -> None:
    terminal.close()


@pytest.mark.parametrize("version", [1, 2])
def test_the_freezer_of_both_versions(tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.runtime.oci.freezer.FREEZE_TIMEOUT_S", 0.05)
    layout = CgroupLayout(1, {"freezer": tmp_path}) if version == 1 else CgroupLayout(2, unified=tmp_path)
    order, state = ("freezer.state",) * 2 if version == 1 else ("cgroup.freeze", "cgroup.events")
    folder = tmp_path / "a/b"
    with pytest.raises(FailedPrecondition, match="no processes"):
        freeze(layout, "/a/b")
    thaw(layout, "/a/b")  # gone is as good as thawed
    folder.mkdir(parents=True)
    (folder / state).write_text("FROZEN\n" if version == 1 else "populated 1\nfrozen 1\n")
    assert is_frozen(layout, "/a/b")
    if version == 1:  # the file of a test keeps what is written, with which the kernel agrees
        freeze(layout, "/a/b")
    thaw(layout, "/a/b")
    assert (folder / order).read_text() == ("THAWED" if version == 1 else "0")
    if version == 2:
        (folder / state).write_text("populated 1\nfrozen 0\n")
        with pytest.raises(FailedPrecondition, match="did not stop"):
            freeze(layout, "/a/b")
        assert (folder / order).read_text() == "0"
    assert not is_frozen(layout, "/a/b")


def test_without_a_freezer_nothing_is_paused(tmp_path: Path) -> None:
    layout = CgroupLayout(1, {"memory": tmp_path})
    with pytest.raises(FailedPrecondition, match="no freezer"):
        freeze(layout, "/a/b")
    assert not is_frozen(layout, "/a/b")
    thaw(layout, "/a/b")


def test_processes_are_read_and_those_that_are_gone_left_out() -> None:
    (found,) = read_processes([os.getpid(), 2**22 + 1])
    assert (found.pid, found.parent_pid, found.user) == (os.getpid(), os.getppid(), os.getuid())
    assert "python" in found.command
    assert found.memory_bytes > 1 << 20
    assert 0 < found.started_at_ns < SystemClock().now_ns()
