"""One process at a time: locks on files that the kernel takes back when their holder ends."""

import fcntl
import time
from collections.abc import Callable

_ATTEMPTS = 100
_PAUSE_S = 0.02


def lock_alone(descriptor: int, pause: Callable[[float], object] = time.sleep) -> None:
    """Lock an open file until it is closed; raises BlockingIOError while another process holds it.

    Who is killed while it starts a program leaves its files to that one until the program has begun, so
    the lock of the dead is waited for a while.
    """
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(_PAUSE_S)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
