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
# A session is not told the same again within this time; an agent tries a little less long to move.
TOLD_S = 15.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a manager has with an agent: its session, or with `connected` false a standby."""

    manager_id: str
    node_id: str
    session_id: str
    incarnation: int
    heard_s: float
    connected: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """A session that should be with another manager, or with none."""

    session: Held
    to: str  # node id; empty: it should end


def weights(members: Iterable[str], leader_id: str) -> dict[str, int]:
    """Return how many agents each manager should have, relative to the others."""
    return {member: LEADER_WEIGHT if member == leader_id else FOLLOWER_WEIGHT for member in sorted(members)}


def superseded(sessions: Sequence[Held], period_s: float, now_s: float) -> list[Held]:
    """Return what there is of agents that were started before another one, seen alive, of the same node.

    Either an agent was started again and its earlier stream was not missed yet, or its machine was copied.
    """
    newest: dict[str, Held] = {}
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

    `shares` are the weights of the managers that may get agents; `asked` says where sessions were recently
    asked to go, by session id: they count as being there and are left alone.
    """
    home = [
        Move(held, held.node_id)
        for held in sessions
        if held.node_id in shares and held.manager_id != held.node_id and held.session_id not in asked
    ]
    away = [held for held in sessions if held.node_id not in shares]
    load = Counter(dict.fromkeys(shares, 0))
    load.update(asked.get(held.session_id, held.manager_id) for held in away)
    total, all_shares = sum(load[manager] for manager in shares), sum(shares.values())
    target = {manager: total * share / all_shares for manager, share in shares.items()}
    left = max(1, math.ceil(BATCH * total))
    planned: list[Move] = []
    for manager in sorted(shares, key=lambda one: target[one] - load[one]):
        over = load[manager] - target[manager]
        if over <= max(SLACK_SESSIONS, SLACK * target[manager]):
            continue
        movable = sorted(
            (held for held in away if held.manager_id == manager and held.session_id not in asked),
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
    """Remembers what sessions were told. Times are seconds of the leader's monotonic clock."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, float]] = {}  # by session id: where to go, and until when it counts
        self._next_s = 0.0

    def plans_moves(self, now_s: float) -> bool:
        """Whether `orders` would plan moves now, and has to know all sessions; else those of copies do."""
        return now_s >= self._next_s

    def orders(
        self, sessions: Sequence[Held], shares: Mapping[str, int], period_s: float, now_s: float
    ) -> dict[str, list[SessionOrder]]:
        """Return what to tell managers (by node id): copies end at once, moves are planned once a period."""
        self._told = {one: told for one, told in self._told.items() if told[1] > now_s}
        ending = superseded(sessions, period_s, now_s)
        told_to_end = {one for one, (to, _) in self._told.items() if not to}
        planned = [Move(held, "") for held in ending if held.session_id not in told_to_end]
        if self.plans_moves(now_s):
            self._next_s = now_s + period_s
            asked = {one: to for one, (to, _) in self._told.items() if to in shares}
            planned += moves(
                [held for held in sessions if held.connected and held not in ending], shares, asked
            )
        orders: dict[str, list[SessionOrder]] = {}
        for move in planned:
            held = move.session
            self._told[held.session_id] = (move.to, now_s + TOLD_S)
            order = SessionOrder(node_id=held.node_id, session_id=held.session_id, move_to=move.to)
            orders.setdefault(held.manager_id, []).append(order)
        return orders
