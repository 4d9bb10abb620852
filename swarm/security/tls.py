"""This node's side of every connection: its key and certificate, the root it trusts, channels and listeners.

Renewed certificates, and join tokens that come or go, apply to the next handshake without a restart.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.x509.oid import NameOID

from swarm.clock import SECOND
from swarm.errors import FailedPrecondition
from swarm.security.certificates import join_ca
from swarm.security.channel import RenewingChannel
from swarm.security.identity import Identity, PeerIdentifier, Role, Trust, subject_attribute
from swarm.security.keyfiles import NodeBundle, load_bundle, save_bundle

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
)

SERVER_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_COMMON_OPTIONS,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Two daemons must never share a port by accident: the second one is told that it is taken.
    ("grpc.so_reuseport", 0),
)


class NodeCredentials:
    """Key, certificate and root of this node, and whom its listener trusts."""

    def __init__(self, path: Path, bundle: NodeBundle) -> None:
        """Use `bundle`, to be found at `path`; raises FailedPrecondition if it is not a node's."""
        self._path = path
        self._listeners: list[Callable[[], None]] = []
        self._generation = 0
        self._adopt(bundle)
        self._trust = Trust(cluster_id=self._identity.cluster_id, root_ca_pem=bundle.root_ca_pem)
        self._identifier = PeerIdentifier(self._trust)
        self._server_config = self._make_server_config()

    @classmethod
    def load(cls, path: Path) -> "NodeCredentials | None":
        """Return the saved credentials, None when this node has none."""
        bundle = load_bundle(path)
        return None if bundle is None else cls(path, bundle)

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
        """Key, certificate and root as they are now."""
        return self._bundle

    @property
    def validity_ns(self) -> tuple[int, int]:
        """First and last moment of the certificate, nanoseconds since the epoch."""
        return self._validity_ns

    @property
    def identifier(self) -> PeerIdentifier:
        """Tells who a peer is from its certificate."""
        return self._identifier

    def subscribe(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` after every renewal; returns the function that ends this."""
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def renew(self, bundle: NodeBundle) -> None:
        """Save and use a new certificate of the same node; open connections are not touched."""
        before = self._identity
        candidate = NodeCredentials(self._path, bundle).identity
        if (candidate.node_id, candidate.cluster_id) != (before.node_id, before.cluster_id):
            raise FailedPrecondition("the renewed certificate is that of another node")
        save_bundle(self._path, bundle)
        self._adopt(bundle)
        self._set_trust(replace(self._trust, root_ca_pem=bundle.root_ca_pem))
        self._generation += 1
        for on_change in tuple(self._listeners):
            on_change()

    def trust_tokens(self, worker_secret: str, manager_secret: str) -> None:
        """Accept joiners that hold these secrets, and no others; empty: none."""
        root = self._bundle.root_ca_pem
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
            return grpc.aio.secure_channel(addr, credentials, options=(*CHANNEL_OPTIONS, *options))

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

    def _adopt(self, bundle: NodeBundle) -> None:
        certificate = x509.load_pem_x509_certificate(bundle.cert_pem)
        root = x509.load_pem_x509_certificate(bundle.root_ca_pem)
        unit = subject_attribute(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
        if unit not in {Role.MANAGER.value, Role.WORKER.value} or certificate.issuer != root.subject:
            raise FailedPrecondition("the certificate is not that of a node, or not of this root")
        self._bundle = bundle
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
        # The root is part of the chain: a joiner compares it with the digest in its token.
        chain = bundle.cert_pem + bundle.root_ca_pem
        roots = trust.root_ca_pem + trust.worker_join_ca_pem + trust.manager_join_ca_pem
        return grpc.ssl_server_certificate_configuration([(bundle.key_pem, chain)], root_certificates=roots)
