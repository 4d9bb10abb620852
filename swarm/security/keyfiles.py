"""The node's key, certificate and trusted roots on disk: one file, so that they always fit together.

The file is replaced by rename after an fsync. A crash or a full disk leaves the old file or the new one.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from swarm.errors import FailedPrecondition
from swarm.security.certificates import split_pem
from swarm.security.roots import split_chain


@dataclass(frozen=True, slots=True)
class NodeBundle:
    """What a node needs to prove who it is and to check who others are, all PEM."""

    cert_pem: bytes  # perhaps followed by an intermediate
    root_ca_pem: bytes  # every root that this node trusts
    key_pem: bytes = field(repr=False)


Recode = Callable[[bytes], bytes]


def _as_it_is(text: bytes) -> bytes:
    return text


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by `content`, readable by its owner only, durable when this returns."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames and removals in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_bundle(path: Path, bundle: NodeBundle, seal: Recode = _as_it_is) -> None:
    """Write the bundle, with what `seal` makes of the key, replacing an earlier one in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, seal(bundle.key_pem) + bundle.cert_pem + bundle.root_ca_pem)


def load_bundle(path: Path, unseal: Recode = _as_it_is) -> NodeBundle | None:
    """Return the saved bundle, None when there is none; raises FailedPrecondition for a damaged file.

    `unseal` turns the text of the file into one with the key in clear.
    """
    try:
        text = unseal(path.read_bytes())
    except FileNotFoundError:
        return None
    keys, certificates = split_pem(text, "PRIVATE KEY"), split_pem(text, "CERTIFICATE")
    if len(keys) != 1 or len(certificates) < 2:
        raise _damaged(path, "it must hold one key and two certificates or more")
    try:
        chain_pem, roots_pem = split_chain(certificates)
    except ValueError as error:
        raise _damaged(path, "it cannot be read as key and certificates") from error
    bundle = NodeBundle(cert_pem=chain_pem, root_ca_pem=roots_pem, key_pem=keys[0])
    _check_pair(path, bundle)
    return bundle


def _damaged(path: Path, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{path} is damaged: {why}. Restore it, or remove it and the node.json of this node and join again;"
        " its containers run elsewhere meanwhile"
    )


def _check_pair(path: Path, bundle: NodeBundle) -> None:
    try:
        public = load_pem_private_key(bundle.key_pem, password=None).public_key()
        matches = x509.load_pem_x509_certificate(bundle.cert_pem).public_key() == public
        x509.load_pem_x509_certificate(bundle.root_ca_pem)
    except ValueError as error:
        raise _damaged(path, "it cannot be read as key and certificates") from error
    if not matches:
        raise _damaged(path, "the certificate is not that of the key")
