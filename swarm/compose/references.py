"""Is all there that services of a Compose project name, and does none of them wait for itself?"""

from collections.abc import Iterable

from swarm.compose.tree import Tree
from swarm.model.dependencies import find_cycle


def check_references(tree: Tree, whole: Tree) -> None:
    """Refuse services that name services, networks, volumes, secrets or configs that are not there.

    `tree` is the project with the active services, `whole` has those of other profiles, too. Raises
    InvalidArgument with the place.
    """
    services, all_of = _services(tree), _services(whole)
    for name, service in services.items():
        for other, one in _dependencies(service).items():
            required = one.get("required")
            if other in services or (required is not None and required.value is False):
                continue
            if other in all_of:
                profiles = ", ".join(str(item.value) for item in all_of[other].entries["profiles"].items)
                raise one.problem(
                    f"service {name} depends on {other}, which only --profile makes part of it: {profiles}"
                )
            raise one.problem(f"service {name} depends on {other}, which is not in the project")
        for kind, key in (
            ("networks", ""),
            ("volumes", "source"),
            ("secrets", "source"),
            ("configs", "source"),
        ):
            _check_kind(tree, name, service, kind, key)
    _check_cycles(services)


def _services(tree: Tree) -> dict[str, Tree]:
    services = tree.get("services")
    return services.entries if services is not None else {}


def _dependencies(service: Tree) -> dict[str, Tree]:
    dependencies = service.get("depends_on")
    return dependencies.entries if dependencies is not None else {}


def _check_cycles(services: dict[str, Tree]) -> None:
    def needs(name: str) -> Iterable[str]:
        return _dependencies(services[name]) if name in services else ()

    for name, service in services.items():
        cycle = find_cycle(name, list(needs(name)), needs)
        if cycle:
            raise _dependencies(service)[cycle[1]].problem(
                f"service {name} cannot depend on {cycle[1]}: {' → '.join(cycle)} is a cycle, none of them "
                "would ever start; leave one of the dependencies out"
            )


def _check_kind(tree: Tree, name: str, service: Tree, kind: str, key: str) -> None:
    used, known = service.get(kind), tree.get(kind)
    if used is None:
        return
    for item in used.items:
        if kind in {"secrets", "configs"} and key not in item.entries:
            raise item.problem(f"source must be said: which of the {kind} of the project")
    named = (
        list(used.entries.items())
        if not key
        else [(str(item.entries[key].value), item) for item in used.items if key in item.entries]
    )
    for wanted, where in named:
        if kind == "networks" and wanted == "default":
            continue
        if kind == "volumes" and where.entries["type"].value != "volume":
            continue
        if known is None or wanted not in known.entries:
            raise where.problem(
                f"service {name} uses {wanted}, which is not among the {kind} of the project"
            )
