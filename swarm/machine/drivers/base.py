"""What a driver is: it makes machines and turns them on and off. It never provisions.

Others are entry points of the group `swarmctl.machine_drivers`: NAME = "package.module:DriverClass".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Protocol

from swarm.errors import InvalidArgument
from swarm.machine.endpoint import Endpoint
from swarm.machine.errors import PreCheckFailed
from swarm.machine.host_keys import HostKey
from swarm.machine.store import Record

GROUP = "swarmctl.machine_drivers"
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a driver, given as `--driver-opt NAME=VALUE`; `many`: VALUE,VALUE means several."""

    name: str
    help: str
    needed: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Making:
    """A machine that is being made, or turned on and off.

    `record.options` are the settings; `record.made` is what the driver has noted before, also in a try that
    was cut. `record.endpoint` is how it is reached: without a host when nobody knows yet.
    """

    record: Record
    folder: Path  # for keys that are made for this machine
    note: Callable[[Mapping[str, str]], None]  # kept before it returns, as `record.made`
    tell: Callable[[str], None]
    timeout_s: float = TIMEOUT_S  # how long to wait for somebody who does not answer


@dataclass(frozen=True, slots=True)
class Made:
    """How a machine is reached, and the host keys that it is known to have.

    Those host keys may be known to others, too: they are replaced, and then `settled` is noted.
    """

    endpoint: Endpoint
    host_keys: tuple[HostKey, ...] = ()


class Driver(Protocol):
    """What every driver does. `capabilities` are those of start, stop, restart, destroy that it has.

    `provisions`: swarm is put on its machines; else they are looked after by others. `makes`: it knows where
    its machines are; else the user has to say. `disposable`: it makes machines out of nothing, so one that
    did not become a node is destroyed again.
    """

    name: str
    provisions: bool
    makes: bool
    disposable: bool
    options: tuple[Option, ...]
    capabilities: frozenset[str]

    async def foresee(self, making: Making) -> str:
        """Return what `create` would make, "" when nothing; raises MachineError, InvalidArgument."""

    async def create(self, making: Making) -> Made:
        """Make the machine unless it is there, and wait until it runs.

        Raises MachineError, InvalidArgument.
        """

    async def state(self, record: Record) -> str:
        """Return `running`, `stopped`, `missing`, or `` when only SSH can tell; raises MachineError."""

    async def act(self, action: str, making: Making) -> Made | None:
        """Start, stop, restart or destroy; returns how it is reached now if that may be another way.

        To destroy what is gone is no error. Raises MachineError.
        """


def check_options(driver: Driver, options: Mapping[str, str]) -> None:
    """Raise InvalidArgument for settings that the driver does not know, or lacks."""
    known = {option.name for option in driver.options}
    for name in options:
        if name not in known:
            raise InvalidArgument(
                f"--driver-opt {name}: the driver {driver.name} knows {', '.join(sorted(known)) or 'none'}"
            )
    for option in driver.options:
        if option.needed and not options.get(option.name):
            raise InvalidArgument(
                f"the driver {driver.name} needs --driver-opt {option.name}=… ({option.help})"
            )


def check_capability(driver: Driver, action: str) -> None:
    """Raise PreCheckFailed when a driver cannot do something."""
    if action not in driver.capabilities:
        can = ", ".join(sorted(driver.capabilities)) or "nothing"
        raise PreCheckFailed(f"the driver {driver.name} cannot {action} machines (it can: {can})")


def check_provisions(record: Record) -> None:
    """Raise PreCheckFailed for a machine that others look after."""
    if not driver(record.driver).provisions:
        raise PreCheckFailed(f"{record.name} is of the driver {record.driver}: others look after it")


def names() -> list[str]:
    """Return the names of all drivers."""
    others = (point.name for point in metadata.entry_points(group=GROUP))
    return sorted({"cloud", "generic", "none", "vagrant", *others})


def driver(name: str) -> Driver:
    """Return a driver; raises InvalidArgument when there is none of that name."""
    from swarm.machine.drivers.cloud import CloudDriver
    from swarm.machine.drivers.generic import GenericDriver, NoneDriver
    from swarm.machine.drivers.vagrant import VagrantDriver

    own: dict[str, type[Driver]] = {
        "cloud": CloudDriver,
        "generic": GenericDriver,
        "none": NoneDriver,
        "vagrant": VagrantDriver,
    }
    if name in own:
        return own[name]()
    for point in metadata.entry_points(group=GROUP):
        if point.name == name:
            made: Driver = point.load()()
            return made
    raise InvalidArgument(f'there is no driver "{name}"; known: {", ".join(names())}')
