"""`swarmctl events`: follow what happens in the cluster."""

import json
import time
from collections.abc import Iterator

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import parse
from swarm.cli.connect import connect
from swarm.cli.event_view import ACTIONS, TYPES, events_of, line, matches
from swarm.errors import Compacted, InvalidArgument, NotFound, SwarmError, TransientError, Unavailable

FILTERS = ("type", "event", "service", "node", "image", "secret", "config", "network")
PATIENCE_S = 60.0  # without a manager: longer than one on a busy machine takes to come back
PAUSE_S = 0.5

EPILOG = """\b
Examples:
  swarmctl events
  swarmctl events --filter type=node --filter type=service
  swarmctl events --filter service=web --filter event=create
  swarmctl events --since 4711 --format json
  swarmctl events --format '{{.Version}} {{.Type}} {{.Action}} {{.Actor.ID}}'
"""


@click.command(epilog=EPILOG)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option(
    "--since", type=click.IntRange(0), metavar="VERSION", help="Begin after this version, not now."
)
@click.option("--until", type=click.IntRange(0), metavar="VERSION", help="End when all up to it is shown.")
@click.option("--format", "layout", default="", help="json or TEMPLATE.")
@click.pass_obj
def events(host: str, filters: tuple[str, ...], since: int | None, until: int | None, layout: str) -> None:
    """Follow what happens in the cluster, until Ctrl-C.

    A version is a point in the history of the cluster, the same on every manager; {{.Version}} shows that of
    an event. Managers keep the latest changes only: --since fails, with the oldest version, when it is too
    old.
    """
    from swarm.cli.render import fill

    wanted = _wanted(host, filters)
    kinds = wanted.get("type", [])
    for answer in _followed(host, c.WatchRequest(kinds=kinds, include_previous=True), since):
        if until is None or answer.version <= until:
            for event in events_of(answer):
                if not matches(event, wanted):
                    continue
                if layout == "json":
                    click.echo(json.dumps(event))
                else:
                    click.echo(fill(layout, event) if layout else line(event))
        if until is not None and answer.version >= until:
            return


def _wanted(host: str, filters: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the filters; services and nodes also by their ids, because tasks name them so."""
    wanted = parse.filters(filters, FILTERS)
    for key, known in (("type", TYPES), ("event", tuple(ACTIONS.values()))):
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
