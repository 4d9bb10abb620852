"""How do all machines of an inventory become one cluster? At the same time, within limits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from swarm.errors import SwarmError
from swarm.machine.making import make_node
from swarm.machine.membership import Membership
from swarm.machine.provision import Order, Outcome, Tell, Ways
from swarm.machine.store import Record


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one machine: an outcome, or the error."""

    record: Record
    outcome: Outcome | None = None
    error: SwarmError | None = None


async def raise_cluster(
    ways: Ways,
    records: Sequence[Record],
    membership: Membership,
    order: Order,
    tell: Tell,
    parallel: int,
    *,
    keep: bool = False,
) -> list[Result]:
    """Make and provision machines, the first manager among the first; returns results in their order."""
    places = asyncio.Semaphore(parallel)
    for record in records:
        if record.role == "manager":
            membership.may_found(record.name)  # whoever is asked first starts the cluster
            break

    async def one(record: Record) -> Result:
        async with places:
            try:
                made = await make_node(ways, record, membership, order, tell, keep=keep)
                return Result(record, made)
            except SwarmError as error:
                if not order.dry_run:
                    tell(record.name, f"failed: {error}")
                return Result(record, error=error)

    return list(await asyncio.gather(*(one(record) for record in records)))
