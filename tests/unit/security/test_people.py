"""Operators and viewers: who they are, over which way they may ask, and what others cannot gain by them."""

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from swarm.api.v1.control_pb2 import CreateServiceRequest, ListNodesRequest, ServiceLogsRequest
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.api.v1.users_pb2 import AuditRecord
from swarm.clock import SECOND, SystemClock
from swarm.errors import FailedPrecondition, InvalidArgument, InvariantBroken, NodeRemoved, Unauthenticated
from swarm.security.authorization import FORWARDED_KEY, ON_BEHALF_OF
from swarm.security.certificates import create_csr, issue_user_certificate, new_key_pem
from swarm.security.identity import Identity, Role, Trust, identify
from swarm.security.keyfiles import NodeBundle
from swarm.security.people import UnknownUser
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials
from tests.unit.security.listener import CLUSTER, ROOT, ShiftedClock, bundle, channel, listening

FORWARDED = ((FORWARDED_KEY, "1"),)
NOW = SystemClock().now_ns()
PEOPLE = [Role.OPERATOR, Role.VIEWER]


async def list_as(addr: str, who: NodeBundle, metadata: tuple[tuple[str, str | bytes], ...] = ()) -> str:
    async with channel(addr, who) as open_channel:
        call = ControlStub(open_channel).ListNodes(ListNodesRequest(), timeout=60, metadata=metadata)
        return (await call).self_id


async def create_as(addr: str, who: NodeBundle, metadata: tuple[tuple[str, str | bytes], ...] = ()) -> str:
    async with channel(addr, who) as open_channel:
        call = ControlStub(open_channel).CreateService(CreateServiceRequest(), timeout=60, metadata=metadata)
        return (await call).warnings[0]


def behalf(role: Role, name: str = "other") -> tuple[tuple[str, str | bytes], ...]:
    return (*FORWARDED, (ON_BEHALF_OF, bundle(role, name).cert_pem))


@pytest.mark.parametrize("role", PEOPLE)
def test_a_users_certificate_says_who_and_what_they_are(role: Role) -> None:
    certificate = x509.load_pem_x509_certificate(bundle(role, "ann@example.org").cert_pem)
    who = identify(certificate, Trust(CLUSTER, ROOT.cert_pem), NOW)
    assert who == Identity(node_id="", role=role, cluster_id=CLUSTER, user="ann@example.org")


