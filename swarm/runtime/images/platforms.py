"""Which of an image's platforms does this node run?"""

import platform as host
from collections.abc import Sequence
from dataclasses import dataclass

from swarm.errors import InvalidArgument

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "arm64": ("arm64", "v8"),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
}


@dataclass(frozen=True, slots=True)
class ImagePlatform:
    """A platform in the words of the image format: linux, amd64, arm, v7."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        """Return `os/architecture[/variant]`."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def platform_of(machine: str) -> ImagePlatform:
    """Return the platform of a Linux machine that calls itself `machine` (uname -m)."""
    architecture, variant = _ARCHITECTURES.get(machine.lower(), (machine.lower(), ""))
    return ImagePlatform("linux", architecture, variant)


def parse_platform(text: str) -> ImagePlatform:
    """Return the platform that a person wrote as os/architecture[/variant]; raises InvalidArgument."""
    os, _, rest = text.strip().lower().partition("/")
    architecture, _, variant = rest.partition("/")
    if os != "linux" or not architecture or "/" in variant:
        raise InvalidArgument(
            f'"{text}" is not a platform: write linux/ARCHITECTURE[/VARIANT], e.g. linux/arm/v7'
        )
    known = platform_of(architecture)
    return ImagePlatform("linux", known.architecture, variant or known.variant)


def host_platform() -> ImagePlatform:
    """Return the platform of this node."""
    return platform_of(host.machine())


def choose_platform(wanted: ImagePlatform, offered: Sequence[ImagePlatform]) -> int | None:
    """Return the position of the best fit for `wanted`, None when nothing fits.

    Newer variants run older ones (v7 runs v6): the highest that is not above ours wins.
    """
    best: tuple[str, int] | None = None
    for position, offer in enumerate(offered):
        known = platform_of(offer.architecture)
        if (offer.os or "linux") != wanted.os or known.architecture != wanted.architecture:
            continue
        variant = offer.variant or known.variant
        if wanted.variant and variant > wanted.variant:
            continue
        if best is None or variant > best[0]:
            best = (variant, position)
    return best[1] if best else None
