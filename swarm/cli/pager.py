"""Long output on a terminal goes through a pager: `less -FRX`, or what SWARMCTL_PAGER or PAGER say.

The pager is started when there is more than fits the screen, not before: short output never meets it.
"""

import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import click

OFF = {"", "cat"}
LESS = "FRX"  # ends by itself on one screen, shows colours, leaves what was read on the screen


def command(env: Mapping[str, str]) -> Sequence[str]:
    """Return the words of the pager that `env` asks for; empty for none."""
    if env.get("TERM", "dumb") in {"", "dumb", "unknown"}:
        return ()
    said = env.get("SWARMCTL_PAGER", env.get("PAGER"))
    if said is None:
        return next(((name,) for name in ("less", "more") if shutil.which(name)), ())
    try:
        words = shlex.split(said)
    except ValueError:
        return ()
    return () if said.strip() in OFF or shutil.which(words[0]) is None else tuple(words)


def rows_of(text: bytes, columns: int) -> int:
    """Return how many rows of the screen `text` takes."""
    return sum(max(1, -(-len(line) // max(columns, 1))) for line in text.splitlines())


class Paged(io.RawIOBase):
    """A terminal that shows what fits, and hands what does not to a pager."""

    def __init__(self, terminal: BinaryIO, pager: Sequence[str], size: os.terminal_size) -> None:
        """Write to `terminal`, which has `size`."""
        self._terminal, self._command, self._size = terminal, pager, size
        self._held = bytearray()
        self._pager: subprocess.Popen[bytes] | None = None
        self._left = False  # the reader has seen enough

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Whoever reads sits at a terminal, with a pager or without."""
        return True

    def fileno(self) -> int:
        """Return the terminal: who asks wants to know its size."""
        return self._terminal.fileno()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take some output; what comes after the reader has left is dropped."""
        given = bytes(data)
        if self._pager is None:
            self._held += given
            if rows_of(bytes(self._held), self._size.columns) >= self._size.lines:
                self._start()
        else:
            self._pass_on(given)
        return len(given)

    def finish(self) -> None:
        """Show what was held back, and wait until the reader has left the pager."""
        if self._pager is None:
            self._terminal.write(self._held)
            self._terminal.flush()
            return
        with contextlib.suppress(BrokenPipeError):
            assert self._pager.stdin is not None
            self._pager.stdin.close()
        earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pager
        try:
            self._pager.wait()
        finally:
            signal.signal(signal.SIGINT, earlier)

    def _start(self) -> None:
        env = {"LESS": LESS, "LV": "-c", **os.environ}
        self._pager = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=env)
        self._pass_on(bytes(self._held))
        self._held.clear()

    def _pass_on(self, data: bytes) -> None:
        assert self._pager is not None
        assert self._pager.stdin is not None
        if self._left:
            return
        try:
            self._pager.stdin.write(data)
            self._pager.stdin.flush()
        except BrokenPipeError:
            self._left = True
            raise click.exceptions.Exit(0) from None  # that the reader has seen enough is no error


_under_way: list[tuple[Paged, io.TextIOWrapper, Any]] = []


def begin() -> None:
    """Page what this command prints from here on, if it goes to a terminal."""
    if _under_way or not sys.stdout.isatty():
        return
    pager = command(os.environ)
    if not pager:
        return
    terminal = sys.stdout
    terminal.flush()
    paged = Paged(terminal.buffer, pager, shutil.get_terminal_size())
    raw: Any = paged
    text = io.TextIOWrapper(io.BufferedWriter(raw), encoding=terminal.encoding, line_buffering=True)
    _under_way.append((paged, text, terminal))
    sys.stdout = text


def end() -> None:
    """Show what is left; every command that began ends so, also when it failed."""
    while _under_way:
        paged, text, terminal = _under_way.pop()
        sys.stdout = terminal
        with contextlib.suppress(click.exceptions.Exit):
            text.flush()
        paged.finish()
