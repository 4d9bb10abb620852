"""How does a person reach a host with SSH? As `ssh HOST` does: configuration, keys, agent, known hosts.

The files are the person's; what is not in them and not known is asked for by whoever calls (`Answers`).
"""

import getpass
import os
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.config import SSHClientConfig
from asyncssh.known_hosts import SSHKnownHosts, import_known_hosts

from swarm.errors import InvalidArgument
from swarm.machine.endpoint import SSH_PORT, parse_hop
from swarm.machine.errors import AuthRefused, HostKeyRefused, HostKeyUnknown, Unreachable
from swarm.machine.host_keys import HostKey
from swarm.machine.ssh import CONNECT_TIMEOUT_S, KEEPALIVE_S, KEEPALIVES_MAX, LOGIN_TIMEOUT_S, key_of

CONFIGS = ("~/.ssh/config", "/etc/ssh/ssh_config")
KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
ALL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
JUMPS_MAX = 8


class PasswordWanted(AuthRefused):
    """No key was accepted: the password of `place` could let in, if the server takes passwords."""

    def __init__(self, message: str, place: str) -> None:
        """Remember whose password it is."""
        super().__init__(message)
        self.place = place


@dataclass(frozen=True, slots=True)
class Stop:
    """An SSH server on the way, as it is called in the configuration; user "" and port 0: as that says."""

    host: str
    user: str = ""
    port: int = 0

    @property
    def place(self) -> str:
        """[USER@]HOST[:PORT], for people."""
        port = f":{self.port}" if self.port else ""
        return (f"{self.user}@" if self.user else "") + self.host + port

    @property
    def command(self) -> str:
        """What a person types to get there."""
        port = f"-p {self.port} " if self.port else ""
        return f"ssh {port}" + (f"{self.user}@" if self.user else "") + self.host


@dataclass(slots=True)
class Answers:
    """What a person said: passwords by place, and host keys (`SHA256:…`) that are right."""

    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    fingerprints: set[str] = field(default_factory=set)


class Personal:
    """What the files of a person say about hosts; read once."""

    def __init__(self, configs: Sequence[Path] | None = None) -> None:
        """Read `configs`, or the usual files."""
        found = [Path(one).expanduser() for one in CONFIGS] if configs is None else configs
        self.configs = [str(path) for path in found if os.access(path, os.R_OK) and path.is_file()]

    def of(self, stop: Stop) -> SSHClientConfig:
        """Return what is configured for a host; raises InvalidArgument."""
        try:
            found = SSHClientConfig.load(
                None, self.configs, False, False, False, getpass.getuser(), stop.user or (), stop.host, ()
            )
        except (asyncssh.ConfigParseError, OSError) as error:
            raise InvalidArgument(f"cannot read the SSH configuration: {error}") from error
        assert isinstance(found, SSHClientConfig)
        return found

    def route(self, stop: Stop) -> list[Stop]:
        """Return the servers to go through, `stop` the last; raises InvalidArgument."""
        route = [stop]
        while len(route) <= JUMPS_MAX:
            through = str(self.of(route[0]).get("ProxyJump") or "none")
            if through == "none":
                return route
            route = [*map(_stop, through.split(",")), *route]
        raise InvalidArgument(
            f"the SSH configuration leads to {stop.place} through more than {JUMPS_MAX} jumps"
        )

    def known_hosts_files(self, stop: Stop) -> list[Path]:
        """Return where keys of hosts are kept; what is learnt goes to the first."""
        found = self.of(stop)
        files: Iterable[Any] = (
            *_list(found.get("UserKnownHostsFile"), KNOWN_HOSTS),
            *_list(found.get("GlobalKnownHostsFile"), ALL_KNOWN_HOSTS),
        )
        return [Path(str(one)).expanduser() for one in files]


def _list(found: Any, default: Sequence[str]) -> Sequence[str]:
    return found if isinstance(found, list) and found else default


def _stop(text: str) -> Stop:
    text = text.strip().removeprefix("ssh://")
    hop = parse_hop(text)
    return Stop(hop.host, hop.user if "@" in text else "", 0 if hop.port == SSH_PORT else hop.port)


def _known_hosts(files: Sequence[Path]) -> SSHKnownHosts:
    """Return the keys in some files; lines that cannot be read do not count, as with ssh."""
    lines: list[str] = []
    for path in files:
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            continue
        for line in text.splitlines():
            try:
                import_known_hosts(line)
            except ValueError:
                continue
            lines.append(line)
    return import_known_hosts("\n".join(lines) + "\n")


