import socket
from pathlib import Path

import asyncssh
import pytest

from swarm.machine.endpoint import Endpoint, Hop, Secrets
from swarm.machine.errors import (
    AuthRefused,
    HostKeyRefused,
    HostKeyUnknown,
    MachineError,
    SudoRefused,
    Unreachable,
)
from swarm.machine.host_keys import HostKeyPolicy, Trust
from swarm.machine.ssh import KeyRing, Output, linked
from tests.unit.machine.server import Process, fake_machine
from tests.unit.ssh_agent import ssh_agent

PASSWORD = Secrets(password="open")


def ring(trust: Trust = Trust.ACCEPT_NEW, fingerprint: str = "") -> KeyRing:
    return KeyRing({}, HostKeyPolicy(trust, fingerprint))


async def test_output_that_is_no_text_does_not_end_the_connection() -> None:
    async def answer(process: Process) -> None:
        process.stdout.write(b"caf\xe9 \xff\xfe\n")
        process.exit(3)

    async with (
        fake_machine(answer, password="open") as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        done = await link.run("true")
        again = await link.run("true")
    assert (done.code, again.code) == (3, 3)
    assert done.out.startswith("caf")


async def test_a_connection_lost_in_the_middle_of_a_command_is_no_success() -> None:
    async def answer(process: Process) -> None:
        process.stdout.write(b"half\n")
        process.channel.get_connection().abort()

    async with (
        fake_machine(answer, password="open") as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(Unreachable, match="lost"):
            await link.run("true")


async def test_a_channel_that_closes_without_an_exit_code_is_no_success() -> None:
    async def answer(process: Process) -> None:
        process.close()

    async with (
        fake_machine(answer, password="open") as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(Unreachable, match="lost while a command ran"):
            await link.run("true")


async def test_an_unknown_machine_is_refused_with_its_fingerprint() -> None:
    async with fake_machine(password="open") as there:
        with pytest.raises(HostKeyUnknown) as refused:
            async with linked(there.endpoint(), PASSWORD, ring(Trust.ASK)):
                pass
    assert refused.value.fingerprint == there.key.fingerprint
    assert "ssh-keygen -lf" in str(refused.value)


async def test_a_confirmed_fingerprint_lets_in_and_is_pinned() -> None:
    async with fake_machine(password="open") as there:
        trusting = ring(Trust.STRICT, there.key.fingerprint)
        async with linked(there.endpoint(), PASSWORD, trusting):
            pass
        assert trusting.known == {there.hop.place: (there.key,)}
        async with linked(there.endpoint(), PASSWORD, KeyRing(trusting.known, HostKeyPolicy(Trust.STRICT))):
            pass


async def test_another_machine_than_the_confirmed_one_is_refused() -> None:
    async with fake_machine(password="open") as there:
        with pytest.raises(HostKeyRefused, match="another machine"):
            async with linked(there.endpoint(), PASSWORD, ring(Trust.ACCEPT_NEW, "SHA256:other")):
                pass


async def test_a_changed_key_is_refused_although_new_ones_are_accepted() -> None:
    trusting = ring()
    async with fake_machine(password="open") as before, linked(before.endpoint(), PASSWORD, trusting):
        pass
    async with fake_machine(password="open", port=before.hop.port) as after:
        with pytest.raises(HostKeyRefused, match="CHANGED") as refused:
            async with linked(after.endpoint(), PASSWORD, trusting):
                pass
    assert before.key.fingerprint in str(refused.value)
    assert after.key.fingerprint in str(refused.value)
    assert trusting.known == {before.hop.place: (before.key,)}


async def test_a_wrong_password_is_not_tried_again() -> None:
    async with fake_machine(password="open") as there:
        with pytest.raises(AuthRefused, match="not let in") as refused:
            async with linked(there.endpoint(), Secrets(password="sesame"), ring(), timeout_s=60):
                pass
    assert "sesame" not in str(refused.value)
    assert "ssh -p" in str(refused.value)


async def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with fake_machine(password="open") as there:
        with pytest.raises(AuthRefused, match=r"there is no SSH key .*missing"):
            async with linked(there.endpoint(key=tmp_path / "missing"), Secrets(), ring()):
                pass


async def test_a_key_with_a_passphrase_needs_it(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-rsa")
    key.write_private_key(tmp_path / "key", "pkcs8-pem", passphrase="words")
    async with fake_machine(allowed=key) as there:
        reach = there.endpoint(key=tmp_path / "key")
        with pytest.raises(AuthRefused, match="ssh-add"):
            async with linked(reach, Secrets(), ring()):
                pass
        async with linked(reach, Secrets(passphrase="words"), ring()) as link:
            assert (await link.run("true")).code == 0


async def test_an_encrypted_key_comes_from_the_agent_and_is_the_only_one_that_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with ssh_agent(tmp_path / "agent"):
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        async with asyncssh.connect_agent(str(tmp_path / "agent")) as talk:
            others = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(8)]
            await talk.add_keys([*others, key])
        (tmp_path / "key").write_text(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
        )
        (tmp_path / "key.pub").write_bytes(key.export_public_key("openssh"))
        async with (
            fake_machine(allowed=key) as there,
            linked(there.endpoint(key=tmp_path / "key"), Secrets(), ring()) as link,
        ):
            assert (await link.run("true")).code == 0


async def test_nobody_there_is_tried_again_until_the_time_is_over() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # does not listen, and keeps all others from it
        there = Endpoint(Hop("127.0.0.1", nobody.getsockname()[1]))
        with pytest.raises(Unreachable, match="cannot connect"):
            async with linked(there, PASSWORD, ring(), timeout_s=1.2):
                pass


async def test_hops_are_passed_and_their_keys_are_pinned_too() -> None:
    async with fake_machine(password="open", forwards=True) as gate, fake_machine(password="open") as there:
        trusting = ring()
        async with linked(there.endpoint(jumps=(gate.hop,)), PASSWORD, trusting) as link:
            assert (await link.run("true")).code == 0
        assert trusting.known == {gate.hop.place: (gate.key,), there.hop.place: (there.key,)}


async def test_the_confirmed_fingerprint_is_not_that_of_a_hop() -> None:
    async with fake_machine(password="open", forwards=True) as gate, fake_machine(password="open") as there:
        reach = there.endpoint(jumps=(gate.hop,))
        with pytest.raises(HostKeyUnknown) as refused:
            async with linked(reach, PASSWORD, ring(Trust.ASK, gate.key.fingerprint)):
                pass
    assert refused.value.host == str(gate.hop)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"sudo: a password is required", "--ask-sudo-pass"),
        (b"Sorry, try again.\nsudo: 3 incorrect password attempts", "password is wrong"),
        (b"bob is not in the sudoers file.", "not in the sudoers"),
        (b"sh: 1: sudo: not found", "not installed"),
    ],
)
async def test_sudo_that_refuses_is_told_with_what_to_do(words: bytes, reason: str) -> None:
    async def answer(process: Process) -> None:
        process.stderr.write(words)
        process.exit(127 if b"not found" in words else 1)

    async with (
        fake_machine(answer, password="open", user="bob") as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(SudoRefused, match=reason):
            await link.run("true")
        assert (await link.run("true", root=False)).code in (1, 127)


async def test_the_password_goes_to_stdin_and_never_onto_a_command_line() -> None:
    seen: list[bytes | str] = []

    async def answer(process: Process) -> None:
        if str(process.command).endswith("sudo -k -n -- true"):
            process.exit(1)
            return
        seen.append(process.command or "")
        seen.append(await process.stdin.read())
        process.exit(0)

    secrets = Secrets(password="open", sudo_password="very secret")
    async with (
        fake_machine(answer, password="open", user="bob") as there,
        linked(there.endpoint(), secrets, ring()) as link,
    ):
        await link.run("cat", stdin=b"token\n")
    assert "very secret" not in str(seen[0])
    assert "sudo -k -S" in str(seen[0])
    assert seen[1] == b"very secret\ntoken\n"
    assert "secret" not in repr(secrets).replace("Secrets", "")


async def test_a_password_that_sudo_does_not_ask_for_is_not_sent() -> None:
    seen: list[bytes] = []

    async def answer(process: Process) -> None:
        seen.append(await process.stdin.read())
        process.exit(0)

    secrets = Secrets(password="open", sudo_password="very secret")
    async with (
        fake_machine(answer, password="open", user="ada") as there,
        linked(there.endpoint(), secrets, ring()) as link,
    ):
        await link.run("cat", stdin=b"token\n")
        await link.run("cat", stdin=b"more\n")
    assert seen == [b"", b"token\n", b"more\n"]


async def test_a_cut_upload_goes_on_where_it_ended(tmp_path: Path) -> None:
    files, source = tmp_path / "there", tmp_path / "source"
    (files / "a").mkdir(parents=True)
    source.write_bytes(b"0123456789" * 100_000)
    (files / "a/b.part").write_bytes(source.read_bytes()[:600_000])
    heard: list[tuple[int, int]] = []
    async with (
        fake_machine(password="open", files=files) as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        await link.upload(source, "a/b.part", lambda done, size: heard.append((done, size)))
        await link.upload(source, "c/d.part", lambda _done, _size: None)
    assert (files / "a/b.part").read_bytes() == source.read_bytes()
    assert (files / "c/d.part").read_bytes() == source.read_bytes()
    assert (files / "c").stat().st_mode & 0o777 == 0o700
    assert heard[0][0] > 600_000
    assert heard[-1] == (1_000_000, 1_000_000)


async def test_a_file_that_cannot_be_written_is_no_lost_connection(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a").write_text("in the way")
    (tmp_path / "source").write_text("x")
    async with (
        fake_machine(password="open", files=tmp_path / "there") as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        with pytest.raises(MachineError, match="cannot write a/b") as failed:
            await link.upload(tmp_path / "source", "a/b", lambda _done, _size: None)
    assert not isinstance(failed.value, Unreachable)


async def test_more_commands_at_once_than_a_server_allows_wait_for_each_other() -> None:
    running, most = 0, 0

    async def answer(process: Process) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await process.stdin.read()
        running -= 1
        process.exit(0)

    async with (
        fake_machine(answer, password="open") as there,
        linked(there.endpoint(), PASSWORD, ring()) as link,
    ):
        import asyncio

        done = await asyncio.gather(*(link.run("true") for _ in range(20)))
    assert {one.code for one in done} == {0}
    assert most <= 8


def test_the_command_to_try_by_hand_is_complete() -> None:
    reach = Endpoint(Hop("10.0.0.5", 2222, "ada"), "/k", (Hop("gate", 22, "bob"),))
    assert reach.command == "ssh -i /k -J bob@gate -p 2222 ada@10.0.0.5"


def test_what_was_ended_for_its_time_says_so() -> None:
    assert Output(124, "", "").last_words == "it took too long"
    assert Output(124, "", "half a word").last_words == "half a word"
    assert Output(1, "", "").last_words == ""
