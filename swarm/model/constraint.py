"""Does a node match the placement constraints of a service?"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import NodeRole
from swarm.errors import InvalidArgument
from swarm.model.platform import normal_architecture

ALLOWED = (
    "write KEY==VALUE or KEY!=VALUE with one of the keys node.id, node.hostname, node.ip, node.role, "
    "node.platform.os, node.platform.arch, node.labels.LABEL, engine.labels.LABEL"
)

_EXPRESSION = re.compile(r"\s*([^=!\s]+)\s*(==|!=)\s*(.*?)\s*", re.DOTALL)
_NODE_LABEL = "node.labels."
_ENGINE_LABEL = "engine.labels."


@dataclass(frozen=True, slots=True)
class Constraint:
    """One parsed expression; `str()` gives it back."""

    key: str
    equal: bool  # == or !=
    value: str

    def __str__(self) -> str:
        return f"{self.key}{'==' if self.equal else '!='}{self.value}"


_FIXED: Mapping[str, Callable[[Node], str]] = {
    "node.id": lambda node: node.id,
    "node.hostname": lambda node: node.description.hostname,
    "node.ip": lambda node: node.status.addr,
    "node.role": lambda node: NodeRole.Name(node.role).removeprefix("NODE_ROLE_"),
    "node.platform.os": lambda node: node.description.platform.os,
    "node.platform.arch": lambda node: normal_architecture(node.description.platform.architecture),
}


def parse_constraint(expression: str) -> Constraint:
    """Return the constraint that `expression` says; raises InvalidArgument with what is allowed."""
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise _invalid(expression, "it has no == or != between a key and a value")
    key, operator, value = match.groups()
    key = _checked_key(expression, key)
    if not value:
        raise _invalid(expression, "the value is empty")
    if value[0] in "=!":
        raise _invalid(expression, "it has more than one operator")
    if key == "node.role" and value.lower() not in {"manager", "worker"}:
        raise _invalid(expression, "node.role is manager or worker")
    if key == "node.ip" and _network(value) is None:
        raise _invalid(expression, f'"{value}" is neither an address nor a network such as 10.0.0.0/8')
    return Constraint(key, operator == "==", value)


def parse_constraints(expressions: Iterable[str]) -> tuple[Constraint, ...]:
    """Return the constraints that all the expressions say; raises InvalidArgument."""
    return tuple(parse_constraint(expression) for expression in expressions)


def matches(constraint: Constraint, node: Node) -> bool:
    """Whether `node` satisfies `constraint`; what the node lacks counts as empty."""
    return _holds(constraint, node) == constraint.equal


def node_matches(constraints: Iterable[Constraint], node: Node) -> bool:
    """Whether `node` satisfies all of `constraints`."""
    return first_unmet(constraints, node) is None


def first_unmet(constraints: Iterable[Constraint], node: Node) -> Constraint | None:
    """Return the first constraint that `node` does not satisfy."""
    return next((constraint for constraint in constraints if not matches(constraint, node)), None)


def _holds(constraint: Constraint, node: Node) -> bool:
    key, value = constraint.key, constraint.value
    if key == "node.ip":
        address, network = _address(node.status.addr), _network(value)
        return address is not None and network is not None and address in network
    if key == "node.platform.arch":
        value = normal_architecture(value)
    return _actual(key, node).casefold() == value.casefold()


def _actual(key: str, node: Node) -> str:
    if key.startswith(_NODE_LABEL):
        return node.spec.annotations.labels.get(key.removeprefix(_NODE_LABEL), "")
    if key.startswith(_ENGINE_LABEL):
        return node.description.engine_labels.get(key.removeprefix(_ENGINE_LABEL), "")
    return _FIXED[key](node)


def _checked_key(expression: str, key: str) -> str:
    """Return the key with its fixed part in lower case; the names of labels keep theirs."""
    lower = key.lower()
    for prefix in (_NODE_LABEL, _ENGINE_LABEL):
        if lower.startswith(prefix) and len(key) > len(prefix):
            return prefix + key[len(prefix) :]
    if lower in _FIXED:
        return lower
    raise _invalid(expression, f'"{key}" is not a key')


def _network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None


def _address(addr: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address in `1.2.3.4`, `1.2.3.4:5`, `::1` or `[::1]:5`."""
    bracketed = re.fullmatch(r"\[(.+)\](?::\d+)?", addr)
    host = bracketed[1] if bracketed else addr
    if not bracketed and addr.count(":") == 1:
        host = addr.partition(":")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _invalid(expression: str, why: str) -> InvalidArgument:
    return InvalidArgument(f'invalid constraint "{expression}": {why}; {ALLOWED}')
