"""`--cloud-…`: the settings of the driver `cloud`, as options of their own."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from swarm.errors import InvalidArgument
from swarm.machine.cloud.wish import ADDRESSES, OPTIONS, wish_of
from swarm.machine.drivers.base import Option

Command = TypeVar("Command", bound=Callable[..., Any])
DRIVER = "cloud"


def _parameter(option: Option) -> str:
    return f"cloud_{option.name.replace('-', '_')}"


def _option(option: Option) -> Callable[[Command], Command]:
    words = option.help + ("; repeatable." if option.many else ".")
    kind = click.Choice([word for word in ADDRESSES if word]) if option.name == "address" else None
    return click.option(f"--cloud-{option.name}", multiple=option.many, type=kind, help=words)


def cloud_options(command: Command) -> Command:
    """Add the options; `with_cloud_settings` knows them among the arguments."""
    for option in reversed(OPTIONS):
        command = _option(option)(command)
    return command


def with_cloud_settings(driver: str, options: Mapping[str, str], given: dict[str, Any]) -> dict[str, str]:
    """Return a driver's settings with those that were given as `--cloud-…`; raises InvalidArgument."""
    found = {}
    for option in OPTIONS:
        value = given[_parameter(option)]
        if value:
            found[option.name] = ",".join(value) if option.many else value
    if found and driver != DRIVER:
        raise InvalidArgument(f"--cloud-{next(iter(found))} belongs to the driver cloud: add -d cloud")
    if driver == DRIVER:
        wish_of({**options, **found})
        for option in OPTIONS:
            if option.needed and not (options.get(option.name) or found.get(option.name)):
                raise InvalidArgument(f"the driver cloud needs --cloud-{option.name}: {option.help}")
    return {**options, **found}
