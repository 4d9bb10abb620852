"""How do we run something on a machine? One SSH connection, over any hops.

Each trap of the library is closed here: an answer without an exit code is a lost connection, output may be
any bytes, host keys of every hop are checked by us, a command ends on the machine too when its time is over,
what a shell prints before our script is not its answer, and a server that runs something else is no machine.
"""

import asyncio
import os
import random
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.constants import OPEN_REQUEST_SESSION_FAILED

from swarm.machine.endpoint import Endpoint, Hop, Secrets
from swarm.machine.errors import (
    AuthRefused,
    HostKeyRefused,
    MachineError,
    PreCheckFailed,
    SudoRefused,
    Unreachable,
)
from swarm.machine.forward import bring_socket
from swarm.machine.host_keys import HostKey, HostKeyPolicy, check_key

CONNECT_TIMEOUT_S = 30.0  # all of it: also the login, for which a busy machine may need seconds
LOGIN_TIMEOUT_S = 30.0
KEEPALIVE_S = 10.0  # a machine that is silent for three of these is gone
KEEPALIVES_MAX = 3
CHANNELS_MAX = 8  # sshd allows 10
GRACE_S = 15.0  # how much longer than the command itself its answer may take
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
ERROR_CHARACTERS = 600
TIMED_OUT = 124  # exit code of the program `timeout`
ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)  # what people compare first
OUR_SCRIPT = "swarm: here begins the answer"  # printed by every script before anything else
# What reads stdin hears when we are gone, and ends all below `timeout`, which kills who stays after that.
_HELD = """exec 3<&0 </dev/null
{ while read -r _; do :; done; kill -HUP 0; } <&3 3<&- >/dev/null 2>&1 &
exec 3<&-
trap "kill $! 2>/dev/null" EXIT
"""
# Each block at its place: what a lost connection's server writes late is the same bytes at the same place.
_IN_PLACE = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT
_NO_SUDO = (
    ("a password is required", "it asks for a password: add --ask-sudo-pass, or allow it without one"),
    ("incorrect password", "the password is wrong"),
    ("no password was provided", "the password is wrong"),
    ("try again", "the password is wrong"),
    ("not in the sudoers", "the user is not in the sudoers file"),
    ("is not allowed to", "the user may not run everything"),
    ("sudo: not found", "sudo is not installed: log in as root, or install it"),
    ("sudo: command not found", "sudo is not installed: log in as root, or install it"),
    ("you must have a tty", "its configuration has `requiretty`: remove that"),
)


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, and its exit code (128 + number of the signal that ended it)."""

    code: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The end of what it complained about, in one line."""
        text = " ".join((self.err.strip() or self.out.strip()).split())
        if not text and self.code == TIMED_OUT:
            return "it took too long"
        return text[-ERROR_CHARACTERS:]


class KeyRing:
    """The pinned keys by place (`HOST` or `[HOST]:PORT`), and whom to trust besides."""

    def __init__(
        self,
        known: dict[str, tuple[HostKey, ...]],
        policy: HostKeyPolicy,
        also: dict[str, tuple[HostKey, ...]] | None = None,
    ) -> None:
        """`also` are keys that the user trusts elsewhere: they count for places of which none is pinned."""
        self.known = known
        self._policy = policy
        self._also = also or {}

    def of(self, hop: Hop) -> tuple[HostKey, ...]:
        """Return the keys that are right for a hop."""
        return self.known.get(hop.place) or self._also.get(hop.place, ())

    def check(self, hop: Hop, shown: HostKey, *, final: bool) -> None:
        """Pin a key, or raise HostKeyRefused; a confirmed fingerprint is not that of hops."""
        policy = self._policy if final else HostKeyPolicy(self._policy.trust)
        check_key(hop, shown, self.of(hop), policy)
        self.known[hop.place] = tuple(dict.fromkeys((*self.known.get(hop.place, ()), shown)))


class _Client(asyncssh.SSHClient):
    """Decides about the host key; the library hears yes or no, we keep the reason."""

    def __init__(self, hop: Hop, ring: KeyRing, *, final: bool) -> None:
        self._hop, self._ring, self._final = hop, ring, final
        self.refusal: HostKeyRefused | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        try:
            self._ring.check(self._hop, key_of(key), final=self._final)
        except HostKeyRefused as refusal:
            self.refusal = refusal
            return False
        return True


