"""May a service depend on those that it names? Asked before its spec is stored."""

from collections.abc import Collection, Iterable

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.errors import FailedPrecondition
from swarm.manager.store.tables import ReadView
from swarm.model.dependencies import find_cycle, word


def check_dependencies(view: ReadView, spec: ServiceSpec) -> None:
    """Raise FailedPrecondition if `spec` closes a cycle: all services of it would wait for ever."""

    def needs(name: str) -> Iterable[str]:
        service = view.services.by_name(name)
        return (one.service for one in service.spec.depends_on) if service is not None else ()

    name = spec.annotations.name
    cycle = find_cycle(name, [one.service for one in spec.depends_on], needs)
    if cycle:
        raise FailedPrecondition(
            f"service {name} cannot depend on {cycle[1]}: {' → '.join(cycle)} is a cycle, none of them "
            f"would ever start; leave one of the dependencies out"
        )


def dependency_warnings(view: ReadView, spec: ServiceSpec, coming: Collection[str] = ()) -> list[str]:
    """Return a warning for every service that is depended on, does not exist and is not `coming`."""
    return [
        f"service {one.service} does not exist yet: tasks wait until it does and is {word(one)}"
        for one in spec.depends_on
        if view.services.by_name(one.service) is None and one.service not in coming
    ]
