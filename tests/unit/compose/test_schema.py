"""The official schema, with errors for people."""

import pytest

from swarm.compose.document import parse
from swarm.compose.schema import validate
from swarm.errors import InvalidArgument


def web(*lines: str) -> str:
    return "services:\n  web:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (web("imge: x"), 'c.yaml:3:5: services.web has no key "imge"; did you mean "image"?'),
        (web("image: [x]"), "c.yaml:3:12: services.web.image: it must be text, not a list"),
        (web("tty: 5"), "c.yaml:3:10: services.web.tty: it must be true or false or text, not 5"),
        (
            web("ports:", "  - {target: 80, foo: 1}"),
            'c.yaml:4:22: services.web.ports[0] has no key "foo"; known are app_protocol, host_ip, mode',
        ),
        (
            web("depends_on: {db: {condition: ready}}"),
            "c.yaml:3:34: services.web.depends_on.db.condition: it must be one of service_started,",
        ),
        (web("depends_on: {db: {}}"), "c.yaml:3:22: services.web.depends_on.db: condition must be said"),
        (
            web("environment: {A: [1]}"),
            "c.yaml:3:22: services.web.environment.A: it must be text or a number",
        ),
        (web("environment: [A=1, A=1]"), 'c.yaml:3:18: services.web.environment: "A=1" stands in it twice'),
        (web("container_name: x"), 'c.yaml:3:21: services.web.container_name: "x" does not fit the pattern'),
        (
            web("deploy: {update_config: {order: first}}"),
            "c.yaml:3:37: services.web.deploy.update_config.order",
        ),
        (web("volumes: [{target: /x}]"), "c.yaml:3:15: services.web.volumes[0]: type must be said"),
        ("servces: {}\n", 'c.yaml:1:1: the file has no key "servces"; did you mean "services"?'),
        ("services: [a]\n", "c.yaml:1:11: services: it must be a mapping, not a list"),
        ("- a\n", "c.yaml:1:1: the file: it must be a mapping, not a list"),
        ("services: {'a b': {}}\n", 'c.yaml:1:12: services: "a b" is no name: letters'),
    ],
)
def test_what_the_specification_does_not_allow_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        validate(parse(text, "c.yaml"))
    assert str(refused.value).startswith(problem)


def test_the_first_of_several_errors_is_told() -> None:
    text = web("ports: 5", "image: [x]") + "foo: 1\n"
    with pytest.raises(InvalidArgument, match=r"^c.yaml:3:12: services.web.ports"):
        validate(parse(text, "c.yaml"))


def test_extensions_may_stand_anywhere() -> None:
    validate(parse("x-a: 1\n" + web("x-b: {c: 1}", "deploy: {x-d: 1}"), "c.yaml"))
