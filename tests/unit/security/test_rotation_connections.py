"""Handshakes for real while a cluster changes from one root to another: nobody is cut off, nobody stays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from swarm.api.v1.control_pb2 import ServiceLogsRequest
from swarm.api.v1.control_pb2_grpc import ControlStub, add_ControlServicer_to_server
from swarm.api.v1.dispatcher_pb2 import AgentMessage, DispatcherMessage
from swarm.api.v1.dispatcher_pb2_grpc import (
    DispatcherServicer,
    DispatcherStub,
    add_DispatcherServicer_to_server,
)
from swarm.api.v1.objects_pb2 import RootCA
from swarm.clock import SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.security.authorization import AuthorizationInterceptor, TlsCaller
from swarm.security.bootstrap import find_manager
from swarm.security.certificates import (
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    new_key_pem,
)
from swarm.security.identity import Role, caller
from swarm.security.keyfiles import NodeBundle
from swarm.security.live_calls import LiveCalls
from swarm.security.roots import cross_sign
from swarm.security.rotation import Target, begun, finished, issuer_of, trusted_roots
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials
from swarm.security.tokens import format_token, new_secret, parse_token
from tests.unit.security.listener import CLUSTER, WhoCalls

CLOCK = SystemClock()
NOW = CLOCK.now_ns()
OLD, NEW = create_root_ca(CLUSTER, NOW), create_root_ca(CLUSTER, NOW)
SECRETS = new_secret(), new_secret()
BEFORE = RootCA(
    cert_pem=OLD.cert_pem, key_pem=OLD.key_pem, worker_secret=SECRETS[0], manager_secret=SECRETS[1]
)
DURING = begun(BEFORE, Target(NEW.cert_pem, NEW.key_pem, cross_sign(NEW.cert_pem, OLD)))
AFTER = finished(DURING, *SECRETS)


def bundle(issued: RootCA, trusted: RootCA, role: Role, node_id: str) -> NodeBundle:
    """What a node has that got its certificate in one phase and heard of its roots in another."""
    key_pem, issuer = new_key_pem(), issuer_of(issued)
    signer = KeyedCertificate(issuer.root_pem, issuer.key_pem)
    cert_pem = issue_node_certificate(
        signer, create_csr(key_pem), node_id=node_id, role=role, cluster_id=CLUSTER, now_ns=NOW
    )
    return NodeBundle(cert_pem + issuer.intermediates_pem, trusted_roots(trusted), key_pem)


def node(issued: RootCA, trusted: RootCA, role: Role = Role.WORKER, node_id: str = "w1") -> NodeCredentials:
    return NodeCredentials(Path("/dev/null/identity"), bundle(issued, trusted, role, node_id))


def manager(issued: RootCA, trusted: RootCA) -> NodeCredentials:
    made = node(issued, trusted, Role.MANAGER, "m1")
    made.trust_tokens(*SECRETS, trusted.cert_pem)
    return made


class Sessions(DispatcherServicer):
    """Says hello and keeps the stream open."""

    async def Session(self, request_iterator, context):  # type: ignore[no-untyped-def]
        async for _ in request_iterator:
            yield DispatcherMessage()
            assert caller(context).node_id


@asynccontextmanager
async def serving(credentials: NodeCredentials) -> AsyncIterator[tuple[str, LiveCalls]]:
    live = LiveCalls()
    interceptor = AuthorizationInterceptor(TlsCaller(credentials, CLOCK), live)
    server = grpc.aio.server(interceptors=[interceptor], options=SERVER_OPTIONS)
    add_ControlServicer_to_server(WhoCalls(), server)
    add_DispatcherServicer_to_server(Sessions(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}", live
    finally:
        await server.stop(None)


async def speak(addr: str, who: NodeCredentials) -> None:
    async with who.channel(addr) as channel:
        session = DispatcherStub(channel).Session(timeout=60)
        await session.write(AgentMessage())
        assert await session.read() == DispatcherMessage()
        session.cancel()


@pytest.mark.parametrize(
    ("served_by", "called_by"),
    [
        (manager(BEFORE, DURING), node(BEFORE, BEFORE)),  # it has just begun
        (manager(DURING, DURING), node(BEFORE, BEFORE)),  # the node has not heard of it
        (manager(DURING, DURING), node(BEFORE, DURING)),
        (manager(BEFORE, DURING), node(DURING, DURING)),  # this manager is slow
        (manager(DURING, DURING), node(DURING, DURING)),
        (manager(DURING, AFTER), node(DURING, DURING)),  # it is over, the node has not heard of that
        (manager(DURING, DURING), node(DURING, AFTER)),
        (manager(DURING, AFTER), node(DURING, AFTER)),
        (manager(AFTER, AFTER), node(DURING, DURING)),
    ],
)
async def test_at_every_stage_nodes_and_managers_accept_each_other(
    served_by: NodeCredentials, called_by: NodeCredentials
) -> None:
    async with serving(served_by) as (addr, _):
        await speak(addr, called_by)


@pytest.mark.parametrize(
    ("served_by", "called_by"),
    [(manager(AFTER, AFTER), node(BEFORE, DURING)), (manager(BEFORE, DURING), node(AFTER, AFTER))],
)
async def test_afterwards_certificates_of_the_old_root_are_refused(
    served_by: NodeCredentials, called_by: NodeCredentials
) -> None:
    async with serving(served_by) as (addr, _):
        async with called_by.channel(addr) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(aiter(ControlStub(channel).ServiceLogs(ServiceLogsRequest(), timeout=60)))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_afterwards_streams_of_old_certificates_end_and_others_go_on() -> None:
    served_by = manager(DURING, DURING)
    async with serving(served_by) as (addr, live):
        late, renewed = node(BEFORE, DURING, node_id="late"), node(DURING, DURING, node_id="renewed")
        async with late.channel(addr) as one, renewed.channel(addr) as two:
            old, new = DispatcherStub(one).Session(timeout=60), DispatcherStub(two).Session(timeout=60)
            for session in (old, new):
                await session.write(AgentMessage())
                await session.read()
            served_by.trust_roots(trusted_roots(AFTER), AFTER.trust_version)
            live.recheck()
            assert await old.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "no longer trusts" in str(await old.details())
            await new.write(AgentMessage())
            assert await new.read() == DispatcherMessage()


@pytest.mark.parametrize(
    "served_by", [manager(BEFORE, BEFORE), manager(BEFORE, DURING), manager(DURING, DURING)]
)
async def test_a_token_works_until_the_rotation_is_over(served_by: NodeCredentials) -> None:
    token = parse_token(format_token(OLD.cert_pem, SECRETS[0]))
    async with serving(served_by) as (addr, _):
        found = await find_manager(addr, token, NOW)
        assert found.root_ca_pem == OLD.cert_pem
        async with found.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="not for a node that is about to join"):
                await anext(aiter(ControlStub(channel).ServiceLogs(ServiceLogsRequest(), timeout=60)))


async def test_a_token_from_before_the_rotation_is_told_so_and_the_new_one_works() -> None:
    async with serving(manager(DURING, AFTER)) as (addr, _):
        with pytest.raises(InvalidArgument, match="from before its CA was rotated"):
            await find_manager(addr, parse_token(format_token(OLD.cert_pem, SECRETS[0])), NOW)
        found = await find_manager(addr, parse_token(format_token(NEW.cert_pem, SECRETS[0])), NOW)
        assert found.root_ca_pem == NEW.cert_pem


async def test_a_stranger_cannot_pass_off_a_root_of_its_own_as_the_next_one() -> None:
    """Its chain shows the real root and the real intermediate; neither belongs to its certificate."""
    own = create_root_ca(CLUSTER, NOW)
    forged = bundle(RootCA(cert_pem=own.cert_pem, key_pem=own.key_pem), BEFORE, Role.MANAGER, "m1")
    roots = own.cert_pem + OLD.cert_pem
    chain = forged.cert_pem + DURING.rotation.cross_signed_pem
    stranger = NodeCredentials(Path("/x"), NodeBundle(chain, roots, forged.key_pem))
    async with serving(stranger) as (addr, _):
        with pytest.raises(FailedPrecondition, match="did not issue"):
            await find_manager(addr, parse_token(format_token(OLD.cert_pem, SECRETS[0])), NOW)


def test_a_node_does_not_go_back_to_roots_it_has_heard_less_of(tmp_path: Path) -> None:
    credentials = NodeCredentials.create(tmp_path / "node.pem", bundle(DURING, DURING, Role.WORKER, "w1"))
    assert credentials.trust_roots(trusted_roots(AFTER), AFTER.trust_version)
    assert not credentials.trust_roots(
        trusted_roots(DURING), DURING.trust_version
    )  # a manager that is behind
    assert credentials.bundle.root_ca_pem == NEW.cert_pem
    credentials.renew(bundle(DURING, DURING, Role.WORKER, "w1"), DURING.trust_version)
    assert credentials.bundle.root_ca_pem == NEW.cert_pem
    loaded = NodeCredentials.load(tmp_path / "node.pem")
    assert loaded is not None
    assert loaded.bundle == credentials.bundle


def test_a_full_disk_does_not_keep_a_root_trusted(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "node.pem"
    credentials = NodeCredentials.create(path, bundle(DURING, DURING, Role.WORKER, "w1"))
    path.rename(tmp_path / "node.pem")
    path.parent.rmdir()
    path.parent.write_text("in the way")
    assert credentials.trust_roots(trusted_roots(AFTER), AFTER.trust_version)
    assert credentials.bundle.root_ca_pem == NEW.cert_pem


def test_a_certificate_that_cannot_be_saved_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "node.pem"
    credentials = NodeCredentials.create(path, bundle(BEFORE, BEFORE, Role.WORKER, "w1"))
    before = credentials.bundle
    path.rename(tmp_path / "node.pem")
    path.parent.rmdir()
    path.parent.write_text("in the way")
    with pytest.raises(OSError, match=r"exists|directory"):
        credentials.renew(bundle(DURING, DURING, Role.WORKER, "w1"), DURING.trust_version)
    assert credentials.bundle == before


def test_a_node_that_the_cluster_left_behind_keeps_its_file_readable(tmp_path: Path) -> None:
    credentials = NodeCredentials.create(tmp_path / "node.pem", bundle(BEFORE, DURING, Role.WORKER, "w1"))
    credentials.trust_roots(trusted_roots(AFTER), AFTER.trust_version)
    assert NodeCredentials.load(tmp_path / "node.pem") is not None
