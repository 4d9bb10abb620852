"""May this caller call this RPC? One table for all services, and the interceptor that enforces it."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import grpc
import structlog

from swarm.api.status import abort
from swarm.api.v1.users_pb2 import AuditRecord
from swarm.clock import Clock
from swarm.errors import FailedPrecondition, NotPermitted, UserError
from swarm.model.compatibility import our_versions, protocol_refusal, versions_of
from swarm.security.audit import (
    DENIED,
    AuditedCall,
    Note,
    claimed,
    identify_call,
    passing_call_on,
    record_of,
)
from swarm.security.identity import NODES, Identity, Role, caller, set_caller
from swarm.security.live_calls import LiveCalls
from swarm.security.people import UnknownUser
from swarm.security.tls import NodeCredentials

log = structlog.get_logger(__name__)

# How long a manager waits to hear of a user whose certificate is good.
UNKNOWN_LOOKS, UNKNOWN_LOOK_S = 10, 0.15

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

# A manager that is not the leader passes a request on with the certificate that it verified itself.
ON_BEHALF_OF = "swarm-on-behalf-of-bin"
# Says that a manager already looked for the leader: whoever gets such a request answers it or refuses.
FORWARDED_KEY = "swarm-forwarded"

_MANAGERS = frozenset({Role.MANAGER})
_NODES = frozenset({Role.MANAGER, Role.WORKER})
# LOCAL: people at a manager's socket. Managers ask nothing of Control for themselves; they pass on what
# people asked, and the leader then sees the person (`TlsCaller`).
_ADMINS = frozenset({Role.LOCAL, Role.ADMIN})
_OPERATORS = _ADMINS | {Role.OPERATOR}
_READERS = _OPERATORS | {Role.VIEWER}
_LOCAL = frozenset({Role.LOCAL})
_DATA = ("Secret", "Config")
_CERTIFIABLE = frozenset({Role.MANAGER, Role.WORKER, Role.JOIN_MANAGER, Role.JOIN_WORKER})


def _rpcs(service: str, roles: frozenset[Role], *methods: str) -> dict[str, frozenset[Role]]:
    return {f"/swarm.api.v1.{service}/{method}": roles for method in methods}


# RPC full name → who may call it. What is not here is refused.
ALLOWED: Mapping[str, frozenset[Role]] = {
    **_rpcs("Control", _READERS, "GetCluster", "GetNode", "ListNodes", "GetService", "ListServices"),
    **_rpcs("Control", _READERS, "GetTask", "ListTasks", "ListImages", "ServiceLogs", "Watch"),
    **_rpcs("Control", _READERS, "GetMoment"),
    **_rpcs("Control", _READERS, "ExplainTask"),
    **_rpcs("Control", _ADMINS, "GetJoinTokens", "RotateJoinToken"),  # secrets of the cluster
    **_rpcs("Control", _ADMINS, "RotateCA"),
    **_rpcs("Control", _READERS, "GetCA"),
    **_rpcs("Control", _ADMINS, "UpdateCluster", "GetUnlockKey", "UpdateNode", "RemoveNode"),
    **_rpcs("Control", _OPERATORS, "CreateService", "UpdateService", "RemoveService"),
    **_rpcs("Control", _OPERATORS, "ApplyChanges"),
    **_rpcs("Control", _OPERATORS, "SteerUpdate", "RebalanceService"),
    **_rpcs("Control", _READERS, "ListRevisions", "ListStackRevisions", "PlanChanges"),
    **_rpcs("Control", _OPERATORS, "LoadImage", "RemoveImage"),
    **_rpcs("Control", _OPERATORS, "PullImage", "PushImage", "TagImage", "PruneImages", "SaveImages"),
    **_rpcs("Control", _OPERATORS, "PruneChosenImages", "ListRegistryTags"),
    **_rpcs("Control", _READERS, "GetImageHistory"),
    # No role can read the data of a secret; that of a config is for all who may look (0028).
    **_rpcs("Control", _READERS, "GetSecret", "ListSecrets", "GetConfig", "ListConfigs"),
    **_rpcs("Control", _OPERATORS, "CreateSecret", "UpdateSecret", "RemoveSecret"),
    **_rpcs("Control", _OPERATORS, "CreateConfig", "UpdateConfig", "RemoveConfig"),
    **_rpcs("Control", _READERS, "GetVolume", "ListVolumes"),
    **_rpcs("Control", _OPERATORS, "CreateVolume", "UpdateVolume", "RemoveVolume"),
    **_rpcs("Control", _READERS, "GetNetwork", "ListNetworks"),
    **_rpcs("Control", _OPERATORS, "CreateNetwork", "RemoveNetwork"),
    # Every secret and the CA key are in a backup.
    **_rpcs("Control", _ADMINS, "CreateBackup"),
    **_rpcs("Control", _ADMINS, "GetBackupPoint"),
    # Users other than admins get and renew themselves only: the servicer looks.
    **_rpcs("Control", _READERS, "GetUser", "RenewUser"),
    **_rpcs("Control", _ADMINS, "CreateUser", "ListUsers", "UpdateUser", "RemoveUser", "ReadAudit"),
    **_rpcs("Audit", _MANAGERS, "Relay"),
    **_rpcs("Local", _LOCAL, "Init", "Join", "Leave", "Unlock", "Info", "Restore", "Rejoin"),
    **_rpcs("Local", _LOCAL, "RenewCertificate"),
    **_rpcs("NodeCA", _CERTIFIABLE, "IssueCertificate"),
    **_rpcs("Dispatcher", _NODES, "Session", "Attach"),
    **_rpcs("Leader", _MANAGERS, "ReportSessions", "ReportTaskStatuses", "PassAttach"),
    **_rpcs("Logs", _NODES, "Publish"),
    **_rpcs("Logs", _MANAGERS, "Relay"),
    **_rpcs("Containers", _READERS, "View"),
    **_rpcs("Containers", _OPERATORS, "Operate"),  # whoever runs a command there sees every secret
    **_rpcs("Containers", _NODES, "Answer"),
    **_rpcs("Containers", _MANAGERS, "Deliver"),
    **_rpcs("Images", _NODES, "Resolve", "FetchBlob"),
    **_rpcs("Images", _MANAGERS, "ReportHolder"),
    **_rpcs("Raft", _MANAGERS, "Stream", "Join", "Leave", "Health"),
}

# Not for viewers, and yet nothing is changed by them, and no secret told.
_LOOKING = frozenset(
    {
        *("Control/ListUsers", "Control/ReadAudit", "Control/GetBackupPoint", "Local/Info"),
        "Control/ListRegistryTags",
    }
)
_PACKAGE = "/swarm.api.v1."

# What people with a scope may call: what their labels decide about is hidden or refused by whoever serves it
# (store/scope.py, images/scoped.py, containers/confining.py). All else is about more than what has a label.
_SCOPED = frozenset(
    f"{_PACKAGE}{name}"
    for name in (
        *("Control/GetNode", "Control/ListNodes", "Control/GetCA", "Control/GetUser", "Control/RenewUser"),
        *("Control/GetService", "Control/ListServices", "Control/ListRevisions"),
        *("Control/CreateService", "Control/UpdateService", "Control/RemoveService"),
        *("Control/SteerUpdate", "Control/RebalanceService"),
        *("Control/ApplyChanges", "Control/PlanChanges", "Control/ListStackRevisions"),
        *("Control/ListImages", "Control/GetImageHistory", "Control/PullImage", "Control/PushImage"),
        *("Control/SaveImages", "Control/RemoveImage", "Control/PruneImages"),
        *("Control/PruneChosenImages", "Control/ListRegistryTags"),
        *("Control/LoadImage", "Control/TagImage"),
        *("Control/GetTask", "Control/ListTasks", "Control/ExplainTask"),
        *(f"Control/{verb}{noun}" for verb in ("Get", "Create", "Update", "Remove") for noun in _DATA),
        *(f"Control/List{noun}s" for noun in (*_DATA, "Network", "Volume")),
        *("Control/GetNetwork", "Control/CreateNetwork", "Control/RemoveNetwork"),
        *("Control/GetVolume", "Control/CreateVolume", "Control/UpdateVolume", "Control/RemoveVolume"),
        *("Control/ServiceLogs", "Control/Watch", "Control/GetMoment"),
        *("Containers/View", "Containers/Operate"),
    )
)

_CONTROL = "/swarm.api.v1.Control/"
FORWARDED = frozenset(
    {"/swarm.api.v1.NodeCA/IssueCertificate", *(method for method in ALLOWED if method.startswith(_CONTROL))}
)

_WHO = {
    Role.MANAGER: "a manager",
    Role.WORKER: "a worker",
    Role.ADMIN: "an administrator",
    Role.USER: "a user whom this manager cannot look up",
    Role.OPERATOR: "an operator",
    Role.VIEWER: "a viewer",
    Role.JOIN_MANAGER: "a node that is about to join",
    Role.JOIN_WORKER: "a node that is about to join",
    Role.LOCAL: "the local socket",
    Role.ANONYMOUS: "a caller without certificate",
}


def check_allowed(method: str, role: Role) -> None:
    """Raise NotPermitted unless `role` may call `method` (/package.Service/Method)."""
    allowed = ALLOWED.get(method)
    name = method.rpartition(".")[2]
    if allowed is None:
        raise NotPermitted(f"{name} is not an RPC that anybody may call")
    if role not in allowed:
        raise NotPermitted(f"{name} is not for {_WHO[role]}")


def check_scope(method: str, scope: tuple[str, ...]) -> None:
    """Raise NotPermitted when somebody who is confined to a label calls what is about more than that."""
    if scope and method not in _SCOPED:
        raise NotPermitted(
            f"{method.rpartition('.')[2]} is about more than what has {' or '.join(scope)}, which is all"
            " that you see and change: ask an administrator"
        )


def is_changing(method: str) -> bool:
    """Whether a call is written down also when it is allowed: it changes something, or tells a secret."""
    roles = ALLOWED.get(method, frozenset())
    name = method.removeprefix(_PACKAGE)
    return name == "Control/RenewUser" or (
        Role.LOCAL in roles and Role.VIEWER not in roles and name not in _LOOKING
    )


def on_behalf_of(context: Context) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata with which a manager passes the RPC it is serving on to the leader."""
    return ((ON_BEHALF_OF, _peer_certificate_pem(context)),)


