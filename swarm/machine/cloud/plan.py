"""What is next on the way to a machine of a cloud? Decided from what was noted, and what the cloud shows.

Every step may be cut before or after the cloud has heard of it. So what is asked for is noted first, with a
token that the cloud keeps with the machine; whoever goes on finds the machine by it, and asks for no second.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

UNSEEN_S = 60.0  # what a cloud has just made, its lists may lack for a while


class State(StrEnum):
    """What a cloud says of a machine, in words of ours."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine of a cloud, as the cloud shows it."""

    id: str
    state: State
    public: str = ""
    private: str = ""

    def address(self, wanted: str) -> str:
        """Return where it is reached: `public`, `private`, or "" for whichever it has, public first."""
        return {"public": self.public, "private": self.private}.get(wanted, self.public or self.private)


@dataclass(frozen=True, slots=True)
class Notes:
    """What is kept of a machine before and while it is made. `asked`: the cloud was asked for it.

    Where it was asked for (`region`, `endpoint`) is kept, too: the environment may say another later.
    """

    token: str = ""
    asked: bool = False
    instance: str = ""
    key: str = ""
    region: str = ""
    endpoint: str = ""
    settled: bool = False

    def kept(self) -> dict[str, str]:
        """Return the notes as the machine's record keeps them."""
        texts = {name: getattr(self, name) for name in self.__slots__}
        return {name: "yes" if value is True else str(value) for name, value in texts.items() if value}


def notes_of(kept: Mapping[str, str]) -> Notes:
    """Return the notes of a machine's record."""
    return Notes(
        **{name: kept.get(name, "") for name in ("token", "instance", "key", "region", "endpoint")},
        asked="asked" in kept,
        settled="settled" in kept,
    )


class Step(StrEnum):
    """What to do next."""

    CREATE = "create"
    WAIT = "wait"
    START = "start"
    AGAIN = "again"  # it is gone, and never was in use: with a new token, as clouds remember old ones
    LOST = "lost"  # it was in use and is gone: somebody has to know
    READY = "ready"


def decide(
    notes: Notes, seen: Instance | None, *, unseen_s: float, idempotent: bool, wanted: str, member: bool
) -> Step:
    """Return the next step.

    `unseen_s`: for how long the cloud has not shown what it was asked for. `idempotent`: it does not make a
    second machine for the same token. `member`: it was ready once, or may be a node.
    """
    if seen is None:
        if notes.instance:
            return Step.WAIT if unseen_s < UNSEEN_S else _gone(member=member)
        if notes.asked and not idempotent and unseen_s < UNSEEN_S:
            return Step.WAIT
        return Step.CREATE
    if seen.state is State.GONE:
        return _gone(member=member)
    if seen.state is State.STOPPED:
        return Step.START
    if seen.state is State.RUNNING and seen.address(wanted):
        return Step.READY
    return Step.WAIT


def _gone(*, member: bool) -> Step:
    return Step.LOST if member else Step.AGAIN