@pytest.mark.parametrize("user", ["", "-x", "a b", "a/b", "x" * 65, "ä", "a\n"])
def test_a_name_that_would_confuse_is_refused(user: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot be the name of a user"):
        bundle(Role.VIEWER, user)


def test_no_user_is_issued_the_role_of_a_node() -> None:
    with pytest.raises(InvariantBroken):
        issue_user_certificate(
            ROOT, create_csr(new_key_pem()), user="ann", role=Role.MANAGER, cluster_id=CLUSTER, now_ns=NOW
        )


def test_a_users_certificate_is_not_a_nodes() -> None:
    with pytest.raises(FailedPrecondition, match="not that of a node"):
        NodeCredentials(Path("/x"), bundle(Role.OPERATOR))


async def test_a_user_named_like_a_manager_cannot_play_one() -> None:
    """Whoever gets nodes to talk to it would be handed their requests."""
    fake = bundle(Role.OPERATOR, "swarm-manager")
    server = grpc.aio.server(options=SERVER_OPTIONS)
    credentials = grpc.ssl_server_credentials([(fake.key_pem, fake.cert_pem + fake.root_ca_pem)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await list_as(f"127.0.0.1:{port}", bundle(Role.WORKER))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop(None)


async def test_people_call_by_their_names() -> None:
    async with listening() as (addr, _):
        assert await list_as(addr, bundle(Role.VIEWER, "vic")) == "VIEWER vic"
        assert await create_as(addr, bundle(Role.OPERATOR, "ann")) == "OPERATOR ann"
        with pytest.raises(grpc.aio.AioRpcError, match="Control/CreateService is not for a viewer"):
            await create_as(addr, bundle(Role.VIEWER))


async def test_a_manager_passes_on_a_person_as_what_they_are() -> None:
    async with listening() as (addr, _):
        asking = bundle(Role.MANAGER, "m2")
        assert await create_as(addr, asking, FORWARDED) == "LOCAL m2"
        assert await create_as(addr, asking, behalf(Role.OPERATOR, "ann")) == "OPERATOR ann"
        assert await list_as(addr, asking, behalf(Role.VIEWER, "vic")) == "VIEWER vic"


@pytest.mark.parametrize(
    ("role", "sentence"), [(Role.VIEWER, "not for a viewer"), (Role.WORKER, "not for a worker"),
                           (Role.MANAGER, "not for a manager")],
)  # fmt: skip
async def test_nobody_gains_a_right_through_a_manager(role: Role, sentence: str) -> None:
    async with listening() as (addr, _):
        with pytest.raises(grpc.aio.AioRpcError, match=sentence) as caught:
            await create_as(addr, bundle(Role.MANAGER, "m2"), behalf(role))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_manager_asks_nothing_of_control_for_itself() -> None:
    async with listening() as (addr, _):
        with pytest.raises(grpc.aio.AioRpcError, match="Control/ListNodes is not for a manager"):
            await list_as(addr, bundle(Role.MANAGER, "m2"))


@pytest.mark.parametrize("role", [Role.WORKER, Role.OPERATOR, Role.VIEWER])
async def test_only_managers_pass_requests_on(role: Role) -> None:
    async with listening() as (addr, _):
        with pytest.raises(grpc.aio.AioRpcError, match="only managers may call for others"):
            await create_as(addr, bundle(role), behalf(Role.OPERATOR))
    async with listening() as (addr, _):
        if role is Role.OPERATOR:  # says that it was passed on, and stays what it is
            assert await create_as(addr, bundle(role, "ann"), FORWARDED) == "OPERATOR ann"
        else:
            with pytest.raises(grpc.aio.AioRpcError, match="is not for a"):
                await create_as(addr, bundle(role), FORWARDED)


async def test_an_expired_certificate_is_refused_by_the_clock_of_the_manager() -> None:
    """The handshake, which looks at the machine's clock, is content."""
    clock = ShiftedClock()
    async with listening(clock) as (addr, _):
        who = bundle(Role.OPERATOR)
        await list_as(addr, who)
        clock.shift_s = 3601
        with pytest.raises(grpc.aio.AioRpcError, match="the certificate has expired") as caught:
            await list_as(addr, who)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError, match="the certificate has expired"):
            await create_as(addr, bundle(Role.MANAGER, lifetime_ns=9000 * SECOND),
                            (*FORWARDED, (ON_BEHALF_OF, who.cert_pem)))  # fmt: skip


async def follow(addr: str, who: NodeBundle, metadata: tuple[tuple[str, str], ...] = ()) -> str:
    """Read a stream that does not end by itself until it does; return the reason."""
    request = ServiceLogsRequest()
    request.options.follow = True
    async with channel(addr, who) as open_channel:
        call = ControlStub(open_channel).ServiceLogs(request, timeout=60, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        return f"{caught.value.code().name}: {caught.value.details()}"


async def _until_live(live: object, count: int) -> None:
    async with asyncio.timeout(60):
        while len(live) != count:  # type: ignore[arg-type]
            await asyncio.sleep(0.01)


async def test_a_stream_ends_when_the_certificate_of_its_reader_does() -> None:
    clock = ShiftedClock()
    async with listening(clock) as (addr, live):
        lasting = asyncio.create_task(follow(addr, bundle(Role.VIEWER, lifetime_ns=9000 * SECOND)))
        ending = asyncio.create_task(follow(addr, bundle(Role.VIEWER)))
        await _until_live(live, 2)
        live.recheck()
        await asyncio.sleep(0)
        assert len(live) == 2
        clock.shift_s = 3601
        live.recheck()
        assert await ending == "UNAUTHENTICATED: the certificate has expired"
        assert len(live) == 1
        clock.shift_s = 9001
        live.recheck()
        assert "expired" in await lasting
        assert len(live) == 0


async def test_the_stream_of_a_removed_node_ends_with_the_reason_and_others_go_on() -> None:
    removed: set[str] = set()

    def standing(identity: Identity, _method: str) -> Identity:
        if identity.node_id in removed:
            raise NodeRemoved(f"node {identity.node_id} was removed from the cluster")
        return identity

    clock = ShiftedClock()
    async with listening(clock, standing) as (addr, live):
        first = asyncio.create_task(follow(addr, bundle(Role.MANAGER, "m2"), FORWARDED))
        other = asyncio.create_task(follow(addr, bundle(Role.OPERATOR)))
        await _until_live(live, 2)
        removed.add("m2")
        live.recheck()
        assert await first == "PERMISSION_DENIED: node m2 was removed from the cluster"
        assert not other.done()
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        await _until_live(live, 0)


def test_a_certificate_of_this_root_that_names_another_cluster_counts_nothing() -> None:
    certificate = x509.load_pem_x509_certificate(bundle(Role.OPERATOR, cluster_id="other").cert_pem)
    with pytest.raises(Unauthenticated, match="of another cluster"):
        identify(certificate, Trust(CLUSTER, ROOT.cert_pem), NOW)


async def test_a_user_who_is_newer_than_what_a_manager_has_heard_of_is_waited_for() -> None:
    looks: list[str] = []

    def standing(identity: Identity, _method: str) -> Identity:
        looks.append(identity.user)
        if len(looks) < 3:
            raise UnknownUser("user ann was removed from the cluster")
        return replace(identity, role=Role.VIEWER)

    async with listening(standing=standing) as (addr, _):
        assert await list_as(addr, bundle(Role.USER, "ann")) == "VIEWER ann"
        assert len(looks) == 3


async def test_a_user_whom_nobody_knows_is_refused_and_written_down_by_name() -> None:
    def standing(identity: Identity, _method: str) -> Identity:
        raise UnknownUser(f"user {identity.user} was removed from the cluster")

    notes: list[AuditRecord] = []
    async with listening(standing=standing, note=notes.append) as (addr, _):
        with pytest.raises(grpc.aio.AioRpcError, match="user ann was removed"):
            await list_as(addr, bundle(Role.USER, "ann"))
    (told,) = notes
    assert (told.user, told.role, told.rpc, told.outcome) == ("ann", "user", "Control/ListNodes", "denied")
