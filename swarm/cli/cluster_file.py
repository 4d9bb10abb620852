"""`swarmctl cluster up`, `down`: all machines of an inventory."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click

from swarm.cli.confirm import confirm
from swarm.cli.late import late_group
from swarm.cli.machine_options import (
    DRY_RUN,
    EXIT_CODES,
    HEALTH_TIMEOUT,
    KEEP_FAILED,
    existing_config,
    membership,
    reaching,
    ways,
)
from swarm.cli.machine_progress import Progress
from swarm.cli.render import table
from swarm.errors import NameConflict, NotFound, SwarmError
from swarm.machine.errors import Partial
from swarm.machine.inventory import parse_inventory
from swarm.machine.making import resumed
from swarm.machine.provision import Order, Tell, Ways
from swarm.machine.raising import Result, raise_cluster
from swarm.machine.removing import remove
from swarm.machine.store import Record

COLUMNS = (
    ("NAME", "Name"),
    ("ROLE", "Role"),
    ("RESULT", "Result"),
    ("NODE", "NodeID"),
    ("RELEASE", "Release"),
)
FILE = click.option(
    "-f", "--file", "file", type=click.File(), required=True, help="Inventory (YAML), - for stdin."
)
PARALLEL = click.option(
    "--parallel", type=click.IntRange(1, 64), default=10, show_default=True, help="How many at once."
)


@click.group(cls=late_group({"upgrade": "swarm.cli.cluster_upgrade:upgrade_all"}), epilog=EXIT_CODES)
def cluster() -> None:
    """Whole clusters, from a file that names their machines."""


@cluster.command(
    epilog="\b\nExample:\n  swarmctl cluster up -f cluster.yaml\n\n\b\ncluster.yaml:\n"
    "  cluster: prod\n  defaults: {user: admin, key: ~/.ssh/prod}\n  machines:\n"
    "    m1: {host: 10.0.0.1, role: manager}\n    w1: {host: 10.0.0.4, role: worker, labels: {disk: ssd}}\n"
    f"\n{EXIT_CODES}"
)
@FILE
@PARALLEL
@click.option("--ssh-config", type=click.Path(path_type=Path, exists=True), help="Instead of ~/.ssh/config.")
@click.option("--no-packages", is_flag=True, help="Install no packages of the distribution.")
@HEALTH_TIMEOUT
@KEEP_FAILED
@DRY_RUN
@reaching
def up(
    file: TextIO,
    parallel: int,
    ssh_config: Path | None,
    health_timeout: int,
    *,
    no_packages: bool,
    keep_failed: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Make machines a cluster, all at the same time; the same again does only what is missing."""
    reach = replace(ways(given), health_timeout_s=health_timeout)
    wanted = parse_inventory(file.read(), existing_config(ssh_config))
    records = [_merged(reach, record) for record in wanted]
    order = Order(dry_run=dry_run, packages=not no_packages)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress([record.name for record in records]))
        if not dry_run:
            for record in records:
                stack.enter_context(reach.store.lock(record.name))
                reach.store.save(record)
        members = membership(reach, records[0].cluster)
        tell = progress.tell
        results = asyncio.run(
            raise_cluster(reach, records, members, order, tell, parallel, keep=keep_failed)
        )
    if dry_run:
        _show_plan(results)
    else:
        click.echo(table(COLUMNS, [_row(result) for result in results]))
    _judge([result.error for result in results if result.error], len(results))


def _merged(reach: Ways, wanted: Record) -> Record:
    """Return the machine as it is to be, with what is known of it; raises NameConflict for another one."""
    try:
        before = reach.store.load(wanted.name)
    except NotFound:
        return replace(wanted, created_ns=reach.clock.now_ns())
    if (before.cluster, before.role) != (wanted.cluster, wanted.role):
        raise NameConflict(
            f"machine {wanted.name} is a {before.role or 'machine'} of cluster {before.cluster}: "
            f"swarmctl machine rm {wanted.name}, or take another name"
        )
    return resumed(before, wanted)


def _row(result: Result) -> dict[str, str]:
    record = result.outcome.record if result.outcome else result.record
    done = "changed" if result.outcome and result.outcome.steps else "unchanged"
    return {
        "Name": record.name,
        "Role": record.role,
        "Result": "FAILED" if result.error else done,
        "NodeID": record.node_id,
        "Release": record.release,
    }


def _show_plan(results: Sequence[Result]) -> None:
    for result in results:
        steps = result.outcome.steps if result.outcome else ()
        for step in steps:
            click.echo(f"{result.record.name}: would {step.title}")
        if result.outcome and not steps:
            click.echo(f"{result.record.name}: nothing to do")
        if result.error:
            click.echo(f"{result.record.name}: cannot: {result.error}")


def _judge(errors: Sequence[SwarmError], count: int) -> None:
    """Raise what the command ends with: the only error, or how many there were."""
    if not errors:
        return
    if count == 1:
        raise errors[0]
    raise Partial(f"{len(errors)} of {count} machines failed; the same command goes on where it ended")


@cluster.command(epilog="\b\nExample:\n  swarmctl cluster down -f cluster.yaml\n\n" + EXIT_CODES)
@FILE
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Forget machines also when they do not answer.")
@reaching
def down(file: TextIO, *, yes: bool, force: bool, **given: Any) -> None:
    """Remove swarm and all its data from the machines of a file: workers first, managers last."""
    reach = ways(given)
    names = [record.name for record in parse_inventory(file.read(), existing_config(None))]
    records = [reach.store.load(name) for name in names if name in reach.store.names()]
    if not records:
        click.echo("nothing to do")
        return
    if not yes:
        told = ", ".join(record.name for record in records)
        confirm(f"This removes swarm and all its data from {told}.", "--yes")
    with ExitStack() as stack:
        progress = stack.enter_context(Progress([record.name for record in records]))
        for record in records:
            stack.enter_context(reach.store.lock(record.name))
        errors = asyncio.run(_remove_all(reach, records, progress.tell, force=force))
    _judge(errors, len(records))


async def _remove_all(
    reach: Ways, records: Sequence[Record], tell: Tell, *, force: bool
) -> list[SwarmError]:
    """Remove swarm, at the same time when nothing of the cluster stays; return what failed."""
    stay = {one.name for one in reach.store.load_all(records[0].cluster) if one.node_id}
    whole = not stay - {record.name for record in records}
    one_by_one = asyncio.Semaphore(len(records) if whole else 1)

    async def one(record: Record) -> SwarmError | None:
        members = None if whole else membership(reach, record.cluster)
        async with one_by_one:
            try:
                await remove(reach, record, members, tell, force=force)
            except SwarmError as error:
                tell(record.name, f"failed: {error}")
                return error
        reach.store.remove(record.name)
        tell(record.name, "removed")
        return None

    ordered = sorted(records, key=lambda record: record.role == "manager")
    return [error for error in await asyncio.gather(*map(one, ordered)) if error]
