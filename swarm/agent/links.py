"""Which of this node's streams shall be the session, which are of no use, are more needed? Pure.

An agent keeps two streams, to different managers where it can: its *session*, and a *standby* that only
carries heartbeats. The loss of packets stalls a TCP connection for seconds, but rarely two at a time, so the
managers keep hearing of the node; and when the manager of the session dies, one message on the standby
makes it the session.

A stream is *suspect* while its manager does not answer for longer than the answers to two heartbeats take,
or says that it reaches no leader. A suspect stream is given up only for a better one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

HEARTBEATS_PER_PERIOD = {False: 2, True: 1}  # by whether it is a standby
ASK_AGAIN_S = 1.0  # another standby is asked when the first one asked does not become the session


class Role(Enum):
    """What a stream is."""

    OPENING = "opening"  # its manager has not answered yet
    STANDBY = "standby"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Link:
    """A stream as it is at the moment of the decision."""

    number: int
    manager_id: str
    role: Role
    silent_s: float  # since its manager was heard
    suspect_s: float  # silent for longer it is suspect
    leaderless: bool = False
    asked_s: float | None = None  # how long ago it was asked to become the session

    @property
    def healthy(self) -> bool:
        """Whether its manager answers, and reaches a leader."""
        return self.role is not Role.OPENING and not self.leaderless and self.silent_s <= self.suspect_s


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. Streams are named by number."""

    promote: int | None = None  # ask it to be the session
    drop: tuple[int, ...] = ()
    missing: int = 0  # so many healthy streams are missing
    open_at: str = ""  # node id of the manager to open another stream with


def suspect_after_s(standby: bool, period_s: float, periods: float) -> float:
    """Return for how long a manager may be silent: `periods` for a session, which speaks twice in one."""
    gap = 1 / HEARTBEATS_PER_PERIOD[standby] - 1 / HEARTBEATS_PER_PERIOD[False]
    return (periods + gap) * period_s


def plan(links: Sequence[Link], wanted: int, move_to: str = "") -> Plan:
    """Decide about `links`, of which `wanted` shall be healthy and `move_to` (node id) have the session."""
    missing = max(0, wanted - sum(link.healthy for link in links))
    promote = _promoted(links, move_to)
    drop = _surplus(links, wanted, promote)
    if not missing:
        drop += tuple(
            link.number for link in links if link.role is Role.OPENING and link.manager_id != move_to
        )
    there = any(link.manager_id == move_to for link in links)
    return Plan(promote, drop, missing, open_at="" if missing or there else move_to)


def _promoted(links: Sequence[Link], move_to: str) -> int | None:
    """Return the standby that should be the session now."""
    session = next((link for link in links if link.role is Role.SESSION), None)
    standbys = [link for link in links if link.role is Role.STANDBY]
    if any(_under_way(link) for link in standbys):
        return None
    if session is not None and session.healthy:
        there = [link for link in standbys if link.healthy and link.manager_id == move_to]
        return there[0].number if move_to and session.manager_id != move_to and there else None
    candidates = [link for link in standbys if link.healthy]
    if session is None and not candidates:  # better a doubtful session than none
        candidates = [link for link in standbys if link.asked_s is None]
    best = min(candidates, key=lambda link: (link.leaderless, link.silent_s), default=None)
    return best.number if best is not None else None


def _under_way(link: Link) -> bool:
    return link.asked_s is not None and link.asked_s < ASK_AGAIN_S


def _surplus(links: Sequence[Link], wanted: int, promote: int | None) -> tuple[int, ...]:
    """Return the least useful of the open streams beyond `wanted`; never the session, nor its successor."""
    answered = [link for link in links if link.role is not Role.OPENING]
    kept = [
        link for link in answered if link.role is Role.SESSION or link.number == promote or _under_way(link)
    ]
    others = [link for link in answered if link not in kept]
    drop: list[int] = []
    for link in sorted(others, key=lambda link: (not link.healthy, link.leaderless, link.silent_s)):
        enough = sum(one.healthy for one in kept) if link.healthy else len(kept)
        if enough < wanted:
            kept.append(link)
        else:
            drop.append(link.number)
    return tuple(drop)
