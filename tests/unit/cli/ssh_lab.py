"""SSH servers for tests: keys, files of a person's ~/.ssh, and doors that open for some things only."""

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from swarm.cli.endpoints import SOCKET


@dataclass
class Door:
    """What a server does; `log` has the users who came in."""

    allowed: asyncssh.SSHKey
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    password: str = ""
    forwards: bool = True
    port: int = 0
    log: list[str] = field(default_factory=list)

    @property
    def known(self) -> str:
        """Its line in known_hosts."""
        return f"[127.0.0.1]:{self.port} {self.host_key.export_public_key('openssh').decode()}"


class _Server(asyncssh.SSHServer):
    def __init__(self, door: Door) -> None:
        self._door = door

    def begin_auth(self, username: str) -> bool:
        self._door.log.append(username)
        return True

    def password_auth_supported(self) -> bool:
        return bool(self._door.password)

    def validate_password(self, username: str, password: str) -> bool:
        return password == self._door.password

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True

    def unix_connection_requested(self, dest_path: str) -> bool:
        """Let through to any socket but that of a node on this machine, as sshd says what is wrong."""
        if not self._door.forwards:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "prohibited")
        if dest_path == SOCKET or not Path(dest_path).exists():
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "open failed")
        return True


async def _run(process: asyncssh.SSHServerProcess[str]) -> None:
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", process.command or ""], capture_output=True, text=True, check=False
    )
    process.stdout.write(done.stdout)
    process.exit(done.returncode)


@contextmanager
def serving(door: Door) -> Iterator[Door]:
    """Serve in a thread, as sshd would."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ends: list[asyncio.Event] = []

    async def serve() -> None:
        acceptor = await asyncssh.listen(
            *("127.0.0.1", door.port),
            server_factory=lambda: _Server(door),
            server_host_keys=[door.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(
                door.allowed.export_public_key("openssh").decode()
            ),
            process_factory=_run,
        )
        door.port = acceptor.get_port()
        ends.append(asyncio.Event())
        ready.set()
        await ends[0].wait()
        acceptor.close()
        await acceptor.wait_closed()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield door
    finally:
        loop.call_soon_threadsafe(ends[0].set)
        thread.join(60)
        loop.close()


@dataclass
class Home:
    """The ~/.ssh of a person, with a key that `Door.allowed` may be."""

    folder: Path
    key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "id_ed25519").write_bytes(self.key.export_private_key("openssh"))
        (self.folder / "id_ed25519").chmod(0o600)

    @property
    def known(self) -> Path:
        return self.folder / "known_hosts"

    def knows(self, *doors: Door) -> None:
        self.known.write_text("".join(door.known for door in doors))

    def configure(self, **hosts: str) -> None:
        """Write the configuration: by name of a host, its lines."""
        text = "".join(f"Host {name}\n HostName 127.0.0.1\n{lines}\n" for name, lines in hosts.items())
        (self.folder / "config").write_text(text)
