"""`--log-opt`: how much of the output of a service's containers their nodes keep."""

from typing import Any

import click

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.errors import InvalidArgument
from swarm.model.units import parse_bytes

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
        help="max-size=10m: begin a new log file then; max-file=3: keep so many. Repeatable.",
    )(command)


def apply_log(spec: ServiceSpec, given: dict[str, Any]) -> None:
    """Write the options that were given into `spec`; raises InvalidArgument."""
    for text in given.get("log_opt") or ():
        key, _, value = text.partition("=")
        if key == "max-size":
            spec.task.container.log.max_size_bytes = parse_bytes(value)
        elif key == "max-file":
            if not (value.isascii() and value.isdecimal()) or int(value) >= 2**32:
                raise InvalidArgument(f'--log-opt "{text}": write a number of files')
            spec.task.container.log.max_files = int(value)
        else:
            raise InvalidArgument(f'--log-opt "{text}": write max-size=SIZE or max-file=NUMBER')
