"""This node's side of every connection: its key and certificate, the roots it trusts, its channels.

Renewed certificates, roots and join tokens that come or go apply to the next handshake without a restart.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.x509.oid import NameOID

from swarm.api.v1.types_pb2 import TlsInfo
from swarm.clock import SECOND
from swarm.errors import FailedPrecondition
from swarm.model.compatibility import our_versions
from swarm.security.certificates import join_ca
from swarm.security.channel import RenewingChannel
from swarm.security.identity import Identity, PeerIdentifier, Role, Trust, subject_attribute
from swarm.security.keyfiles import NodeBundle, load_bundle, save_bundle
from swarm.security.keyring import DataKey, Keyring
from swarm.security.roots import issuer_among, tls_info
from swarm.security.sealed_key import seal_key, sealed_with, unsealer

log = structlog.get_logger(__name__)

MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # a complete set of assignments or a Raft batch, with room

_COMMON_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # A peer that lost power sends no FIN: notice within 20 s also on a stream that has nothing to say.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_COMMON_OPTIONS,
    # Only the name in a manager's certificate will do, whatever address it has.
    ("grpc.ssl_target_name_override", Role.MANAGER.value),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # also how long one attempt may take
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A proxy from the environment is for the internet, never for the nodes of a cluster.
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # What this node is and speaks, in front of every RPC: the other side refuses what it cannot work with.
    ("grpc.secondary_user_agent", our_versions().user_agent),
)

SERVER_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_COMMON_OPTIONS,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Two daemons must never share a port by accident: the second one is told that it is taken.
    ("grpc.so_reuseport", 0),
)


class NodeCredentials:
    """Key, certificate and roots of this node, and whom its listener trusts."""

    def __init__(self, path: Path, bundle: NodeBundle) -> None:
        """Use `bundle`, to be found at `path`; raises FailedPrecondition if it is not a node's."""
        self._path = path
        self._keyring: Keyring | None = None
        self._sealed_with: bytes | None = None  # the data key that the private key on disk needs
        self._listeners: list[Callable[[], None]] = []
        self._generation = 0
        self._trust_version = 0
        self._adopt(bundle)
        self._trust = Trust(cluster_id=self._identity.cluster_id, root_ca_pem=bundle.root_ca_pem)
        self._identifier = PeerIdentifier(self._trust)
        self._server_config = self._make_server_config()

    @classmethod
    def load(cls, path: Path, keyring: Keyring | None = None) -> "NodeCredentials | None":
        """Return the saved credentials, None when this node has none.

        A private key that was sealed is opened with `keyring`, which decides about it from then on.
        """
        bundle = load_bundle(path, unsealer(keyring))
        if bundle is None:
            return None
        credentials = cls(path, bundle)
        credentials._keyring, credentials._sealed_with = keyring, sealed_with(path.read_bytes())
        return credentials

    @classmethod
    def create(cls, path: Path, bundle: NodeBundle) -> "NodeCredentials":
        """Save `bundle` durably and return the credentials."""
        credentials = cls(path, bundle)
        save_bundle(path, bundle)
        return credentials

    @property
    def identity(self) -> Identity:
        """Who this node is, as its certificate says (node id, role, cluster id)."""
        return self._identity

    @property
    def bundle(self) -> NodeBundle:
        """Key, certificate and roots as they are now."""
        return self._bundle

    @property
    def tls_info(self) -> TlsInfo:
        """What the managers should know of certificate and roots."""
        return self._tls_info

    @property
    def validity_ns(self) -> tuple[int, int]:
        """First and last moment of the certificate, nanoseconds since the epoch."""
        return self._validity_ns

    @property
    def identifier(self) -> PeerIdentifier:
        """Tells who a peer is from its certificate."""
        return self._identifier

    def subscribe(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` when certificate or roots changed; returns the function that ends this."""
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def renew(self, bundle: NodeBundle, trust_version: int = 0) -> None:
        """Save and use a new certificate of the same node; open connections are not touched.

        Its roots count unless newer ones are known than those of `trust_version`. Raises FailedPrecondition
        for a certificate that does not fit, OSError when it cannot be saved; then nothing changes.
        """
        if trust_version < self._trust_version:
            bundle = replace(bundle, root_ca_pem=self._bundle.root_ca_pem)
        before = self._identity
        candidate = NodeCredentials(self._path, bundle).identity
        if (candidate.node_id, candidate.cluster_id) != (before.node_id, before.cluster_id):
            raise FailedPrecondition("the renewed certificate is that of another node")
        self._save(bundle, candidate.role)
        self._trust_version = max(self._trust_version, trust_version)
        self._use(bundle)

    def protect(self, keyring: Keyring | None) -> bool:
        """Keep a manager's private key sealed on disk while `keyring` is; raises OSError.

        Returns whether the key was in clear until now and is not any more.
        """
        self._keyring = keyring
        before = self._sealed_with
        wanted = self._data_key(self._identity.role)
        if before != (wanted.id if wanted is not None else None):
            self._save(self._bundle, self._identity.role)
        return before is None and wanted is not None

    @property
    def needed_keys(self) -> frozenset[bytes]:
        """The data keys without which the private key on disk cannot be read."""
        return frozenset() if self._sealed_with is None else frozenset({self._sealed_with})

    def _save(self, bundle: NodeBundle, role: Role) -> None:
        key = self._data_key(role)
        if key is None:
            save_bundle(self._path, bundle)
        else:
            save_bundle(self._path, bundle, partial(seal_key, key=key))
        self._sealed_with = key.id if key is not None else None

    def _data_key(self, role: Role) -> DataKey | None:
        """Return what the private key is sealed with on disk; a worker's never is."""
        sealed = self._keyring is not None and self._keyring.is_sealed and role is Role.MANAGER
        return self._keyring.current if self._keyring is not None and sealed else None

    def trust_roots(self, roots_pem: bytes, version: int) -> bool:
        """Trust these roots and no others from now on; False when newer ones than `version` are known.

        A disk that is full does not keep a root trusted: the file follows with the next change.
        """
        if version < self._trust_version or not roots_pem:
            return False
        self._trust_version = version
        if roots_pem == self._bundle.root_ca_pem:
            return True
        if issuer_among(x509.load_pem_x509_certificate(self._bundle.cert_pem), roots_pem) is None:
            # The cluster went on without this node. Its certificate is of no use with these roots.
            log.warning("security.certificate_outdated", node_id=self._identity.node_id)
            return True
        bundle = replace(self._bundle, root_ca_pem=roots_pem)
        self._use(bundle)
        try:
            self._save(bundle, self._identity.role)
        except OSError as error:
            log.warning("security.roots_not_saved", node_id=self._identity.node_id, reason=str(error))
        return True

    def trust_tokens(self, worker_secret: str, manager_secret: str, root_pem: bytes = b"") -> None:
        """Accept joiners that hold these secrets, and no others; empty: none.

        `root_pem` is the root whose digest the tokens carry, this node's own if it is not said.
        """
        root = root_pem or self._bundle.root_ca_pem
        self._set_trust(
            replace(
                self._trust,
                worker_join_ca_pem=join_ca(worker_secret, root).cert_pem if worker_secret else b"",
                manager_join_ca_pem=join_ca(manager_secret, root).cert_pem if manager_secret else b"",
            )
        )

    def channel(self, addr: str, options: Sequence[tuple[str, int | str]] = ()) -> grpc.aio.Channel:
        """Return a channel to the manager at `addr` (HOST:PORT); anything but a manager is refused.

        Every call presents the certificate that is the node's at that time.
        """

        def make() -> grpc.aio.Channel:
            bundle = self._bundle
            credentials = grpc.ssl_channel_credentials(bundle.root_ca_pem, bundle.key_pem, bundle.cert_pem)
            # Of an option that is given twice gRPC takes the first.
            return grpc.aio.secure_channel(addr, credentials, options=(*options, *CHANNEL_OPTIONS))

        return RenewingChannel(make, lambda: self._generation)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials for a listener that demands a certificate of a node or of a token holder."""
        served = self._server_config

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # Called by gRPC's own threads before each handshake; None means "as before".
            nonlocal served
            current = self._server_config
            if current is served:
                return None
            served = current
            return current

        return grpc.dynamic_ssl_server_credentials(served, fetch, require_client_authentication=True)  # type: ignore[arg-type]

    def _use(self, bundle: NodeBundle) -> None:
        self._adopt(bundle)
        self._set_trust(replace(self._trust, root_ca_pem=bundle.root_ca_pem))
        self._generation += 1
        for on_change in tuple(self._listeners):
            on_change()

    def _adopt(self, bundle: NodeBundle) -> None:
        certificate = x509.load_pem_x509_certificate(bundle.cert_pem)
        unit = subject_attribute(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
        info = tls_info(bundle.cert_pem, bundle.root_ca_pem)
        if unit not in {Role.MANAGER.value, Role.WORKER.value} or not info.issuer_digest:
            raise FailedPrecondition("the certificate is not that of a node, or not of these roots")
        self._bundle = bundle
        self._tls_info = info
        self._validity_ns = (
            int(certificate.not_valid_before_utc.timestamp()) * SECOND,
            int(certificate.not_valid_after_utc.timestamp()) * SECOND,
        )
        self._identity = Identity(
            node_id=subject_attribute(certificate, NameOID.COMMON_NAME),
            role=Role(unit),
            cluster_id=subject_attribute(certificate, NameOID.ORGANIZATION_NAME),
        )

    def _set_trust(self, trust: Trust) -> None:
        self._trust = trust
        self._identifier.trust = trust
        self._server_config = self._make_server_config()

    def _make_server_config(self) -> grpc.ServerCertificateConfiguration:
        bundle, trust = self._bundle, self._trust
        # The roots are part of the chain: a joiner compares them with the digest in its token.
        chain = bundle.cert_pem + bundle.root_ca_pem
        roots = trust.root_ca_pem + trust.worker_join_ca_pem + trust.manager_join_ca_pem
        return grpc.ssl_server_certificate_configuration([(bundle.key_pem, chain)], root_certificates=roots)