def passing_on(context: Context) -> tuple[tuple[str, str | bytes], ...]:
    """Return the metadata with which a manager passes a request of a person on to the leader.

    The leader judges by the person's certificate; without one, the person sits at this manager's socket.
    """
    local = caller(context).role is Role.LOCAL
    return ((FORWARDED_KEY, "1"), *passing_call_on(), *(() if local else on_behalf_of(context)))


def is_forwarded(context: Context) -> bool:
    """Tell whether the RPC being served was already passed on once: it must not be passed on again."""
    return _forwarded_certificate(context) is not None


def local_caller(context: Context, method: str) -> Identity:
    """Return the identity of everybody who may open the Unix socket."""
    return Identity(node_id="", role=Role.LOCAL, cluster_id="")


FindCaller = Callable[[Context, str], Identity]
Standing = Callable[[Identity, str], Identity]


def _as_certified(identity: Identity, method: str) -> Identity:
    return identity


class TlsCaller:
    """Finds out who calls over mTLS, and for whom."""

    def __init__(
        self, credentials: NodeCredentials, clock: Clock, standing: Standing = _as_certified
    ) -> None:
        """Judge by whom `credentials` trusts at the moment of the call.

        `standing(identity, method)` returns what the cluster makes of a certificate's identity, or raises
        NotPermitted (removed node).
        """
        self._credentials = credentials
        self._clock = clock
        self._standing = standing

    def __call__(self, context: Context, method: str) -> Identity:
        """Return the caller; raises Unauthenticated or NotPermitted.

        The certificate in `ON_BEHALF_OF` is verified here again, and counts only when a manager sends it:
        everybody knows other nodes' certificates, only managers are trusted to have seen the key at work.
        Without one, a manager passes on what somebody at its socket asked.
        """
        identity = self._identify(_peer_certificate_pem(context), method)
        forwarded = _forwarded_certificate(context)
        if forwarded is not None:
            if identity.role is not Role.MANAGER or method not in FORWARDED:
                raise NotPermitted("only managers may call for others, and only what a leader must answer")
            return self._identify(forwarded, method)
        if identity.role is Role.MANAGER and method.startswith(_CONTROL) and _is_passed_on(context):
            return replace(identity, role=Role.LOCAL)
        return identity

    def recheck(self, context: Context, method: str, identity: Identity) -> None:
        """Raise NotPermitted or Unauthenticated if a call that `identity` makes should not go on.

        The stream of a node outlives its certificate: the node replaces both when it renews, and to cut it
        off for a late renewal would stop what it runs. A root that is no longer trusted ends it, too.
        People are held to the date.
        """
        if identity.role in NODES:
            self._credentials.identifier.check_issuer(_peer_certificate_pem(context))
            now = self._standing(identity, method)
        else:
            now = self(context, method)
        check_allowed(method, now.role)
        if now.scope != identity.scope:
            raise NotPermitted(f"what user {now.user} sees and changes is another now: ask again")

    def is_manager(self, certificate_pem: bytes) -> bool:
        """Whether this is the certificate of a manager, going by the certificate alone."""
        who = self._certified(certificate_pem)
        return who is not None and who.role is Role.MANAGER

    def claimed(self, context: Context) -> Identity | None:
        """Return whose certificate a refused caller has, whatever became of them; None without one."""
        peer_pem, forwarded = _peer_certificate_pem(context), _forwarded_certificate(context)
        # Others than managers name whom they like.
        return self._certified(forwarded if forwarded and self.is_manager(peer_pem) else peer_pem)

    def _certified(self, certificate_pem: bytes) -> Identity | None:
        identifier, now_ns = self._credentials.identifier, self._clock.now_ns()
        return claimed(lambda: identifier.identify_pem(certificate_pem, now_ns))

    def _identify(self, certificate_pem: bytes, method: str) -> Identity:
        identity = self._credentials.identifier.identify_pem(certificate_pem, self._clock.now_ns())
        return self._standing(identity, method)


