"""What asyncssh, sshd and the shells of machines do that one does not expect: here it is done.

More of it is in test_ssh; where each of them is handled is a table of docs/decisions/0067.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from swarm.machine import ssh
from swarm.machine.endpoint import Endpoint, Hop, Secrets
from swarm.machine.errors import AuthRefused, HostKeyRefused, MachineError, PreCheckFailed, Unreachable
from swarm.machine.host_keys import HostKeyPolicy, Trust
from swarm.machine.ssh import KeyRing, linked
from tests.unit.machine.proxy import Proxy, proxied
from tests.unit.machine.server import FakeMachine, Process, fake_machine, run_for_real
from tests.unit.ssh_agent import ssh_agent

PASSWORD = Secrets(password="open")


def ring() -> KeyRing:
    return KeyRing({}, HostKeyPolicy(Trust.ACCEPT_NEW))


# Host keys.


@pytest.mark.parametrize(("before", "after"), [("ssh-ed25519", "ssh-rsa"), ("ssh-rsa", "ssh-ed25519")])
async def test_a_machine_that_shows_a_key_of_another_kind_than_before_is_refused(
    before: str, after: str
) -> None:
    trusting = ring()
    old, new = (asyncssh.generate_private_key(kind) for kind in (before, after))
    async with (
        fake_machine(password="open", host_key=old) as there,
        linked(there.endpoint(), PASSWORD, trusting),
    ):
        pass
    async with fake_machine(password="open", port=there.hop.port, host_key=new) as other:
        # It is no silence that would be waited for.
        with pytest.raises(HostKeyRefused, match="CHANGED") as refused:
            async with linked(other.endpoint(), PASSWORD, trusting, timeout_s=600):
                pass
    assert other.key.fingerprint in str(refused.value)


async def test_a_pinned_key_is_asked_for_although_the_machine_has_others_too() -> None:
    rsa, ed25519 = (asyncssh.generate_private_key(kind) for kind in ("ssh-rsa", "ssh-ed25519"))
    trusting = ring()
    async with (
        fake_machine(password="open", host_key=rsa) as there,
        linked(there.endpoint(), PASSWORD, trusting),
    ):
        pass
    async with (
        fake_machine(password="open", port=there.hop.port, host_key=[ed25519, rsa]),
        linked(there.endpoint(), PASSWORD, trusting) as link,
    ):
        assert (await link.run("true")).code == 0


async def test_a_stranger_shows_the_key_that_people_compare() -> None:
    keys = [asyncssh.generate_private_key(kind) for kind in ("ssh-rsa", "ssh-ed25519")]
    trusting = ring()
    async with (
        fake_machine(password="open", host_key=keys) as there,
        linked(there.endpoint(), PASSWORD, trusting),
    ):
        pass
    assert [key.algorithm for key in trusting.known[there.hop.place]] == ["ssh-ed25519"]


async def test_a_changed_key_of_a_hop_is_refused_and_nothing_goes_through_it() -> None:
    trusting = ring()
    async with fake_machine(password="open") as before, linked(before.endpoint(), PASSWORD, trusting):
        pass
    async with fake_machine(password="open", port=before.hop.port, forwards=True) as gate:
        reach = Endpoint(Hop("127.0.0.1", 1), "", (gate.hop,))
        with pytest.raises(HostKeyRefused, match="CHANGED"):
            async with linked(reach, PASSWORD, trusting):
                pass


async def test_a_server_that_is_too_old_is_not_waited_for() -> None:
    async with fake_machine(password="open", kex=["diffie-hellman-group1-sha1"]) as there:
        with pytest.raises(PreCheckFailed, match="too old"):
            async with linked(there.endpoint(), PASSWORD, ring(), timeout_s=600):
                pass


# Who is let in.


async def test_a_password_is_given_to_a_server_that_asks_for_it_in_its_own_words() -> None:
    async with (
        fake_machine(password="open", asks=True) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        assert (await link.run("true")).code == 0


async def test_a_named_key_is_the_only_one_tried_whatever_the_agent_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key")
    async with agent_with(8, tmp_path / "agent"), fake_machine(allowed=key, tries=3) as there:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        async with linked(there.endpoint(key=tmp_path / "key"), Secrets(), ring()) as link:
            assert (await link.run("true")).code == 0
        with pytest.raises(AuthRefused, match=r"--ssh-key|not let in"):
            async with linked(there.endpoint(), Secrets(), ring(), timeout_s=600):
                pass


@asynccontextmanager
async def agent_with(number: int, path: Path) -> AsyncIterator[None]:
    """An agent that holds so many keys."""
    with ssh_agent(path):
        async with asyncssh.connect_agent(str(path)) as talk:
            await talk.add_keys([asyncssh.generate_private_key("ssh-ed25519") for _ in range(number)])
        yield


# What is run there.


async def test_a_forced_command_that_ends_well_is_not_taken_for_ours() -> None:
    async def answer(process: Process) -> None:
        process.stdout.write(b"This is a backup server.\n")
        process.exit(0)

    async with (
        fake_machine(answer, password="open", forced=True) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(AuthRefused, match=r"commands are not run there .*This is a backup server"):
            await link.run("true")


async def test_what_a_shell_says_before_our_command_is_not_its_answer() -> None:
    async def answer(process: Process) -> None:
        await run_for_real(process, before=b"Welcome to m1!\n\n")

    async with (
        fake_machine(answer, password="open", forced=True) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        done = await link.run('echo "$1"; echo bad >&2; exit 3', "it's one")
    assert (done.code, done.out, done.err) == (3, "it's one\n", "bad\n")


async def test_a_command_whose_time_is_over_is_ended_on_the_machine_too(tmp_path: Path) -> None:
    async def answer(process: Process) -> None:
        await run_for_real(process)

    async with (
        fake_machine(answer, password="open", forced=True) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        for timeout_s in (1, 5, 60):  # on a busy machine it may be over before it has begun
            done = await link.run('echo $$ >"$1"; sleep 600', str(tmp_path / "pid"), timeout_s=timeout_s)
            assert (done.code, done.last_words) == (124, "it took too long")
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                break
    await gone((tmp_path / "pid").read_text().strip())


async def like_sshd(process: Process) -> None:
    """Run the command here, whose input ends with the channel; nobody ends it."""
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", process.command or ""),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    reading = asyncio.create_task(process.stdin.read())
    ending = asyncio.create_task(shell.stdout.read())
    await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
    shell.stdin.close()
    process.stdout.write(await ending)
    process.exit(await shell.wait())
    reading.cancel()


async def gone(pid: str) -> None:
    async with asyncio.timeout(60):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.02)


async def test_a_command_that_is_held_ends_when_we_are_gone(tmp_path: Path) -> None:
    """Also what it has started."""
    script = 'sleep 600 & echo $! >"$1"; echo $$ >"$2"; wait'
    names = [tmp_path / "child", tmp_path / "pid"]
    async with (
        fake_machine(like_sshd, password="open", forced=True) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        command = asyncio.create_task(link.run(script, *map(str, names), timeout_s=600, held=True))
        async with asyncio.timeout(60):
            while not (names[1].exists() and names[1].read_text()):
                await asyncio.sleep(0.02)
        command.cancel()
        with pytest.raises(asyncio.CancelledError):
            await command
        for name in names:
            await gone(name.read_text().strip())


async def test_a_command_that_is_held_says_how_it_ended_and_has_no_input() -> None:
    async with (
        fake_machine(like_sshd, password="open", forced=True) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        done = await link.run("cat; echo $#; exit 7", "a", "b", held=True)
    assert (done.code, done.out) == (7, "2\n")


async def test_text_before_a_file_transfer_is_named_as_what_hinders_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    async with (
        fake_machine(password="open", chatters=True) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(MachineError, match=r"~/\.bashrc") as failed:
            await link.upload(tmp_path / "a", "b/c", lambda _done, _size: None)
    assert not isinstance(failed.value, Unreachable)


async def test_a_server_without_file_transfer_is_no_lost_connection(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    async with (
        fake_machine(password="open") as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(MachineError, match="Subsystem sftp") as failed:
            await link.upload(tmp_path / "a", "b/c", lambda _done, _size: None)
    assert not isinstance(failed.value, Unreachable)


async def test_a_file_for_which_there_is_no_room_is_taken_away_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "source").write_bytes(os.urandom(1 << 20))

    def full(offset: int) -> None:
        if offset > 300_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    async with (
        fake_machine(password="open", files=tmp_path / "there", writing=full) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(MachineError, match=r"cannot write a/b: .*(disk full|No space)") as failed:
            await link.upload(tmp_path / "source", "a/b", lambda _done, _size: None)
    assert not isinstance(failed.value, Unreachable)
    assert list((tmp_path / "there").iterdir()) == []


# Connections.


async def test_a_machine_that_falls_silent_in_the_middle_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "KEEPALIVE_S", 0.2)
    running = asyncio.Event()

    async def answer(process: Process) -> None:
        running.set()
        await asyncio.sleep(600)

    async with (
        fake_machine(answer, password="open") as there,
        proxied(there.hop) as proxy,
        linked(proxy.endpoint(there), PASSWORD, ring()) as link,
    ):
        command = asyncio.create_task(link.run("true", timeout_s=500))
        await running.wait()
        proxy.swallow()
        with pytest.raises(Unreachable, match="lost"):
            await command


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"], ids=["silence", "http"])
async def test_a_port_where_no_ssh_server_answers_is_not_reached(
    greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT_S", 0.5)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match=r"cannot connect: .+; try it by hand"):
            async with linked(Endpoint(Hop("127.0.0.1", port)), PASSWORD, ring()):
                pass


@pytest.mark.parametrize("after", [0, 10, 500, 1500, 2500, 3500, 5000, 20_000, 200_000])
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_connection_that_is_cut_anywhere_is_a_lost_one_and_works_the_next_time(
    tmp_path: Path, after: int, direction: str
) -> None:
    """Cut in the greeting, the exchange of keys, the login, the command, the upload."""
    (tmp_path / "there").mkdir()
    (tmp_path / "source").write_bytes(os.urandom(300_000))
    async with fake_machine(password="open", files=tmp_path / "there") as there, proxied(there.hop) as proxy:
        proxy.cut_after(after, direction)
        trusting, lost = ring(), 0
        for _ in range(2):
            try:
                await use(proxy, there, trusting, tmp_path / "source")
            except Unreachable:
                lost += 1
            proxy.cut_after(None, direction)
    assert lost <= 1
    assert (tmp_path / "there/a/b").read_bytes() == (tmp_path / "source").read_bytes()


async def use(proxy: Proxy, there: FakeMachine, trusting: KeyRing, source: Path) -> None:
    """Run a command and send a file."""
    async with linked(proxy.endpoint(there), PASSWORD, trusting) as link:
        assert (await link.run("true")).code == 0
        await link.upload(source, "a/b", lambda _done, _size: None)
