"""What happened to the plain containers of this node, for whoever follows; the latest can be told again.

Places in the book are told with each event. Who was cut off says the last one that they have and hears what
came since, or that something is missing: it was long ago, or the agent was restarted meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping

from swarm.api.v1.plain_pb2 import FollowEvents, PlainContainer, PlainEvent
from swarm.clock import Clock
from swarm.ids import new_id

KEPT = 4096
ALL_KEPT_NS = 1  # as `since_ns`: from the oldest on, and nothing older is missed


class EventBook:
    """The latest events of one life of the agent."""

    def __init__(self, clock: Clock, kept: int = KEPT) -> None:
        """`kept` events can be told again."""
        self._clock = clock
        self._life = new_id()
        self._events: deque[PlainEvent] = deque(maxlen=kept)
        self._next = 0  # the number of the next event
        self._since_ns = clock.now_ns()  # nothing is known of before
        self._grew = asyncio.Event()

    def note(self, record: PlainContainer, action: str, attributes: Mapping[str, str]) -> None:
        """Write down that something happened to a container; its labels are told with it."""
        if len(self._events) == self._events.maxlen:
            self._since_ns = self._events[0].at_ns + 1
        self._events.append(
            PlainEvent(
                at_ns=self._clock.now_ns(),
                action=action,
                container_id=record.id,
                name=record.spec.name,
                image=record.spec.container.image,
                attributes={**record.spec.container.labels, **attributes},
                cursor=f"{self._life}.{self._next}",
            )
        )
        self._next += 1
        self._grew.set()
        self._grew = asyncio.Event()

    async def follow(self, wanted: FollowEvents) -> AsyncIterator[PlainEvent]:
        """Yield what happened since, and goes on to; first of all where the book is now."""
        number = self._begin(wanted)
        if number is None:
            yield PlainEvent(gap=True, at_ns=self._clock.now_ns())
            number = self._oldest
        at = PlainEvent(cursor=f"{self._life}.{number - 1}")
        if not wanted.after and ALL_KEPT_NS < wanted.since_ns < self._since_ns:
            at.kept_since_ns = self._since_ns
        yield at
        while True:
            grew = self._grew
            while number < self._next:
                if number < self._oldest:
                    yield PlainEvent(gap=True, at_ns=self._clock.now_ns())
                    number = self._oldest
                yield self._events[number - self._oldest]
                number += 1
            if not wanted.follow:
                return
            await grew.wait()

    @property
    def _oldest(self) -> int:
        return self._next - len(self._events)

    def _begin(self, wanted: FollowEvents) -> int | None:
        """Return the number of the first event that is wanted; None: some of them are not here any more."""
        if wanted.after:
            life, _, last = wanted.after.rpartition(".")
            if life != self._life or not last.lstrip("-").isdecimal():
                return None
            number = min(int(last) + 1, self._next)
            return number if number >= self._oldest else None
        if not wanted.since_ns:
            return self._next
        later = sum(one.at_ns >= wanted.since_ns for one in self._events)
        return self._next - later
