"""`--log-opt`: how much of containers' output their nodes keep, and what is told with its lines."""

from typing import Any

import click

from swarm.api.v1.specs_pb2 import LogConfig, ServiceSpec
from swarm.errors import InvalidArgument
from swarm.model.units import exact_size, parse_bytes

DRIVERS = ("json-file", "local")  # of Docker, that do what nodes do here


def _known_driver(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value and value not in DRIVERS:
        raise InvalidArgument(
            f'--log-driver "{value}": nodes keep the output themselves ({" or ".join(DRIVERS)}); '
            "`swarmctl service logs --follow` reads it for whatever sends it on"
        )


def log_options(command: Any) -> Any:
    """Add `--log-opt`, and `--log-driver` for those who are used to name it."""
    command = click.option(
        "--log-driver",
        callback=_known_driver,
        expose_value=False,
        help="json-file or local: both mean what nodes do.",
    )(command)
    return click.option(
        "--log-opt",
        multiple=True,
        metavar="KEY=VALUE",
        help="max-size=10m: begin a new log file then; max-file=3: keep so many; "
        "labels=KEY,…, env=NAME,…, tag=TEXT: what `logs --details` tells. Repeatable.",
    )(command)


def _names(value: str) -> list[str]:
    return [one for one in (part.strip() for part in value.split(",")) if one]


def apply_log(spec: ServiceSpec, given: dict[str, Any]) -> None:
    """Write the options that were given into `spec`; raises InvalidArgument."""
    log = spec.task.container.log
    for text in given.get("log_opt") or ():
        key, _, value = text.partition("=")
        if key == "max-size":
            log.max_size_bytes = parse_bytes(value)
        elif key == "max-file":
            if not (value.isascii() and value.isdecimal()) or int(value) >= 2**32:
                raise InvalidArgument(f'--log-opt "{text}": write a number of files')
            log.max_files = int(value)
        elif key in {"labels", "env"}:
            names = log.labels if key == "labels" else log.env
            del names[:]
            names.extend(_names(value))
        elif key == "tag":
            log.tag = value
        else:
            raise InvalidArgument(
                f'--log-opt "{text}": write max-size=SIZE, max-file=NUMBER, '
                "labels=KEY,…, env=NAME,… or tag=TEXT"
            )


def shown_log(log: LogConfig) -> dict[str, str]:
    """Return the options as `--log-opt` takes them."""
    told = {
        "max-size": exact_size(log.max_size_bytes) if log.HasField("max_size_bytes") else "",
        "max-file": str(log.max_files) if log.HasField("max_files") else "",
        "labels": ",".join(log.labels),
        "env": ",".join(log.env),
        "tag": log.tag,
    }
    return {key: value for key, value in told.items() if value}
