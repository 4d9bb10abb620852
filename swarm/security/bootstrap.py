"""May a machine that has only a join token trust the manager at an address, and does the token work there?

1. Read the manager's certificate chain without trusting it, and compare its root with the token's digest.
2. Connect again, trusting that root only, with a certificate signed by the key of the token's secret. A
   manager that accepts it sends its first HTTP/2 frame; one that does not ends the connection. gRPC would
   report both as "unavailable", so this is done with TLS alone, to be able to say what is wrong.
Neither step sends the token or anything derived from it that could be used by somebody else.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from swarm.clock import SECOND
from swarm.config import split_address
from swarm.errors import FailedPrecondition, InvalidArgument, Unauthenticated, Unavailable
from swarm.security.certificates import KeyedCertificate, issue_join_certificate, join_ca
from swarm.security.identity import Role, subject_attribute
from swarm.security.roots import is_authority, is_issued_by
from swarm.security.tls import CHANNEL_OPTIONS
from swarm.security.tokens import JoinToken

if TYPE_CHECKING:
    from OpenSSL import SSL

CONNECT_TIMEOUT_S = 5.0
READ_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class TrustedManager:
    """A manager of the token's cluster that accepts the token."""

    addr: str
    root_ca_pem: bytes
    certificate: KeyedCertificate  # proves the token; good for asking for a node certificate

    def channel(self) -> grpc.aio.Channel:
        """Return a channel on which to ask for a node certificate."""
        credentials = grpc.ssl_channel_credentials(
            self.root_ca_pem, self.certificate.key_pem, self.certificate.cert_pem
        )
        return grpc.aio.secure_channel(self.addr, credentials, options=CHANNEL_OPTIONS)


async def find_manager(addr: str, token: JoinToken, now_ns: int) -> TrustedManager:
    """Return the manager at `addr` (HOST:PORT) once it proved to be one and accepted the token.

    Raises Unavailable (not reachable), FailedPrecondition (no TLS, no manager, clocks), InvalidArgument (the
    token is for another cluster), Unauthenticated (token refused).
    """
    root = check_chain(addr, await _read_chain(addr), token, now_ns)
    root_pem = root.public_bytes(Encoding.PEM)
    certificate = issue_join_certificate(join_ca(token.secret, root_pem))
    await _present(addr, certificate, root)
    return TrustedManager(addr, root_pem, certificate)


def check_chain(addr: str, chain: list[x509.Certificate], token: JoinToken, now_ns: int) -> x509.Certificate:
    """Return the root certificate if the chain is that of a manager of the token's cluster."""
    digests = [hashlib.sha256(item.public_bytes(Encoding.DER)).digest() for item in chain]
    if token.root_digest not in digests:
        raise InvalidArgument(
            f"the token is for another cluster than that of {addr}, or from before its CA was rotated: print"
            " one there, with swarmctl join-token worker|manager"
        )
    root, leaf = chain[digests.index(token.root_digest)], chain[0]
    if not _is_issued_below(leaf, root, chain):
        raise FailedPrecondition(f"{addr} shows a certificate that its cluster did not issue")
    if subject_attribute(leaf, NameOID.ORGANIZATIONAL_UNIT_NAME) != Role.MANAGER.value:
        raise FailedPrecondition(f"{addr} is not a manager: give the address of one")
    now_s = now_ns / SECOND
    if not leaf.not_valid_before_utc.timestamp() <= now_s <= leaf.not_valid_after_utc.timestamp():
        raise FailedPrecondition(
            f"the certificate of {addr} is not valid by this machine's clock: compare the clocks of both"
        )
    return root


def _is_issued_below(leaf: x509.Certificate, root: x509.Certificate, chain: list[x509.Certificate]) -> bool:
    """Tell whether `root` signed `leaf`, or signed the one that did: the root that a rotation goes to."""
    between = [one for one in chain if is_issued_by(one, root) and is_authority(one)]
    return is_issued_by(leaf, root) or any(is_issued_by(leaf, one) for one in between)


