"""Where tasks go and what they are given there, as `inspect` shows it."""

from collections.abc import Iterable
from typing import Any

from swarm.api.v1 import types_pb2 as t
from swarm.cli import names

View = dict[str, Any]


def generic_resources(several: Iterable[t.GenericResource], key: str = "GenericResources") -> View:
    """Return generic resources below `key`, as Docker prints them; nothing where there are none."""
    found = [_generic(one) for one in several]
    return {key: found} if found else {}


def more_placement(placement: t.Placement) -> View:
    """Return what services of Docker do not have; what the user did not say is absent."""
    view: View = {}
    if placement.strategy:
        view["Strategy"] = names.word(names.PLACEMENT_STRATEGY, placement.strategy)
    if placement.affinities:
        view["Affinities"] = [_affinity(one) for one in placement.affinities]
    return view


def _generic(one: t.GenericResource) -> View:
    if one.named:
        return {"NamedResourceSpec": {"Kind": one.kind, "Value": one.named}}
    return {"DiscreteResourceSpec": {"Kind": one.kind, "Value": one.count}}


def _affinity(one: t.Affinity) -> View:
    return {"Expression": one.expression} | ({"Weight": one.weight} if one.weight else {})
