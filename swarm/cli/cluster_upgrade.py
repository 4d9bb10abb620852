"""`swarmctl cluster upgrade`: another release for all machines of a file, while the cluster works."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click

from swarm.cli.cluster_file import COLUMNS, FILE
from swarm.cli.machine_options import (
    BUNDLE,
    DRY_RUN,
    EXIT_CODES,
    HEALTH_TIMEOUT,
    WATCH,
    existing_config,
    membership,
    reaching,
    upgrade_order,
    ways,
)
from swarm.cli.machine_progress import Progress
from swarm.cli.render import table
from swarm.errors import InvalidArgument
from swarm.machine.drivers.base import check_provisions
from swarm.machine.errors import PreCheckFailed
from swarm.machine.inventory import parse_inventory
from swarm.machine.provision import Outcome, Ways
from swarm.machine.store import Record
from swarm.machine.upgrading import raise_level, upgrade


@click.command(
    "upgrade",
    epilog="\b\nExamples:\n  swarmctl cluster upgrade -f cluster.yaml            (to the release of this "
    "swarmctl)\n  swarmctl cluster upgrade -f cluster.yaml --dry-run\n"
    "  swarmctl cluster upgrade -f cluster.yaml --bundle 0.2.0-1a2b3c4d.tar.gz --parallel-workers 4\n"
    "  swarmctl cluster upgrade -f cluster.yaml --to 0.1.0   (back to a release that the machines have)\n\n"
    + EXIT_CODES,
)
@FILE
@click.option("--to", "release", default="", help="Release, or its version, that the machines have already.")
@BUNDLE
@click.option(
    "--parallel-workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Workers at once; managers go one by one.",
)
@HEALTH_TIMEOUT
@WATCH
@click.option(
    "--keep-level",
    is_flag=True,
    help="Do not use yet what only the new version knows: all machines can still go back.",
)
@DRY_RUN
@reaching
def upgrade_all(
    file: TextIO,
    release: str,
    archive: Path | None,
    parallel_workers: int,
    health_timeout: int,
    watch: int,
    *,
    keep_level: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Upgrade the machines of a file one by one: workers, then managers, the leader last.

    A machine on which the node is not healthy and ready afterwards, or does not run its tasks again, goes
    back to the release of before, and the upgrade ends there; the same command goes on. Containers run on.
    """
    order = upgrade_order(release, archive, dry_run=dry_run)
    reach = replace(ways(given), health_timeout_s=health_timeout, watch_s=watch)
    records = _members(reach, file.read())
    cluster = membership(reach, records[0].cluster)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress([record.name for record in records]))
        if not dry_run:
            for record in records:
                stack.enter_context(reach.store.lock(record.name))
        outcomes = asyncio.run(
            upgrade(reach, records, cluster, order, progress.tell, parallel_workers=parallel_workers)
        )
    if dry_run:
        _show_plan(outcomes)
        return
    click.echo(table(COLUMNS, [_row(outcome) for outcome in outcomes]))
    if not keep_level:
        click.echo(asyncio.run(raise_level(cluster)))


def _members(reach: Ways, text: str) -> list[Record]:
    """Return the machines of a file as they are known here; raises PreCheckFailed for those that are not."""
    names = [record.name for record in parse_inventory(text, existing_config(None))]
    known = set(reach.store.names())
    if missing := [name for name in names if name not in known]:
        raise PreCheckFailed(
            f"no node was made of {', '.join(missing)} yet: run swarmctl cluster up with the same file first"
        )
    records = [reach.store.load(name) for name in names]
    for record in records:
        check_provisions(record)
    if len({record.cluster for record in records}) != 1:
        raise InvalidArgument("these machines are of several clusters: upgrade one cluster at a time")
    left_out = [
        one.name
        for one in reach.store.load_all(records[0].cluster)
        if one.role == "manager" and one.node_id and one.name not in names
    ]
    if left_out:
        click.echo(
            f"Note: manager {', '.join(left_out)} of the cluster is not in the file and keeps its release.",
            err=True,
        )
    return records


def _row(outcome: Outcome) -> dict[str, str]:
    record = outcome.record
    result = "upgraded" if outcome.steps else "unchanged"
    return {
        "Name": record.name,
        "Role": record.role,
        "Result": result,
        "NodeID": record.node_id,
        "Release": record.release,
    }


def _show_plan(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if not outcome.steps:
            click.echo(f"{outcome.record.name}: nothing to do")
        for step in outcome.steps:
            click.echo(f"{outcome.record.name}: would {step.title}")
