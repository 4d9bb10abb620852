"""Is the spec of a secret or config valid?"""

import re
from collections.abc import Iterator

from swarm.api.v1.specs_pb2 import ConfigSpec, SecretSpec
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.secret_drivers import driver_problems
from swarm.model.sizes import labels_problems

TEMPLATE_DRIVERS = ("", "golang")

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")


def data_of(spec: SecretSpec | ConfigSpec) -> bytes:
    """Return the data of a secret or config."""
    return spec.secret_data if isinstance(spec, SecretSpec) else spec.data


def validate_data(spec: SecretSpec | ConfigSpec) -> None:
    """Raise InvalidArgument with every problem of the spec of a secret or config; never shows its data."""
    kind = "secret" if isinstance(spec, SecretSpec) else "config"
    found = list(_problems(spec, kind))
    if found:
        raise InvalidArgument(f"invalid {kind}: " + "; ".join(found))


def _problems(spec: SecretSpec | ConfigSpec, kind: str) -> Iterator[str]:
    name = spec.annotations.name
    yield from limits.DATA_NAME_CHARACTERS.exceeded(f"the name {limits.shown(name)}", len(name))
    if not _NAME.fullmatch(name):
        yield (
            f'the name "{limits.shown(name)}" is not 1 to {limits.DATA_NAME_CHARACTERS.value} letters, '
            'digits, "-", "_" and "." that begin and end with a letter or digit'
        )
    yield from labels_problems(spec.annotations.labels)
    size = len(data_of(spec))
    if isinstance(spec, SecretSpec) and spec.HasField("driver"):
        if size:
            yield "it has data and a driver: say one or the other"
        yield from driver_problems(spec.driver)
    elif not size:
        yield "it has no data"
    limit = limits.SECRET_BYTES if kind == "secret" else limits.CONFIG_BYTES
    yield from limit.exceeded("the data", size)
    if spec.template_driver not in TEMPLATE_DRIVERS:
        yield f'there is no template driver "{limits.shown(spec.template_driver)}"; write golang'
