"""The terminal of whoever runs a command somewhere else: raw, resized, and left by a sequence of keys."""

import contextlib
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from swarm.errors import InvalidArgument


def parse_keys(text: str) -> bytes:
    """Return the bytes of `ctrl-p,ctrl-q` or `a,ctrl-@`; raises InvalidArgument."""
    found = bytearray()
    for key in text.split(",") if text else ():
        name = key.removeprefix("ctrl-")
        if len(name) != 1 or not name.isascii():
            raise InvalidArgument(f'--detach-keys {text}: "{key}" is neither a character nor ctrl-CHARACTER')
        code = ord(name)
        if key != name:
            code = ord(name.upper()) - 0x40
            if not 0 <= code < 0x20:
                raise InvalidArgument(
                    f"--detach-keys {text}: there is no {key} (ctrl-a to ctrl-z, ctrl-@[\\]^_)"
                )
        found.append(code)
    return bytes(found)


class DetachKeys:
    """Finds a sequence of keys in what is typed; what may be its beginning is held back."""

    def __init__(self, keys: bytes) -> None:
        """Without keys nothing is ever found."""
        self._keys = keys
        self._matched = 0
        self.found = False

    def take(self, typed: bytes) -> bytes:
        """Return what goes on to the other side; `found` once the sequence is complete."""
        if not self._keys:
            return typed
        passed = bytearray()
        for code in typed:
            if code == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self.found = True
                    break
                continue
            passed += self._keys[: self._matched]
            self._matched = 1 if code == self._keys[0] else 0
            if not self._matched:
                passed.append(code)
        return bytes(passed)


def size() -> tuple[int, int]:
    """Return (rows, columns) of the terminal, zeros when there is none."""
    for stream in (sys.stdout, sys.stdin, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            columns, rows = os.get_terminal_size(stream.fileno())
            return rows, columns
    columns, rows = shutil.get_terminal_size((0, 0))
    return rows, columns


@contextlib.contextmanager
def raw(on_resize: Callable[[int, int], None]) -> Iterator[None]:
    """Pass every key on as it is, and say when the window changes; as before afterwards."""
    before = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    earlier = signal.signal(signal.SIGWINCH, lambda _number, _frame: on_resize(*size()))
    ending = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        if before is not None:
            tty.setraw(sys.stdin, termios.TCSADRAIN)  # what was typed already is not lost
        yield
    finally:
        signal.signal(signal.SIGWINCH, earlier)
        signal.signal(signal.SIGTERM, ending)
        if before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
