"""What is a digest, and does this content have it?"""

import hashlib
import re

from swarm.errors import InvalidArgument
from swarm.runtime.images.shown import shown

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(content: bytes) -> str:
    """Return the digest of `content`, as `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_digest(digest: object) -> str:
    """Return `digest` when it is a sha256 digest; raises InvalidArgument, so that it is safe in a path."""
    if isinstance(digest, str) and _SHA256.fullmatch(digest):
        return digest
    raise InvalidArgument(f"{shown(digest)} is not a sha256 digest")


def hexadecimal(digest: str) -> str:
    """Return the digits of a digest without the algorithm; raises InvalidArgument."""
    return check_digest(digest).removeprefix("sha256:")


def short(digest: str) -> str:
    """Return the twelve digits that people see."""
    return digest.removeprefix("sha256:")[:12]
