"""The shell around forecasts: copies the store, looks ahead, and shares the event loop while it does."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from swarm.api.v1.control_pb2 import PlanChangesResponse
from swarm.api.v1.objects_pb2 import Rebalance, Service
from swarm.clock import Clock
from swarm.errors import NotFound, Unavailable
from swarm.manager.planning.balance import check_rebalance, plan_rebalance
from swarm.manager.planning.best_case import ASSUMPTION, IN_LARGER_STEPS
from swarm.manager.planning.confining import confine, shows_service, within
from swarm.manager.planning.differences import differences
from swarm.manager.planning.forecast import Forecast
from swarm.manager.planning.later import later
from swarm.manager.planning.scratch import Frozen, Scratch, freeze, tables_of
from swarm.manager.store.scope import Scope
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.pacing import Pacer
from swarm.steps import Steps

R = TypeVar("R")

# Looks ahead at once: each has a copy of all tables, and they share the event loop with everything else.
AT_ONCE = 2

UNFINISHED = "this is only the beginning: there is more to do than is looked at"


class Forecaster:
    """Answers what would happen if the store were changed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def forecast(
        self, change: Callable[[Transaction], Iterable[str]], timeout_s: float, scope: Scope = ()
    ) -> PlanChangesResponse:
        """Return what would happen after `change`, which returns the ids of services to look at as well.

        With a scope, only to what is in it, and nothing else can be changed. What `change` raises comes out
        here. Raises Unavailable when it takes longer than `timeout_s`.
        """
        view = self._store.view
        frozen, index = freeze(view), view.index
        return await self._run(look_ahead(frozen, index, self._clock.now_ns(), change, scope), timeout_s)

    async def moves(self, service_id: str, max_moves: int, timeout_s: float) -> Sequence[Rebalance.Move]:
        """Return which tasks of a service have to move to balance it, none when it is balanced.

        Raises NotFound, FailedPrecondition when it is no replicated one or being updated, and Unavailable.
        """
        view, now_ns = self._store.view, self._clock.now_ns()
        service = view.services.get(service_id)
        if service is None:
            raise NotFound(f"there is no service {service_id}")
        check_rebalance(service)
        steps = look_for_moves(freeze(view), view.index, service, now_ns, max_moves)
        return await self._run(steps, timeout_s)

    async def _run(self, steps: Steps[R], timeout_s: float) -> R:
        try:
            async with asyncio.timeout(timeout_s), self._turns:
                return await Pacer(self._clock).run(steps)
        except TimeoutError:
            raise Unavailable(
                f"it takes more than {timeout_s:g} s to find out what would happen; nothing was changed"
            ) from None


def look_for_moves(
    frozen: Frozen, index: int, service: Service, now_ns: int, max_moves: int
) -> Steps[Sequence[Rebalance.Move]]:
    """Return the moves that balance `service` in what was frozen."""
    tables = yield from tables_of(frozen, index)
    return (yield from plan_rebalance(tables, service, now_ns, max_moves))


def look_ahead(
    frozen: Frozen,
    index: int,
    now_ns: int,
    change: Callable[[Transaction], Iterable[str]],
    scope: Scope = (),
) -> Steps[PlanChangesResponse]:
    """Return what would happen, from `now_ns` on, to a store that is changed by `change`.

    With a scope, to what is in it.
    """
    forecast = Forecast(Scratch((yield from tables_of(frozen, index)), now_ns))
    yield from forecast.prepare()
    for service_id in forecast.change(within(scope, change)):
        forecast.involve(service_id)
    yield from forecast.run()
    before = yield from tables_of(tuple(obj for obj in frozen if forecast.concerns(obj)), index)
    answer = yield from differences(before, forecast)
    if answer.steps:
        answer.notes.append(ASSUMPTION)
    after = forecast.scratch.tables
    confine(answer, scope, before, after)
    shown = (one for one in forecast.involved if shows_service(scope, one, after))
    for service in map(after.services.get, shown):
        answer.notes.extend(later(service) if service is not None else ())
    if forecast.is_hastened:
        answer.notes.append(IN_LARGER_STEPS)
    if not forecast.is_complete:
        answer.notes.append(UNFINISHED)
    return answer
