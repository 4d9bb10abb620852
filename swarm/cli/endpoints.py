"""Where is a cluster reached? Endpoints as people write them: a socket, a node over SSH, managers. Pure."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from swarm.errors import InvalidArgument

SOCKET = "/run/swarm/swarmd.sock"
MANAGER_PORT = 2377
FORMS = f"unix://{SOCKET}, ssh://[USER@]HOST[:PORT], tcp://HOST[:{MANAGER_PORT}],… or machine://NAME"
_MACHINE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
# Neither may begin with "-": both become words of a command line.
_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?"
_SSH = re.compile(rf"(?:(?P<user>{_USER})@)?(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/.*)?")
_MANAGER = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """The socket of a node on this machine."""

    path: str


@dataclass(frozen=True, slots=True)
class SshEndpoint:
    """The socket of a node behind an SSH server; user "" and port 0: as OpenSSH is configured."""

    host: str
    user: str = ""
    port: int = 0
    path: str = SOCKET

    @property
    def place(self) -> str:
        """[USER@]HOST[:PORT], for people."""
        port = f":{self.port}" if self.port else ""
        return (f"{self.user}@" if self.user else "") + self.host + port


@dataclass(frozen=True, slots=True)
class ManagersEndpoint:
    """Managers by (host, port), the preferred one first; they ask for a certificate."""

    managers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class MachineEndpoint:
    """The node of a machine that `swarmctl machine` knows."""

    name: str


Endpoint: TypeAlias = UnixEndpoint | SshEndpoint | ManagersEndpoint | MachineEndpoint


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint of a --host value; raises InvalidArgument with what can be written."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator and scheme.startswith("/"):
        return UnixEndpoint(scheme)
    if scheme == "unix" and rest.startswith("/"):
        return UnixEndpoint(rest)
    if scheme == "ssh" and (found := _SSH.fullmatch(rest)):
        path = found["path"] if found["path"] not in {None, "/"} else SOCKET
        return SshEndpoint(
            found["host"].strip("[]"), found["user"] or "", _port(found["port"], 0, text), path
        )
    if scheme == "tcp" and rest:
        return ManagersEndpoint(tuple(_manager(part.strip(), text) for part in rest.split(",")))
    if scheme == "machine" and _MACHINE.fullmatch(rest):
        return MachineEndpoint(rest)
    raise _unreadable(text)


def _manager(part: str, text: str) -> tuple[str, int]:
    found = _MANAGER.fullmatch(part.removeprefix("tcp://"))
    if found is None:
        raise _unreadable(text)
    return found["host"].strip("[]"), _port(found["port"], MANAGER_PORT, text)


def _port(digits: str | None, default: int, text: str) -> int:
    if digits is None:
        return default
    if not 0 < int(digits) < 1 << 16:
        raise InvalidArgument(f'host "{text}": there is no port {digits}')
    return int(digits)


def _unreadable(text: str) -> InvalidArgument:
    return InvalidArgument(f'host "{text}" is no place where a cluster could be reached: write {FORMS}')
