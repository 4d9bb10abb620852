"""Machines that are there already: `generic` has SSH, `none` is only remembered."""

from swarm.errors import InvalidArgument
from swarm.machine.drivers.base import Made, Making, Option
from swarm.machine.store import Record


class GenericDriver:
    """Any host with an SSH server. It cannot be turned on from afar, so it is not turned off either."""

    name = "generic"
    provisions = True
    makes = False
    disposable = False
    options: tuple[Option, ...] = ()
    capabilities: frozenset[str] = frozenset({"restart"})  # over SSH, by the caller

    async def foresee(self, making: Making) -> str:
        """Return nothing: it is there, or somebody else has to make it."""
        return ""

    async def create(self, making: Making) -> Made:
        """Return the address that was given; raises InvalidArgument without one."""
        if not making.record.endpoint.hop.host:
            raise InvalidArgument(f"where is {making.record.name}? Add --ssh-host [USER@]HOST[:PORT]")
        return Made(making.record.endpoint)

    async def state(self, record: Record) -> str:
        """Return nothing: only SSH can tell."""
        return ""

    async def act(self, action: str, making: Making) -> Made | None:
        """Do nothing: what it can is done over SSH."""
        return None


class NoneDriver(GenericDriver):
    """A host that others look after: it is reached and asked, never provisioned."""

    name = "none"
    provisions = False
    capabilities: frozenset[str] = frozenset()
