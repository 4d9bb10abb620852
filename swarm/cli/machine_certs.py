"""`swarmctl machine regenerate-certs`: machines get new keys and certificates of their cluster."""

import asyncio
from typing import Any

import click

from swarm.cli.machine_options import EXIT_CODES, for_each, reaching, ways
from swarm.errors import FailedPrecondition
from swarm.machine.errors import MachineError
from swarm.machine.membership import SWARMCTL
from swarm.machine.provision import Ways
from swarm.machine.store import Record

RENEW_TIMEOUT_S = 90.0


@click.command(
    "regenerate-certs",
    epilog="\b\nExamples:\n  swarmctl machine regenerate-certs w1 w2\n"
    "  swarmctl machine regenerate-certs --cluster default\n\n" + EXIT_CODES,
)
@click.argument("names", nargs=-1)
@click.option("--cluster", default="", help="All machines of this cluster.")
@click.option("-f", "--force", is_flag=True, help="As with docker-machine; nothing is ever asked here.")
@reaching
def regenerate_certs(names: tuple[str, ...], cluster: str, *, force: bool, **given: Any) -> None:
    """Give the nodes of machines a new key and certificate. No daemon and no container is restarted.

    The certificate before stays valid until it expires: after a theft, change the root, too
    (swarmctl ca --rotate). What SSH trusts is not touched: see swarmctl machine trust.
    """
    del force
    reach = ways(given)
    if bool(names) == bool(cluster):
        raise click.UsageError("name the machines, or all of them with --cluster NAME")
    wanted = names or tuple(record.name for record in reach.store.load_all(cluster))
    if not wanted:
        raise FailedPrecondition(f"no machine is of cluster {cluster}: swarmctl machine ls")

    def go(name: str) -> None:
        record = reach.store.load(name)
        if not record.node_id:
            raise FailedPrecondition(f"{name} is not part of a cluster: it has no certificate")
        click.echo(f"{name}: {asyncio.run(_renew(reach, record))}")

    for_each(wanted, go)


async def _renew(reach: Ways, record: Record) -> str:
    async with reach.connect(record) as link:
        done = await link.run(SWARMCTL + "swarmctl ca --renew-node", timeout_s=RENEW_TIMEOUT_S)
    if done.code:
        raise MachineError(f"{record.endpoint.hop}: {done.last_words or f'exit code {done.code}'}")
    return done.out.strip()
