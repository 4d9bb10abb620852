"""A listener with the real handshake and the real authorisation, and callers of every kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from swarm.api.v1.control_pb2 import (
    CreateServiceRequest,
    CreateServiceResponse,
    ListNodesResponse,
    ServiceLogsResponse,
)
from swarm.api.v1.control_pb2_grpc import ControlServicer, add_ControlServicer_to_server
from swarm.clock import SECOND, Clock, SystemClock
from swarm.security.audit import Note
from swarm.security.authorization import AuthorizationInterceptor, Standing, TlsCaller
from swarm.security.certificates import (
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    issue_user_certificate,
    new_key_pem,
)
from swarm.security.identity import NODES, Identity, Role, caller
from swarm.security.keyfiles import NodeBundle
from swarm.security.live_calls import LiveCalls
from swarm.security.tls import CHANNEL_OPTIONS, SERVER_OPTIONS, NodeCredentials

CLUSTER = "cluster1"
ROOT = create_root_ca(CLUSTER, SystemClock().now_ns())


class ShiftedClock(SystemClock):
    """The machine's clock, and what is added to it."""

    shift_s = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + round(self.shift_s * SECOND)


def bundle(
    role: Role,
    name: str = "one",
    root: KeyedCertificate = ROOT,
    *,
    cluster_id: str = CLUSTER,
    now_ns: int | None = None,
    lifetime_ns: int = 3600 * SECOND,
) -> NodeBundle:
    key = new_key_pem()
    now_ns = SystemClock().now_ns() if now_ns is None else now_ns
    about = {"role": role, "cluster_id": cluster_id, "now_ns": now_ns, "lifetime_ns": lifetime_ns}
    if role in NODES:
        cert = issue_node_certificate(root, create_csr(key), node_id=name, **about)
    else:
        cert = issue_user_certificate(root, create_csr(key), user=name, **about)
    return NodeBundle(cert, ROOT.cert_pem, key)


def manager(node_id: str = "m1") -> NodeCredentials:
    return NodeCredentials(Path("/dev/null/identity"), bundle(Role.MANAGER, node_id))


# A handshake may take long on a busy machine; one that is refused is over at once all the same.
PATIENT = (
    *(option for option in CHANNEL_OPTIONS if option[0] != "grpc.min_reconnect_backoff_ms"),
    ("grpc.min_reconnect_backoff_ms", 30_000),
)


def channel(addr: str, who: NodeBundle) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(who.root_ca_pem, who.key_pem, who.cert_pem)
    return grpc.aio.secure_channel(addr, credentials, options=PATIENT)


class WhoCalls(ControlServicer):
    """Answers who the caller is, once and for ever."""

    async def ListNodes(self, request, context):  # type: ignore[no-untyped-def]
        return ListNodesResponse(self_id=said(caller(context)))

    async def CreateService(self, request: CreateServiceRequest, context):  # type: ignore[no-untyped-def]
        return CreateServiceResponse(warnings=[said(caller(context))])

    async def ServiceLogs(self, request, context):  # type: ignore[no-untyped-def]
        yield ServiceLogsResponse(notice=said(caller(context)))
        if request.options.follow:
            await asyncio.Event().wait()


def said(who: Identity) -> str:
    return f"{who.role.name} {who.user or who.node_id}"


@asynccontextmanager
async def listening(
    clock: Clock | None = None,
    standing: Standing = lambda identity, _: identity,
    note: Note = lambda _: None,
) -> AsyncIterator[tuple[str, LiveCalls]]:
    credentials, live = manager(), LiveCalls()
    interceptor = AuthorizationInterceptor(
        TlsCaller(credentials, clock or SystemClock(), standing), live, note
    )
    server = grpc.aio.server(interceptors=[interceptor], options=SERVER_OPTIONS)
    add_ControlServicer_to_server(WhoCalls(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}", live
    finally:
        await server.stop(None)
