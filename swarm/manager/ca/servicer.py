"""Gives out node certificates: to whoever holds a join token, and to nodes whose certificate ends soon."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc
import structlog

from swarm.api.status import from_rpc_error
from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAServicer as NodeCABase
from swarm.api.v1.ca_pb2_grpc import NodeCAStub
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import Clock
from swarm.errors import FailedPrecondition, NotLeader
from swarm.manager.ca.issue import admit, certificate_lifetime_ns
from swarm.manager.store.store import Store
from swarm.security.authorization import is_forwarded, on_behalf_of
from swarm.security.certificates import KeyedCertificate, issue_node_certificate, node_id_of_csr
from swarm.security.identity import caller, certificate_role

log = structlog.get_logger(__name__)

FORWARD_TIMEOUT_S = 10.0

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
        self, store: Store, clock: Clock, leadership: Leadership, dial: Callable[[str], grpc.aio.Channel]
    ) -> None:
        """`dial` opens a channel to another manager."""
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
        key_node_id = node_id_of_csr(request.csr_pem)
        cluster = self._store.view.cluster
        if cluster is None:
            raise FailedPrecondition("this manager does not know its cluster yet: try again in a moment")
        now_ns = self._clock.now_ns()
        lifetime_ns = certificate_lifetime_ns(cluster)
        admission = await self._store.update(
            lambda tx: admit(tx, who, key_node_id, request.availability, now_ns + lifetime_ns)
        )
        cert_pem = issue_node_certificate(
            KeyedCertificate(cluster.root_ca.cert_pem, cluster.root_ca.key_pem),
            request.csr_pem,
            node_id=admission.node_id,
            role=certificate_role(admission.role),
            cluster_id=cluster.id,
            now_ns=now_ns,
            lifetime_ns=lifetime_ns,
        )
        log.info("ca.certificate_issued", node_id=admission.node_id, reason=who.role.value)
        return IssueCertificateResponse(
            node_id=admission.node_id,
            cluster_id=cluster.id,
            cert_pem=cert_pem,
            root_ca_pem=cluster.root_ca.cert_pem,
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
