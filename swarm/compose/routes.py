"""`x-routes` of a service: HTTP requests that are brought to it, in the words of `--route`.

The specification has no word for them. `tls` names a secret of the project where there is one of that name.
"""

from collections.abc import Iterator

from swarm.api.v1.types_pb2 import HttpRoute
from swarm.compose import values
from swarm.compose.data import name_of
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument
from swarm.model.http_routes import parse_route

KEY = "x-routes"


def routes_of(service: Tree, project: Tree, stack: str) -> Iterator[HttpRoute]:
    """Yield the routes of a service; raises InvalidArgument with the place."""
    secrets = project.get("secrets")
    for route in _read(service):
        if route.tls_secret_name and secrets is not None and secrets.get(route.tls_secret_name) is not None:
            route.tls_secret_name = name_of(secrets, route.tls_secret_name, stack)
        yield route


def certificates_of(service: Tree) -> set[str]:
    """Return the secrets that the routes of a service name, as the project calls them."""
    return {route.tls_secret_name for route in _read(service)} - {""}


def _read(service: Tree) -> Iterator[HttpRoute]:
    entry = service.get(KEY)
    if entry is None:
        return
    if not isinstance(entry.value, list):
        raise entry.problem(f'{KEY} is a list, e.g. ["host=shop.example.org,port=8080"]')
    for item in entry.items:
        try:
            yield parse_route(values.text(item))
        except InvalidArgument as problem:
            raise item.problem(str(problem)) from None
