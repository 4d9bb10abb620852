"""`logging` of a Compose service: how much of the output its nodes keep, and what is told with it."""

from collections.abc import Callable

from swarm.api.v1.specs_pb2 import ContainerSpec, LogConfig
from swarm.compose import values
from swarm.compose.tree import Tree

_KEPT = "agents keep the output: `swarmctl service logs`"
_DRIVERS = {"", "json-file", "local"}  # those that mean what agents do anyhow


def apply_logging(container: ContainerSpec, service: Tree) -> list[str]:
    """Write what is kept and told; return a warning for everything else that is said."""
    warnings: list[str] = []
    driver, options = service.get("logging", "driver"), service.get("logging", "options")
    if driver is not None and values.text(driver) not in _DRIVERS:
        warnings.append(f"{driver.place}: the driver {values.text(driver)} is ignored: {_KEPT}")
    for key, entry in options.entries.items() if options is not None else ():
        if key in _OPTIONS:
            _OPTIONS[key](container.log, entry)
        else:
            warnings.append(f"{entry.place}: {key} is ignored: {_KEPT}")
    return warnings


def _max_size(log: LogConfig, entry: Tree) -> None:
    log.max_size_bytes = values.size_bytes(entry)


def _max_file(log: LogConfig, entry: Tree) -> None:
    log.max_files = values.number(entry)


def _labels(log: LogConfig, entry: Tree) -> None:
    log.labels.extend(_names(entry))


def _env(log: LogConfig, entry: Tree) -> None:
    log.env.extend(_names(entry))


def _tag(log: LogConfig, entry: Tree) -> None:
    log.tag = values.text(entry)


def _names(entry: Tree) -> list[str]:
    return [one for one in (part.strip() for part in values.text(entry).split(",")) if one]


_OPTIONS: dict[str, Callable[[LogConfig, Tree], None]] = {
    "max-size": _max_size,
    "max-file": _max_file,
    "labels": _labels,
    "env": _env,
    "tag": _tag,
}
