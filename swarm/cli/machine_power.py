"""`swarmctl machine start`, `stop`, `restart`."""

import asyncio
from collections.abc import Callable
from typing import Any

import click

from swarm.cli.machine_options import for_each, reaching, tell, ways
from swarm.machine.drivers.base import check_capability, driver
from swarm.machine.errors import Unreachable
from swarm.machine.making import Maker
from swarm.machine.provision import Ways
from swarm.machine.rebooting import reboot
from swarm.machine.store import Record


def _power(action: str) -> Callable[..., None]:
    def run(names: tuple[str, ...], **given: Any) -> None:
        reach = ways(given)

        def go(name: str) -> None:
            record = reach.store.load(name)
            check_capability(driver(record.driver), action)
            with reach.store.lock(name):
                if action == "restart":
                    asyncio.run(_restart(reach, record))
                else:
                    asyncio.run(Maker(reach, record, tell).act(action))
            click.echo(name)

        for_each(names, go)

    run.__doc__ = f"{action.capitalize()} machines, if their driver can."
    return run


async def _restart(reach: Ways, record: Record) -> None:
    """Have the machine itself do it, else its driver, if that has power over it."""
    try:
        await reboot(reach, record)
    except Unreachable as error:
        if "stop" not in driver(record.driver).capabilities:
            raise
        tell(record.name, f"{error}; its driver restarts it")
        await Maker(reach, record, tell).act("restart")


def _command(action: str) -> click.Command:
    run = click.argument("names", nargs=-1, required=True)(reaching(_power(action)))
    return click.command(action, epilog=f"\b\nExample:\n  swarmctl machine {action} w1")(run)


start = _command("start")
stop = _command("stop")
restart = _command("restart")
