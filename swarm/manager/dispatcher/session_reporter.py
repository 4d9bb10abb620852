"""Telling the leader which nodes are connected to this manager."""

import asyncio

import structlog

from swarm.api.v1.dispatcher_pb2 import NodeLag, ReportSessionsRequest
from swarm.clock import SECOND, Clock
from swarm.errors import SwarmError
from swarm.manager.dispatcher.leader_link import LeaderLink
from swarm.manager.dispatcher.liveness import GRACE_PERIODS, heartbeat_period_ns
from swarm.manager.dispatcher.sessions import RegistrationLimit, Sessions
from swarm.manager.dispatcher.settled import Reached
from swarm.manager.dispatcher.usage import UsageGatherer
from swarm.manager.store.store import Store

log = structlog.get_logger(__name__)

LOOK_S = 0.1  # how late a new leader may be noticed


class SessionReporter:
    """Reports changes at once, and the whole table twice a period and to every new leader."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        link: LeaderLink,
        limit: RegistrationLimit,
        usage: UsageGatherer,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._link = link
        self._limit = limit
        self._usage = usage
        self._told: tuple[str, int] | None = None  # the leader that has the whole table
        self._told_reached = Reached()
        self._complete_s = 0.0  # when the whole table was last sent
        self._reached_s = self._looked_s = clock.monotonic_s()
        self._period_before_s = 0.0
        self._expiring_s = 0.0  # from when on sessions may be too silent

    def leaderless(self) -> bool:
        """Whether no leader heard this manager for a period: its nodes are about to be counted as lost."""
        return self._clock.monotonic_s() - self._reached_s > self._period_s()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._sessions.changed.wait()
            except TimeoutError:
                pass
            now_s = self._clock.monotonic_s()
            self._expire(now_s)
            self._looked_s = now_s
            self._limit.forget_old(now_s)
            if not await self._report(now_s):
                await asyncio.sleep(LOOK_S)

    def _expire(self, now_s: float) -> None:
        period_s = self._period_s()
        limit_s = GRACE_PERIODS * period_s
        if period_s < self._period_before_s:
            self._expiring_s = now_s + limit_s  # until now agents spoke as seldom as they were told before
        self._period_before_s = period_s
        # After a pause of this process or machine, what was sent meanwhile has yet to be read.
        if now_s - self._looked_s < period_s and now_s >= self._expiring_s:
            self._sessions.expire(limit_s, now_s)

    def _period_s(self) -> float:
        view = self._store.view
        return heartbeat_period_ns(view.cluster, len(view.nodes)) / SECOND

    async def _report(self, now_s: float) -> bool:
        target = self._link.target()
        complete = target != self._told or now_s - self._complete_s >= self._period_s() / 2
        reached = self._sessions.networks_reached()
        if not complete and reached == self._told_reached and not self._sessions.changed.is_set():
            return True
        states = self._sessions.take_states(self._store.view, complete, now_s)
        try:
            usage = self._usage.take() if complete else ()
            lag = [NodeLag(node_id=key, index=index) for key, index in (reached.lag or {}).items()]
            request = ReportSessionsRequest(
                complete=complete,
                sessions=states,
                usage=usage,
                networks_index=reached.index,
                networks_lag=lag,
            )
            orders = await self._link.report_sessions(request)
        except SwarmError as error:
            if self._told is not None:
                log.warning("dispatcher.sessions_not_reported", reason=str(error))
            self._told = None
            return False
        self._told_reached = reached
        if complete:
            self._told, self._complete_s = target, now_s
        self._reached_s = self._clock.monotonic_s()
        for order in orders:
            if self._sessions.obey(order):
                log.info(
                    "dispatcher.session_ordered_away",
                    node_id=order.node_id,
                    session_id=order.session_id,
                    move_to=order.move_to,
                )
        return True