class Link:
    """An open connection. Scripts are POSIX sh; secrets go through `stdin` only."""

    def __init__(self, connection: Any, endpoint: Endpoint, secrets: Secrets) -> None:
        """Use `linked` instead."""
        self._connection = connection
        self._channels = asyncio.Semaphore(CHANNELS_MAX)
        self._secrets = secrets
        self._sudo_asks: bool | None = None
        self.endpoint = endpoint

    async def run(
        self,
        script: str,
        *words: str,
        stdin: bytes = b"",
        root: bool = True,
        timeout_s: float = 60.0,
        held: bool = False,
    ) -> Output:
        """Run a script with arguments; raises Unreachable when nobody knows how it ended, SudoRefused.

        After `timeout_s` it is ended on the machine, too; `held`: also when we are gone before it has ended.
        Then it has no stdin.
        """
        begins = f"echo '{OUR_SCRIPT}'\n{_HELD if held else ''}{script}"
        command = shlex.join(
            ["timeout", "-k", "5", str(int(timeout_s) or 1), "sh", "-c", begins, "sh", *words]
        )
        sudo = root and self.endpoint.hop.user != "root"
        if sudo and self._secrets.sudo_password and await self._asks_password():
            command = f"LC_ALL=C sudo -k -S -p '' -- {command}"
            stdin = self._secrets.sudo_password.encode() + b"\n" + stdin
        elif sudo:
            command = f"LC_ALL=C sudo -n -- {command}"
        output = await self._run(command, stdin, timeout_s + GRACE_S, held=held)
        if sudo and output.code in (1, 127):
            self._check_sudo(output)
        return self._answer(output)

    def _answer(self, output: Output) -> Output:
        """Return what our script printed; raises AuthRefused when something else ran, however it ended."""
        _, began, out = output.out.partition(f"{OUR_SCRIPT}\n")
        if began or output.code == TIMED_OUT:
            return Output(output.code, out, output.err)
        raise AuthRefused(
            f"{self.endpoint.hop}: commands are not run there (a forced command of sshd or authorized_keys, "
            f"or an account without a shell): {output.last_words or f'exit code {output.code}'}; "
            f"try it by hand: {self.endpoint.command} true"
        )

    async def _asks_password(self) -> bool:
        """Return whether sudo reads a password: if not, the command itself would read what we sent."""
        if self._sudo_asks is None:
            free = await self._run("LC_ALL=C sudo -k -n -- true", b"", GRACE_S)
            self._sudo_asks = free.code != 0
        return self._sudo_asks

    async def _run(self, command: str, stdin: bytes, timeout_s: float, *, held: bool = False) -> Output:
        where = self.endpoint.hop
        # Without input the library would leave stdin open, and whoever reads it there waiting.
        given: dict[str, Any] = {"input": stdin} if stdin else {"stdin": asyncssh.DEVNULL}
        try:
            async with self._channels, asyncio.timeout(timeout_s):
                if held:
                    done = await self._hold(command, stdin)
                else:
                    done = await self._connection.run(command, encoding=None, check=False, **given)
        except TimeoutError:
            raise Unreachable(f"{where}: no answer for {timeout_s:.0f} s") from None
        except (asyncssh.Error, OSError) as error:
            raise Unreachable(f"{where}: the connection was lost: {error}") from error
        if done.exit_status is None or done.exit_status < 0:
            if done.exit_signal is None:
                raise Unreachable(f"{where}: the connection was lost while a command ran")
            return Output(128 + 9, _text(done.stdout), f"ended by signal {done.exit_signal[0]}")
        return Output(done.exit_status, _text(done.stdout), _text(done.stderr))

    async def _hold(self, command: str, stdin: bytes) -> Any:
        """Run a command and keep its stdin open until it has ended."""
        async with self._connection.create_process(command, encoding=None) as process:
            process.stdin.write(stdin)
            return await process.wait()

    def _check_sudo(self, output: Output) -> None:
        for words, reason in _NO_SUDO:
            if words in output.err:
                raise SudoRefused(f"{self.endpoint.hop}: sudo does not let us act as root: {reason}")

    async def bring_socket(self, path: str, local: Path, place: str) -> None:
        """Make `local` lead to a socket of the machine while we are connected; raises as `forward` says."""
        await bring_socket(self._connection, path, local, place)

    async def upload(self, source: Path, target: str, progress: Callable[[int, int], None]) -> None:
        """Copy a file to `target` below the user's home, going on where a cut upload ended.

        `progress` hears (bytes there, bytes in all). Raises Unreachable, MachineError (disk full); then
        nothing of it stays there.
        """
        size = (await asyncio.to_thread(source.stat)).st_size
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transfer = await self._connection.start_sftp_client()
            async with transfer as sftp:
                with self._written(target):
                    there = await _begun(sftp, target, size)
                    async with _tidy(sftp, target), sftp.open(target, _IN_PLACE, encoding=None) as out:
                        await _copy(source, out, there, lambda done: progress(done, size))
        except asyncssh.SFTPBadMessage as error:
            raise MachineError(
                f"{self.endpoint.hop}: files cannot be sent ({error}): its shell prints something before "
                "every command; let ~/.bashrc and the like print only in terminals"
            ) from error
        except (asyncssh.Error, OSError) as error:
            if _refused(error) and not self._connection.is_closed():
                raise MachineError(
                    f"{self.endpoint.hop}: files cannot be sent: its SSH server offers no SFTP (Subsystem "
                    "sftp in its sshd_config)"
                ) from error
            raise Unreachable(f"{self.endpoint.hop}: the connection was lost: {error}") from error

    @contextmanager
    def _written(self, target: str) -> Iterator[None]:
        """Tell apart what the machine refuses from a connection that is lost."""
        try:
            yield
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.SFTPBadMessage):
            raise
        except asyncssh.SFTPError as error:
            reason = error.reason if error.reason not in ("", "Failure") else "is its disk full?"
            raise MachineError(f"{self.endpoint.hop}: cannot write {target}: {reason}") from error


