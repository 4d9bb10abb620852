"""What must not be deleted now because a pull, load or copy under way counts on it?"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Hold:
    """The digests that one operation counts on. Add a digest before looking whether it is here."""

    def __init__(self, all_digests: Counter[str]) -> None:
        self._all = all_digests
        self._mine: set[str] = set()

    def add(self, *digests: str) -> None:
        """Keep blobs or layers until the operation ends."""
        fresh = set(digests) - self._mine
        self._mine |= fresh
        self._all.update(fresh)

    def drop(self) -> None:
        """End the hold."""
        self._all.subtract(self._mine)
        for digest in self._mine:
            if self._all[digest] <= 0:
                del self._all[digest]
        self._mine.clear()


class Holds:
    """All holds of this node; they live as long as the process, like what they protect."""

    def __init__(self) -> None:
        self._digests: Counter[str] = Counter()

    @contextmanager
    def new(self) -> Iterator[Hold]:
        """Open a hold for the duration of a block."""
        hold = Hold(self._digests)
        try:
            yield hold
        finally:
            hold.drop()

    def __contains__(self, digest: object) -> bool:
        """Tell whether somebody holds `digest`."""
        return digest in self._digests

    def __iter__(self) -> Iterator[str]:
        """Iterate over the digests held."""
        return iter(self._digests)
