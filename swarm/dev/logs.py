"""What a node's daemons have logged, from the file that all of them write to."""

import time
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 16
_PAUSE_S = 0.2


def read_log(path: Path, follow: bool, tail: int | None) -> Iterator[bytes]:
    """Yield the log, its last `tail` lines only when given; with `follow` for ever."""
    while not path.exists():
        if not follow:
            return
        time.sleep(_PAUSE_S)
    with path.open("rb") as file:
        if tail is not None:
            lines = file.readlines()
            yield b"".join(lines[len(lines) - min(tail, len(lines)) :])
        while True:
            chunk = file.read(_CHUNK)
            if chunk:
                yield chunk
            elif follow:
                time.sleep(_PAUSE_S)
            else:
                return
