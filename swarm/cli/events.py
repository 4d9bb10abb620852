"""`swarmctl events`: follow what happens in the cluster."""

import json
import threading
import time
from collections.abc import Iterator

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import parse
from swarm.cli.connect import connect
from swarm.cli.container_events import about_containers, merged, of_containers
from swarm.cli.event_view import (
    ACTIONS,
    CONTAINER_ACTIONS,
    NETWORK_ACTIONS,
    TYPES,
    View,
    events_of,
    line,
    matches,
)
from swarm.errors import Compacted, InvalidArgument, NotFound, SwarmError, TransientError, Unavailable

FILTERS = (
    *("type", "event", "container", "service", "node", "image", "secret", "config", "network", "volume"),
    "stack",
)
PATIENCE_S = 60.0  # without a manager: longer than one on a busy machine takes to come back
PAUSE_S = 0.5

EPILOG = """\b
Examples:
  swarmctl events
  swarmctl events --filter type=node --filter type=service
  swarmctl events --filter service=web --filter event=create
  swarmctl events --filter type=container --filter event=die --filter node=worker-1
  swarmctl events --since 4711 --format json
  swarmctl events --format '{{.Version}} {{.Type}} {{.Action}} {{.Actor.ID}}'
"""


@click.command(epilog=EPILOG)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option(
    "--since", type=click.IntRange(0), metavar="VERSION", help="Begin after this version, not now."
)
@click.option("--until", type=click.IntRange(0), metavar="VERSION", help="End when all up to it is shown.")
@click.option("--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_obj
def events(host: str, filters: tuple[str, ...], since: int | None, until: int | None, layout: str) -> None:
    """Follow what happens in the cluster, until Ctrl-C.

    A version is a point in the history of the cluster, the same on every manager; {{.Version}} shows that of
    an event. Managers keep the latest changes only: --since fails, with the oldest version, when it is too
    old.

    What happens to containers of no service is told by their nodes, from now on, and not by versions. When a
    node cannot be heard, stderr says so, and whether something was missed.
    """
    from swarm.cli.render import as_yaml, fill

    wanted = _wanted(host, filters)
    changes = _changes(host, wanted, since, until)
    stop = threading.Event()
    containers = of_containers(host, wanted, stop) if about_containers(wanted) else None
    with merged(changes, containers, stop) as found:
        for event in found:
            if not matches(event, wanted):
                continue
            if layout == "json":
                click.echo(json.dumps(event))
            elif layout == "yaml":
                click.echo(as_yaml([event]))
            else:
                click.echo(fill(layout, event) if layout else line(event))


def _changes(
    host: str, wanted: dict[str, list[str]], since: int | None, until: int | None
) -> Iterator[View]:
    """Yield what changes in the store, up to version `until`."""
    kinds = [kind for kind in wanted.get("type", []) if kind != "container"]
    if wanted.get("type") and not kinds:
        kinds = ["cluster"]  # the least there is to watch: containers are asked for elsewhere
    for answer in _followed(host, c.WatchRequest(kinds=kinds, include_previous=True), since):
        if until is None or answer.version <= until:
            yield from events_of(answer)
        if until is not None and answer.version >= until:
            return


def _wanted(host: str, filters: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the filters; services and nodes also by their ids, because tasks name them so."""
    wanted = parse.filters(filters, FILTERS)
    for key, known in (
        ("type", TYPES),
        ("event", (*ACTIONS.values(), *CONTAINER_ACTIONS, *NETWORK_ACTIONS)),
    ):
        for value in wanted.get(key, []):
            if value not in known:
                raise InvalidArgument(f"--filter {key}={value}: write one of {', '.join(known)}")
    if "service" in wanted or "node" in wanted:
        with connect(host) as conn:
            for ref in tuple(wanted.get("service", ())):
                try:
                    wanted["service"].append(
                        conn.control.GetService(c.GetServiceRequest(ref=ref)).service.id
                    )
                except NotFound:  # it may come, or have been
                    continue
            for ref in tuple(wanted.get("node", ())):
                try:
                    wanted["node"].append(conn.control.GetNode(c.GetNodeRequest(ref=ref)).node.id)
                except NotFound:
                    continue
    return wanted


def _followed(host: str, request: c.WatchRequest, since: int | None) -> Iterator[c.WatchResponse]:
    """Yield what happens; goes on after the version it had when the connection to the manager breaks."""
    version, begun, stale = since, False, False
    lost_s: float | None = None
    while True:
        if version is not None:
            request.resume_version = version
        try:
            with connect(host) as conn:
                for answer in conn.control.Watch(request, timeout=None):
                    version, begun, lost_s = answer.version, True, None
                    if answer.stale and not stale:
                        click.echo(
                            "Warning: the cluster has no leader: nothing changes until it has.", err=True
                        )
                    stale = answer.stale
                    yield answer
        except SwarmError as error:
            returning = lost_s is not None and not isinstance(error, Compacted)  # it does not serve yet
            if not begun or not (returning or isinstance(error, TransientError)):
                raise
            if lost_s is None:
                lost_s = time.monotonic()
                click.echo(f"Warning: {error}; going on after version {version}.", err=True)
            if time.monotonic() - lost_s > PATIENCE_S:
                raise Unavailable(f"{error}; swarmctl events --since {version} goes on from here") from None
        time.sleep(PAUSE_S)
