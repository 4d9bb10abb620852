"""Which registries may this node ask, and who is asked in their place? Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from swarm.errors import InvalidArgument, NotPermitted
from swarm.model.reference import DEFAULT_REGISTRY

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"[a-z0-9]+(?:[._/-][a-z0-9]+)*")
_PATTERN = re.compile(r"[A-Za-z0-9*\[\]:.-]+")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A registry that is asked before another one, and below which path its repositories are there."""

    registry: str
    host: str  # HOST[:PORT]
    prefix: str = ""

    def repository(self, path: str) -> str:
        """Return where the mirror has a repository of the registry."""
        return f"{self.prefix}/{path}" if self.prefix else path


@dataclass(frozen=True, slots=True)
class RegistryRules:
    """Mirrors in the order in which they are asked, and registries that are never asked."""

    mirrors: tuple[Mirror, ...] = ()
    blocked: tuple[str, ...] = ()

    def mirrors_of(self, registry: str) -> list[Mirror]:
        """Return who is asked before `registry`, in this order."""
        return [mirror for mirror in self.mirrors if mirror.registry == registry]

    def is_blocked(self, host: str) -> bool:
        """Tell whether HOST[:PORT] may not be asked for anything; an entry without a port means all."""
        names = (host.lower(), re.sub(r":[0-9]+$", "", host.lower()))
        return any(fnmatchcase(name, entry.lower()) for entry in self.blocked for name in names)

    def check(self, registry: str) -> None:
        """Raise NotPermitted when `registry` may not be asked."""
        if self.is_blocked(registry):
            raise NotPermitted(f"registry {registry} is blocked on this node (blocked_registries)")


def parse_rules(mirrors: Sequence[str], blocked: Sequence[str]) -> RegistryRules:
    """Return the rules of settings: mirrors as REGISTRY=HOST[:PORT][/PATH]; raises InvalidArgument."""
    for entry in blocked:
        if not _PATTERN.fullmatch(entry):
            raise InvalidArgument(
                f"blocked_registries: {entry!r} is not HOST[:PORT], where * may be any text"
            )
    # Brackets are of addresses here, not of patterns.
    patterns = tuple(_registry(entry).replace("[", "[[]") for entry in blocked)
    return RegistryRules(tuple(_mirror(entry) for entry in mirrors), patterns)


def _mirror(entry: str) -> Mirror:
    registry, equals, place = entry.partition("=")
    host, _, prefix = place.removeprefix("https://").rstrip("/").partition("/")
    good = equals and _HOST.fullmatch(registry) and _HOST.fullmatch(host)
    if place.startswith("http://"):
        raise InvalidArgument(
            f"registry_mirrors: {entry!r} asks for plain HTTP: write the host alone, and name it in"
            " insecure_registries too"
        )
    if not good or (prefix and not _PREFIX.fullmatch(prefix)):
        raise InvalidArgument(f"registry_mirrors: {entry!r} is not REGISTRY=HOST[:PORT][/PATH]")
    if _registry(registry) == host:
        raise InvalidArgument(f"registry_mirrors: {entry!r} makes a registry the mirror of itself")
    return Mirror(_registry(registry), host, prefix)


def _registry(name: str) -> str:
    name = name.lower()
    return DEFAULT_REGISTRY if name in ("index.docker.io", "registry-1.docker.io") else name
