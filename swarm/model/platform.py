"""Whether a node's platform is one that an image wants; different names of one architecture are equal."""

from collections.abc import Iterable

from swarm.api.v1.types_pb2 import Platform

# What kernels and people say, in terms of Go and OCI.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv8": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "armhf": "arm",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "x86": "386",
    "loongarch64": "loong64",
}


def normal_architecture(architecture: str) -> str:
    """Return an architecture as Go and OCI write it, e.g. amd64 for x86_64; unknown ones in lower case."""
    lower = architecture.strip().lower()
    return _ARCHITECTURES.get(lower, lower)


def platform_matches(wanted: Iterable[Platform], have: Platform) -> bool:
    """Whether `have` is one of `wanted`; nothing wanted, or an empty part, means any."""
    wanted = tuple(wanted)
    return not wanted or any(
        _same(platform.os.lower(), have.os.lower())
        and _same(normal_architecture(platform.architecture), normal_architecture(have.architecture))
        for platform in wanted
    )


def _same(wanted: str, have: str) -> bool:
    return not wanted or wanted == have
