"""`swarmctl events`: follow what happens in the cluster."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

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
    named_as_in_go,
)
from swarm.cli.event_window import Window, window_of
from swarm.cli.inspect_view import when
from swarm.cli.render import check
from swarm.clock import timestamp
from swarm.errors import Compacted, InvalidArgument, NotFound, SwarmError, TransientError, Unavailable

FILTERS = (
    *("type", "event", "container", "service", "node", "image", "secret", "config", "network", "volume"),
    *("stack", "label", "scope"),
)
PATIENCE_S = 60.0  # without a manager: longer than one on a busy machine takes to come back
PAUSE_S = 0.5

EPILOG = """\b
Examples:
  swarmctl events
  swarmctl events --filter type=node --filter type=service
  swarmctl events --filter service=web --filter event=create
  swarmctl events --filter type=container --filter event=die --filter node=worker-1
  swarmctl events --since 10m --until 2026-01-31T12:00:00Z --format json
  swarmctl events --since-version 4711 --format '{{.Version}} {{.Type}} {{.Action}} {{.Actor.ID}}'
"""


@click.command(epilog=EPILOG)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--since", default="", help="From then on: RFC 3339 time, Unix time or age such as 10m.")
@click.option("--until", default="", help="End then: RFC 3339 time, Unix time or age such as 10m.")
@click.option(
    "--since-version", type=click.IntRange(0), metavar="VERSION", help="Begin after this version, not now."
)
@click.option(
    "--until-version", type=click.IntRange(0), metavar="VERSION", help="End when all up to it is shown."
)
@click.option("--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_obj
def events(host: str, /, filters: tuple[str, ...], layout: str, **given: Any) -> None:
    """Follow what happens in the cluster, until Ctrl-C.

    Times are of the leader's clock, those of containers without a service of their node's. Managers and
    nodes keep the latest only: when --since is longer ago, stderr says since when, and it begins there.
    Without --since, --until begins with all that is kept.

    A version is a point in the history of the cluster, the same on every manager; {{.Version}} shows that of
    an event, and scripts that go on after it miss nothing and hear nothing twice. --since-version fails,
    with the oldest version, when it is too old. What happens to containers of no service has no version.

    When a node cannot be heard, stderr says so, and whether something was missed.
    """
    check(layout)
    for one in ("since", "until"):
        if given[one] and given[f"{one}_version"] is not None:
            raise InvalidArgument(f"--{one} and --{one}-version exclude each other: give one of them")
    wanted = _wanted(host, filters)
    window = window_of(host, given["since"], given["until"], by_version=given["since_version"] is not None)
    past = window.is_over
    changes = _changes(host, wanted, window, given)
    stop = threading.Event()
    containers = of_containers(host, wanted, window, stop) if about_containers(wanted) else None
    with merged(changes, containers, stop, both_end=window.ends) as told:
        found = (event for event in told if window.holds(event) and matches(event, wanted))
        for event in sorted(found, key=lambda one: int(one["timeNano"])) if past else found:
            _show(event, layout)


def _show(event: View, layout: str) -> None:
    from swarm.cli.render import as_yaml, fill

    if layout == "json":
        click.echo(json.dumps(event))
    elif layout == "yaml":
        click.echo(as_yaml([event]))
    else:
        click.echo(fill(layout, named_as_in_go(event)) if layout else line(event))


def _changes(
    host: str, wanted: dict[str, list[str]], window: Window, given: Mapping[str, Any]
) -> Iterator[View]:
    """Yield what changes in the store, up to a version or the end of the time."""
    kinds = [kind for kind in wanted.get("type", []) if kind != "container"]
    if wanted.get("type") and not kinds:
        kinds = ["cluster"]  # the least there is to watch: containers are asked for elsewhere
    request = c.WatchRequest(kinds=kinds, include_previous=True)
    if window.since_ns is not None:
        request.since.CopyFrom(timestamp(window.since_ns))
    until = given["until_version"]
    for answer in _followed(host, request, given["since_version"], window):
        if answer.HasField("kept_since") and given["since"]:
            click.echo(f"Warning: changes are kept since {when(answer.kept_since)} only.", err=True)
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


def _followed(
    host: str, request: c.WatchRequest, since: int | None, window: Window
) -> Iterator[c.WatchResponse]:
    """Yield what happens; goes on after the version it had when the connection to the manager breaks."""
    version, begun, stale = since, False, False
    lost_s: float | None = None
    while True:
        if version is not None:
            request.ClearField("since")
            request.resume_version = version
        left_s = window.left_s
        try:
            with connect(host) as conn:
                last = window.last_version(conn) if window.is_over else None
                for answer in conn.control.Watch(request, timeout=left_s):
                    version, begun, lost_s = answer.version, True, None
                    if answer.stale and not stale:
                        click.echo(
                            "Warning: the cluster has no leader: nothing changes until it has.", err=True
                        )
                    stale = answer.stale
                    yield answer
                    if last is not None and version >= last:
                        return
        except SwarmError as error:
            if left_s is not None and window.is_over:
                continue  # the time was up; what is of it may still be on its way
            returning = lost_s is not None and not isinstance(error, Compacted)  # it does not serve yet
            if not begun or not (returning or isinstance(error, TransientError)):
                raise
            if lost_s is None:
                lost_s = time.monotonic()
                click.echo(f"Warning: {error}; going on after version {version}.", err=True)
            if time.monotonic() - lost_s > PATIENCE_S:
                raise Unavailable(
                    f"{error}; swarmctl events --since-version {version} goes on from here"
                ) from None
        time.sleep(PAUSE_S)
