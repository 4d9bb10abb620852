"""Every RPC of every service, called by every kind of caller over a real connection.

What each may do is written down here once more, on purpose: whoever adds an RPC has to say it in two places.
"""

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from structlog.testing import capture_logs

import swarm.api.v1
from swarm.api.status import ErrorInterceptor
from swarm.clock import SECOND, SystemClock
from swarm.errors import FailedPrecondition, NodeRemoved
from swarm.security.authorization import (
    ALLOWED,
    FORWARDED_KEY,
    ON_BEHALF_OF,
    AuthorizationInterceptor,
    TlsCaller,
)
from swarm.security.certificates import (
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_join_certificate,
    issue_node_certificate,
    join_ca,
    new_key_pem,
)
from swarm.security.identity import Identity, Role, caller
from swarm.security.keyfiles import NodeBundle
from swarm.security.live_calls import LiveCalls
from swarm.security.tls import SERVER_OPTIONS
from swarm.security.tokens import new_secret
from tests.unit.security.listener import CLUSTER, ROOT, ShiftedClock, bundle, channel, manager

# L: at the socket, A: administrator, O: operator, V: viewer, M: manager, W: worker, J: holds a join token.
EXPECTED: Mapping[str, str] = {
    "Control/GetCluster": "LAOV",
    "Control/UpdateCluster": "LA",
    "Control/GetUnlockKey": "LA",
    "Control/GetCA": "LAOV",
    "Control/RotateCA": "LA",
    "Control/GetJoinTokens": "LA",
    "Control/RotateJoinToken": "LA",
    "Control/GetNode": "LAOV",
    "Control/ListNodes": "LAOV",
    "Control/UpdateNode": "LA",
    "Control/RemoveNode": "LA",
    "Control/CreateService": "LAO",
    "Control/GetService": "LAOV",
    "Control/ListServices": "LAOV",
    "Control/ListRevisions": "LAOV",
    "Control/SteerUpdate": "LAO",
    "Control/UpdateService": "LAO",
    "Control/RemoveService": "LAO",
    "Control/RebalanceService": "LAO",
    "Control/ApplyChanges": "LAO",
    "Control/PlanChanges": "LAOV",
    "Control/ListStackRevisions": "LAOV",
    "Control/GetTask": "LAOV",
    "Control/ListTasks": "LAOV",
    "Control/ExplainTask": "LAOV",
    "Control/LoadImage": "LAO",
    "Control/ListImages": "LAOV",
    "Control/RemoveImage": "LAO",
    "Control/PullImage": "LAO",
    "Control/ListRegistryTags": "LAO",
    "Control/PushImage": "LAO",
    "Control/TagImage": "LAO",
    "Control/PruneImages": "LAO",
    "Control/PruneChosenImages": "LAO",
    "Control/SaveImages": "LAO",
    "Control/GetImageHistory": "LAOV",
    "Control/CreateSecret": "LAO",
    "Control/GetSecret": "LAOV",
    "Control/ListSecrets": "LAOV",
    "Control/UpdateSecret": "LAO",
    "Control/RemoveSecret": "LAO",
    "Control/CreateConfig": "LAO",
    "Control/GetConfig": "LAOV",
    "Control/ListConfigs": "LAOV",
    "Control/UpdateConfig": "LAO",
    "Control/RemoveConfig": "LAO",
    "Control/CreateVolume": "LAO",
    "Control/GetVolume": "LAOV",
    "Control/ListVolumes": "LAOV",
    "Control/UpdateVolume": "LAO",
    "Control/RemoveVolume": "LAO",
    "Control/CreateNetwork": "LAO",
    "Control/GetNetwork": "LAOV",
    "Control/ListNetworks": "LAOV",
    "Control/RemoveNetwork": "LAO",
    "Control/ServiceLogs": "LAOV",
    "Control/Watch": "LAOV",
    "Control/GetMoment": "LAOV",
    "Local/Init": "L",
    "Local/Join": "L",
    "Local/Leave": "L",
    "Local/Unlock": "L",
    "Local/Info": "L",
    "Local/Restore": "L",
    "Local/Rejoin": "L",
    "Local/RenewCertificate": "L",
    "Control/CreateBackup": "LA",
    "Control/GetBackupPoint": "LA",
    "Control/CreateUser": "LA",
    "Control/GetUser": "LAOV",
    "Control/ListUsers": "LA",
    "Control/UpdateUser": "LA",
    "Control/RemoveUser": "LA",
    "Control/RenewUser": "LAOV",
    "Control/ReadAudit": "LA",
    "Audit/Relay": "M",
    "NodeCA/IssueCertificate": "MWJ",
    "Dispatcher/Session": "MW",
    "Dispatcher/Attach": "MW",
    "Leader/ReportSessions": "M",
    "Leader/ReportTaskStatuses": "M",
    "Leader/PassAttach": "M",
    "Logs/Publish": "MW",
    "Logs/Relay": "M",
    "Containers/View": "LAOV",
    "Containers/Operate": "LAO",
    "Containers/Answer": "MW",
    "Containers/Deliver": "M",
    "Images/Resolve": "MW",
    "Images/FetchBlob": "MW",
    "Images/ReportHolder": "M",
    "Raft/Stream": "M",
    "Raft/Join": "M",
    "Raft/Leave": "M",
    "Raft/Health": "M",
}

