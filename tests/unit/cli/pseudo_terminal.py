"""A program in a real pseudo-terminal: what it draws, what is typed, and windows that change their size."""

import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from types import TracebackType

PATIENCE_S = 90.0  # for machines that are busy with other tests
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()=>][A-Z0-9]?")


class PseudoTerminal:
    """Starts a program as a session of its own, and ends it at the end of the block."""

    def __init__(
        self, words: Sequence[str], env: Mapping[str, str], *, rows: int = 24, columns: int = 100
    ) -> None:
        self._master, slave = os.openpty()
        self.seen = ""
        self._resize(rows, columns)
        whole = {**os.environ, "TERM": "xterm", **env}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "PAGER", "LESS"):
            if name not in env:
                whole.pop(name, None)
        try:
            self._process = subprocess.Popen(
                ["setsid", "--ctty", "--wait", *words], stdin=slave, stdout=slave, stderr=slave, env=whole
            )
        finally:
            os.close(slave)

    def __enter__(self) -> "PseudoTerminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What was written, without what moves the cursor and colours it."""
        return _ESCAPES.sub("", self.seen).replace("\r", "")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the window; what is seen from here on is what counts."""
        self._resize(rows, columns)
        self.seen = ""

    def _resize(self, rows: int, columns: int) -> None:
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, pattern: str) -> None:
        """Read until the text has what `pattern` describes."""
        end = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"no {pattern!r} in {self.text!r}"
            assert self._read(), f"ended without {pattern!r}: {self.text!r}"

    def ended(self) -> int:
        """Read to the end and return the exit code."""
        end = time.monotonic() + PATIENCE_S
        while self._read():
            assert time.monotonic() < end, f"does not end: {self.text!r}"
        return self._process.wait(PATIENCE_S)

    def _read(self) -> bool:
        """Read what is there, waiting a little; whether more may come."""
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # nobody has the other side open any more
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)
