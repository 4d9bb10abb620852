"""What requests about the cluster's root do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from cryptography import x509

from swarm.api.v1.control_pb2 import RootStatus, RotateCARequest
from swarm.api.v1.objects_pb2 import Cluster, RootCA
from swarm.api.v1.specs_pb2 import ExternalCA
from swarm.errors import FailedPrecondition, InvalidArgument, StaleVersion, Unavailable
from swarm.manager.controlapi.cluster import the_cluster
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.security.answers import Wanted
from swarm.security.certificates import (
    NODE_LIFETIME_FLOOR_NS,
    KeyedCertificate,
    create_csr,
    create_root_ca,
    new_key_pem,
)
from swarm.security.external_ca import ExternalSigner, check_external_cas
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.roots import check_keyed_root, check_root, cross_sign, join_pem
from swarm.security.rotation import Target, begun, needs_cross_signing, root_status, trusted_roots


def status(view: ReadView) -> RootStatus:
    """Return the root of the cluster, and how far the nodes are with the one that it changes to."""
    return root_status(the_cluster(view).root_ca, view.nodes)


class Rotation:
    """One request for another root. `prepare`, then `begin` in a transaction; secrets stay out of errors."""

    def __init__(self, request: RotateCARequest, bundle: Callable[[], NodeBundle]) -> None:
        """`bundle` returns with which key and certificate this manager asks external CAs."""
        if request.HasField("node_cert_expiry_ns") and request.node_cert_expiry_ns < NODE_LIFETIME_FLOOR_NS:
            raise InvalidArgument("node certificates must be valid for 10 seconds at least")
        check_external_cas(request.external_cas)
        self._request = RotateCARequest()
        self._request.CopyFrom(request)
        self._bundle = bundle
        self._prepared_for = RootCA()
        self._target = Target(b"")

    async def prepare(self, cluster: Cluster, now_ns: int, timeout_s: float) -> None:
        """Find, check and cross-sign the root to change to; raises UserErrors, or Unavailable."""
        root = self._wanted(cluster, now_ns)
        external_cas = self._external_cas(cluster, now_ns)
        self._prepared_for = cluster.root_ca
        cross_signed = b""
        async with _in_time(timeout_s):
            if needs_cross_signing(cluster.root_ca, root.cert_pem):
                cross_signed = await self._cross_signed(cluster, root)
            if not root.key_pem:
                await self._try_external(cluster, root.cert_pem, external_cas, now_ns)
        self._target = Target(root.cert_pem, root.key_pem, cross_signed)

    def begin(self, transaction: Transaction) -> None:
        """Write the rotation down; raises StaleVersion if the root changed since `prepare`."""
        cluster = the_cluster(transaction)
        before = self._prepared_for
        if (cluster.root_ca.cert_pem, cluster.root_ca.trust_version) != (
            before.cert_pem,
            before.trust_version,
        ):
            raise StaleVersion("the root of the cluster changed at the same moment: try again")
        changed = copy_of(cluster)
        changed.root_ca.CopyFrom(begun(cluster.root_ca, self._target))
        if self._request.HasField("node_cert_expiry_ns"):
            changed.spec.node_cert_expiry_ns = self._request.node_cert_expiry_ns
        if self._request.external_cas:
            del changed.spec.external_cas[:]
            changed.spec.external_cas.extend(self._request.external_cas)
        transaction.update(changed)

    def _wanted(self, cluster: Cluster, now_ns: int) -> KeyedCertificate:
        """Return the root to change to; its key is empty when an external CA signs."""
        cert_pem, key_pem = self._request.ca_cert_pem, self._request.ca_key_pem
        if key_pem and not cert_pem:
            raise InvalidArgument("a CA key was given without its certificate: give both")
        if not cert_pem:
            return create_root_ca(cluster.id, now_ns)
        if key_pem:
            return check_keyed_root(cert_pem, key_pem, now_ns)
        return KeyedCertificate(check_root(cert_pem, now_ns), b"")

    def _external_cas(self, cluster: Cluster, now_ns: int) -> list[ExternalCA]:
        for external in self._request.external_cas:
            if external.ca_cert_pem:
                external.ca_cert_pem = check_root(external.ca_cert_pem, now_ns)
        return list(self._request.external_cas or cluster.spec.external_cas)

    async def _cross_signed(self, cluster: Cluster, target: KeyedCertificate) -> bytes:
        root = cluster.root_ca
        if root.key_pem:
            return cross_sign(target.cert_pem, KeyedCertificate(root.cert_pem, root.key_pem))
        if not target.key_pem:
            raise FailedPrecondition(
                "the cluster cannot change from one external CA to another in one step: rotate to a root"
                " with its key first (swarmctl ca --rotate)"
            )
        signer = self._signer(cluster, root.cert_pem, list(cluster.spec.external_cas))
        subject = x509.load_pem_x509_certificate(target.cert_pem).subject
        return await signer.cross_sign(create_csr(target.key_pem, subject), target.cert_pem)

    async def _try_external(
        self, cluster: Cluster, cert_pem: bytes, external_cas: list[ExternalCA], now_ns: int
    ) -> None:
        """Have a certificate signed that nobody gets: a CA that does not work is refused at once."""
        wanted = Wanted(create_csr(new_key_pem()), "trial", Role.WORKER, cluster.id)
        await self._signer(cluster, cert_pem, external_cas).sign(wanted, now_ns)

    def _signer(self, cluster: Cluster, root_pem: bytes, external_cas: list[ExternalCA]) -> ExternalSigner:
        trusted = join_pem([trusted_roots(cluster.root_ca), root_pem])
        return ExternalSigner(external_cas, root_pem, trusted, self._bundle())


@contextlib.asynccontextmanager
async def _in_time(timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise Unavailable(
            f"the external CA did not sign within {timeout_s:.1f} s: nothing was changed"
        ) from None