def _refused(error: Exception) -> bool:
    """Return whether the server has no such service; too many channels at once are another matter."""
    return isinstance(error, asyncssh.ChannelOpenError) and error.code == OPEN_REQUEST_SESSION_FAILED


async def _begun(sftp: Any, target: str, size: int) -> int:
    """Return how much of a file is there already, in a folder that nobody else may read."""
    folder = target.rpartition("/")[0]
    await sftp.makedirs(folder, attrs=asyncssh.SFTPAttrs(permissions=0o700), exist_ok=True)
    try:
        there = int(await sftp.getsize(target) or 0)
    except asyncssh.SFTPNoSuchFile:
        return 0
    if there > size:
        await sftp.remove(target)
        return 0
    return there


@asynccontextmanager
async def _tidy(sftp: Any, target: str) -> AsyncIterator[None]:
    """Remove what was written when the machine takes no more; half a file fills a full disk."""
    try:
        yield
    except asyncssh.SFTPError as error:
        if not isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
            with suppress(asyncssh.Error):
                await sftp.remove(target)
                await sftp.rmdir(target.rpartition("/")[0])
        raise


async def _copy(source: Path, out: Any, offset: int, progress: Callable[[int], None]) -> None:
    with source.open("rb") as file:
        file.seek(offset)
        while block := file.read(1 << 18):
            await out.write(block, offset)
            offset += len(block)
            progress(offset)


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""


@asynccontextmanager
async def linked(
    endpoint: Endpoint, secrets: Secrets, ring: KeyRing, timeout_s: float = 0.0
) -> AsyncIterator[Link]:
    """Be connected; tries again for `timeout_s` while nobody answers. Raises the errors of `errors`."""
    async with AsyncExitStack() as stack:
        connection = await _patiently(endpoint, secrets, ring, stack, timeout_s)
        yield Link(connection, endpoint, secrets)


async def _patiently(
    endpoint: Endpoint, secrets: Secrets, ring: KeyRing, stack: AsyncExitStack, timeout_s: float
) -> Any:
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + timeout_s, FIRST_PAUSE_S
    while True:
        try:
            return await _connect(endpoint, secrets, ring, stack)
        except Unreachable:
            if loop.time() + pause > deadline:
                raise
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 no secret
        pause = min(pause * 2, LONGEST_PAUSE_S)


