"""Handshakes for real, over loopback: who is let in, as whom, and what is said to those who are not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAServicer, NodeCAStub, add_NodeCAServicer_to_server
from swarm.api.v1.control_pb2 import (
    ListNodesRequest,
    ListNodesResponse,
    ServiceLogsRequest,
    ServiceLogsResponse,
)
from swarm.api.v1.control_pb2_grpc import ControlServicer, ControlStub, add_ControlServicer_to_server
from swarm.api.v1.dispatcher_pb2 import AgentMessage, DispatcherMessage
from swarm.api.v1.dispatcher_pb2_grpc import (
    DispatcherServicer,
    DispatcherStub,
    add_DispatcherServicer_to_server,
)
from swarm.clock import SystemClock
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NodeRemoved,
    Unauthenticated,
    Unavailable,
)
from swarm.security.authorization import (
    FORWARDED_KEY,
    AuthorizationInterceptor,
    Standing,
    TlsCaller,
    is_forwarded,
    on_behalf_of,
)
from swarm.security.bootstrap import _read_chain, find_manager
from swarm.security.certificates import (
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    new_key_pem,
)
from swarm.security.identity import Identity, Role, caller
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials
from swarm.security.tokens import format_token, new_secret, parse_token

CLOCK = SystemClock()
NOW = CLOCK.now_ns()
CLUSTER = "cluster1"
ROOT = create_root_ca(CLUSTER, NOW)


def credentials(
    role: Role = Role.MANAGER,
    node_id: str = "node1",
    root: KeyedCertificate = ROOT,
    path: Path = Path("/dev/null/identity"),
) -> NodeCredentials:
    return NodeCredentials(path, bundle(role, node_id, root))


def bundle(role: Role, node_id: str = "node1", root: KeyedCertificate = ROOT) -> NodeBundle:
    key = new_key_pem()
    cert = issue_node_certificate(
        root, create_csr(key), node_id=node_id, role=role, cluster_id=CLUSTER, now_ns=CLOCK.now_ns()
    )
    return NodeBundle(cert, root.cert_pem, key)


class WhoAmI(NodeCAServicer, ControlServicer, DispatcherServicer):
    """Answers who the caller is, from each kind of method."""

    leader: grpc.aio.Channel | None = None

    async def IssueCertificate(self, request, context):  # type: ignore[no-untyped-def]
        if self.leader is not None and not is_forwarded(context):
            return await NodeCAStub(self.leader).IssueCertificate(request, metadata=on_behalf_of(context))
        who = caller(context)
        return IssueCertificateResponse(node_id=f"{who.role.name}:{who.node_id}")

    async def ListNodes(self, request, context):  # type: ignore[no-untyped-def]
        return ListNodesResponse(self_id=caller(context).node_id)

    async def ServiceLogs(self, request, context):  # type: ignore[no-untyped-def]
        yield ServiceLogsResponse(notice=caller(context).node_id)

    async def Session(self, request_iterator, context):  # type: ignore[no-untyped-def]
        async for _message in request_iterator:
            message = DispatcherMessage()
            message.welcome.session_id = caller(context).node_id
            yield message


@asynccontextmanager
async def serving(
    server_credentials: NodeCredentials, standing: Standing | None = None, servicer: WhoAmI | None = None
) -> AsyncIterator[str]:
    standing = standing or (lambda identity, _method: identity)
    interceptor = AuthorizationInterceptor(TlsCaller(server_credentials, CLOCK, standing))
    server = grpc.aio.server(interceptors=[interceptor], options=SERVER_OPTIONS)
    servicer = servicer or WhoAmI()
    for add in (
        add_NodeCAServicer_to_server,
        add_ControlServicer_to_server,
        add_DispatcherServicer_to_server,
    ):
        add(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def who_am_i(channel: grpc.aio.Channel, **options: object) -> str:
    async with channel:
        answer = await NodeCAStub(channel).IssueCertificate(IssueCertificateRequest(), timeout=60, **options)
        return answer.node_id


def joinable() -> tuple[NodeCredentials, str, str]:
    manager = credentials()
    worker_secret, manager_secret = new_secret(), new_secret()
    manager.trust_tokens(worker_secret, manager_secret)
    return manager, format_token(ROOT.cert_pem, worker_secret), format_token(ROOT.cert_pem, manager_secret)


async def test_nodes_are_known_by_their_certificates() -> None:
    async with serving(credentials()) as addr:
        assert await who_am_i(credentials(Role.WORKER, "w1").channel(addr)) == "WORKER:w1"
        assert await who_am_i(credentials(Role.MANAGER, "m2").channel(addr)) == "MANAGER:m2"


async def test_the_caller_is_known_in_streams_as_well() -> None:
    async with serving(credentials()) as addr, credentials(Role.MANAGER, "m2").channel(addr) as channel:
        passed_on = ((FORWARDED_KEY, "1"),)
        logs = ControlStub(channel).ServiceLogs(ServiceLogsRequest(), timeout=60, metadata=passed_on)
        assert [answer.notice async for answer in logs] == ["m2"]

        async def one() -> AsyncIterator[AgentMessage]:
            yield AgentMessage()

        session = DispatcherStub(channel).Session(one(), timeout=60)
        assert [answer.welcome.session_id async for answer in session] == ["m2"]


async def test_a_worker_is_refused_what_only_managers_may() -> None:
    async with serving(credentials()) as addr, credentials(Role.WORKER).channel(addr) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="Control/ListNodes is not for a worker") as caught:
            await ControlStub(channel).ListNodes(ListNodesRequest(), timeout=60)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_removed_node_is_told_so_at_once() -> None:
    def standing(identity: Identity, _method: str) -> Identity:
        raise NodeRemoved(f"node {identity.node_id} was removed from the cluster")

    async with (
        serving(credentials(), standing) as addr,
        credentials(Role.WORKER, "w1").channel(addr) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="node w1 was removed from the cluster") as caught:
            await NodeCAStub(channel).IssueCertificate(IssueCertificateRequest(), timeout=60)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert dict(caught.value.trailing_metadata() or ())["swarm-error"] == "NodeRemoved"


@pytest.mark.parametrize("kind", ["worker", "manager"])
async def test_a_token_lets_a_joiner_in_as_what_the_token_is_for(kind: str) -> None:
    manager, worker_token, manager_token = joinable()
    token = parse_token(worker_token if kind == "worker" else manager_token)
    async with serving(manager) as addr:
        found = await find_manager(addr, token, NOW)
        assert found.root_ca_pem == ROOT.cert_pem
        assert await who_am_i(found.channel()) == f"JOIN_{kind.upper()}:"


async def test_a_joiner_may_not_call_anything_else() -> None:
    manager, worker_token, _ = joinable()
    async with serving(manager) as addr:
        found = await find_manager(addr, parse_token(worker_token), NOW)
        async with found.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="not for a node that is about to join"):
                await ControlStub(channel).ListNodes(ListNodesRequest(), timeout=60)


async def test_a_rotated_token_is_refused_without_a_restart() -> None:
    manager, worker_token, _ = joinable()
    token = parse_token(worker_token)
    async with serving(manager) as addr:
        found = await find_manager(addr, token, NOW)
        async with found.channel() as channel:
            await NodeCAStub(channel).IssueCertificate(IssueCertificateRequest(), timeout=60)
            manager.trust_tokens(new_secret(), new_secret())
            with pytest.raises(
                grpc.aio.AioRpcError, match="rotated"
            ):  # on a connection that is open already
                await NodeCAStub(channel).IssueCertificate(IssueCertificateRequest(), timeout=60)
        with pytest.raises(Unauthenticated, match=r"refuses the token.*swarmctl join-token"):
            await find_manager(addr, token, NOW)


async def test_a_wrong_secret_is_refused() -> None:
    manager, _, _ = joinable()
    async with serving(manager) as addr:
        with pytest.raises(Unauthenticated, match="refuses the token"):
            await find_manager(addr, parse_token(format_token(ROOT.cert_pem, new_secret())), NOW)


async def test_a_token_of_another_cluster_is_told_apart() -> None:
    manager, worker_token, _ = joinable()
    secret = parse_token(worker_token).secret
    other = format_token(create_root_ca("cluster2", NOW).cert_pem, secret)
    async with serving(manager) as addr:
        with pytest.raises(InvalidArgument, match="for another cluster") as caught:
            await find_manager(addr, parse_token(other), NOW)
    assert secret not in str(caught.value)


async def test_a_stranger_that_shows_the_right_root_is_found_out() -> None:
    """The root certificate is public: showing it proves nothing."""
    impostor_root = create_root_ca(CLUSTER, NOW)
    stranger = bundle(Role.MANAGER, root=impostor_root)
    roots = impostor_root.cert_pem + ROOT.cert_pem
    fake = NodeCredentials(
        Path("/dev/null/identity"), NodeBundle(stranger.cert_pem, roots, stranger.key_pem)
    )
    async with serving(fake) as addr:
        with pytest.raises(FailedPrecondition, match="did not issue"):
            await find_manager(addr, parse_token(joinable()[1]), NOW)


async def test_a_worker_that_plays_manager_is_found_out() -> None:
    async with serving(credentials(Role.WORKER)) as addr:
        with pytest.raises(FailedPrecondition, match="not a manager"):
            await find_manager(addr, parse_token(joinable()[1]), NOW)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await who_am_i(credentials(Role.WORKER, "w2").channel(addr))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_wrong_clock_is_named_as_the_reason() -> None:
    manager, worker_token, _ = joinable()
    async with serving(manager) as addr:
        with pytest.raises(FailedPrecondition, match="clocks"):
            await find_manager(addr, parse_token(worker_token), NOW - 10**18)


async def test_nobody_listening_is_not_reachable() -> None:
    async with serving(credentials()) as addr:
        pass
    with pytest.raises(Unavailable, match=f"cannot reach {addr}.*refused"):
        await find_manager(addr, parse_token(joinable()[1]), NOW)


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_server_without_tls_is_not_a_manager(greeting: bytes) -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FailedPrecondition, match="does not speak TLS"):
            await find_manager(f"127.0.0.1:{port}", parse_token(joinable()[1]), NOW)


async def test_a_silent_server_does_not_hang_the_joiner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.security.bootstrap.CONNECT_TIMEOUT_S", 0.2)
    writers = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match="does not answer as a manager"):
            await find_manager(f"127.0.0.1:{port}", parse_token(joinable()[1]), NOW)
        for writer in writers:
            writer.close()
            await writer.wait_closed()


async def test_a_certificate_of_a_foreign_root_completes_no_handshake() -> None:
    foreign_root = create_root_ca(CLUSTER, NOW)
    foreign = bundle(Role.MANAGER, root=foreign_root)
    roots = foreign_root.cert_pem + ROOT.cert_pem
    stranger = NodeCredentials(Path("/x"), NodeBundle(foreign.cert_pem, roots, foreign.key_pem))
    async with serving(credentials()) as addr:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await who_am_i(stranger.channel(addr))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_follower_passes_a_joiner_on_and_the_leader_sees_the_joiner() -> None:
    leader_side, worker_token, _ = joinable()
    secrets = parse_token(worker_token).secret, new_secret()
    follower_side = credentials(node_id="m2")
    follower_side.trust_tokens(*secrets)
    async with serving(leader_side) as leader_addr, follower_side.channel(leader_addr) as to_leader:
        follower = WhoAmI()
        follower.leader = to_leader
        async with serving(follower_side, servicer=follower) as addr:
            found = await find_manager(addr, parse_token(worker_token), NOW)
            assert await who_am_i(found.channel()) == "JOIN_WORKER:"
            assert await who_am_i(credentials(Role.WORKER, "w1").channel(addr)) == "WORKER:w1"


async def test_a_worker_may_not_call_for_a_manager() -> None:
    manager = bundle(Role.MANAGER, "m1")
    metadata = (("swarm-on-behalf-of-bin", manager.cert_pem),)
    async with serving(credentials()) as addr:
        with pytest.raises(grpc.aio.AioRpcError, match="only managers may call for others"):
            await who_am_i(credentials(Role.WORKER, "w1").channel(addr), metadata=metadata)


async def test_a_demoted_manager_may_not_call_for_others_with_its_old_certificate() -> None:
    def standing(identity: Identity, _method: str) -> Identity:
        role = Role.WORKER if identity.node_id == "demoted" else identity.role
        return Identity(identity.node_id, role, identity.cluster_id)

    metadata = (("swarm-on-behalf-of-bin", bundle(Role.MANAGER, "m1").cert_pem),)
    async with serving(credentials(), standing) as addr:
        with pytest.raises(grpc.aio.AioRpcError, match="only managers may call for others"):
            await who_am_i(credentials(Role.MANAGER, "demoted").channel(addr), metadata=metadata)


async def test_what_a_manager_passes_on_is_verified_again() -> None:
    foreign = bundle(Role.MANAGER, "m9", create_root_ca(CLUSTER, NOW))
    metadata = (("swarm-on-behalf-of-bin", foreign.cert_pem),)
    async with serving(credentials()) as addr:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await who_am_i(credentials(Role.MANAGER, "m2").channel(addr), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_renewed_certificate_is_shown_in_the_next_handshake(tmp_path: Path) -> None:
    path = tmp_path / "certificates" / "node.pem"
    manager = NodeCredentials.create(path, bundle(Role.MANAGER))
    told: list[int] = []
    manager.subscribe(lambda: told.append(1))
    async with serving(manager) as addr:
        before = await _shown_certificate(addr)
        manager.renew(bundle(Role.MANAGER))
        assert await _shown_certificate(addr) != before
    assert told == [1]
    again = NodeCredentials.load(path)
    assert again is not None
    assert again.bundle == manager.bundle


async def test_a_kept_channel_presents_the_renewed_certificate_and_its_streams_go_on(tmp_path: Path) -> None:
    promoted = NodeCredentials.create(tmp_path / "node.pem", bundle(Role.WORKER, "n1"))
    more = asyncio.Event()

    async def two() -> AsyncIterator[AgentMessage]:
        yield AgentMessage()
        await more.wait()
        yield AgentMessage()

    async with serving(credentials()) as addr, promoted.channel(addr) as channel:
        stub = NodeCAStub(channel)
        assert (await stub.IssueCertificate(IssueCertificateRequest(), timeout=60)).node_id == "WORKER:n1"
        session = DispatcherStub(channel).Session(two(), timeout=60)
        await session.read()
        promoted.renew(bundle(Role.MANAGER, "n1"))
        assert (await stub.IssueCertificate(IssueCertificateRequest(), timeout=60)).node_id == "MANAGER:n1"
        more.set()
        assert (await session.read()).welcome.session_id == "n1"  # begun before the renewal


async def test_a_certificate_of_another_node_is_no_renewal(tmp_path: Path) -> None:
    path = tmp_path / "node.pem"
    manager = NodeCredentials.create(path, bundle(Role.MANAGER, "node1"))
    with pytest.raises(FailedPrecondition, match="another node"):
        manager.renew(bundle(Role.MANAGER, "node2"))
    loaded = NodeCredentials.load(path)
    assert loaded is not None
    assert loaded.identity.node_id == "node1"


async def _shown_certificate(addr: str) -> bytes:
    return (await _read_chain(addr))[0].fingerprint(SHA256())
