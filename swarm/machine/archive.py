"""Is a file a release that machines can be given? Made by `swarmctl machine bundle`, maybe elsewhere."""

import hashlib
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from swarm.errors import InvalidArgument

_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]*-[0-9a-f]{8})\.tar\.gz")
_SERVICE = re.compile(r"lib/python(3\.\d+)/site-packages/swarm/machine/swarmd\.service")


@dataclass(frozen=True, slots=True)
class Archive:
    """A release in a file: its name, the Python that it is for, and the digest of its service."""

    path: Path
    release: str
    python: str
    unit: str


def read_archive(path: Path) -> Archive:
    """Return what is in a file; raises InvalidArgument when it is no release, or is damaged."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise InvalidArgument(
            f"{path}: the name of a release is VERSION-DIGEST.tar.gz; swarmctl machine bundle makes one"
        )
    try:
        with tarfile.open(path, "r:gz") as archive:
            for item in archive:
                found = _SERVICE.fullmatch(item.name)
                file = archive.extractfile(item) if found else None
                if found and file is not None:
                    unit = hashlib.sha256(file.read()).hexdigest()
                    return Archive(path, named[1], found[1], unit)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}") from error
    raise InvalidArgument(f"{path} holds no release of swarm; swarmctl machine bundle makes one")
