"""Does a node match the placement constraints of a service?

KEY==VALUE  KEY!=VALUE           equal, ignoring case; what a node lacks is empty
KEY in (A, B)  KEY not in (A, B) one of several
KEY=~PATTERN  KEY!~PATTERN       a regular expression (RE2) for the whole value, ignoring case
KEY>=N  KEY<=N  KEY>N  KEY<N     labels that are whole numbers or versions such as 5.10.2
KEY  !KEY                        the node has it, or has it not
"""

import functools
import ipaddress
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import NodeRole
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.platform import normal_architecture

ALLOWED = (
    "write KEY==VALUE, KEY!=VALUE, KEY in (A, B), KEY not in (A, B), KEY=~PATTERN, KEY!~PATTERN, KEY>=N, "
    "KEY<=N, KEY>N, KEY<N, KEY or !KEY with one of the keys node.id, node.hostname, node.ip, node.role, "
    "node.platform.os, node.platform.arch, node.labels.LABEL, engine.labels.LABEL"
)

PATTERN_CHARACTERS_MAX = limits.PATTERN_CHARACTERS.value
VALUES_MAX = limits.CONSTRAINT_VALUES.value  # in one list

_BINARY = re.compile(r"\s*([^=!<>~\s]+)\s*(==|!=|=~|!~|>=|<=|>|<)\s*(.*?)\s*", re.DOTALL)
_SET = re.compile(r"\s*([^=!<>~\s]+)\s+(in|not\s*in)\s*\((.*)\)\s*", re.DOTALL | re.IGNORECASE)
_PRESENT = re.compile(r"\s*(!?)\s*([^=!<>~\s]+)\s*")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18}){0,7}")
_NODE_LABEL = "node.labels."
_ENGINE_LABEL = "engine.labels."
_ORDERS: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_NEGATIONS = {"!=": "==", "not in": "in", "!~": "=~", "absent": "present"}


@dataclass(frozen=True, slots=True)
class Constraint:
    """One parsed expression; `str()` gives it back."""

    key: str
    operator: str  # as written; "present" and "absent" where only a key stands
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.operator:
            case "present":
                return self.key
            case "absent":
                return f"!{self.key}"
            case "in" | "not in":
                return f"{self.key} {self.operator} ({', '.join(self.values)})"
        return f"{self.key}{self.operator}{self.values[0]}"


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
    if several := _SET.fullmatch(expression):
        key = _checked_key(expression, several[1])
        values = tuple(value.strip() for value in several[3].split(","))
        name = "in" if several[2].lower() == "in" else "not in"
    elif two := _BINARY.fullmatch(expression):
        key, name, values = _checked_key(expression, two[1]), two[2], (two[3],)
        if two[3][:1] in {"=", "!", "~", "<", ">"} and name not in {"=~", "!~"}:
            raise _invalid(expression, "it has more than one operator")
    elif present := _PRESENT.fullmatch(expression):
        return Constraint(_checked_key(expression, present[2]), "absent" if present[1] else "present")
    else:
        raise _invalid(expression, "it is not a key, an operator and a value")
    constraint = Constraint(key, name, values)
    _check_values(expression, constraint)
    return constraint


def parse_constraints(expressions: Iterable[str]) -> tuple[Constraint, ...]:
    """Return the constraints that all the expressions say; raises InvalidArgument."""
    return tuple(parse_constraint(expression) for expression in expressions)


def matches(constraint: Constraint, node: Node) -> bool:
    """Whether `node` satisfies `constraint`; what the node lacks counts as empty, and is no number."""
    positive = _NEGATIONS.get(constraint.operator)
    if positive is not None:
        return not _holds(constraint, positive, node)
    return _holds(constraint, constraint.operator, node)


def node_matches(constraints: Iterable[Constraint], node: Node) -> bool:
    """Whether `node` satisfies all of `constraints`."""
    return first_unmet(constraints, node) is None


def first_unmet(constraints: Iterable[Constraint], node: Node) -> Constraint | None:
    """Return the first constraint that `node` does not satisfy."""
    return next((constraint for constraint in constraints if not matches(constraint, node)), None)


def _holds(constraint: Constraint, name: str, node: Node) -> bool:
    key, values = constraint.key, constraint.values
    actual = actual_value(key, node)
    match name:
        case "present":
            return bool(actual)
        case "=~":
            return _pattern(values[0]).fullmatch(actual) is not None
        case "==" | "in":
            return any(_equal(key, actual, value) for value in values)
    number = _number(actual)
    return number is not None and _in_order(name, number, _number(values[0]) or ())


def _equal(key: str, actual: str, value: str) -> bool:
    if key == "node.ip":
        address, network = address_of(actual), _network(value)
        return address is not None and network is not None and address in network
    if key == "node.platform.arch":
        value = normal_architecture(value)
    return actual.casefold() == value.casefold()


def _in_order(name: str, actual: tuple[int, ...], bound: tuple[int, ...]) -> bool:
    """Compare part by part, as versions are: 5.10 is more than 5.9, and the same as 5.10.0."""
    length = max(len(actual), len(bound))
    padded = [number + (0,) * (length - len(number)) for number in (actual, bound)]
    return _ORDERS[name](padded[0], padded[1])


def _number(text: str) -> tuple[int, ...] | None:
    if _NUMBER.fullmatch(text) is None:
        return None
    return tuple(int(part) for part in text.split("."))


@functools.lru_cache(maxsize=1024)
def _pattern(pattern: str) -> Any:
    """Compile with RE2, whose time is linear: a pattern must not be able to hold up the scheduler."""
    import re2  # where patterns are met: 4 MB that most nodes never need

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return re2.compile(pattern, options)


def _check_values(expression: str, constraint: Constraint) -> None:
    key, name, values = constraint.key, constraint.operator, constraint.values
    if not all(values):
        raise _invalid(expression, "the value is empty" if len(values) == 1 else "a value is empty")
    if len(values) > VALUES_MAX:
        raise _invalid(
            expression, f"it lists more than {VALUES_MAX} values ({limits.CONSTRAINT_VALUES.name})"
        )
    if name in {"in", "not in"} and any(set(value) & set("()") for value in values):
        raise _invalid(expression, "a value in a list has no parentheses")
    if name in {"=~", "!~"}:
        _check_pattern(expression, values[0])
    elif name in _ORDERS:
        _check_order(expression, key, values[0])
    else:
        _check_known(expression, key, values)


def _check_pattern(expression: str, pattern: str) -> None:
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        limit = f"{PATTERN_CHARACTERS_MAX} characters ({limits.PATTERN_CHARACTERS.name})"
        raise _invalid(expression, f"the pattern is longer than {limit}")
    import re2

    try:
        _pattern(pattern)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise _invalid(expression, f"the pattern is no regular expression ({reason})") from None


def _check_order(expression: str, key: str, bound: str) -> None:
    if key in _FIXED:
        raise _invalid(expression, "only labels are compared as numbers")
    if _number(bound) is None:
        raise _invalid(expression, f'"{bound}" is neither a whole number nor a version such as 5.10.2')


def _check_known(expression: str, key: str, values: Iterable[str]) -> None:
    for value in values:
        if key == "node.role" and value.lower() not in {"manager", "worker"}:
            raise _invalid(expression, "node.role is manager or worker")
        if key == "node.ip" and _network(value) is None:
            raise _invalid(expression, f'"{value}" is neither an address nor a network such as 10.0.0.0/8')


def actual_value(key: str, node: Node) -> str:
    """Return what `node` has under a constraint's key; empty when it has it not."""
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


def address_of(addr: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
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
