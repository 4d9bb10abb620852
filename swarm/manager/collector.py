"""How Python's collector of cycles works in a manager: never long.

The store is hundreds of thousands of messages, which the collector looks at one by one although none is part
of a cycle: they go when nothing refers to them. A full collection would stop every thread for so long that
followers call an election. So young objects are looked at in larger groups than usual, and what a full
collection finds alive is set aside, so that the next one only looks at what came since.

What is set aside goes like everything else when nothing refers to it. Only a cycle that is made of such
objects later stays: what a few requests under way have, after fifty thousand new objects each time.
"""

import gc
from typing import Any

YOUNG = 2_000  # objects, a collection of which takes a millisecond
OLDER = 5  # of these until a collection of 10,000 objects
FULL = 5  # of these until a collection of 50,000 objects, which takes some 30 ms


def tame_collector() -> None:
    """Set everything that is there aside, and keep every collection short from now on."""
    gc.set_threshold(YOUNG, OLDER, FULL)
    if _set_aside not in gc.callbacks:
        gc.callbacks.append(_set_aside)
    gc.collect()


def _set_aside(phase: str, found: dict[str, Any]) -> None:
    if phase == "stop" and found["generation"] == 2:  # of everything
        gc.freeze()