class _Client(asyncssh.SSHClient):
    """Judges a host key that is not on record as it is, and keeps the reason when it is refused."""

    def __init__(self, stop: Stop, files: Sequence[Path], answers: Answers) -> None:
        self._stop, self._answers = stop, answers
        self._file = files[0] if files else None
        self._all = _known_hosts(files)
        self._known: list[Any] = []
        self._name = ""
        self.refusal: HostKeyRefused | None = None

    def lookup(self, host: str, addr: str, port: int | None) -> tuple[Any, ...]:
        """Return what is on record of a host; the library asks with its HostKeyAlias."""
        found = self._all.match(host, addr, port)
        self._known = [*found[0], *found[1]]
        self._name = host if port in (None, SSH_PORT) else f"[{host}]:{port}"
        return found

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        shown = key_of(key)
        if self._known:
            records = ", ".join(key_of(one).fingerprint for one in self._known)
            self.refusal = HostKeyRefused(
                f"{self._stop.place}: the host key has CHANGED: on record is {records}, the host shows"
                f" {shown.fingerprint} ({shown.algorithm}). It was set up anew, or somebody is in between."
                f" When you know why, remove the old key: ssh-keygen -R '{self._name}'"
            )
        elif shown.fingerprint not in self._answers.fingerprints:
            self.refusal = HostKeyUnknown(
                f"{self._stop.place}: the host key is not known: {shown.fingerprint} ({shown.algorithm})."
                " Compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there, and then log in"
                f" once with {self._stop.command}, which remembers it",
                self._stop.place,
                shown.fingerprint,
            )
        else:
            self._remember(shown)
        return self.refusal is None

    def _remember(self, shown: HostKey) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._file.open("a") as file:
                file.write(f"{self._name} {shown.algorithm} {shown.text}\n")
        except OSError:
            return  # it will be asked again


async def reach(personal: Personal, stop: Stop, answers: Answers, stack: AsyncExitStack) -> Any:
    """Return a connection to a host, over any jumps, which ends with `stack`.

    Raises HostKeyUnknown and PasswordWanted, which a person can answer, HostKeyRefused, AuthRefused,
    Unreachable, InvalidArgument.
    """
    connection: Any = None
    for one in personal.route(stop):
        client = _Client(one, personal.known_hosts_files(one), answers)
        try:
            connected = await _connected(one, connection, _options(personal, one, client, answers))
            connection = await stack.enter_async_context(connected)
        except (asyncssh.Error, OSError, ValueError) as error:
            raise _explained(error, one, client, answers) from error
    return connection


async def _connected(stop: Stop, through: Any, options: dict[str, Any]) -> Any:
    try:
        return await asyncssh.connect(stop.host, tunnel=through, **options)
    except (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost):
        # The library wants only kinds of keys that are on record. A host that has none of them is asked for
        # any, to see what it has now. It may hang up before we have found that out ourselves.
        options = {**options, "server_host_key_algs": "default"}
        return await asyncssh.connect(stop.host, tunnel=through, **options)


def _options(personal: Personal, stop: Stop, client: _Client, answers: Answers) -> dict[str, Any]:
    options: dict[str, Any] = {
        "config": personal.configs,
        "known_hosts": client.lookup,
        "client_factory": lambda: client,
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": KEEPALIVES_MAX,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "login_timeout": LOGIN_TIMEOUT_S,
    }
    if stop.user:
        options["username"] = stop.user
    if stop.port:
        options["port"] = stop.port
    if stop.place in answers.passwords:
        options["password"] = answers.passwords[stop.place]
    return options


def _explained(error: Exception, stop: Stop, client: _Client, answers: Answers) -> Exception:
    """Return what people have to know, and what to do."""
    if client.refusal is not None:
        return client.refusal
    place, by_hand = stop.place, f"try it by hand: {stop.command}"
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return HostKeyRefused(f"{place}: {error}; {by_hand}")
    if isinstance(error, asyncssh.PermissionDenied):
        if place in answers.passwords:
            return AuthRefused(f"{place} does not let us in: the password is wrong; {by_hand}")
        return PasswordWanted(f"{place} does not let us in: {_keys_tried()}; {by_hand}", place)
    if isinstance(error, asyncssh.DisconnectError) and "authentication failures" in str(error):
        return AuthRefused(
            f"{place} does not let us in: too many keys were tried. Name the right one in ~/.ssh/config"
            " (IdentityFile, IdentitiesOnly yes)"
        )
    if isinstance(error, asyncssh.KeyImportError | asyncssh.KeyEncryptionError):
        return AuthRefused(
            f"{place}: cannot use an SSH key: {error}. If it has a passphrase, load it into an agent:"
            ' eval "$(ssh-agent)" && ssh-add'
        )
    return Unreachable(f"cannot reach {place} over SSH: {str(error) or 'no answer'}; {by_hand}")


def _keys_tried() -> str:
    if os.environ.get("SSH_AUTH_SOCK"):
        return "it accepts none of your keys and of those of your agent (ssh-add -l shows them)"
    return (
        "it accepts none of your keys, and there is no agent; one with a passphrase needs one:"
        ' eval "$(ssh-agent)" && ssh-add'
    )
