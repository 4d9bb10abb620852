"""How is a proxy put into the words of HAProxy? Pure.

What routes, certificates and ports say stands in files: a change of them is a new process, which takes over
while the old one finishes what it has. Tasks come and go without one, by commands (`commands.py`).
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from swarm.agent.http.plan import Backend, Wanted

CONNECT_TIMEOUT_S = 2
TUNNEL_TIMEOUT = "24h"  # of a WebSocket on which nothing is said
CHALLENGES = "/.well-known/acme-challenge/"
COOKIE = "SWARM_ROUTE"
_SPARE_MS = 5_000  # a client is waited for longer than a task, so that the task's time decides


def config(wanted: Wanted, digest: str, routes_path: str, proofs_path: str) -> str:
    """Return the configuration with the tasks that serve now.

    Sockets and the list of certificates come from the environment: see `process.py`.
    """
    lines = [*_frame(wanted, digest), *_frontend(wanted, routes_path, proofs_path)]
    for backend in wanted.backends:
        lines += _backend(backend, wanted.https_port)
    return "\n".join(lines) + "\n"


def routes_map(wanted: Wanted) -> str:
    """Return the file that says which backend a request goes to."""
    return "".join(f"{prefix} {name}\n" for prefix, name in sorted(wanted.routes.items()))


def proofs_map(wanted: Wanted) -> str:
    """Return the file that says what is answered to ACME challenges."""
    return "".join(f"{CHALLENGES}{name} {proof}\n" for name, proof in sorted(wanted.proofs.items()))


def certificate_list(wanted: Wanted, default: str, paths: Mapping[str, str]) -> str:
    """Return the file that says which certificate is for which hosts; `paths` are by secret id."""
    lines = [f"{default}\n"]
    seen: set[tuple[str, str]] = set()
    for backend in wanted.backends:
        path = paths.get(backend.tls_secret_id)
        key = (backend.tls_secret_id, backend.host)
        if path is not None and key not in seen:
            seen.add(key)
            lines.append(f"{path} {backend.host}\n" if backend.host else f"{path}\n")
    return "".join(lines)


def digest_of(wanted: Wanted, certificates: Mapping[str, bytes]) -> str:
    """Return what differs whenever a new process is needed."""
    static = [wanted.network_id, str(wanted.http_port), str(wanted.https_port), wanted.tls_secret_id]
    static += [*_frame(wanted, ""), *_frontend(wanted, "", "")]
    for backend in wanted.backends:
        static += [f"{backend.name} {backend.service}", *_backend(backend, wanted.https_port, servers=False)]
    static += [
        routes_map(wanted),
        *sorted(f"{key} {sha256(pem).hexdigest()}" for key, pem in certificates.items()),
    ]
    return sha256("\n".join(static).encode()).hexdigest()[:16]


def server_line(backend: Backend, task_id: str) -> str:
    """Return how a task is called and reached: `ID ADDRESS:PORT …`, as in the file and in commands."""
    address = backend.servers[task_id].address
    shown = f"[{address}]" if ":" in address else address
    return f"{task_id} {shown}:{backend.port}{' proto h2' if backend.h2c else ''}"


def _frame(wanted: Wanted, digest: str) -> Iterable[str]:
    client_ms = max((one.timeout_ms for one in wanted.backends), default=60_000) + _SPARE_MS
    return (
        "global",
        f"  description {digest}",
        "  stats socket fd@${SWARM_CONTROL} level admin",
        "  chroot /var/empty",
        "  user nobody",
        "  group nogroup",
        "  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
        "  tune.ssl.default-dh-param 2048",
        "defaults",
        "  mode http",
        f"  timeout connect {CONNECT_TIMEOUT_S}s",
        f"  timeout client {max(client_ms, 60_000)}ms",
        "  timeout server 60s",
        "  timeout http-request 30s",
        "  timeout http-keep-alive 60s",
        f"  timeout tunnel {TUNNEL_TIMEOUT}",
        "  option clitcpka",
        "  option srvtcpka",
        # When a new process takes over, clients are told to connect again, not cut off.
        "  option idle-close-on-response",
        "  retries 3",
        "  option redispatch 1",
        "  retry-on conn-failure empty-response",
    )


def _frontend(wanted: Wanted, routes_path: str, proofs_path: str) -> Iterator[str]:
    yield "frontend http"
    for family in ("4", "6"):
        yield f"  .if defined(SWARM_HTTP{family})"
        yield f"  bind fd@${{SWARM_HTTP{family}}}"
        yield f'  bind fd@${{SWARM_HTTPS{family}}} ssl crt-list "${{SWARM_CERTIFICATES}}" alpn h2,http/1.1'
        yield "  .endif"
    found = "{ var(txn.to) -m found }"
    yield from (
        # Before any route and redirect; what is not in the map is a path like any other.
        f"  http-request set-var(txn.proof) path,map_str({proofs_path})",
        "  http-request return status 200 content-type text/plain lf-string %[var(txn.proof)]"
        " if { var(txn.proof) -m found }",
        "  http-request set-var(txn.host) req.hdr(host),field(1,:),lower",
        "  http-request set-var(txn.path) path",
        "  http-request set-var(txn.any) str(-)",
        "  http-request set-var(txn.wild) var(txn.host),regsub(^[^.]+,*)",
    )
    lookup = f"concat(,txn.path,/),map_beg({routes_path})"
    yield f"  http-request set-var(txn.to) var(txn.host),{lookup}"
    yield f"  http-request set-var(txn.to) var(txn.wild),{lookup} unless {found}"
    yield f"  http-request set-var(txn.to) var(txn.any),{lookup} unless {found}"
    yield from (
        f'  http-request return status 404 content-type text/plain string "no route\\n" unless {found}',
        "  http-request set-header X-Forwarded-For %[src]",
        "  http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        "  http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        "  http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
        # Only what may be done twice is asked of another task once it was sent.
        "  http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
        "  use_backend %[var(txn.to)]",
    )


def _backend(one: Backend, https_port: int, *, servers: bool = True) -> Iterator[str]:
    yield f"backend {one.name}"
    yield "  balance leastconn"
    yield f"  timeout server {one.timeout_ms}ms"
    if one.https_only:
        port = "" if https_port == 443 else f":{https_port}"
        yield (
            f"  http-request redirect code 308 location https://%[var(txn.host)]{port}%[capture.req.uri]"
            " unless { ssl_fc }"
        )
    if one.max_body_bytes is not None:
        # How long a body is that does not say so is known too late: a task would have half of it.
        refused = 'status 411 content-type text/plain string "Content-Length is needed\\n"'
        yield f"  http-request return {refused} if {{ req.hdr(transfer-encoding) -m found }}"
        most = f"gt {one.max_body_bytes}"
        yield f"  http-request deny deny_status 413 if {{ req.hdr_val(content-length) {most} }}"
    if one.strip_prefix and one.path != "/":
        yield f"  http-request set-path /%[path,bytes({len(one.path) + 1})]"
    if one.sticky:
        yield f"  dynamic-cookie-key {one.service_id}"
        yield f"  cookie {COOKIE} insert indirect nocache httponly dynamic"
    if servers:
        for task_id, server in one.servers.items():
            if server.serving:
                yield f"  server {server_line(one, task_id)}"