PACKAGE = "/swarm.api.v1."
# What gRPC's client says when the answer came before it had sent the message.
LOST_ANSWER = "Internal error from Core"
HOUR_S = 3600.0
OTHER_ROOT = create_root_ca(CLUSTER, SystemClock().now_ns())  # even its names are those of the real one
WORKER_SECRET, MANAGER_SECRET = new_secret(), new_secret()
NOW = SystemClock().now_ns()


def all_rpcs() -> dict[str, MethodDescriptor]:
    found = {}
    for module in pkgutil.iter_modules(swarm.api.v1.__path__):
        if module.name.endswith("_pb2") and module.name != "csi_pb2":  # served by others, not by us
            descriptor = importlib.import_module(f"swarm.api.v1.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                found |= {f"{service.name}/{method.name}": method for method in service.methods}
    return found


def test_every_rpc_is_written_down_twice() -> None:
    assert set(all_rpcs()) == set(EXPECTED) == {method.removeprefix(PACKAGE) for method in ALLOWED}


# A listener that serves every service, as far as the door.


class Doors(grpc.GenericRpcHandler):
    """Answers every RPC with who came through, and does nothing."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = all_rpcs()[str(handler_call_details.method).removeprefix(PACKAGE)]

        async def once(_request: Any, context: Any) -> bytes:
            who = caller(context)
            raise FailedPrecondition(
                f"{method.name} passed as {who.role.name} {who.user or who.node_id}".strip()
            )

        async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
            yield await once(request, context)

        kinds: dict[tuple[bool, bool], Callable[..., Any]] = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        behaviour = stream if method.server_streaming else once
        return kinds[method.client_streaming, method.server_streaming](behaviour)


REMOVED, DEMOTED = "removed-node", "demoted-node"
# Users of the store by name: the certificate says only who it is.
USERS = {"adm": Role.ADMIN, "op": Role.OPERATOR, "vi": Role.VIEWER}


def standing(identity: Identity, _method: str) -> Identity:
    if identity.user in USERS and identity.role is Role.USER:
        return replace(identity, role=USERS[identity.user])
    if identity.node_id == REMOVED:
        raise NodeRemoved(f"node {REMOVED} was removed from the cluster")
    return replace(identity, role=Role.WORKER) if identity.node_id == DEMOTED else identity


@asynccontextmanager
async def listening(clock: ShiftedClock) -> AsyncIterator[str]:
    credentials = manager()
    credentials.trust_tokens(WORKER_SECRET, MANAGER_SECRET, ROOT.cert_pem)
    authorization = AuthorizationInterceptor(TlsCaller(credentials, clock, standing), LiveCalls())
    server = grpc.aio.server(interceptors=[ErrorInterceptor(), authorization], options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((Doors(),))
    port = server.add_secure_port("127.0.0.1:0", credentials.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


# Who calls.


@dataclass(frozen=True)
class Caller:
    """`letter` is looked up in EXPECTED; without one, `sentence` is what every RPC answers."""

    who: NodeBundle | None
    letter: str = ""
    seen_as: str = ""
    noun: str = ""
    sentence: str = ""
    code: grpc.StatusCode = grpc.StatusCode.PERMISSION_DENIED
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    shift_s: float = 0.0


def joiner(secret: str) -> NodeBundle:
    pair = issue_join_certificate(join_ca(secret, ROOT.cert_pem))
    return NodeBundle(pair.cert_pem, ROOT.cert_pem, pair.key_pem)


def forged(secret: str) -> NodeBundle:
    """Whoever has a token can sign any text with it: here, that of a manager."""
    key = new_key_pem()
    cert = issue_node_certificate(
        join_ca(secret, ROOT.cert_pem),
        create_csr(key),
        node_id="m1",
        role=Role.MANAGER,
        cluster_id=CLUSTER,
        now_ns=NOW,
    )
    return NodeBundle(cert, ROOT.cert_pem, key)


def foreign(role: Role, root: KeyedCertificate = OTHER_ROOT) -> NodeBundle:
    return bundle(role, "m1", root)


def for_(role: Role) -> tuple[tuple[str, str | bytes], ...]:
    return ((FORWARDED_KEY, "1"), (ON_BEHALF_OF, bundle(role, "behind").cert_pem))


SHORT = 2 * 3600 * SECOND
LONG = 48 * 3600 * SECOND
NO_HANDSHAKE = {"sentence": "", "code": grpc.StatusCode.UNAVAILABLE}
EXPIRED = {
    "sentence": "the certificate has expired",
    "code": grpc.StatusCode.UNAUTHENTICATED,
    "shift_s": 3 * HOUR_S,
}
ONLY_MANAGERS = "only managers may call for others, and only what a leader must answer"

CALLERS: Mapping[str, Caller] = {
    "manager": Caller(bundle(Role.MANAGER, "m2"), "M", "MANAGER m2", "a manager"),
    "worker": Caller(bundle(Role.WORKER, "w1"), "W", "WORKER w1", "a worker"),
    "operator": Caller(bundle(Role.OPERATOR, "ann"), "O", "OPERATOR ann", "an operator"),
    "viewer": Caller(bundle(Role.VIEWER, "vic"), "V", "VIEWER vic", "a viewer"),
    "user who is admin": Caller(bundle(Role.USER, "adm"), "A", "ADMIN adm", "an administrator"),
    "user who is operator": Caller(bundle(Role.USER, "op"), "O", "OPERATOR op", "an operator"),
    "user who is viewer": Caller(bundle(Role.USER, "vi"), "V", "VIEWER vi", "a viewer"),
    "user whom nobody looked up": Caller(
        bundle(Role.USER, "who"), "-", noun="a user whom this manager cannot look up"
    ),
    "joining worker": Caller(joiner(WORKER_SECRET), "J", "JOIN_WORKER", "a node that is about to join"),
    "joining manager": Caller(joiner(MANAGER_SECRET), "J", "JOIN_MANAGER", "a node that is about to join"),
    "manager forged with a token": Caller(
        forged(WORKER_SECRET), "J", "JOIN_WORKER", "a node that is about to join"
    ),
    "demoted manager": Caller(bundle(Role.MANAGER, DEMOTED), "W", f"WORKER {DEMOTED}", "a worker"),
    "removed node": Caller(
        bundle(Role.MANAGER, REMOVED), sentence=f"node {REMOVED} was removed from the cluster"
    ),
    "no certificate": Caller(None, **NO_HANDSHAKE),
    "manager of another root": Caller(foreign(Role.MANAGER), **NO_HANDSHAKE),
    "operator of another root": Caller(foreign(Role.OPERATOR), **NO_HANDSHAKE),
    "joiner with another token": Caller(joiner(new_secret()), **NO_HANDSHAKE),
    "manager of another cluster": Caller(
        bundle(Role.MANAGER, "m2", cluster_id="cluster2"),
        sentence="the certificate is of another cluster",
        code=grpc.StatusCode.UNAUTHENTICATED,
    ),
    "expired for everybody": Caller(
        bundle(Role.OPERATOR, now_ns=NOW - SHORT, lifetime_ns=SHORT // 2), **NO_HANDSHAKE
    ),
    "expired manager": Caller(bundle(Role.MANAGER, "m2", lifetime_ns=SHORT), **EXPIRED),
    "expired worker": Caller(bundle(Role.WORKER, "w1", lifetime_ns=SHORT), **EXPIRED),
    "expired operator": Caller(bundle(Role.OPERATOR, lifetime_ns=SHORT), **EXPIRED),
    "expired viewer": Caller(bundle(Role.VIEWER, lifetime_ns=SHORT), **EXPIRED),
    "worker that passes on": Caller(
        bundle(Role.WORKER), sentence=ONLY_MANAGERS, metadata=for_(Role.OPERATOR)
    ),
    "viewer that passes on": Caller(
        bundle(Role.VIEWER), sentence=ONLY_MANAGERS, metadata=for_(Role.OPERATOR)
    ),
    "operator that passes on": Caller(
        bundle(Role.OPERATOR), sentence=ONLY_MANAGERS, metadata=for_(Role.MANAGER)
    ),
    "worker that claims to have passed on": Caller(
        bundle(Role.WORKER, "w1"), "W", "WORKER w1", "a worker", metadata=((FORWARDED_KEY, "1"),)
    ),
    "viewer that claims to have passed on": Caller(
        bundle(Role.VIEWER, "vic"), "V", "VIEWER vic", "a viewer", metadata=((FORWARDED_KEY, "1"),)
    ),
}

# A manager that passes on what others asked of it: of Control anything, of NodeCA its one RPC.
PASSED_ON: Mapping[str, Caller] = {
    "somebody at its socket": Caller(
        bundle(Role.MANAGER, "m2"), "L", "LOCAL m2", "the local socket", metadata=((FORWARDED_KEY, "1"),)
    ),
    "an operator": Caller(
        bundle(Role.MANAGER, "m2"), "O", "OPERATOR behind", "an operator", metadata=for_(Role.OPERATOR)
    ),
    "a viewer": Caller(
        bundle(Role.MANAGER, "m2"), "V", "VIEWER behind", "a viewer", metadata=for_(Role.VIEWER)
    ),
    "a worker": Caller(
        bundle(Role.MANAGER, "m2"), "W", "WORKER behind", "a worker", metadata=for_(Role.WORKER)
    ),
    "a manager": Caller(
        bundle(Role.MANAGER, "m2"), "M", "MANAGER behind", "a manager", metadata=for_(Role.MANAGER)
    ),
}


async def call(open_channel: grpc.aio.Channel, rpc: str, metadata: Any) -> tuple[grpc.StatusCode, str]:
    """Call an RPC of any kind with one empty message: on the wire all kinds are alike."""
    for _ in range(20):
        calling = open_channel.stream_stream(PACKAGE + rpc)(iter([b""]), timeout=60, metadata=metadata)
        try:
            async for _ in calling:
                pass
        except grpc.aio.AioRpcError as error:
            if error.details() == LOST_ANSWER:
                continue
            return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""
    raise AssertionError(f"{rpc} was never answered")


def opened(addr: str, who: NodeBundle | None) -> grpc.aio.Channel:
    return channel(addr, who) if who is not None else grpc.aio.insecure_channel(addr)


def expected(rpc: str, by: Caller) -> tuple[grpc.StatusCode, str]:
    if not by.letter:
        return by.code, by.sentence
    if by.letter in EXPECTED[rpc]:
        return grpc.StatusCode.FAILED_PRECONDITION, f"{rpc.partition('/')[2]} passed as {by.seen_as}"
    return grpc.StatusCode.PERMISSION_DENIED, f"{rpc} is not for {by.noun}"


async def outcomes(by: Caller, rpcs: list[str]) -> dict[str, tuple[grpc.StatusCode, str]]:
    clock = ShiftedClock()
    clock.shift_s = by.shift_s
    async with listening(clock) as addr, opened(addr, by.who) as open_channel:
        answers = await asyncio.gather(*(call(open_channel, rpc, by.metadata) for rpc in rpcs))
    if by.code is grpc.StatusCode.UNAVAILABLE:  # gRPC words it; what counts is that nobody came through
        assert not any("passed" in said for _, said in answers)
        answers = [(code, "") for code, _ in answers]
    return dict(zip(rpcs, answers, strict=True))


@pytest.mark.parametrize("name", CALLERS)
async def test_every_rpc_for(name: str) -> None:
    by, rpcs = CALLERS[name], list(EXPECTED)
    assert await outcomes(by, rpcs) == {rpc: expected(rpc, by) for rpc in rpcs}


@pytest.mark.parametrize("name", PASSED_ON)
async def test_every_rpc_of_control_passed_on_for(name: str) -> None:
    by = PASSED_ON[name]
    rpcs = [rpc for rpc in EXPECTED if rpc.startswith("Control/")]
    assert await outcomes(by, rpcs) == {rpc: expected(rpc, by) for rpc in rpcs}


async def test_nothing_between_managers_is_passed_on() -> None:
    by = PASSED_ON["a manager"]
    rpcs = [rpc for rpc in EXPECTED if not rpc.startswith(("Control/", "NodeCA/"))]
    refused = (grpc.StatusCode.PERMISSION_DENIED, ONLY_MANAGERS)
    assert await outcomes(by, rpcs) == dict.fromkeys(rpcs, refused)


async def test_a_refused_call_leaves_a_trace_and_an_allowed_one_does_not() -> None:
    with capture_logs() as logs:
        await outcomes(CALLERS["viewer"], ["Control/ListNodes", "Control/RotateJoinToken"])
        await outcomes(CALLERS["removed node"], ["Dispatcher/Session"])
    denied = [entry for entry in logs if entry["event"] == "authorization.call_denied"]
    assert [(one["rpc"], one["role"], one["user"]) for one in denied] == [
        ("Control/RotateJoinToken", "swarm-viewer", "vic"),
        ("Dispatcher/Session", "", ""),
    ]
    assert denied[0]["reason"] == "Control/RotateJoinToken is not for a viewer"
    assert denied[1]["reason"] == f"node {REMOVED} was removed from the cluster"
    assert all("127.0.0.1" in one["peer"] for one in denied)
