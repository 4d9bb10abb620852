"""Options of `swarmctl secret` that say where a secret is kept, when that is not the cluster."""

from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1.objects_pb2 import Secret
from swarm.api.v1.specs_pb2 import SecretDriver
from swarm.cli import parse
from swarm.cli.data_content import has_content
from swarm.errors import InvalidArgument

Given = dict[str, Any]


def driver_options(noun: str, *names: str) -> Callable[[Any], Any]:
    """Return what adds the options to a command of secrets; `names` are those of `--driver`."""

    def add(command: Any) -> Any:
        if noun != "secret":
            return command
        command = click.option(
            "--driver-opt", "driver_opts", multiple=True, help="Option of the driver, KEY=VALUE."
        )(command)
        return click.option(*names, "driver", help="Where it is kept: vault, or a plugin of the managers.")(
            command
        )

    return add


def says_driver(given: Given) -> bool:
    """Whether the options say anything of a driver."""
    return bool(given.get("driver") is not None or given.get("driver_opts"))


def new_driver(given: Given) -> SecretDriver | None:
    """Return the driver of a new secret, None when it has none; raises InvalidArgument."""
    if not says_driver(given):
        return None
    if given["driver"] is None:
        raise InvalidArgument("--driver-opt needs --driver: whose options are they?")
    _check_alone(given)
    return SecretDriver(name=given["driver"], options=parse.key_values(given["driver_opts"], "--driver-opt"))


def next_driver(item: Secret, given: Given) -> SecretDriver | None:
    """Return the driver that a secret is to have from now on, None when its content is given.

    The options of the same driver stay, but for those that are said; an empty one goes.
    """
    if given.get("driver") is not None and given["driver"] != item.spec.driver.name:
        return new_driver(given)
    has_driver = item.spec.HasField("driver")
    if says_driver(given):
        if not has_driver:
            return new_driver(given)
        _check_alone(given)
    elif not has_driver or has_content(given):
        return None
    driver = SecretDriver()
    driver.CopyFrom(item.spec.driver)
    for key, value in parse.key_values(given["driver_opts"], "--driver-opt").items():
        driver.options[key] = value
        if not value:
            del driver.options[key]
    return driver


def _check_alone(given: Given) -> None:
    if has_content(given):
        raise InvalidArgument("say the content or a driver that is asked for it, not both")
