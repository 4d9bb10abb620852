"""The first half of `swarmctl cluster up`: all machines of an inventory get the release, and none a cluster.

    python -m bench.machine.install INVENTORY PARALLEL

Not a command of swarmctl: only here, where others do these steps and no more.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from swarm.clock import SystemClock
from swarm.machine.host_keys import HostKeyPolicy, Trust
from swarm.machine.inventory import parse_inventory
from swarm.machine.membership import Membership
from swarm.machine.provision import Order, Ways
from swarm.machine.raising import raise_cluster
from swarm.machine.store import MachineStore, cache_root, default_root


def main() -> int:
    """Install, print what was done on each machine, and return the exit code."""
    inventory, parallel = Path(sys.argv[1]), int(sys.argv[2])
    ways = Ways(
        store=MachineStore(default_root()),
        clock=SystemClock(),
        bundles=cache_root(),
        policy=HostKeyPolicy(Trust.ACCEPT_NEW),
        health_timeout_s=600,
    )
    records = [replace(record, role="") for record in parse_inventory(inventory.read_text())]
    member = Membership(ways.store, records[0].cluster, ways.connect)
    results = asyncio.run(
        raise_cluster(ways, records, member, Order(), lambda name, text: print(f"{name}: {text}"), parallel)
    )
    for result in results:
        steps = [step.kind.value for step in result.outcome.steps] if result.outcome else []
        print(f"{result.record.name}: {result.error or ', '.join(steps) or 'unchanged'}")
    return any(result.error for result in results)


if __name__ == "__main__":
    sys.exit(main())
