"""Does a service want to be where another one runs, or where it does not?

service==NAME  service!=NAME                 a service, by name or id
service.labels.KEY==VALUE  …!=VALUE          every service with that label

Hard without a weight; with one (1 to 100, `service==db,weight=50`) a wish that counts that much.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from swarm.api.v1 import types_pb2 as types
from swarm.errors import InvalidArgument

WEIGHT_MAX = 100
AFFINITIES_MAX = 32  # of one service

ALLOWED = (
    "write service==NAME, service!=NAME or service.labels.LABEL==VALUE, with ,weight=1 to 100 for a wish"
)

# One thing that services are recognised by: ("service", name or id) or ("service.labels.KEY", value).
Facet = tuple[str, str]

_EXPRESSION = re.compile(r"\s*(service|service\.labels\.[^=!<>~\s]+)\s*(==|!=)\s*([^=!<>~\s][^=!<>~]*?)\s*")


@dataclass(frozen=True, slots=True)
class Affinity:
    """One parsed affinity; `str()` gives its expression back."""

    facet: Facet
    together: bool  # ==: where it runs; !=: where it does not
    weight: int = 0  # 0: it must hold

    def __str__(self) -> str:
        return f"{self.facet[0]}{'==' if self.together else '!='}{self.facet[1]}"


def parse_affinity(one: types.Affinity) -> Affinity:
    """Return what a spec says; raises InvalidArgument with what is allowed."""
    match = _EXPRESSION.fullmatch(one.expression)
    if match is None:
        raise InvalidArgument(f'invalid affinity "{one.expression}": {ALLOWED}')
    if not 0 <= one.weight <= WEIGHT_MAX:
        raise InvalidArgument(
            f'invalid affinity "{one.expression}": the weight {one.weight} is not between 1 and {WEIGHT_MAX}'
        )
    return Affinity((match[1], match[3]), match[2] == "==", one.weight)


def parse_affinities(several: Iterable[types.Affinity]) -> tuple[Affinity, ...]:
    """Return all that a spec says; raises InvalidArgument."""
    return tuple(parse_affinity(one) for one in several)


def read_affinity(text: str) -> types.Affinity:
    """Return what `service==db,weight=50` says, as it is written in a spec; raises InvalidArgument."""
    expression, comma, weight = text.partition(",")
    key, _, number = weight.strip().partition("=")
    if comma and (key != "weight" or not number.isdecimal() or not 0 < int(number) <= WEIGHT_MAX):
        raise InvalidArgument(f'affinity "{text}": {ALLOWED}')
    affinity = types.Affinity(expression=expression.strip(), weight=int(number) if comma else 0)
    parse_affinity(affinity)
    return affinity


def write_affinity(one: types.Affinity) -> str:
    """Return an affinity as people write it."""
    return f"{one.expression},weight={one.weight}" if one.weight else one.expression


def facets_of(service_id: str, name: str, labels: Iterable[tuple[str, str]]) -> tuple[Facet, ...]:
    """Return what a service is recognised by, its id first."""
    names = (service_id,) if name in {"", service_id} else (service_id, name)
    known = tuple(("service", one) for one in names)
    return (*known, *((f"service.labels.{key}", value) for key, value in labels if value))


def affinity_problems(several: Iterable[types.Affinity], name: str) -> Iterator[str]:
    """Yield what is wrong with the affinities of the service called `name`."""
    known: set[tuple[Facet, bool]] = set()
    for number, one in enumerate(several, 1):
        if number > AFFINITIES_MAX:
            yield f"the service has more than {AFFINITIES_MAX} affinities"
            return
        try:
            affinity = parse_affinity(one)
        except InvalidArgument as problem:
            yield str(problem)
            continue
        facet, together = affinity.facet, affinity.together
        if together and facet == ("service", name):
            yield (
                f'affinity "{affinity}": a service cannot wait for itself; '
                f"service!={name} keeps its tasks apart"
            )
        if (facet, together) in known:
            yield f'affinity "{affinity}" is given twice'
        if not affinity.weight and any(
            (facet, not together) == (parsed.facet, parsed.together) and not parsed.weight
            for parsed in _readable(several)
        ):
            yield f'affinity "{affinity}" and its opposite cannot both hold'
        known.add((facet, together))


def _readable(several: Iterable[types.Affinity]) -> Iterator[Affinity]:
    for one in several:
        if _EXPRESSION.fullmatch(one.expression) and 0 <= one.weight <= WEIGHT_MAX:
            yield parse_affinity(one)
