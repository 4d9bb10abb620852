"""Options of `service create` and `service update` that say which services come first."""

from typing import Any

from swarm.api.v1.specs_pb2 import ServiceDependency, ServiceSpec
from swarm.errors import InvalidArgument
from swarm.model.dependencies import WORDS, word

Given = dict[str, Any]

LISTS = (
    (
        "--depends-on",
        "Start tasks after another service: SERVICE[:started|healthy|completed] (default started).",
    ),
)
REMOVES = (("--depends-on-rm", "Service to wait for no longer, by name."),)


def read_dependency(text: str) -> ServiceDependency:
    """Return what `db:healthy` says; raises InvalidArgument."""
    name, colon, condition = text.partition(":")
    if not name or (colon and condition not in WORDS):
        raise InvalidArgument(
            f'--depends-on "{text}": write SERVICE or SERVICE:CONDITION, the condition one of '
            f"{', '.join(WORDS)}"
        )
    return ServiceDependency(service=name, condition=WORDS[condition or "started"])


def add_dependencies(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--depends-on` gave; with suffix `_add` it replaces the condition of the same service."""
    for text in given[f"depends_on{suffix}"]:
        wanted = read_dependency(text)
        if suffix:
            _drop(spec, wanted.service)
        spec.depends_on.append(wanted)


def remove_dependencies(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--depends-on-rm` named; what is not there is an error."""
    for name in given["depends_on_rm"]:
        if not _drop(spec, name):
            raise InvalidArgument(f"--depends-on-rm {name}: the service does not depend on it")


def shown_dependencies(spec: ServiceSpec) -> list[dict[str, str]]:
    """Return the dependencies as `inspect` shows them."""
    return [{"Service": one.service, "Condition": word(one)} for one in spec.depends_on]


def _drop(spec: ServiceSpec, name: str) -> bool:
    """Remove the dependency on a service; return whether there was one."""
    kept = [(one.service, one.condition) for one in spec.depends_on if one.service != name]
    found = len(kept) < len(spec.depends_on)
    del spec.depends_on[:]
    for service, condition in kept:
        spec.depends_on.add(service=service, condition=condition)
    return found
