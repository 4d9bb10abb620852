"""Which HTTP requests does a service ask for, in words and as a message, and is that valid?"""

import re
from collections.abc import Iterator

from swarm.api.v1.specs_pb2 import ClusterSpec, HttpIngress, ServiceSpec
from swarm.api.v1.types_pb2 import HttpRoute
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.acme import config_problems
from swarm.model.constraint import parse_constraints
from swarm.model.units import format_duration, parse_bytes, parse_duration

HTTP_PORT, HTTPS_PORT = 80, 443
TIMEOUT_NS = 60 * 1_000_000_000
SHORTEST_NS, LONGEST_NS = 1_000_000, 24 * 3600 * 1_000_000_000
HOST_CHARACTERS = 253  # the longest name that DNS has
PROTOCOLS = {"http": HttpRoute.PROTOCOL_HTTP, "h2c": HttpRoute.PROTOCOL_H2C}
ACME = "acme"  # in place of a secret: the managers get the certificate
FLAGS = ("strip-prefix", "sticky")
FIELDS = ("host", "path", "port", "protocol", "tls", "redirect", *FLAGS, "timeout", "max-body")
_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PATH = re.compile(r"(/[A-Za-z0-9._~:@+-]*)+")


def parse_route(text: str) -> HttpRoute:
    """Return what e.g. `host=shop.example.org,path=/api,port=8080` means; raises InvalidArgument."""
    found, seen = HttpRoute(), set[str]()
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if key not in FIELDS or key in seen or (not equals and key not in FLAGS):
            raise InvalidArgument(
                f'--route "{text}": "{part}" is none of (or once more) '
                f"{', '.join(f'{one}=…' for one in FIELDS)}"
            )
        seen.add(key)
        _put(found, key, value, text)
    if "port" not in seen:
        raise InvalidArgument(f'--route "{text}": port=NUMBER, the port of the tasks, is missing')
    found.path = normal_path(found.path)
    return found


def _put(found: HttpRoute, key: str, value: str, text: str) -> None:
    if key == "host":
        found.host = value.lower().removesuffix(".") if value != "*" else ""
    elif key == "path":
        found.path = value
    elif key == "port":
        if not value.isascii() or not value.isdecimal() or len(value) > 5:
            raise InvalidArgument(f'--route "{text}": port "{value}" is not a number')
        found.port = int(value)
    elif key == "protocol":
        if value not in PROTOCOLS:
            raise InvalidArgument(f'--route "{text}": protocol is {" or ".join(PROTOCOLS)}')
        found.protocol = PROTOCOLS[value]
    elif key == "tls":
        found.acme = value == ACME
        found.tls_secret_name = "" if found.acme else value
    elif key == "redirect":
        if value != "https":
            raise InvalidArgument(f'--route "{text}": redirect can only be to https')
        found.https_only = True
    elif key == "timeout":
        found.timeout_ns = parse_duration(value)
    elif key == "max-body":
        found.max_body_bytes = parse_bytes(value)
    else:
        setattr(found, key.replace("-", "_"), _truth(value, key, text))


def _truth(value: str, key: str, text: str) -> bool:
    if value not in {"", "true", "false"}:
        raise InvalidArgument(f'--route "{text}": {key} is true or false')
    return value != "false"


def normal_path(path: str) -> str:
    """Return a path as it is compared: `/api` for `/api/`, `/` for nothing."""
    return "/" + path.strip("/") if path.startswith("/") or not path else path


def route_key(route: HttpRoute) -> tuple[str, str]:
    """Return what only one service can have: host and path."""
    return route.host, normal_path(route.path)


def place(route: HttpRoute) -> str:
    """Return host and path for people, `*` for any host."""
    return f"{route.host or '*'}{normal_path(route.path)}"


