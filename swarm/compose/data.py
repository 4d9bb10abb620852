"""Secrets and configs of a Compose project, and how its services refer to them."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from swarm.api.v1.specs_pb2 import (
    ConfigReference,
    ConfigSpec,
    FileTarget,
    SecretDriver,
    SecretReference,
    SecretSpec,
)
from swarm.compose import values
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument, NotFound
from swarm.model.secret_drivers import driver_problems
from swarm.model.stacks import NAMESPACE_LABEL

ReadData = Callable[[str], bytes]  # the content of a file by its path; raises NotFound, InvalidArgument

Spec = TypeVar("Spec", SecretSpec, ConfigSpec)

_SOURCES = ("file", "environment", "content")


def name_of(kind: Tree | None, key: str, stack: str) -> str:
    """Return what the secret or config `key` is called in the cluster, without the number of a version."""
    entry = kind.get(key) if kind is not None else None
    if entry is None:
        return f"{stack}_{key}"
    own, old_way = entry.get("name"), entry.get("external", "name")
    if own is not None or old_way is not None:
        return values.text(own or old_way)  # type: ignore[arg-type]
    return key if is_external(entry) else f"{stack}_{key}"


def is_external(entry: Tree) -> bool:
    """Whether somebody else looks after it."""
    external = entry.get("external")
    return external is not None and (bool(external.entries) or values.truth(external))


def described(spec: Spec, entry: Tree, name: str, stack: str) -> Spec:
    """Return the spec of a secret or config with its name, labels and template driver."""
    spec.annotations.name = name
    spec.annotations.labels.update(values.mapping(entry.get("labels")))
    spec.annotations.labels[NAMESPACE_LABEL] = stack
    if (driver := entry.get("template_driver")) is not None:
        spec.template_driver = values.text(driver)
    return spec


def driver(entry: Tree) -> SecretDriver | None:
    """Return the driver that is asked for a secret, None without one; raises InvalidArgument."""
    name = entry.get("driver")
    if name is None:
        if (options := entry.get("driver_opts")) is not None:
            raise options.problem("there is no driver whose options these could be: say driver as well")
        return None
    for key in _SOURCES:
        if (source := entry.get(key)) is not None:
            raise source.problem(f"its driver gives the content: take {key} or driver away")
    found = SecretDriver(name=values.text(name), options=values.mapping(entry.get("driver_opts")))
    if problems := list(driver_problems(found)):
        raise name.problem("; ".join(problems))
    return found


def content(entry: Tree, read: ReadData, variables: Mapping[str, str]) -> bytes:
    """Return what is in a secret or config; raises InvalidArgument with the place."""
    said = [(key, one) for key in _SOURCES if (one := entry.get(key)) is not None]
    if len(said) != 1:
        raise entry.problem(f"say one of {', '.join(_SOURCES)} or external, where its content comes from")
    key, source = said[0]
    if key == "content":
        return values.text(source).encode()
    if key == "environment":
        if values.text(source) not in variables:
            raise source.problem(f"the variable {values.text(source)} is not set")
        return variables[values.text(source)].encode(errors="surrogateescape")  # as the shell has it
    try:
        return read(values.text(source))
    except (NotFound, InvalidArgument) as problem:
        raise source.problem(str(problem)) from None


def secret_reference(item: Tree, name: str) -> SecretReference:
    """Return how a container refers to a secret of this name."""
    return SecretReference(secret_name=name, target=_target(item, ""))


def config_reference(item: Tree, name: str) -> ConfigReference:
    """Return how a container refers to a config of this name."""
    return ConfigReference(config_name=name, target=_target(item, "/"))


def _target(item: Tree, folder: str) -> FileTarget:
    target = item.get("target")
    name = values.text(target) if target is not None else f"{folder}{values.text(item.entries['source'])}"
    found = FileTarget(name=name)
    if (uid := item.get("uid")) is not None:
        found.uid = values.number(uid)
    if (gid := item.get("gid")) is not None:
        found.gid = values.number(gid)
    if (mode := item.get("mode")) is not None:
        found.mode = values.permissions(mode)
    return found
