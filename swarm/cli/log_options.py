"""`--log-opt`: how much of the output of a service's containers their nodes keep."""

from typing import Any

import click

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.errors import InvalidArgument
from swarm.model.units import parse_bytes

LOG_OPT = click.option(
    "--log-opt",
    multiple=True,
    metavar="KEY=VALUE",
    help="max-size=10m: begin a new log file then; max-file=3: keep so many. Repeatable.",
)


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
