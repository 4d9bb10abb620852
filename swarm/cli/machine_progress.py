"""What is going on with many machines: a line for each on a terminal, one line after the other elsewhere."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType

import click

from swarm.cli import terminal
from swarm.cli.live import can_draw


class Progress:
    """Shows what `tell` hears; on a terminal the last word of each machine, drawn anew in its place."""

    def __init__(self, names: Sequence[str]) -> None:
        """Show these machines, in this order."""
        self._names = list(names)
        self._last = dict.fromkeys(names, "waiting")
        self._drawn = 0
        self._width = max(map(len, names), default=0)
        self._live = can_draw(sys.stderr) and terminal.size()[0] > len(names) + 2
        self._began = time.monotonic()

    def __enter__(self) -> "Progress":
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last words where they are."""

    def tell(self, name: str, text: str) -> None:
        """Show what happens with a machine."""
        seconds = time.monotonic() - self._began
        if not self._live:
            click.echo(f"{seconds:6.1f} {name}: {text}", err=True)
            return
        self._last[name] = text
        columns = max(terminal.size()[1], 40)
        lines = [f"{one:{self._width}}  {self._last[one]}"[: columns - 1] for one in self._names]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        click.echo(up + "".join(f"\r\x1b[K{line}\n" for line in lines), nl=False, err=True)
        self._drawn = len(lines)
