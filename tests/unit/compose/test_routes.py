"""`x-routes`."""

import pytest

from swarm.errors import InvalidArgument
from swarm.model.http_routes import route_text
from swarm.model.validate import validate_service
from tests.unit.compose.files import service


def test_routes_say_what_the_options_say() -> None:
    spec = service('x-routes: ["host=shop.example.org,port=8080,sticky", "port=80,path=/api/"]')
    validate_service(spec)
    assert list(map(route_text, spec.endpoint.routes)) == [
        "host=shop.example.org,path=/,port=8080,sticky",
        "path=/api,port=80",
    ]


def test_a_service_without_routes_says_nothing_of_an_endpoint() -> None:
    assert not service("").HasField("endpoint")


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[host=a]", "port=NUMBER"), ("[port=80,sort=1]", '"sort=1" is none of'), ("{port: 80}", "is a list")],
)
def test_a_route_that_is_none_is_named(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        service(f"x-routes: {text}")
