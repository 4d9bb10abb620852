"""`swarmctl machine ls`, `inspect`, `ip`, `url`, `status`, `env`: what we know of machines."""

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any

import click

from swarm.cli import objects
from swarm.cli.machine_options import for_each, reaching, ways
from swarm.cli.render import show
from swarm.errors import InvalidArgument, SwarmError
from swarm.machine.asking import Condition, ask_all
from swarm.machine.errors import MachineError
from swarm.machine.store import MachineStore, default_root

COLUMNS = (
    ("NAME", "Name"),
    ("CLUSTER", "Cluster"),
    ("ROLE", "Role"),
    ("DRIVER", "Driver"),
    ("STATE", "State"),
    ("ADDRESS", "Address"),
    ("NODE", "NodeID"),
    ("RELEASE", "Release"),
    ("ERRORS", "Error"),
)
FILTERS = ("cluster", "role", "driver", "state", "name")
ASK_TIMEOUT_S = 10.0
ERROR_CHARACTERS = 90


@click.command(
    epilog="\b\nExamples:\n  swarmctl machine ls\n  swarmctl machine ls --filter cluster=prod --format json"
)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("-q", "--quiet", is_flag=True, help="Print names only, without asking the machines.")
@click.option("--no-ask", is_flag=True, help="Show what was seen last, without asking the machines.")
@reaching
def ls(filters: tuple[str, ...], layout: str, *, quiet: bool, no_ask: bool, **given: Any) -> None:
    """List machines; each is asked how it is."""
    reach = ways(given)
    wanted = _filters(filters)
    records = [reach.store.load(name) for name in reach.store.names() if _readable(reach.store, name)]
    records = [
        record
        for record in records
        if all(getattr(record, key) == value for key, value in wanted.items() if key != "state")
    ]
    if quiet or no_ask:
        conditions = [Condition(record, record.state.capitalize(), error=record.error) for record in records]
    else:
        conditions = asyncio.run(ask_all(reach, records, min(reach.timeout_s, ASK_TIMEOUT_S)))
    rows = [row(found, layout) for found in conditions]
    rows = [one for one in rows if wanted.get("state", one["State"]).lower() == one["State"].lower()]
    show(rows, COLUMNS, layout, quiet_key="Name" if quiet else "")


def _readable(store: MachineStore, name: str) -> bool:
    try:
        store.load(name)
    except SwarmError as error:
        click.echo(f"Warning: {error}", err=True)
        return False
    return True


def _filters(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in FILTERS or not equals:
            raise InvalidArgument(f"--filter {text}: write KEY=VALUE; keys: {', '.join(FILTERS)}")
        found[key] = value
    return found


def row(found: Condition, layout: str = "json") -> dict[str, str]:
    """Return the line of a machine; people get their errors shortened."""
    record = found.record
    short = layout in {"", "table"} and len(found.error) > ERROR_CHARACTERS
    return {
        "Name": record.name,
        "Cluster": record.cluster,
        "Role": record.role,
        "Driver": record.driver,
        "State": found.state,
        "Address": record.endpoint.hop.host,
        "NodeID": str(found.info.get("NodeID") or record.node_id),
        "Release": record.release,
        "Version": str(found.info.get("Version", "")),
        "Error": found.error[: ERROR_CHARACTERS - 1] + "…" if short else found.error,
    }


@click.command(epilog="\b\nExample:\n  swarmctl machine inspect --format '{{.node_id}}' m1")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "-f", "--format", "layout", default="", help="json, yaml or a template such as '{{.endpoint.hop.host}}'."
)
def inspect(names: tuple[str, ...], layout: str) -> int:
    """Show what is on record of machines, and what was done with them last."""
    store = MachineStore(default_root())

    def get(name: str) -> dict[str, Any]:
        return {**asdict(store.load(name)), "journal": store.journal(name, last=20)}

    return objects.inspect(names, get, layout)


@click.command(epilog="\b\nExample:\n  swarmctl machine ip m1 w1")
@click.argument("names", nargs=-1, required=True)
def ip(names: tuple[str, ...]) -> None:
    """Print the addresses of machines."""
    store = MachineStore(default_root())
    for name in names:
        click.echo(store.load(name).endpoint.hop.host)


@click.command(epilog="\b\nExample:\n  swarmctl machine url m1")
@click.argument("name")
def url(name: str) -> None:
    """Print how a machine is reached, as a URL."""
    hop = MachineStore(default_root()).load(name).endpoint.hop
    host = f"[{hop.host}]" if ":" in hop.host else hop.host
    click.echo(f"ssh://{hop.user}@{host}:{hop.port}")


@click.command(epilog="\b\nExample:\n  swarmctl machine status m1 w1")
@click.argument("names", nargs=-1, required=True)
@click.option("--format", "layout", default="", help="json, or a template such as '{{.State}}'.")
@reaching
def status(names: tuple[str, ...], layout: str, **given: Any) -> None:
    """Say how machines are, in a word; exit code 0 when all of them run."""
    reach = ways(given)
    bad: list[str] = []

    def tell_status(name: str) -> None:
        (found,) = asyncio.run(ask_all(reach, [reach.store.load(name)], reach.timeout_s))
        line = row(found)
        if layout:
            click.echo(json.dumps(line) if layout == "json" else "", nl=layout == "json")
            if layout != "json":
                show([line], COLUMNS, layout)
        else:
            click.echo(found.state if len(names) == 1 else f"{name}: {found.state}")
        if found.state != "Running":
            bad.append(name)
            raise MachineError(found.error or f"it is {found.state.lower()}")

    for_each(names, tell_status)


@dataclass(frozen=True, slots=True)
class _Shell:
    """How a shell sets the variable, forgets it, and runs what a command prints."""

    set: str
    unset: str
    run: str


_SHELLS = {
    "sh": _Shell(
        "export SWARMCTL_HOST={}",
        "unset SWARMCTL_HOST",
        'eval "$(swarmctl machine env {})"',
    ),
    "fish": _Shell(
        "set -gx SWARMCTL_HOST {};",
        "set -e SWARMCTL_HOST;",
        "swarmctl machine env --shell fish {} | source",
    ),
    "powershell": _Shell(
        '$Env:SWARMCTL_HOST = "{}"',
        "Remove-Item -ErrorAction Ignore Env:SWARMCTL_HOST",
        "swarmctl machine env --shell powershell {} | Out-String | Invoke-Expression",
    ),
}


@click.command(
    epilog='\b\nExamples:\n  eval "$(swarmctl machine env m1)"\n  eval "$(swarmctl machine env -u)"\n'
    "  swarmctl machine env --shell fish m1 | source\n"
    "  swarmctl machine env --shell powershell m1 | Out-String | Invoke-Expression"
)
@click.argument("name", required=False)
@click.option("--shell", type=click.Choice(list(_SHELLS)), default="sh", show_default=True)
@click.option("-u", "--unset", is_flag=True, help="Talk to the node of this machine again.")
def env(name: str | None, shell: str, *, unset: bool) -> None:
    """Print what makes this shell's swarmctl talk to the node of a machine."""
    words = _SHELLS[shell]
    if unset:
        click.echo(words.unset)
        return
    if not name:
        raise click.UsageError("which machine? swarmctl machine env NAME")
    MachineStore(default_root()).load(name)
    click.echo(words.set.format(f"machine://{name}"))
    click.echo(f"# Run this to talk to {name}: {words.run.format(name)}")
