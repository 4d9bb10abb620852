"""Gives out node certificates: to whoever holds a join token, and to nodes whose certificate ends soon."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc
import structlog
from cryptography import x509

from swarm.api.status import from_rpc_error
from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAServicer as NodeCABase
from swarm.api.v1.ca_pb2_grpc import NodeCAStub
from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import SECOND, Clock
from swarm.errors import FailedPrecondition, NotLeader, Unavailable
from swarm.manager.ca.issue import (
    Admission,
    Application,
    admit,
    certificate_lifetime_ns,
    decide,
    former_node_id,
)
from swarm.manager.ca.signing import Signed, sign
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.security.answers import Wanted
from swarm.security.authorization import is_forwarded, on_behalf_of
from swarm.security.certificates import node_id_of_csr
from swarm.security.identity import Identity, caller, certificate_role
from swarm.security.keyfiles import NodeBundle

log = structlog.get_logger(__name__)

FORWARD_TIMEOUT_S = 10.0
ATTEMPTS_MAX = 3  # roles and roots change rarely

Context = grpc.aio.ServicerContext[Any, Any]


class Leadership(Protocol):
    """What this servicer asks of Raft."""

    @property
    def is_leader(self) -> bool:
        """Whether this manager leads."""

    @property
    def leader(self) -> RaftMember | None:
        """The leader, None when none is known."""

    @property
    def members(self) -> Sequence[RaftMember]:
        """All managers."""


class NodeCAServicer(NodeCABase):
    """Serves swarm.api.v1.NodeCA on every manager; only the leader signs."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        leadership: Leadership,
        dial: Callable[[str], grpc.aio.Channel],
        bundle: Callable[[], NodeBundle],
    ) -> None:
        """`dial` opens a channel to another manager; `bundle` is what this one shows an external CA."""
        self._bundle = bundle
        self._store = store
        self._clock = clock
        self._leadership = leadership
        self._dial = dial

    async def IssueCertificate(
        self, request: IssueCertificateRequest, context: Context
    ) -> IssueCertificateResponse:
        """Return a certificate for the key of the request, in the role that the store gives the caller."""
        if not self._leadership.is_leader:
            return await self._forward(request, context)
        who = caller(context)
        for _ in range(ATTEMPTS_MAX):
            application = self._application(request, who)
            signed, admission = await self._sign(request.csr_pem, application)
            if await self._commit(application, admission, signed):
                log.info("ca.certificate_issued", node_id=admission.node_id, reason=who.role.value)
                return self._answer(admission, signed)
        raise Unavailable("the cluster changes too quickly to issue a certificate: try again")

    def _application(self, request: IssueCertificateRequest, who: Identity) -> Application:
        former = ""
        if request.previous_cert_pem:
            former = former_node_id(request.previous_cert_pem, request.csr_pem, self._cluster())
        return Application(who, node_id_of_csr(request.csr_pem), request.availability, former)

    async def _sign(self, csr_pem: bytes, application: Application) -> tuple[Signed, Admission]:
        """Sign first, so that nothing is written for a node that gets no certificate."""
        cluster = self._cluster()
        admission = decide(self._store.view, application)
        wanted = Wanted(csr_pem, admission.node_id, certificate_role(admission.role), cluster.id)
        now_ns, lifetime_ns = self._clock.now_ns(), certificate_lifetime_ns(cluster)
        return await sign(cluster, wanted, self._bundle(), now_ns, lifetime_ns), admission

    async def _commit(self, application: Application, admission: Admission, signed: Signed) -> bool:
        """Write the certificate down; False when it is not what the cluster wants any more."""
        certificate = x509.load_pem_x509_certificate(signed.cert_pem)
        expires_at_ns = int(certificate.not_valid_after_utc.timestamp()) * SECOND

        def change(transaction: Transaction) -> bool:
            root = the_cluster(transaction.cluster).root_ca
            if root.trust_version != signed.trust_version or decide(transaction, application) != admission:
                return False
            admit(transaction, application, expires_at_ns)
            return True

        return await self._store.update(change)

    def _cluster(self) -> Cluster:
        return the_cluster(self._store.view.cluster)

    def _answer(self, admission: Admission, signed: Signed) -> IssueCertificateResponse:
        return IssueCertificateResponse(
            node_id=admission.node_id,
            cluster_id=self._cluster().id,
            cert_pem=signed.chain_pem,
            root_ca_pem=signed.roots_pem,
            trust_version=signed.trust_version,
            role=admission.role,
            managers=[Peer(node_id=item.node_id, addr=item.addr) for item in self._leadership.members],
        )

    async def _forward(self, request: IssueCertificateRequest, context: Context) -> IssueCertificateResponse:
        """Ask the leader for the caller, whose certificate this manager verified and passes on."""
        leader = self._leadership.leader
        if leader is None or is_forwarded(context):
            raise NotLeader(leader.addr if leader else "")
        async with contextlib.AsyncExitStack() as stack:
            channel = await stack.enter_async_context(self._dial(leader.addr))
            try:
                return await NodeCAStub(channel).IssueCertificate(
                    request, metadata=on_behalf_of(context), timeout=FORWARD_TIMEOUT_S
                )
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error


def the_cluster(cluster: Cluster | None) -> Cluster:
    """Return the cluster object; raises FailedPrecondition while this manager does not have it."""
    if cluster is None:
        raise FailedPrecondition("this manager does not know its cluster yet: try again in a moment")
    return cluster
