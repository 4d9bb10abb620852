"""Resources that only people know the meaning of: so many of a kind, or things of a kind by their names.

A node says what it has (`ssd=3`, `gpu=UUID1`, `gpu=UUID2`), a service how many of a kind each task needs
(`gpu=2`), and a task that was assigned what it was given (`Claim`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from swarm.api.v1.types_pb2 import GenericResource
from swarm.errors import InvalidArgument

KINDS_MAX = 64  # of one node or task
NAMES_MAX = 1024  # of one kind on one node
COUNT_MAX = 1_000_000_000
ALL = -1  # as the number that a task needs: everything of the kind, and at least one
ENVIRONMENT_PREFIX = "DOCKER_RESOURCE_"  # the name that images for Docker Swarm look for

_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_NAMED = re.compile(r"[^\s,=]{1,128}")

K = TypeVar("K")

# How many of each kind a task needs.
Wants = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What one task was given of one kind."""

    kind: str
    count: int
    names: tuple[str, ...] = ()  # which ones, where the node has them by name
    shared: bool = False  # with everybody else who shares them; `count` is 0


class Ledger:
    """What one node has of each kind, and how much of it is claimed."""

    __slots__ = ("_counted", "_named", "_shared_names", "_taken", "_taken_names")

    def __init__(self, resources: Iterable[GenericResource] = ()) -> None:
        self._counted: dict[str, int] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        self._taken: dict[str, int] = {}
        self._taken_names: dict[tuple[str, str], int] = {}
        self._shared_names: dict[tuple[str, str], int] = {}
        self.show(resources)

    def show(self, resources: Iterable[GenericResource]) -> None:
        """Take over what the node has; what is claimed stays claimed."""
        counted: dict[str, int] = {}
        named: dict[str, list[str]] = {}
        for one in resources:
            if one.named:
                named.setdefault(one.kind, []).append(one.named)
            else:
                counted[one.kind] = counted.get(one.kind, 0) + one.count
        self._counted = counted
        self._named = {kind: tuple(sorted(set(names))) for kind, names in named.items()}

    def copy(self) -> "Ledger":
        """Return a ledger that says the same, and is changed without this one."""
        copy = Ledger()
        copy._counted, copy._named = self._counted, self._named  # replaced as a whole, never changed
        copy._taken, copy._taken_names = dict(self._taken), dict(self._taken_names)
        copy._shared_names = dict(self._shared_names)
        return copy

    def free(self, kind: str) -> int:
        """Return how many of `kind` nobody has; negative when the node has fewer than were given away."""
        taken = self._taken.get(kind, 0)
        names = self._named.get(kind)
        if names is None:
            return self._counted.get(kind, 0) - taken
        return min(len(self._unclaimed(kind)), len(names) - taken)

    def has(self, kind: str) -> bool:
        """Whether the node has anything of `kind`, claimed or not."""
        return kind in self._named or self._counted.get(kind, 0) > 0

    def room(self, wants: Wants, limit: int) -> int:
        """Return how many tasks with these wants find what they need, `limit` at most."""
        return max(0, min((limit, *(self.free(kind) // self.number(kind, count) for kind, count in wants))))

    def number(self, kind: str, count: int) -> int:
        """Return how many a task needs that asks for `count`, which may be `ALL`."""
        return max(1, len(self._named.get(kind, ()))) if count == ALL else count

    def pick(self, wants: Wants) -> tuple[Claim, ...]:
        """Return what the next task gets: the first free names, in their order."""
        return tuple(
            Claim(kind, number, self._unclaimed(kind)[:number] if kind in self._named else ())
            for kind, number in ((kind, self.number(kind, count)) for kind, count in wants)
        )

    def grants(self, claims: Iterable[Claim]) -> bool:
        """Whether exactly what `claims` says is free."""
        return all(self._grants(one) for one in claims)

    def _grants(self, claim: Claim) -> bool:
        if claim.shared:
            taken = {name for name in claim.names if (claim.kind, name) in self._taken_names}
            has_them = set(claim.names) <= set(self._named.get(claim.kind, ()))
            return not taken and has_them and self._leaves_promised(claim)
        return claim.count <= self.free(claim.kind) and set(claim.names) <= set(self._unclaimed(claim.kind))

    def _leaves_promised(self, claim: Claim) -> bool:
        """Whether enough stay whole, beside what `claim` shares, for those who were promised a number of them.

        Which ones those get is not known before others have left: until then nothing of the kind is shared
        that is not plainly left over.
        """
        named = sum(times for (kind, _), times in self._taken_names.items() if kind == claim.kind)
        promised = self._taken.get(claim.kind, 0) - named
        return promised <= 0 or len(set(self._unclaimed(claim.kind)) - set(claim.names)) >= promised

    def count(self, claims: Iterable[Claim], sign: int) -> None:
        """Add (1) or take away (-1) what a task was given."""
        for claim in claims:
            _add(self._taken, claim.kind, sign * claim.count)
            for name in claim.names:
                _add(self._shared_names if claim.shared else self._taken_names, (claim.kind, name), sign)

    def _unclaimed(self, kind: str) -> tuple[str, ...]:
        taken, shared = self._taken_names, self._shared_names
        return tuple(
            name
            for name in self._named.get(kind, ())
            if (kind, name) not in taken and (kind, name) not in shared
        )


def wanted(resources: Iterable[GenericResource]) -> Wants:
    """Return how many of each kind a reservation asks for."""
    totals: dict[str, int] = {}
    for one in resources:
        totals[one.kind] = totals.get(one.kind, 0) + (1 if one.named else one.count)
    return tuple(sorted((kind, count) for kind, count in totals.items() if count))


def claims_of(assigned: Iterable[GenericResource], *, shared: bool = False) -> tuple[Claim, ...]:
    """Return what a task was given, as it is written on the task; `shared`: to have with others."""
    counts: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    for one in assigned:
        counts[one.kind] = counts.get(one.kind, 0) + (1 if one.named else one.count)
        if one.named:
            names.setdefault(one.kind, []).append(one.named)
    return tuple(
        Claim(kind, 0 if shared else counts[kind], tuple(names.get(kind, ())), shared)
        for kind in sorted(counts)
    )


def assigned_by(claims: Iterable[Claim]) -> Iterator[GenericResource]:
    """Yield claims as they are written on a task."""
    for claim in claims:
        if claim.names:
            yield from (GenericResource(kind=claim.kind, named=name) for name in claim.names)
        else:
            yield GenericResource(kind=claim.kind, count=claim.count)


def environment(assigned: Iterable[GenericResource]) -> tuple[str, ...]:
    """Return the variables that tell a container what it was given: DOCKER_RESOURCE_GPU=UUID1,UUID2."""
    return tuple(
        f"{ENVIRONMENT_PREFIX}{claim.kind.upper()}={','.join(claim.names) or claim.count}"
        for claim in claims_of(assigned)
        if "/" not in claim.kind  # those are devices, which the container sees for itself
    )


def parse_wanted(text: str) -> GenericResource:
    """Return what `gpu=2` asks for; raises InvalidArgument."""
    kind, _, number = text.partition("=")
    if not _KIND.fullmatch(kind) or not number.isdecimal() or not 0 < int(number) <= COUNT_MAX:
        raise InvalidArgument(
            f'generic resource "{text}": write KIND=NUMBER with a number of at least 1, such as gpu=2'
        )
    return GenericResource(kind=kind, count=int(number))


def parse_owned(texts: Iterable[str]) -> tuple[GenericResource, ...]:
    """Return what a node has: `ssd=3` are three, `gpu=UUID1` is one by its name; raises InvalidArgument."""
    found: list[GenericResource] = []
    for text in (part.strip() for one in texts for part in one.split(",")):
        kind, _, value = text.partition("=")
        if not _KIND.fullmatch(kind) or not _NAMED.fullmatch(value):
            raise InvalidArgument(
                f'generic resource "{text}": write KIND=NUMBER (ssd=3) or KIND=NAME (gpu=UUID1)'
            )
        if value.isdecimal():
            found.append(GenericResource(kind=kind, count=int(value)))
        else:
            found.append(GenericResource(kind=kind, named=value))
    _refuse(owned_problems(found))
    return tuple(sorted(found, key=lambda one: (one.kind, one.named)))


def owned_problems(resources: Iterable[GenericResource]) -> Iterator[str]:
    """Yield what is wrong with what a node says that it has."""
    kinds: dict[str, list[GenericResource]] = {}
    for one in resources:
        kinds.setdefault(one.kind, []).append(one)
    if len(kinds) > KINDS_MAX:
        yield f"{len(kinds)} kinds of generic resources are more than the limit of {KINDS_MAX}"
    for kind, several in kinds.items():
        names = [one.named for one in several if one.named]
        if names and len(names) != len(several):
            yield f'generic resource "{kind}" is given as a number and by names: choose one'
        elif len(set(names)) != len(names) or (not names and len(several) > 1):
            yield f'generic resource "{kind}" is given twice with the same name, or with two numbers'
        elif len(names) > NAMES_MAX or any(one.count > COUNT_MAX for one in several):
            yield f'there are more of the generic resource "{kind}" than {NAMES_MAX} names or {COUNT_MAX}'


def wanted_problems(resources: Iterable[GenericResource]) -> Iterator[str]:
    """Yield what is wrong with a reservation."""
    kinds: set[str] = set()
    for one in resources:
        if not _KIND.fullmatch(one.kind):
            yield f'"{one.kind}" is no kind of a generic resource: letters, digits, "-", "_" and "."'
        elif one.named:
            yield f'a service reserves a number of "{one.kind}", never the one named "{one.named}"'
        elif not 0 < one.count <= COUNT_MAX:
            yield f'{one.count} of the generic resource "{one.kind}" is not a number of at least 1'
        elif one.kind in kinds:
            yield f'the generic resource "{one.kind}" is reserved twice'
        kinds.add(one.kind)
    if len(kinds) > KINDS_MAX:
        yield f"{len(kinds)} kinds of generic resources are more than the limit of {KINDS_MAX}"


def lost_claims(
    resources: Iterable[GenericResource], claims: Mapping[str, tuple[Claim, ...]]
) -> frozenset[str]:
    """Return which tasks, given by id with their claims, oldest first, hold what the node has no more."""
    ledger, lost = Ledger(resources), set()
    for task_id, given in claims.items():
        if ledger.grants(given):
            ledger.count(given, 1)
        else:
            lost.add(task_id)
    return frozenset(lost)


def _add(totals: dict[K, int], key: K, number: int) -> None:
    left = totals.get(key, 0) + number
    if left:
        totals[key] = left
    else:
        totals.pop(key, None)


def _refuse(problems: Iterator[str]) -> None:
    found = list(problems)
    if found:
        raise InvalidArgument("; ".join(found))
