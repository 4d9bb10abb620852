"""Routes of HTTP requests: what people write, and what is wrong with it."""

import pytest

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import ClusterSpec, ServiceSpec
from swarm.api.v1.types_pb2 import HttpRoute
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.http_routes import (
    ingress_problems,
    normal_path,
    parse_route,
    place,
    route_key,
    route_problems,
    route_text,
)
from swarm.model.task import is_dirty, new_task


def spec_with(*routes: HttpRoute) -> ServiceSpec:
    spec = ServiceSpec()
    spec.endpoint.routes.extend(routes)
    return spec


@pytest.mark.parametrize(
    "text",
    [
        "path=/,port=80",
        "host=shop.example.org,path=/api,port=8080,protocol=h2c,tls=cert,redirect=https,"
        "strip-prefix,sticky,timeout=1m30s,max-body=1024",
        "host=*.example.org,path=/,port=1,timeout=500ms",
        "host=shop.example.org,path=/,port=1,tls=acme",
    ],
)
def test_a_route_reads_as_it_is_written(text: str) -> None:
    assert route_text(parse_route(text)) == text
    assert not list(route_problems(spec_with(parse_route(text))))


def test_hosts_and_paths_are_compared_in_one_form() -> None:
    one, other = parse_route("host=Shop.Example.ORG.,path=/api/,port=1"), parse_route("port=2")
    assert (route_key(one), place(one)) == (("shop.example.org", "/api"), "shop.example.org/api")
    assert (route_key(other), place(other)) == (("", "/"), "*/")
    assert normal_path("//") == "/"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("host=a", "port=NUMBER"),
        ("port=80,port=81", "once more"),
        ("port=http", "not a number"),
        ("port=80,redirect=http", "only be to https"),
        ("port=80,protocol=spdy", "http or h2c"),
        ("port=80,sticky=maybe", "true or false"),
        ("port=80,host", "none of"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        parse_route(text)


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        (HttpRoute(host="a b", port=80), "host is not a name"),
        (HttpRoute(host="a.*.b", port=80), "host is not a name"),
        (HttpRoute(host=".".join(["a" * 60] * 5), port=80), "host is not a name"),
        (HttpRoute(path="api", port=80), "does not begin with /"),
        (HttpRoute(path="/a{b}", port=80), "characters that no path has"),
        (HttpRoute(path="/a\nbackend x", port=80), "characters that no path has"),
        (HttpRoute(port=0), "between 1 and 65535"),
        (HttpRoute(port=80, timeout_ns=5), "between 1ms and 24h"),
        (HttpRoute(port=80, max_body_bytes=-1), "cannot be negative"),
        (HttpRoute(port=80, acme=True), "needs a host"),
        (HttpRoute(host="*.a.org", port=80, acme=True), "by HTTP-01 a server is proved to be one host's"),
        (HttpRoute(host="shop", port=80, acme=True), "the whole Internet knows"),
        (HttpRoute(host="10.0.0.1", port=80, acme=True), "the whole Internet knows"),
        (HttpRoute(host="a.org", port=80, acme=True, tls_secret_name="s"), "not both"),
    ],
)
def test_what_is_wrong_with_a_route_is_said(route: HttpRoute, problem: str) -> None:
    assert problem in " ".join(route_problems(spec_with(route)))


def test_a_service_has_each_route_once() -> None:
    routes = (HttpRoute(path="/a", port=80), HttpRoute(path="/a/", port=81))
    assert list(route_problems(spec_with(*routes))) == ["route */a is there twice"]


def test_more_routes_and_longer_paths_than_the_limits_are_refused() -> None:
    most, longest = limits.ROUTES.value, limits.ROUTE_PATH_CHARACTERS.value
    routes = [HttpRoute(path=f"/{number}", port=80) for number in range(most + 1)]
    assert not list(route_problems(spec_with(*routes[:most])))
    assert "(ROUTES)" in next(route_problems(spec_with(*routes)))
    path = "/" + "a" * (longest - 1)
    assert not list(route_problems(spec_with(HttpRoute(path=path, port=80))))
    assert "(ROUTE_PATH_CHARACTERS)" in next(route_problems(spec_with(HttpRoute(path=path + "a", port=80))))


def test_proxies_need_two_ports_and_constraints_that_can_be_read() -> None:
    spec = ClusterSpec()
    assert not list(ingress_problems(spec))
    spec.http_ingress.http_port = 443
    spec.http_ingress.constraints.append("node.colour")
    assert len(list(ingress_problems(spec))) == 2


def changed(before: ServiceSpec, after: ServiceSpec) -> bool:
    service = Service(id="web", spec=before, spec_version=1)
    task: Task = new_task(service, "t", 0)
    service.spec.CopyFrom(after)
    service.spec_version = 2
    return is_dirty(service, task, None)


def test_only_the_first_route_of_a_service_replaces_its_tasks() -> None:
    one, other = HttpRoute(host="a", port=80), HttpRoute(host="b", port=81)
    assert changed(ServiceSpec(), spec_with(one)), "its tasks have no address in the ingress network"
    assert not changed(spec_with(one), spec_with(one, other))
    assert not changed(spec_with(one), spec_with(other))
    assert not changed(spec_with(one), spec_with())
