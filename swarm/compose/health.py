"""The health check of a Compose service."""

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.compose import values
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument
from swarm.model.health import parse_test

_DURATIONS = ("interval", "timeout", "start_period", "start_interval")


def apply_health(container: ContainerSpec, entry: Tree) -> None:
    """Write what `healthcheck` says into `container`; raises InvalidArgument with the place."""
    disable = entry.get("disable")
    if disable is not None and values.truth(disable):
        container.healthcheck.test.append("NONE")
        return
    test = entry.get("test")
    if test is not None and test.value:
        # Text is for the shell; a list says by its first word what it is.
        words = values.texts(test) if test.items else ["CMD-SHELL", values.text(test)]
        try:
            parse_test(tuple(words))
        except InvalidArgument as problem:
            raise test.problem(str(problem)) from None
        container.healthcheck.test.extend(words)
    for name in _DURATIONS:
        if (duration := entry.get(name)) is not None:
            setattr(container.healthcheck, f"{name}_ns", values.duration_ns(duration))
    if (retries := entry.get("retries")) is not None:
        container.healthcheck.retries = values.number(retries)
