"""Options by which HTTP requests are brought to a service."""

from typing import Any

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.errors import InvalidArgument
from swarm.model.http_routes import normal_path, parse_route, place, route_key

Given = dict[str, Any]

LISTS = (
    (
        "--route",
        "Bring HTTP requests to the tasks: host=shop.example.org,path=/,port=8080[,tls=SECRET|acme]"
        "[,redirect=https][,strip-prefix][,sticky][,timeout=1m][,max-body=10m][,protocol=h2c].",
    ),
)
REMOVES = (("--route-rm", "Route to remove, by HOST/PATH, e.g. shop.example.org/ (any host: '*/')."),)


def add_routes(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--route` gave; with suffix `_add`, in place of the route of the same host and path."""
    for text in given[f"route{suffix}"]:
        new = parse_route(text)
        if suffix:
            key = route_key(new)
            _keep(spec, lambda old, key=key: route_key(old) != key)
        spec.endpoint.routes.append(new)


def remove_routes(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--route-rm` named; a route that is not there is an error."""
    for text in given["route_rm"]:
        host, slash, path = text.partition("/")
        wanted = f"{host.lower() or '*'}{normal_path(slash + path)}"
        if not any(place(one) == wanted for one in spec.endpoint.routes):
            there = ", ".join(map(place, spec.endpoint.routes)) or "none"
            raise InvalidArgument(f"--route-rm {text}: the service has no such route (it has: {there})")
        _keep(spec, lambda old, wanted=wanted: place(old) != wanted)


def _keep(spec: ServiceSpec, wanted: Any) -> None:
    kept = [old for old in spec.endpoint.routes if wanted(old)]
    del spec.endpoint.routes[:]
    spec.endpoint.routes.extend(kept)
