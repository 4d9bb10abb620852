"""Which addresses are nobody's and still known? They rest: somebody may be led there who means another.

From the entry in which an address became free until every node has that in force, and then as long as a
client may go by what it was told before. A node that does not answer is waited for only so long. This is in
memory: a new leader lets rest what its store still tells of.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from swarm.api.v1.objects_pb2 import Attachment, Service, Task
from swarm.api.v1.types_pb2 import NetworkAddresses
from swarm.clock import SECOND, nanoseconds
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Event
from swarm.model.task_state import is_done

CLIENT_NS = 2 * SECOND  # names are good for one second, and somebody may just be on the way
REST_NS = 10 * SECOND  # at most: longer than it takes to count a silent node as lost

Place = tuple[str, str]  # network and address


@dataclass(frozen=True, slots=True)
class _Rest:
    index: int  # of the entry in which it became free
    since_ns: int
    forgotten_ns: int | None = None  # since when no node knows it any more

    @property
    def until_ns(self) -> int:
        end_ns = self.since_ns + REST_NS
        return end_ns if self.forgotten_ns is None else min(end_ns, self.forgotten_ns + CLIENT_NS)


class Resting:
    """What became free lately."""

    def __init__(self, settled: Callable[[str, int], bool] | None) -> None:
        """`settled` says whether all nodes in a network have in force what an entry says of it.

        Without, nothing rests.
        """
        self._settled = settled
        self._rests: dict[Place, _Rest] = {}

    def __bool__(self) -> bool:
        """Whether anything rests."""
        return bool(self._rests)

    def __call__(self, network_id: str, address: str) -> bool:
        """Whether an address rests."""
        return (network_id, address) in self._rests

    def begin(self, view: ReadView, now_ns: int) -> None:
        """Begin a term: of what became free before, tasks that have ended tell."""
        ended = (task for task in view.tasks if task.networks and is_done(task))
        for task in ended:
            since_ns = nanoseconds(task.status.timestamp)
            if since_ns + REST_NS > now_ns:
                self._add(_places(task.networks), view.index, since_ns)
        self.look(view, now_ns)

    def note(self, event: Event, index: int, now: Callable[[], int]) -> None:
        """Take in what a commit changed; `now` is asked only when that frees something."""
        if places := freed(event):
            self._add(places, index, now())

    def look(self, view: ReadView, now_ns: int) -> None:
        """Find out what has rested for long enough."""
        settled = cache(self._settled or (lambda network_id, index: True))
        for place, rest in tuple(self._rests.items()):
            if rest.forgotten_ns is None and settled(place[0], rest.index):
                self._rests[place] = replace(rest, forgotten_ns=now_ns)
            if self._rests[place].until_ns <= now_ns or place[0] not in view.networks:
                del self._rests[place]

    def _add(self, places: Iterable[Place], index: int, since_ns: int) -> None:
        if self._settled is not None:
            self._rests.update((place, _Rest(index, since_ns)) for place in places)


def freed(event: Event) -> frozenset[Place]:
    """Return what somebody had before an event and has not any more."""
    after = None if event.action is Action.REMOVE else event.object
    # Of what is removed the last is what it was.
    before = event.previous if event.previous is not None else event.object
    return frozenset(_held(before)) - frozenset(_held(after))


def _held(one: object) -> Iterator[Place]:
    if (isinstance(one, Task) and not is_done(one)) or isinstance(one, Attachment):
        yield from _places(one.networks)
    elif isinstance(one, Service):
        yield from _places(one.virtual_addresses)


def _places(held: Iterable[NetworkAddresses]) -> Iterator[Place]:
    return ((one.network_id, address) for one in held for address in one.addresses)
