"""How far something is, while people wait: bars that are drawn again and again, or plain lines.

Where nothing can be drawn (no terminal, TERM=dumb) a line is printed when something changed.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.console import Console, Group

BARS_MAX = 20  # one line a task up to so many, one bar for all beyond
ROWS_LEFT = 4  # of the screen: for the title, what was typed, and what follows
BAR_WIDTH = 30
NARROW = 60  # columns; below there is no room for bars


@dataclass(frozen=True, slots=True)
class Bar:
    """One line: what it is about, in which state, how far (0 to 1), and what is in the way."""

    name: str
    state: str
    share: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """One look at something that is under way."""

    title: str
    share: float
    bars: Sequence[Bar] = ()
    why: str = ""  # what is waited for, where not every bar can be shown


class Screen(Protocol):
    """Shows scenes to whoever waits."""

    def draw(self, scene: Scene) -> None:
        """Show a scene in place of the last one."""

    def note(self, text: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """Leave the last scene where it is; whatever is printed then comes below."""


def can_draw(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that can be drawn on again."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}


def screen(*, quiet: bool) -> Screen:
    """Return what shows scenes on stderr: nothing when `quiet`, plain lines where nothing can be drawn."""
    if quiet:
        return Silent()
    return Drawn() if can_draw(sys.stderr) else Lines()


@contextmanager
def watched(later: str, *, quiet: bool = False) -> Iterator[Callable[[Scene], None]]:
    """Yield what shows scenes; Ctrl-C ends the wait and not the work, which `later` says how to watch."""
    shown = screen(quiet=quiet)
    try:
        yield shown.draw
    except KeyboardInterrupt:
        shown.close()
        click.echo(f"\nDetached: {later}.", err=True)
        raise
    finally:
        shown.close()


class Silent:
    """Shows nothing."""

    def draw(self, scene: Scene) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Lines:
    """Prints a line when the title or what is waited for changed."""

    def __init__(self) -> None:
        self._told = ("", "")

    def draw(self, scene: Scene) -> None:
        """Print what is new."""
        title, why = self._told
        if scene.title != title:
            click.echo(scene.title, err=True)
        if scene.why and scene.why != why:
            click.echo(f"  {scene.why}", err=True)
        self._told = scene.title, scene.why

    def note(self, text: str) -> None:
        """Print it."""
        click.echo(text, err=True)

    def close(self) -> None:
        """Nothing is left to do."""


class Drawn:
    """Draws with rich: it knows the width of the terminal, also after a resize, and NO_COLOR."""

    def __init__(self) -> None:
        """Take the terminal at once: the cursor is hidden until `close`."""
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def draw(self, scene: Scene) -> None:
        """Draw."""
        self._live.update(_drawn(scene, self._console), refresh=True)

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """Show the cursor again."""
        self._live.stop()


def _drawn(scene: Scene, console: "Console") -> "Group":
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(scene.title, no_wrap=True, overflow="ellipsis")]
    room = min(BARS_MAX, console.height - ROWS_LEFT)
    if len(scene.bars) <= room:
        parts.append(_table(scene.bars, console.width))
    else:
        parts.append(_table([Bar("all", "", scene.share)], console.width))
        if scene.why:
            parts.append(Text(scene.why, style="yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


_COLOURS: dict[str, Any] = {"style": "bright_black", "complete_style": "cyan", "finished_style": "green"}


def _table(bars: Sequence[Bar], columns: int) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(columns // 3, 8))
    if wide := columns >= NARROW:
        table.add_column(width=BAR_WIDTH)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for bar in bars:
        drawn = [ProgressBar(1.0, bar.share, BAR_WIDTH, **_COLOURS)] if wide else []
        table.add_row(Text(bar.name), *drawn, Text(bar.state), Text(bar.note, style="yellow"))
    return table
