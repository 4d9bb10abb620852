"""`swarmctl machine rm` and `trust`: machines that go, and machines that were set up anew."""

import asyncio
from contextlib import suppress
from typing import Any

import click

from swarm.cli.confirm import confirm
from swarm.cli.machine_options import for_each, membership, reaching, tell, ways
from swarm.errors import NotFound, SwarmError
from swarm.machine.drivers.base import driver
from swarm.machine.errors import PreCheckFailed
from swarm.machine.removing import remove
from swarm.machine.store import MachineStore, default_root


@click.command(
    epilog="\b\nExamples:\n  swarmctl machine rm w1\n"
    "  swarmctl machine rm --force m2   (it is gone for good)"
)
@click.argument("names", nargs=-1, required=True)
@click.option(
    "-f", "--force", is_flag=True, help="Forget it also when it does not answer, or its record is damaged."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--keep-remote", is_flag=True, help="Only forget it here: it stays what it is.")
@reaching
def rm(names: tuple[str, ...], *, force: bool, yes: bool, keep_remote: bool, **given: Any) -> None:
    """Take machines out of their cluster, remove swarm and its data from them, and forget them.

    Machines that their driver has made (vagrant, cloud) are destroyed.
    """
    reach = ways(given)
    for name in names:
        if name not in reach.store.names():
            reach.store.load(name)
    if not (yes or force or keep_remote):
        confirm(_warning(reach.store, names), "--yes")

    def go(name: str) -> None:
        with reach.store.lock(name):
            if not keep_remote:
                _remove(name)
            reach.store.remove(name)
        click.echo(name)

    def _remove(name: str) -> None:
        try:
            record = reach.store.load(name)
        except SwarmError as error:
            if not force or isinstance(error, NotFound):
                raise
            tell(name, f"not cleaned up: {error}")
            return
        others = [m for m in membership(reach, record.cluster).managers() if m.name not in names]
        rest = [m for m in reach.store.load_all(record.cluster) if m.name not in names and m.node_id]
        if record.role == "manager" and rest and not others and not force:
            raise PreCheckFailed(
                f"{name} is the last manager of {record.cluster}, which still has "
                f"{', '.join(m.name for m in rest)}: "
                "remove those too, or add --force"
            )
        asyncio.run(remove(reach, record, membership(reach, record.cluster), tell, force=force))

    for_each(names, go)


def _warning(store: MachineStore, names: tuple[str, ...]) -> str:
    """Return what is about to be lost."""
    destroyed = []
    for name in names:
        with suppress(SwarmError):
            if "destroy" in driver(store.load(name).driver).capabilities:
                destroyed.append(name)
    more = f", and destroys {', '.join(destroyed)}" if destroyed else ""
    return f"This removes swarm and all its data from {', '.join(names)}{more}."


@click.command(epilog="\b\nExample:\n  swarmctl machine trust --forget w1")
@click.argument("name")
@click.option("--forget", is_flag=True, help="Forget the keys: the next connection is a first meeting.")
def trust(name: str, *, forget: bool) -> None:
    """Show the pinned host keys of a machine and of the hosts before it, or forget them."""
    store = MachineStore(default_root())
    store.load(name)
    if forget:
        with store.lock(name):
            store.save_host_keys(name, {})
        click.echo(f"{name}: the host keys are forgotten; add --host-key SHA256:… to the next command")
        return
    for place, keys in sorted(store.host_keys(name).items()):
        for key in keys:
            click.echo(f"{place} {key.fingerprint} {key.algorithm}")