async def _read_chain(addr: str) -> list[x509.Certificate]:
    async with _connection(addr, _context()) as connection:
        await connection.handshake()
        return list(connection.tls.get_peer_cert_chain(as_cryptography=True) or ())


async def _present(addr: str, certificate: KeyedCertificate, root: x509.Certificate) -> None:
    """Raise Unauthenticated unless the manager lets the holder of `certificate` in."""
    async with _connection(addr, _context(certificate, root)) as connection:
        await connection.handshake()
        # In TLS 1.3 the client is done before the server has looked at the client's certificate.
        if not await connection.has_answer():
            raise token_refused(addr)


def token_refused(addr: str) -> Unauthenticated:
    """Return the error for a token that the managers do not accept."""
    return Unauthenticated(
        f"the manager at {addr} refuses the token: it was rotated or mistyped;"
        " swarmctl join-token worker|manager on a manager prints the one that is valid now"
    )


def _context(
    certificate: KeyedCertificate | None = None, root: x509.Certificate | None = None
) -> "SSL.Context":
    from OpenSSL import SSL, crypto

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_alpn_protos([b"h2"])
    if certificate is not None and root is not None:
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(root))
        context.set_verify(SSL.VERIFY_PEER)
        context.use_certificate(x509.load_pem_x509_certificate(certificate.cert_pem))
        key = load_pem_private_key(certificate.key_pem, None)
        assert isinstance(key, EllipticCurvePrivateKey)
        context.use_privatekey(key)
    return context


@contextlib.asynccontextmanager
async def _connection(addr: str, context: "SSL.Context") -> "AsyncIterator[_Connection]":
    """Connect, and turn silence at any stage into a sentence."""
    host, port = split_address(addr)
    what = "nobody answers"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            try:
                reader, writer = await asyncio.open_connection(host, port)
            except OSError as error:
                raise Unavailable(f"cannot reach {addr}: {_reason(error)}") from error
            what = "it accepts connections but does not answer as a manager does"
            try:
                yield _Connection(addr, context, reader, writer)
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise Unavailable(f"cannot reach {addr}: {what} within {CONNECT_TIMEOUT_S:g} s") from None


def _reason(error: OSError) -> str:
    """Return why; asyncio puts "Connect call failed" in place of the system's words."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno).lower()


class _Connection:
    """TLS over an asyncio stream, with memory in between so that nothing blocks."""

    def __init__(
        self,
        addr: str,
        context: "SSL.Context",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        from OpenSSL import SSL

        self._addr = addr
        self._reader = reader
        self._writer = writer
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()

    async def handshake(self) -> None:
        """Finish the handshake; raises FailedPrecondition when the other side does something else."""
        from OpenSSL import SSL

        while True:
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                await self._send()
                if await self._receive():
                    continue
            except SSL.Error:
                pass
            else:
                await self._send()
                return
            raise FailedPrecondition(f"{self._addr} does not speak TLS: is it the right port?")

    async def has_answer(self) -> bool:
        """Wait for the first byte that the other side sends by itself; False when it hangs up instead."""
        from OpenSSL import SSL

        while True:
            try:
                return bool(self.tls.recv(1))
            except SSL.WantReadError:
                if not await self._receive():
                    return False
            except SSL.Error:  # an alert: "unknown CA", "bad certificate"
                return False

    async def _send(self) -> None:
        from OpenSSL import SSL

        with contextlib.suppress(SSL.WantReadError, ConnectionError):
            while True:
                self._writer.write(self.tls.bio_read(READ_BYTES))
                await self._writer.drain()

    async def _receive(self) -> bool:
        try:
            data = await self._reader.read(READ_BYTES)
        except ConnectionError:
            return False
        if data:
            self.tls.bio_write(data)
        return bool(data)