def _peer_certificate_pem(context: Context) -> bytes:
    return next(iter(context.auth_context().get("x509_pem_cert", ())), b"")


def _is_passed_on(context: Context) -> bool:
    return any(key == FORWARDED_KEY for key, _ in context.invocation_metadata() or ())


def _forwarded_certificate(context: Context) -> bytes | None:
    for key, value in context.invocation_metadata() or ():
        if key == ON_BEHALF_OF:
            return value if isinstance(value, bytes) else value.encode()
    return None


def _nobody_writes(record: AuditRecord) -> None:
    """Stand in for an audit trail where there is none."""


class AuthorizationInterceptor(grpc.aio.ServerInterceptor):
    """Refuses what the table does not allow, and tells servicers who calls (`identity.caller`)."""

    def __init__(
        self, find_caller: FindCaller, live: LiveCalls | None = None, note: Note = _nobody_writes
    ) -> None:
        """Ask `find_caller` who calls; it may raise Unauthenticated and NotPermitted.

        Streams are registered with `live`, so that they end when the right to them does; then
        `find_caller` must be a TlsCaller. `note` writes down what was denied or changed.
        """
        self._find_caller = find_caller
        self._live = live
        self._note = note

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the handler of the RPC with the check in front of it."""
        method = str(handler_call_details.method)
        handler = await continuation(handler_call_details)
        if handler is None and method in ALLOWED:
            # Not served by this listener. Who may not ask is told that first, as everywhere.
            handler = grpc.stream_stream_rpc_method_handler(_not_served)
        if handler is None:  # gRPC answers UNIMPLEMENTED
            return handler

        async def check(request: Any, context: Context) -> AuditedCall:
            try:
                return await self._admit(method, request, context)
            except UserError as error:
                await abort(context, error)
                raise

        live = self._live
        if live is None or not (handler.request_streaming or handler.response_streaming):
            return _guarded(handler, check, contextlib.nullcontext)
        return _guarded(
            handler, check, lambda context: live.serving(context, self._recheck(context, method))
        )

    async def _patiently(self, context: Context, method: str) -> Identity:
        """Find the caller; a user may be newer than what this manager has heard of."""
        for _ in range(UNKNOWN_LOOKS):
            with contextlib.suppress(UnknownUser):
                return self._find_caller(context, method)
            await asyncio.sleep(UNKNOWN_LOOK_S)
        return self._find_caller(context, method)

    async def _admit(self, method: str, request: Any, context: Context) -> AuditedCall:
        """Let the caller in and return how to follow what comes of it; raises UserErrors for others."""
        identity = None
        try:
            identity = await self._patiently(context, method)
            check_allowed(method, identity.role)
            check_protocol(context, identity.role)
            check_scope(method, identity.scope)
        except UserError as error:
            _tell_denied(context, method, identity, error)
            if identity is None and isinstance(self._find_caller, TlsCaller):
                identity = self._find_caller.claimed(context)
            self._audited(method, request, context, identity).end(DENIED, str(error))
            raise
        set_caller(identity)
        return self._audited(method, request, context, identity)

    def _audited(
        self, method: str, request: Any, context: Context, identity: Identity | None
    ) -> AuditedCall:
        # Only of a manager that passed a call on its word counts.
        passed_on = _is_passed_on(context) and _is_manager(_peer_certificate_pem(context), self._find_caller)
        call_id, peer = identify_call(context, passed_on=passed_on)
        record = record_of(method.removeprefix(_PACKAGE), identity, call_id, peer, request)
        return AuditedCall(record, self._note, changing=is_changing(method))

    def _recheck(self, context: Context, method: str) -> Callable[[], None]:
        assert isinstance(self._find_caller, TlsCaller)
        return functools.partial(self._find_caller.recheck, context, method, caller(context))


def check_protocol(context: Context, role: Role) -> None:
    """Raise FailedPrecondition for a node whose swarm and ours do not understand each other."""
    if role not in _CERTIFIABLE:  # people's programs are not part of the cluster
        return
    metadata = context.invocation_metadata() or ()
    agent = next((value for key, value in metadata if key == "user-agent" and isinstance(value, str)), "")
    if refusal := protocol_refusal(versions_of(agent), our_versions()):
        raise FailedPrecondition(refusal)


def _is_manager(certificate_pem: bytes, find_caller: FindCaller) -> bool:
    return isinstance(find_caller, TlsCaller) and find_caller.is_manager(certificate_pem)


def _tell_denied(context: Context, method: str, identity: Identity | None, error: UserError) -> None:
    """Leave a trace of a refused call: who, from where, what and why; never what was in the request."""
    log.warning(
        "authorization.call_denied",
        rpc=method.rpartition(".")[2],
        role=identity.role.value if identity is not None else "",
        user=identity.user if identity is not None else "",
        node_id=identity.node_id if identity is not None else "",
        peer=context.peer(),
        reason=str(error),
    )


async def _not_served(_requests: Any, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this is not served here")


Check = Callable[[Any, Context], Awaitable[AuditedCall]]
Serving = Callable[[Context], contextlib.AbstractAsyncContextManager[Any]]


def _guarded(handler: Handler, check: Check, serving: Serving) -> Handler:
    """Return a handler that awaits `check`, then does what `handler` does inside `serving`."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return make(
        _guarded_behaviour(inner, check, serving, streaming=bool(handler.request_streaming)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _guarded_behaviour(inner: Any, check: Check, serving: Serving, *, streaming: bool) -> Any:
    """Return `inner` with `check` in front, and with what came of it written down.

    What a generator yields is written here, so that a call that must end is ended wherever it waits, also
    for a reader that does not read.
    """

    async def answer(request: Any, context: Context) -> Any:
        call = await check(request, context)
        if streaming:
            request = call.begin_with_first(request)
        async with serving(context) as served:
            with call.followed():
                if not inspect.isasyncgenfunction(inner):
                    return await inner(request, served)
                async with contextlib.aclosing(inner(request, served)) as responses:
                    async for response in responses:
                        await served.write(response)
        return None

    return answer
