"""Which sessions should be with another manager, and which of two with one identity ends? Pure.

Every manager has a share of the agents, the leader a smaller one, because it has other work. The leader
of the cluster alone decides who moves, a few in each period, so that managers never hand agents to each
other in circles. An agent of a manager's own machine belongs to that manager.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarm.api.v1.dispatcher_pb2 import SessionOrder

LEADER_WEIGHT, FOLLOWER_WEIGHT = 1, 2
SLACK = 0.1  # of its share: a manager that has no more than this too much keeps it
SLACK_SESSIONS = 1.0  # or this
BATCH = 0.02  # of all agents, at once
SETTLE_S = 10.0  # a manager must have been there for so long before agents are sent to it
# No second wish about an agent within this time; an agent tries a little less long to fulfil one.
ASKED_S = 15.0


@dataclass(frozen=True, slots=True)
class Held:
    """A session that a manager has with an agent."""

    manager_id: str
    node_id: str
    session_id: str
    incarnation: int
    heard_s: float


@dataclass(frozen=True, slots=True)
class Move:
    """A session that should be with another manager."""

    session: Held
    to: str


def weights(members: Iterable[str], leader_id: str) -> dict[str, int]:
    """Return how many agents each manager should have, relative to the others."""
    return {member: LEADER_WEIGHT if member == leader_id else FOLLOWER_WEIGHT for member in sorted(members)}


def superseded(sessions: Iterable[Held], period_s: float, now_s: float) -> list[Held]:
    """Return the sessions of agents that started before another one, seen alive, of the same identity."""
    newest: dict[str, Held] = {}
    sessions = list(sessions)
    for held in sessions:
        best = newest.get(held.node_id)
        alive = now_s - held.heard_s <= period_s
        if alive and (best is None or held.incarnation > best.incarnation):
            newest[held.node_id] = held
    return [
        held
        for held in sessions
        if held.node_id in newest and held.incarnation < newest[held.node_id].incarnation
    ]


def moves(sessions: Sequence[Held], shares: Mapping[str, int], asked: Mapping[str, str]) -> list[Move]:
    """Return who should move now.

    `shares` are the weights of the managers that may get agents; `asked` says where agents were recently
    asked to go, by node id: they count as being there and are left alone.
    """
    home = [
        Move(held, held.node_id)
        for held in sessions
        if held.node_id in shares and held.manager_id != held.node_id and held.node_id not in asked
    ]
    away = [held for held in sessions if held.node_id not in shares]
    load = Counter(dict.fromkeys(shares, 0))
    load.update(asked.get(held.node_id, held.manager_id) for held in away)
    total, all_shares = sum(load[manager] for manager in shares), sum(shares.values())
    target = {manager: total * share / all_shares for manager, share in shares.items()}
    left = max(1, math.ceil(BATCH * total))
    planned: list[Move] = []
    for manager in sorted(shares, key=lambda one: target[one] - load[one]):
        over = load[manager] - target[manager]
        if over <= max(SLACK_SESSIONS, SLACK * target[manager]):
            continue
        movable = sorted(
            (held for held in away if held.manager_id == manager and held.node_id not in asked),
            key=lambda held: held.node_id,
        )
        for held in movable[: min(left, math.floor(over))]:
            to = min(shares, key=lambda one: (load[one] - target[one], one))
            load[manager] -= 1
            load[to] += 1
            left -= 1
            planned.append(Move(held, to))
    return home + planned


class Balancer:
    """Remembers who was asked to move. Times are seconds of the leader's monotonic clock."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[str, float]] = {}
        self._next_s = 0.0

    def orders(
        self, sessions: Sequence[Held], shares: Mapping[str, int], period_s: float, now_s: float
    ) -> dict[str, list[SessionOrder]]:
        """Return what to tell managers (by node id) about their sessions."""
        told: dict[str, list[SessionOrder]] = {}
        ending = superseded(sessions, period_s, now_s)
        for held in ending:
            told.setdefault(held.manager_id, []).append(_order(held, ""))
        if now_s < self._next_s:
            return told
        self._next_s = now_s + period_s
        self._asked = {node_id: one for node_id, one in self._asked.items() if one[1] > now_s}
        asked = {node_id: to for node_id, (to, _) in self._asked.items() if to in shares}
        for move in moves([held for held in sessions if held not in ending], shares, asked):
            told.setdefault(move.session.manager_id, []).append(_order(move.session, move.to))
            self._asked[move.session.node_id] = (move.to, now_s + ASKED_S)
        return told


def _order(held: Held, to: str) -> SessionOrder:
    return SessionOrder(node_id=held.node_id, session_id=held.session_id, move_to=to)
