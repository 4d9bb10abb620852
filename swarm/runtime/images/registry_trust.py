"""Whose certificates count for which registry? Those of the system, and files as Docker has them."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from swarm.errors import FailedPrecondition

CERTIFICATES_DIR = Path("/etc/docker/certs.d")


def own_certificates(folder: Path, registry: str) -> tuple[Path, ...]:
    """Return the certificates that are trusted for `registry` (HOST[:PORT]) besides the system's."""
    if not registry.strip(".") or "/" in registry:
        return ()
    return tuple(sorted((folder / registry).glob("*.crt")))


def trusting(certificates: Sequence[Path]) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates and these; raises FailedPrecondition."""
    context = ssl.create_default_context()
    for path in certificates:
        try:
            context.load_verify_locations(cafile=path)
        except OSError as error:  # ssl.SSLError is one
            raise FailedPrecondition(f"{path} holds no certificate that can be read: {error}") from None
    return context
