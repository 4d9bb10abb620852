"""Which manager should this agent turn to, and when?

The node's own manager comes first, the others by chance and weight, so that agents spread. A manager that
failed is less likely for a while. The first attempts follow each other quickly, because most failures are
those of one manager; then the pauses grow, but never much beyond a heartbeat period: when all managers
were away and come back, every agent must be heard before it counts as lost.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from swarm.api.v1.types_pb2 import Peer

FAILURE_WEIGHT = 0.25
RECOVERY_S = 30.0  # a failure this old counts no more
FIRST_PAUSE_S = 0.1
PAUSE_MAX_S = 8.0
PAUSE_MAX_PERIODS = 1.2


class ManagerChoice:
    """Picks managers. `uniform(low, high)` is the source of chance."""

    def __init__(self, own_node_id: str, uniform: Callable[[float, float], float]) -> None:
        self._own_node_id = own_node_id
        self._uniform = uniform
        self._failures: dict[str, tuple[int, float]] = {}  # by address: how many, when the last
        self._attempts = 0  # since the last success
        self._weights: Mapping[str, int] = {}

    def pick(self, managers: Sequence[Peer], excluded: Collection[str], now_s: float) -> Peer | None:
        """Return the manager to try next, None when every one is excluded (by address)."""
        candidates = [peer for peer in managers if peer.addr not in excluded]
        own = [peer for peer in candidates if peer.node_id == self._own_node_id]
        if own and self._recent_failures(own[0].addr, now_s) == 0:
            return own[0]
        weights = [self._weight(peer, now_s) for peer in candidates]
        mark = self._uniform(0.0, sum(weights))
        for peer, weight in zip(candidates, weights, strict=True):
            mark -= weight
            if mark <= 0:
                return peer
        return candidates[-1] if candidates else None

    def weigh(self, weights: Mapping[str, int]) -> None:
        """Take over how many agents each manager (by node id) should have, relative to the others."""
        self._weights = dict(weights)

    def _weight(self, peer: Peer, now_s: float) -> float:
        share = self._weights.get(peer.node_id, 1) or 1
        return float(share * FAILURE_WEIGHT ** self._recent_failures(peer.addr, now_s))

    def failed(self, addr: str, now_s: float) -> None:
        """Note that a manager could not be reached, or broke off."""
        count = min(self._recent_failures(addr, now_s) + 1, 4)
        self._failures[addr] = (count, now_s)

    def succeeded(self, addr: str) -> None:
        """Note that a manager serves this agent."""
        self._failures.pop(addr, None)
        self._attempts = 0

    def pause_s(self, manager_count: int, period_s: float) -> float:
        """Return how long to wait before the next attempt, and count it."""
        self._attempts += 1
        round_number = (self._attempts - 1) // max(1, manager_count)
        if round_number == 0:
            return self._uniform(0.0, FIRST_PAUSE_S)
        longest_s = min(PAUSE_MAX_S, max(PAUSE_MAX_PERIODS * period_s, FIRST_PAUSE_S))
        return self._uniform(0.5, 1.0) * min(FIRST_PAUSE_S * 2.0**round_number, longest_s)

    def _recent_failures(self, addr: str, now_s: float) -> int:
        count, last_s = self._failures.get(addr, (0, 0.0))
        return count if now_s - last_s < RECOVERY_S else 0
