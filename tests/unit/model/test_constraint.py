import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER
from swarm.errors import InvalidArgument
from swarm.model.constraint import first_unmet, matches, node_matches, parse_constraint, parse_constraints


def a_node() -> Node:
    node = Node(id="id1", role=NODE_ROLE_MANAGER)
    node.description.hostname = "Box-1"
    node.description.platform.os = "linux"
    node.description.platform.architecture = "x86_64"
    node.description.engine_labels["disk"] = "SSD"
    node.description.engine_labels["kernel"] = "5.10.2"
    node.spec.annotations.labels["zone"] = "eu"
    node.spec.annotations.labels["cores"] = "8"
    node.status.addr = "10.1.2.3"
    return node


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("node.id==id1", True),
        ("node.id == id1", True),
        ("node.id!=id1", False),
        ("node.hostname==box-1", True),
        ("NODE.HOSTNAME==BOX-1", True),
        ("node.hostname==box", False),
        ("node.role==Manager", True),
        ("node.role==worker", False),
        ("node.platform.os==Linux", True),
        ("node.platform.arch==amd64", True),
        ("node.platform.arch==x86_64", True),
        ("node.platform.arch==arm64", False),
        ("node.labels.zone==EU", True),
        ("node.labels.Zone==eu", False),  # the names of labels are exact
        ("node.labels.missing==eu", False),
        ("node.labels.missing!=eu", True),
        ("engine.labels.disk==ssd", True),
        ("engine.labels.disk!=ssd", False),
        ("node.ip==10.1.2.3", True),
        ("node.ip==10.1.0.0/16", True),
        ("node.ip!=10.1.0.0/16", False),
        ("node.ip==10.2.0.0/16", False),
        ("node.ip==fd00::/8", False),
        ("node.labels.zone==a b (c)", False),
        ("node.labels.zone in (us, EU)", True),
        ("node.labels.zone in (us,asia)", False),
        ("node.labels.zone not in (us, asia)", True),
        ("node.labels.zone notin (eu)", False),
        ("node.labels.missing not in (eu)", True),
        ("node.ip in (192.168.0.0/16, 10.0.0.0/8)", True),
        ("node.ip not in (10.0.0.0/8)", False),
        ("node.platform.arch in (arm64, x86_64)", True),
        ("node.role in (worker, manager)", True),
        ("node.labels.zone=~e.", True),
        ("node.labels.zone=~E", False),  # the whole value
        ("node.labels.zone!~u.*", True),
        ("node.hostname=~box-[0-9]+", True),
        ("node.labels.missing=~.*", True),
        ("node.labels.zone=~=.*|eu", True),
        ("engine.labels.kernel>=5.9", True),
        ("engine.labels.kernel >= 5.10.2", True),
        ("engine.labels.kernel>5.10.2", False),
        ("engine.labels.kernel<=5.10.2.0", True),
        ("engine.labels.kernel<5.10", False),
        ("node.labels.cores>7", True),
        ("node.labels.cores<010", True),
        ("node.labels.zone>=1", False),  # no number
        ("node.labels.missing<1", False),
        ("node.labels.zone", True),
        ("!node.labels.zone", False),
        ("node.labels.missing", False),
        ("! node.labels.missing", True),
    ],
)
def test_a_node_matches_as_written(expression, expected):
    assert matches(parse_constraint(expression), a_node()) is expected


@pytest.mark.parametrize("addr", ["10.1.2.3:2377", "[fd00::1]:2377", "fd00::1"])
def test_an_address_may_come_with_a_port(addr):
    node = a_node()
    node.status.addr = addr
    assert node_matches(parse_constraints(["node.ip==10.1.2.3"]), node) is addr.startswith("10")
    assert node_matches(parse_constraints(["node.ip==fd00::/8"]), node) is not addr.startswith("10")


def test_a_node_without_description_is_empty_in_every_respect():
    assert matches(parse_constraint("node.hostname!=x"), Node(id="n"))
    assert matches(parse_constraint("node.ip!=10.0.0.0/8"), Node(id="n"))
    assert not matches(parse_constraint("node.platform.os==linux"), Node(id="n"))


def test_all_constraints_must_hold_and_the_first_unmet_is_named():
    constraints = parse_constraints(["node.role==manager", "node.labels.zone!=eu"])
    assert str(first_unmet(constraints, a_node())) == "node.labels.zone!=eu"


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "not a key, an operator and a value"),
        ("node.id=abc", "not a key, an operator and a value"),
        ("node.id==", "value is empty"),
        ("node.id===abc", "more than one operator"),
        ("==abc", "not a key, an operator and a value"),
        ("node.colour==red", "not a key"),
        ("node.labels.==red", "not a key"),
        ("node.role==boss", "manager or worker"),
        ("node.ip==10.0.0.256", "neither an address"),
        ("node id==abc", "not a key, an operator and a value"),
        ("node.colour", "not a key"),
        ("!node.labels.", "not a key"),
        ("node.labels.a>=", "value is empty"),
        ("node.labels.a>==1", "more than one operator"),
        ("node.labels.a>=one", "neither a whole number nor a version"),
        ("node.labels.a>=-1", "neither a whole number nor a version"),
        ("node.id>=1", "only labels are compared"),
        ("node.labels.a in ()", "value is empty"),
        ("node.labels.a in (b,,c)", "a value is empty"),
        ("node.labels.a in (b) (c)", "no parentheses"),
        ("node.labels.a in b", "not a key, an operator and a value"),
        ("node.labels.a in (" + "b," * 64 + "b)", "more than 64 values"),
        ("node.role in (boss)", "manager or worker"),
        ("node.ip in (10.0.0.0/8, here)", "neither an address"),
        ("node.labels.a=~(", "no regular expression"),
        ("node.labels.a=~" + "b" * 257, "longer than 256 characters"),
    ],
)
def test_a_malformed_constraint_is_refused_with_what_is_allowed(expression, why):
    with pytest.raises(InvalidArgument, match=why) as caught:
        parse_constraint(expression)
    assert f'"{expression}"' in str(caught.value)
    assert "node.labels.LABEL" in str(caught.value)


EXPRESSIONS = (
    r"!?(node|engine)\.(ip|role|labels\.\w+)( ?(==|!=|=~|!~|[<>]=?)\S*| (not )?in \(\w+(, \w+)*\))?"
)


@given(st.text() | st.from_regex(EXPRESSIONS, fullmatch=True))
@example("node.labels.a=~" + "(a+)+" * 10)
@example("node.ip==" + "1" * 5000)
def test_whatever_is_written_either_parses_or_is_refused(expression):
    with contextlib.suppress(InvalidArgument):
        constraint = parse_constraint(expression)
        assert parse_constraint(str(constraint)) == constraint
        matches(constraint, a_node())