def route_text(route: HttpRoute) -> str:
    """Return a route as `--route` takes it."""
    parts = [f"host={route.host}"] if route.host else []
    parts += [f"path={normal_path(route.path)}", f"port={route.port}"]
    if route.protocol == HttpRoute.PROTOCOL_H2C:
        parts.append("protocol=h2c")
    if route.acme:
        parts.append(f"tls={ACME}")
    elif route.tls_secret_name or route.tls_secret_id:
        parts.append(f"tls={route.tls_secret_name or route.tls_secret_id}")
    if route.https_only:
        parts.append("redirect=https")
    parts += [
        word for word, said in (("strip-prefix", route.strip_prefix), ("sticky", route.sticky)) if said
    ]
    if route.HasField("timeout_ns"):
        parts.append(f"timeout={format_duration(route.timeout_ns)}")
    if route.HasField("max_body_bytes"):
        parts.append(f"max-body={route.max_body_bytes}")
    return ",".join(parts)


def route_problems(spec: ServiceSpec) -> Iterator[str]:
    """Yield every problem of the routes of a service."""
    routes = spec.endpoint.routes
    yield from limits.ROUTES.exceeded("the service", len(routes))
    seen: set[tuple[str, str]] = set()
    for route in routes:
        what = f"route {limits.shown(place(route))}"
        if route_key(route) in seen:
            yield f"{what} is there twice"
        seen.add(route_key(route))
        yield from (f"{what}: {problem}" for problem in _problems(route))


def _problems(route: HttpRoute) -> Iterator[str]:
    if route.host and (len(route.host) > HOST_CHARACTERS or not _HOST.fullmatch(route.host)):
        yield "the host is not a name in lower case, such as shop.example.org or *.example.org"
    yield from limits.ROUTE_PATH_CHARACTERS.exceeded("its path", len(route.path))
    if route.path and not _PATH.fullmatch(route.path):
        yield "the path does not begin with / or has characters that no path has"
    if not 1 <= route.port <= 65535:
        yield f"the port {route.port} is not between 1 and 65535"
    if route.protocol not in HttpRoute.Protocol.values():
        yield f"{route.protocol} is not a protocol (http, h2c)"
    if route.HasField("timeout_ns") and not SHORTEST_NS <= route.timeout_ns <= LONGEST_NS:
        yield "the timeout is not between 1ms and 24h"
    if route.max_body_bytes < 0:
        yield "the largest body cannot be negative"
    if route.acme:
        yield from _acme_problems(route)


def _acme_problems(route: HttpRoute) -> Iterator[str]:
    if route.tls_secret_id or route.tls_secret_name:
        yield "its certificate is either in a secret or comes by ACME, not both"
    if not route.host or route.host.startswith("*."):
        yield (
            f"tls={ACME} needs a host, and one without *.: by HTTP-01 a server is proved to be "
            "one host's, never all of a domain; put a certificate for them into a secret (tls=SECRET)"
        )
    elif "." not in route.host or route.host.rpartition(".")[2].isdecimal():
        yield f"tls={ACME} needs a name that the whole Internet knows, such as shop.example.org"


def ingress_problems(spec: ClusterSpec) -> Iterator[str]:
    """Yield every problem of what a cluster's spec says of its HTTP proxies."""
    if not spec.HasField("http_ingress"):
        return
    ports = ports_of(spec.http_ingress)
    for port in ports:
        if not 1 <= port <= 65535:
            yield f"the port {port} for HTTP is not between 1 and 65535"
    if ports[0] == ports[1]:
        yield f"HTTP and HTTPS cannot both be at port {ports[0]}"
    try:
        parse_constraints(spec.http_ingress.constraints)
    except InvalidArgument as problem:
        yield str(problem)
    if spec.http_ingress.HasField("acme"):
        yield from config_problems(spec.http_ingress.acme)


def ports_of(ingress: HttpIngress) -> tuple[int, int]:
    """Return where proxies listen, for HTTP and HTTPS."""
    return (
        ingress.http_port if ingress.HasField("http_port") else HTTP_PORT,
        ingress.https_port if ingress.HasField("https_port") else HTTPS_PORT,
    )
