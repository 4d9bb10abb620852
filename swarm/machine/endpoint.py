"""Where is a machine reached, and as whom? Addresses of SSH servers, as people write them."""

import re
from dataclasses import dataclass, field

from swarm.errors import InvalidArgument

SSH_PORT = 22
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:%-]*[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?")


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server."""

    host: str
    port: int = SSH_PORT
    user: str = "root"

    @property
    def place(self) -> str:
        """HOST:PORT, as `known_hosts` files have it."""
        return self.host if self.port == SSH_PORT else f"[{self.host}]:{self.port}"

    def __str__(self) -> str:
        """USER@HOST[:PORT], as people write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}" + ("" if self.port == SSH_PORT else f":{self.port}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An SSH server, the file with the key for it ("" = agent and default keys), and the hops before it."""

    hop: Hop
    key: str = ""
    jumps: tuple[Hop, ...] = ()

    @property
    def command(self) -> str:
        """The same connection with OpenSSH, for somebody who wants to see for himself."""
        words = ["ssh", *(["-i", self.key] if self.key else [])]
        if self.jumps:
            words += ["-J", ",".join(map(str, self.jumps))]
        port = [] if self.hop.port == SSH_PORT else ["-p", str(self.hop.port)]
        return " ".join([*words, *port, f"{self.hop.user}@{self.hop.host}"])


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is asked for at each connection, kept nowhere, and never shown."""

    password: str = field(default="", repr=False)
    sudo_password: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)


def parse_hop(text: str, user: str = "root", port: int = SSH_PORT) -> Hop:
    """Return the hop of `[USER@]HOST[:PORT]`; raises InvalidArgument."""
    named, at, place = text.strip().rpartition("@")
    host, number = _split_port(place)
    found = Hop(host, port if number is None else number, named if at else user)
    if not _HOST.fullmatch(found.host) or not _USER.fullmatch(found.user) or not 0 < found.port < 1 << 16:
        raise InvalidArgument(f'"{text}" is not [USER@]HOST[:PORT]')
    return found


def parse_jumps(text: str, user: str = "root") -> tuple[Hop, ...]:
    """Return the hops of `[USER@]HOST[:PORT],…`, the first one first; raises InvalidArgument."""
    return tuple(parse_hop(part, user) for part in text.split(",")) if text.strip() else ()


def _split_port(place: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?", place)
    if bracketed:
        return bracketed[1], int(bracketed[2]) if bracketed[2] else None
    plain = re.fullmatch(r"([^:]*):([0-9]{1,5})", place)
    return (plain[1], int(plain[2])) if plain else (place, None)
