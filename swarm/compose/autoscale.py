"""`deploy.x-autoscale` of a service: what the specification has no word for, in the words of the options.

Without it a stack that is deployed again would end the autoscaling of its services.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.compose import values
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument
from swarm.model.autoscale import parse_rule, parse_step

KEY = "x-autoscale"
_KEYS = (
    "replicas_min",
    "replicas_max",
    "scale_on",
    "scale_up_window",
    "scale_down_window",
    "scale_up_step",
    "scale_down_step",
)

T = TypeVar("T")


def apply_autoscale(spec: ServiceSpec, deploy: Tree) -> None:
    """Write into `spec` how a service is autoscaled; raises InvalidArgument with the place."""
    entry = deploy.get(KEY)
    if entry is None:
        return
    for key, unknown in entry.entries.items():
        if key not in _KEYS:
            raise unknown.problem(f'{KEY} has no "{key}"; it has {", ".join(_KEYS)}')
    autoscale = spec.autoscale
    autoscale.SetInParent()
    for key in ("replicas_min", "replicas_max"):
        if (one := entry.get(key)) is not None:
            setattr(autoscale, key, values.number(one))
    rules = entry.get("scale_on")
    if rules is not None:
        found = rules.items if isinstance(rules.value, list) else [rules]
        autoscale.rules.extend(_read(rule, parse_rule) for rule in found)
    for key, field in (("scale_up_window", "up_window_ns"), ("scale_down_window", "down_window_ns")):
        if (one := entry.get(key)) is not None:
            setattr(autoscale, field, values.duration_ns(one))
    for key, field in (("scale_up_step", "up_step"), ("scale_down_step", "down_step")):
        if (one := entry.get(key)) is not None:
            getattr(autoscale, field).CopyFrom(_read(one, partial(parse_step, option=key)))


def _read(tree: Tree, read: Callable[[str], T]) -> T:
    try:
        return read(values.text(tree))
    except InvalidArgument as problem:
        raise tree.problem(str(problem)) from None
