"""Waiting until the services of a stack have converged, with one line for each of them."""

import sys
import time
from collections.abc import Sequence

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli.connect import Connection
from swarm.cli.progress import EXIT_DETACHED, EXIT_FAILED, POLL_S, Waiting
from swarm.cli.render import shorten
from swarm.errors import NotFound

WIDTH = 100


def wait_all(conn: Connection, ids: Sequence[str], *, quiet: bool, timeout_s: float | None) -> int:
    """Wait until all services have converged, or cannot; return the worst of their exit codes."""
    waits = [Waiting(conn, service_id, timeout_s=timeout_s) for service_id in ids]
    codes: dict[str, int] = {}
    lines = _Lines(quiet=quiet)
    try:
        while len(codes) < len(waits):
            for one in waits:
                if one.service_id not in codes and (code := _step(one)) is not None:
                    codes[one.service_id] = code
            lines.draw(waits, codes)
            if len(codes) < len(waits):
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        click.echo(
            "\nDetached: the stack goes on in the background; `swarmctl stack ps` shows it.", err=True
        )
        return EXIT_DETACHED
    return max(codes.values(), default=0)


def wait_until_gone(conn: Connection, ids: Sequence[str]) -> None:
    """Wait until nothing of these services, which were removed, is left on any node."""
    request = c.ListTasksRequest(filters=c.Filters(service_ids=ids))
    while ids and conn.control.ListTasks(request).tasks:
        time.sleep(POLL_S)


def _step(one: Waiting) -> int | None:
    try:
        return one.step()
    except NotFound:
        click.echo(f"Error: service {one.name} was removed", err=True)
        return EXIT_FAILED


class _Lines:
    """One line a service, drawn again and again on a terminal; without one, a line when it is done."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._again = sys.stderr.isatty()
        self._drawn = 0
        self._told: set[str] = set()

    def draw(self, waits: Sequence[Waiting], codes: dict[str, int]) -> None:
        if self._quiet:
            return
        if not self._again:
            for one in waits:
                if one.service_id in codes and one.service_id not in self._told:
                    self._told.add(one.service_id)
                    click.echo(self._line(one, codes), err=True)
            return
        if self._drawn:
            click.echo(f"\x1b[{self._drawn}A\x1b[J", nl=False, err=True)
        for one in waits:
            click.echo(self._line(one, codes), err=True)
        self._drawn = len(waits)

    def _line(self, one: Waiting, codes: dict[str, int]) -> str:
        code = codes.get(one.service_id)
        state = {None: "…", 0: "✓"}.get(code, "✗")
        picture = one.picture
        if picture is None:
            return f"{state} {one.name}"
        why = f": {picture.reason}" if picture.reason else ""
        return shorten(
            f"{state} {one.name}: {picture.running} of {picture.wanted} {picture.done}{why}", WIDTH
        )
