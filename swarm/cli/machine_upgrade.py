"""`swarmctl machine upgrade`: machines get this swarmctl's release, or go back to one they have."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from swarm.cli.machine_options import (
    BUNDLE,
    DRY_RUN,
    EXIT_CODES,
    HEALTH_TIMEOUT,
    WATCH,
    membership,
    reaching,
    tell,
    upgrade_order,
    ways,
)
from swarm.errors import InvalidArgument
from swarm.machine.drivers.base import check_provisions
from swarm.machine.upgrading import upgrade as upgrade_all


@click.command(
    epilog="\b\nExamples:\n  swarmctl machine upgrade --cluster default\n  swarmctl machine upgrade w1 w2\n"
    "  swarmctl machine upgrade --bundle 0.2.0-1a2b3c4d.tar.gz w1\n"
    "  swarmctl machine upgrade --to 0.1.0-1a2b3c4d m1      (back to a release that it still has)\n\n"
    + EXIT_CODES
)
@click.argument("names", nargs=-1)
@click.option("--cluster", default="", help="All machines of this cluster.")
@click.option(
    "--to", "release", default="", help="A release that the machines have, instead of that of this swarmctl."
)
@BUNDLE
@HEALTH_TIMEOUT
@WATCH
@DRY_RUN
@reaching
def upgrade(
    names: tuple[str, ...],
    cluster: str,
    release: str,
    archive: Path | None,
    health_timeout: int,
    watch: int,
    *,
    dry_run: bool,
    **given: Any,
) -> None:
    """Upgrade machines one by one: workers, then managers, the leader last.

    A machine that is not healthy afterwards goes back to the release of before, and the upgrade ends there.
    Containers run on meanwhile.
    """
    reach = replace(ways(given), health_timeout_s=health_timeout, watch_s=watch)
    if bool(names) == bool(cluster):
        raise click.UsageError("name the machines, or all of them with --cluster NAME")
    records = [reach.store.load(name) for name in names] or reach.store.load_all(cluster)
    for record in records:
        check_provisions(record)
    clusters = {record.cluster for record in records}
    if len(clusters) != 1:
        raise InvalidArgument(
            f"these machines are of {len(clusters)} clusters: upgrade one cluster at a time"
        )
    order = upgrade_order(release, archive, dry_run=dry_run)
    with ExitStack() as locks:
        for record in records:
            locks.enter_context(reach.store.lock(record.name))
        outcomes = asyncio.run(upgrade_all(reach, records, membership(reach, clusters.pop()), order, tell))
    for outcome in outcomes:
        steps = "; ".join(step.title for step in outcome.steps)
        if dry_run:
            click.echo(
                f"{outcome.record.name}: would {steps}" if steps else f"{outcome.record.name}: nothing to do"
            )
        else:
            click.echo(
                f"{outcome.record.name}: {'upgraded' if steps else 'unchanged'} ({outcome.record.release})"
            )
