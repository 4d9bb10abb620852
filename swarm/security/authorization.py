"""May this caller call this RPC? One table for all services, and the interceptor that enforces it."""

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import grpc

from swarm.api.status import abort
from swarm.clock import Clock
from swarm.errors import NotPermitted, UserError
from swarm.security.identity import NODES, Identity, Role, caller, set_caller
from swarm.security.live_calls import LiveCalls
from swarm.security.tls import NodeCredentials

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
_OPERATORS = frozenset({Role.LOCAL, Role.OPERATOR})
_READERS = frozenset({Role.LOCAL, Role.OPERATOR, Role.VIEWER})
_LOCAL = frozenset({Role.LOCAL})
_CERTIFIABLE = frozenset({Role.MANAGER, Role.WORKER, Role.JOIN_MANAGER, Role.JOIN_WORKER})


def _rpcs(service: str, roles: frozenset[Role], *methods: str) -> dict[str, frozenset[Role]]:
    return {f"/swarm.api.v1.{service}/{method}": roles for method in methods}


# RPC full name → who may call it. What is not here is refused.
ALLOWED: Mapping[str, frozenset[Role]] = {
    **_rpcs("Control", _READERS, "GetCluster", "GetNode", "ListNodes", "GetService", "ListServices"),
    **_rpcs("Control", _READERS, "GetTask", "ListTasks", "ListImages", "ServiceLogs", "Watch"),
    **_rpcs("Control", _READERS, "ExplainTask"),
    **_rpcs("Control", _OPERATORS, "GetJoinTokens", "RotateJoinToken"),  # secrets are not for viewers
    **_rpcs("Control", _OPERATORS, "RotateCA"),
    **_rpcs("Control", _READERS, "GetCA"),
    **_rpcs("Control", _OPERATORS, "UpdateCluster", "GetUnlockKey", "UpdateNode", "RemoveNode"),
    **_rpcs("Control", _OPERATORS, "CreateService", "UpdateService", "RemoveService"),
    **_rpcs("Control", _OPERATORS, "ApplyChanges"),
    **_rpcs("Control", _OPERATORS, "SteerUpdate", "RebalanceService"),
    **_rpcs("Control", _READERS, "ListRevisions", "PlanChanges"),
    **_rpcs("Control", _OPERATORS, "LoadImage", "RemoveImage"),
    **_rpcs("Control", _OPERATORS, "PullImage", "PushImage", "TagImage", "PruneImages", "SaveImages"),
    **_rpcs("Control", _READERS, "GetImageHistory"),
    # No role can read the data of a secret; that of a config is for all who may look (0028).
    **_rpcs("Control", _READERS, "GetSecret", "ListSecrets", "GetConfig", "ListConfigs"),
    **_rpcs("Control", _OPERATORS, "CreateSecret", "UpdateSecret", "RemoveSecret"),
    **_rpcs("Control", _OPERATORS, "CreateConfig", "UpdateConfig", "RemoveConfig"),
    **_rpcs("Control", _READERS, "GetNetwork", "ListNetworks"),
    **_rpcs("Control", _OPERATORS, "CreateNetwork", "RemoveNetwork"),
    **_rpcs("Local", _LOCAL, "Init", "Join", "Leave", "Unlock", "Info"),
    **_rpcs("NodeCA", _CERTIFIABLE, "IssueCertificate"),
    **_rpcs("Dispatcher", _NODES, "Session"),
    **_rpcs("Leader", _MANAGERS, "ReportSessions", "ReportTaskStatuses"),
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

_CONTROL = "/swarm.api.v1.Control/"
FORWARDED = frozenset(
    {"/swarm.api.v1.NodeCA/IssueCertificate", *(method for method in ALLOWED if method.startswith(_CONTROL))}
)

_WHO = {
    Role.MANAGER: "a manager",
    Role.WORKER: "a worker",
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


def on_behalf_of(context: Context) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata with which a manager passes the RPC it is serving on to the leader."""
    return ((ON_BEHALF_OF, _peer_certificate_pem(context)),)


def passing_on(context: Context) -> tuple[tuple[str, str | bytes], ...]:
    """Return the metadata with which a manager passes a request of a person on to the leader.

    The leader judges by the person's certificate; without one, the person sits at this manager's socket.
    """
    local = caller(context).role is Role.LOCAL
    return ((FORWARDED_KEY, "1"), *(() if local else on_behalf_of(context)))


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


class AuthorizationInterceptor(grpc.aio.ServerInterceptor):
    """Refuses what the table does not allow, and tells servicers who calls (`identity.caller`)."""

    def __init__(self, find_caller: FindCaller, live: LiveCalls | None = None) -> None:
        """Ask `find_caller` who calls; it may raise Unauthenticated and NotPermitted.

        Streams are registered with `live`, so that they end when the right to them does; then
        `find_caller` must be a TlsCaller.
        """
        self._find_caller = find_caller
        self._live = live

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

        async def check(context: Context) -> None:
            try:
                identity = self._find_caller(context, method)
                check_allowed(method, identity.role)
            except UserError as error:
                await abort(context, error)
            else:
                set_caller(identity)

        live = self._live
        if live is None or not (handler.request_streaming or handler.response_streaming):
            return _guarded(handler, check, contextlib.nullcontext)
        return _guarded(
            handler, check, lambda context: live.serving(context, self._recheck(context, method))
        )

    def _recheck(self, context: Context, method: str) -> Callable[[], None]:
        assert isinstance(self._find_caller, TlsCaller)
        return functools.partial(self._find_caller.recheck, context, method, caller(context))


async def _not_served(_requests: Any, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this is not served here")


Check = Callable[[Context], Awaitable[None]]
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
        _guarded_behaviour(inner, check, serving),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _guarded_behaviour(inner: Any, check: Check, serving: Serving) -> Any:
    """Return `inner` with `check` in front.

    What a generator yields is written here, so that a call that must end is ended wherever it waits, also
    for a reader that does not read.
    """

    async def answer(request: Any, context: Context) -> Any:
        await check(context)
        async with serving(context) as served:
            if not inspect.isasyncgenfunction(inner):
                return await inner(request, served)
            async with contextlib.aclosing(inner(request, served)) as responses:
                async for response in responses:
                    await served.write(response)
            return None

    return answer