async def _connect(endpoint: Endpoint, secrets: Secrets, ring: KeyRing, stack: AsyncExitStack) -> Any:
    """Connect through every hop; the library would not check the keys of hops the same way."""
    tunnel: Any = None
    async with AsyncExitStack() as half:
        for hop in (*endpoint.jumps, endpoint.hop):
            client = _Client(hop, ring, final=hop is endpoint.hop)
            with _explained(hop, endpoint, client):
                options = _options(hop, endpoint, secrets, ring.of(hop))
                connecting = asyncssh.connect(
                    hop.host, hop.port, tunnel=tunnel, client_factory=lambda made=client: made, **options
                )
                tunnel = await half.enter_async_context(await connecting)
            pinned = _shown(tunnel)
            if pinned is not None:
                ring.check(hop, pinned, final=hop is endpoint.hop)
        stack.push_async_exit(half.pop_all())
    return tunnel


def _shown(connection: Any) -> HostKey | None:
    key = connection.get_server_host_key()
    return key_of(key) if key is not None else None


def key_of(key: asyncssh.SSHKey) -> HostKey:
    """Return a key of the library as we compare and keep it."""
    return HostKey(*key.export_public_key("openssh").decode().split()[:2])


def _options(hop: Hop, endpoint: Endpoint, secrets: Secrets, known: Sequence[HostKey]) -> dict[str, Any]:
    """Return what to tell the library; a key that was named is the only one tried, agents hold too many."""
    keys = [asyncssh.import_public_key(f"{key.algorithm} {key.text}") for key in known]
    options: dict[str, Any] = {
        "username": hop.user,
        "config": None,
        "known_hosts": (keys, [], []),
        "server_host_key_algs": _algorithms(known),
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": KEEPALIVES_MAX,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "login_timeout": LOGIN_TIMEOUT_S,
        "passphrase": secrets.passphrase or None,
    }
    if endpoint.key:
        options |= _named_key(endpoint.key, secrets)
    if secrets.password:
        options["password"] = secrets.password
    else:
        options["preferred_auth"] = "publickey"
    return options


def _algorithms(known: Sequence[HostKey]) -> list[str]:
    """Return kinds of keys, those on record first; with them alone another machine would seem silent."""
    pinned = [
        kind
        for key in known
        for kind in ALGORITHMS
        if kind == key.algorithm or (key.algorithm == "ssh-rsa" and kind.startswith("rsa-"))
    ]
    return list(dict.fromkeys((*pinned, *ALGORITHMS)))


def _named_key(path: str, secrets: Secrets) -> dict[str, Any]:
    """Return what makes a key the only one tried: its file, or the agent's when that is encrypted."""
    try:
        key = asyncssh.read_private_key(path, secrets.passphrase or None)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        public = Path(f"{path}.pub")
        if os.environ.get("SSH_AUTH_SOCK") and public.exists():
            return {"client_keys": [], "agent_identities": [str(public)]}
        raise AuthRefused(
            f"cannot use the SSH key {path}: {error}. If it has a passphrase, load it into an agent: "
            f'eval "$(ssh-agent)" && ssh-add {path}'
        ) from error
    return {"client_keys": [key], "agent_path": None}


class _explained:  # noqa: N801 used as a function
    """Turn what the library raises while connecting into what people have to know."""

    def __init__(self, hop: Hop, endpoint: Endpoint, client: _Client) -> None:
        self._hop, self._client = hop, client
        self._try = f"try it by hand: {endpoint.command}"

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        hop, hint = self._hop, self._try
        if self._client.refusal is not None and error is not None:
            raise self._client.refusal from None
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            raise HostKeyRefused(f"{hop}: {error}; {hint}") from error
        if isinstance(error, asyncssh.PermissionDenied):
            raise AuthRefused(f"{hop}: not let in (key or password refused); {hint}") from error
        if isinstance(error, asyncssh.KeyImportError | asyncssh.KeyEncryptionError | PermissionError):
            raise AuthRefused(f"{hop}: cannot use the SSH key: {error}") from error
        if isinstance(error, FileNotFoundError):
            raise AuthRefused(f"{hop}: there is no SSH key {error.filename}") from error
        if isinstance(error, asyncssh.DisconnectError) and "authentication failures" in str(error):
            raise AuthRefused(
                f"{hop}: too many keys were tried: name the right one with --ssh-key"
            ) from error
        if isinstance(error, asyncssh.KeyExchangeFailed):
            raise PreCheckFailed(f"{hop}: its SSH server is too old, or no OpenSSH: {error}") from error
        if isinstance(error, asyncssh.Error | OSError):
            reason = str(error) or "no answer"
            raise Unreachable(f"{hop}: cannot connect: {reason}; {hint}") from error
