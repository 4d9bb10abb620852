"""How does a registry want us to prove who we are? Challenges, tokens, and where a password may go."""

import base64
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarm.runtime.images.base import Credentials

DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset(
    {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
)
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LOOPBACK = ("localhost", "127.0.0.0/8", "::1")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a registry offers."""

    scheme: str  # basic or bearer
    parameters: Mapping[str, str]


def parse_challenges(headers: Sequence[str]) -> list[Challenge]:
    """Return the challenges in WWW-Authenticate headers that we can answer, the best first."""
    found: list[Challenge] = []
    for header in headers:
        for part in re.split(r"(?i)(?:^|,\s*)(?=(?:basic|bearer)\b)", header):
            scheme, _, rest = part.strip().partition(" ")
            if scheme.lower() in ("basic", "bearer"):
                pairs = _PARAMETER.findall(rest)
                parameters = {key.lower(): quoted or plain for key, quoted, plain in pairs}
                found.append(Challenge(scheme.lower(), parameters))
    return sorted(found, key=lambda challenge: challenge.scheme, reverse=True)


def basic_authorization(credentials: Credentials) -> str:
    """Return the value of the Authorization header for a name and a password."""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def registry_host(server: str) -> str:
    """Return HOST[:PORT] of a registry as people and credential files write it (URL, /v1/, Docker Hub)."""
    host = server.strip().lower()
    host = re.sub(r"^https?://", "", host).partition("/")[0]
    return DOCKER_HUB if host in _DOCKER_HUB_NAMES else host


def credentials_for(domain: str, credentials: Credentials | None) -> Credentials | None:
    """Return the credentials when they are meant for the registry `domain`, else None."""
    if credentials is None or not (credentials.username or credentials.identity_token):
        return None
    if credentials.server and registry_host(credentials.server) != registry_host(domain):
        return None
    return credentials


def may_use_plain_http(host: str, allowed: Sequence[str]) -> bool:
    """Tell whether `host` (HOST[:PORT]) is this machine or on the allow list.

    Entries are HOST:PORT, HOST (any port), or a network like 10.0.0.0/8 for registries named by address.
    """
    name = _without_port(host)
    for entry in (*_LOOPBACK, *allowed):
        if entry.lower() in (host.lower(), name.lower()):
            return True
        try:
            if ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


def is_loopback(host: str) -> bool:
    """Tell whether HOST[:PORT] is this machine."""
    return may_use_plain_http(host, ())


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") > 1:
        return host  # an IPv6 address without brackets has no port
    return host.partition(":")[0]
