"""An SSH server in the same process, that does whatever a test needs a machine to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.host_keys import HostKey
from swarm.machine.ssh import OUR_SCRIPT

Process = asyncssh.SSHServerProcess[bytes]
Answer = Callable[[Process], Awaitable[None]]


class _Server(asyncssh.SSHServer):
    def __init__(self, password: str, *, forwards: bool, asks: bool, tries: int, chatters: bool) -> None:
        self._password, self._forwards = password, forwards
        self._asks, self._tries, self._chatters = asks, tries, chatters

    def session_requested(self) -> "Chatter | bool":
        return Chatter() if self._chatters else False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Asked after the list of allowed keys: a key that is in no list."""
        self._tries -= 1
        if self._tries < 0:
            raise asyncssh.DisconnectError(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many authentication failures"
            )
        return False

    def password_auth_supported(self) -> bool:
        return bool(self._password) and not self._asks

    def kbdint_auth_supported(self) -> bool:
        return self._asks

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        return "", "", "", [("Password for the machine: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return list(responses) == [self._password]

    def validate_password(self, username: str, password: str) -> bool:
        return password == self._password

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return self._forwards


class Chatter(asyncssh.SSHServerSession[bytes]):
    """A session of a machine whose shell greets everybody, programs too."""

    def connection_made(self, chan: "asyncssh.SSHServerChannel[bytes]") -> None:
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return True

    def session_started(self) -> None:
        self._channel.write(b"Welcome to this machine, have a nice day!\n")


class _Files(asyncssh.SFTPServer):
    """Files of a folder; `writing` hears of each place that is written to, and may refuse."""

    def __init__(self, channel: Any, folder: Path, writing: Callable[[int], None] | None) -> None:
        super().__init__(channel, chroot=str(folder).encode())
        self._writing = writing

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if self._writing is not None:
            self._writing(offset)
        return super().write(file_obj, offset, data)


class FakeMachine:
    """A running server; `hop` is where it is, `key` what it shows."""

    def __init__(self, acceptor: asyncssh.SSHAcceptor, host_key: asyncssh.SSHKey, user: str) -> None:
        algorithm, text = host_key.export_public_key("openssh").decode().split()[:2]
        self.key = HostKey(algorithm, text)
        self.hop = Hop("127.0.0.1", acceptor.get_port(), user)

    def endpoint(self, *, key: Path | None = None, jumps: tuple[Hop, ...] = ()) -> Endpoint:
        return Endpoint(self.hop, str(key or ""), jumps)


async def say_nothing(process: Process) -> None:
    process.exit(0)


async def run_for_real(process: Process, before: bytes = b"") -> None:
    """Run the command in a shell here, after the shell's own words."""
    process.stdout.write(before)
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        process.command or "",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await shell.communicate()
    process.stdout.write(out)
    process.stderr.write(err)
    process.exit(shell.returncode or 0)


def _unquoted(process: Process) -> str:
    return str(process.command or "").replace("'\"'\"'", "'")


@asynccontextmanager
async def fake_machine(
    answer: Answer = say_nothing,
    *,
    password: str = "",
    allowed: asyncssh.SSHKey | None = None,
    host_key: asyncssh.SSHKey | list[asyncssh.SSHKey] | None = None,
    files: Path | None = None,
    writing: Callable[[int], None] | None = None,
    user: str = "root",
    forwards: bool = False,
    port: int = 0,
    forced: bool = False,
    asks: bool = False,
    chatters: bool = False,
    tries: int = 100,
    kex: Sequence[str] = (),
) -> AsyncIterator[FakeMachine]:
    """Serve until the test ends; `forced`: `answer` runs instead of our scripts; `asks` for the password.

    After `tries` keys that it does not know, it hangs up.
    """
    shown = host_key if isinstance(host_key, list) else [host_key] if host_key else []
    shown = shown or [asyncssh.generate_private_key("ssh-ed25519")]
    known = (
        asyncssh.import_authorized_keys(allowed.export_public_key("openssh").decode()) if allowed else None
    )

    def factory(connection: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        assert files is not None
        return _Files(connection, files, writing)

    async def run(process: Process) -> None:
        if not forced and f"echo '{OUR_SCRIPT}'" in _unquoted(process):
            process.stdout.write(OUR_SCRIPT.encode() + b"\n")
        await answer(process)

    acceptor = await asyncssh.listen(
        *("127.0.0.1", port),
        server_factory=lambda: _Server(
            password, forwards=forwards, asks=asks, tries=tries, chatters=chatters
        ),
        server_host_keys=shown,
        kex_algs=kex,
        authorized_client_keys=known,
        process_factory=None if chatters else run,
        sftp_factory=factory if files else None,
        encoding=None,
    )
    try:
        yield FakeMachine(acceptor, shown[0], user)
    finally:
        acceptor.close()
        await acceptor.wait_closed()
        await asyncio.sleep(0)
