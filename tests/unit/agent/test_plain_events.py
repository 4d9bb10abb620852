"""The book of what happened to plain containers: told in order, again where it was heard, or as missing."""

import asyncio
from collections.abc import AsyncIterator

from swarm.agent.plain.events import EventBook
from swarm.api.v1.plain_pb2 import FollowEvents, PlainContainer, PlainEvent
from swarm.manager.store.testing import ManualClock

DB = PlainContainer(id="c1")
DB.spec.name = "db"


def a_book(*actions: str, kept: int = 10) -> EventBook:
    book = EventBook(ManualClock(), kept)
    for action in actions:
        book.note(DB, action, {})
    return book


async def told(events: AsyncIterator[PlainEvent]) -> list[str]:
    return ["GAP" if one.gap else one.action or "-" async for one in events]


async def test_from_now_on_means_nothing_of_before() -> None:
    assert await told(a_book("create", "start").follow(FollowEvents())) == ["-"]
    assert await told(a_book("create", "start").follow(FollowEvents(since_ns=1))) == ["-", "create", "start"]


async def test_who_was_cut_off_hears_what_came_since_and_nothing_twice() -> None:
    book = a_book("create", "start")
    heard = [one async for one in book.follow(FollowEvents(since_ns=1))]
    book.note(DB, "die", {"exitCode": "3"})
    again = [one async for one in book.follow(FollowEvents(after=heard[-1].cursor))]
    assert [(one.action, dict(one.attributes)) for one in again if one.action] == [
        ("die", {"exitCode": "3"})
    ]
    first = [one async for one in book.follow(FollowEvents(after=heard[0].cursor))]
    assert [one.action for one in first if one.action] == ["create", "start", "die"]


async def test_what_is_missing_is_said() -> None:
    book = a_book("create")
    (*_, heard) = [one async for one in book.follow(FollowEvents(since_ns=1))]
    for action in ("start", "die", "start"):
        book.note(DB, action, {})
    short = a_book("create", "start", "die", kept=2)
    assert await told(short.follow(FollowEvents(after=heard.cursor))) == ["GAP", "-", "start", "die"]
    assert await told(book.follow(FollowEvents(after="nonsense"))) == [
        "GAP",
        "-",
        "create",
        *["start", "die", "start"],
    ]


async def test_who_asks_for_times_of_before_hears_since_when_there_is_a_book() -> None:
    clock = ManualClock()
    began_ns = clock.now_ns()
    book = EventBook(clock, 2)

    async def kept_since(since_ns: int, after: str = "") -> int:
        first = await anext(book.follow(FollowEvents(since_ns=since_ns, after=after)))
        return first.kept_since_ns

    assert await kept_since(began_ns - 1) == began_ns
    assert [await kept_since(since_ns) for since_ns in (0, 1, began_ns)] == [0, 0, 0]
    for action in ("create", "start", "die"):
        book.note(DB, action, {})
        clock.advance(1)
    assert await kept_since(began_ns) == began_ns + 1
    heard = [one async for one in book.follow(FollowEvents(since_ns=1))]
    assert await kept_since(began_ns, heard[-1].cursor) == 0


async def test_labels_are_told_and_hide_nothing() -> None:
    labelled = PlainContainer(id="c1")
    labelled.spec.container.labels.update({"team": "red", "exitCode": "?"})
    book = a_book()
    book.note(labelled, "die", {"exitCode": "3"})
    (event,) = [one async for one in book.follow(FollowEvents(since_ns=1)) if one.action]
    assert dict(event.attributes) == {"team": "red", "exitCode": "3"}


async def test_who_reads_more_slowly_than_things_happen_is_told_so() -> None:
    book = a_book(kept=2)
    events = book.follow(FollowEvents(follow=True))
    assert not (await anext(events)).action
    for action in ("create", "start", "die"):
        book.note(DB, action, {})
    assert [(one.gap, one.action) for one in [await anext(events) for _ in range(3)]] == [
        (True, ""),
        (False, "start"),
        (False, "die"),
    ]


async def test_a_follower_hears_at_once() -> None:
    book = a_book()
    events = book.follow(FollowEvents(follow=True))
    await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    book.note(DB, "start", {})
    assert (await waiting).action == "start"
