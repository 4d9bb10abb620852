"""The dispatcher of one manager, put together: sessions, what is pushed to them, what they report."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import grpc

from swarm.api.v1.objects_pb2 import Attachment, Cluster, Network, Node, Service, Task
from swarm.clock import Clock
from swarm.endings import endless
from swarm.errors import NodeRemoved, Unavailable
from swarm.manager.dispatcher.attaching import AttachRules
from swarm.manager.dispatcher.balance import weights
from swarm.manager.dispatcher.forwarder import StatusForwarder
from swarm.manager.dispatcher.leader_link import LeaderLink
from swarm.manager.dispatcher.leader_servicer import LeaderServicer
from swarm.manager.dispatcher.leadership import Leadership
from swarm.manager.dispatcher.loop import LivenessLoop
from swarm.manager.dispatcher.overlay_news import news_of
from swarm.manager.dispatcher.servicer import DispatcherServicer
from swarm.manager.dispatcher.session_reporter import SessionReporter
from swarm.manager.dispatcher.sessions import MakeValues, RegistrationLimit, Sessions
from swarm.manager.dispatcher.usage import SampledServices, UsageGatherer, UsageTable
from swarm.manager.dispatcher.withdrawal import WithdrawalLoop
from swarm.manager.store.store import Store
from swarm.manager.store.watch import Action, Commit, Event, Watch, WatchOverflow
from swarm.security.identity import Identity
from swarm.security.identity import caller as caller_of


class Dispatcher:
    """Runs on every manager, whether it leads or not."""

    def __init__(
        self,
        node_id: str,
        store: Store,
        clock: Clock,
        leadership: Leadership,
        dial: Callable[[str], grpc.aio.Channel],
        *,
        caller: Callable[[Any], Identity] = caller_of,
        attach_rules: AttachRules | None = None,
        secret_values: MakeValues | None = None,
    ) -> None:
        """`node_id` is this manager's; `dial` opens a channel to another manager.

        Without `attach_rules` containers of no service get nothing in networks; without `secret_values` no
        driver of a secret is asked.
        """
        self._node_id = node_id
        self._store = store
        self._clock = clock
        self._leadership = leadership
        self.sessions = Sessions()
        self.leader_servicer = LeaderServicer(store, clock, caller, attach_rules)
        self._link = LeaderLink(node_id, leadership, dial, self.leader_servicer)
        limit = RegistrationLimit()
        self._forwarder = StatusForwarder(self._link.report_statuses)
        usage = UsageGatherer()
        self._sampled = SampledServices()
        self._reporter = SessionReporter(store, clock, self.sessions, self._link, limit, usage)
        self.servicer = DispatcherServicer(
            store,
            clock,
            leadership,
            self.sessions,
            self._forwarder,
            limit,
            self._reporter.leaderless,
            usage,
            self._sampled,
            caller=caller,
            pass_attach=self._link.pass_attach,
            secret_values=secret_values,
        )

    def leader_loop(self) -> LivenessLoop:
        """Return the loop to run while this manager leads."""
        return LivenessLoop(
            self._store, self._clock, self.leader_servicer, self._shares, self._unreachable_managers
        )

    def withdrawal_loop(self) -> WithdrawalLoop:
        """Return what tells tasks that nobody is led to them, while this manager leads."""
        leader = self.leader_servicer
        return WithdrawalLoop(self._store, leader.networks_reached, leader.progress.changed)

    def usage_table(self) -> UsageTable:
        """Return what tasks use, as this manager hears while it leads; it begins anew with each term."""
        self.leader_servicer.usage = UsageTable()
        return self.leader_servicer.usage

    def _shares(self) -> Mapping[str, int]:
        return weights((member.node_id for member in self._leadership.members), self._node_id)

    def _unreachable_managers(self) -> Collection[str]:
        members = self._leadership.members
        return [member.node_id for member in members if not self._leadership.reachable(member.raft_id)]

    async def run(self) -> None:
        """Serve until cancelled; then every session ends, so that agents turn to another manager."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(endless(self._feed, "what feeds the sessions"))
                group.create_task(endless(self._reporter.run, "what reports the sessions"))
                group.create_task(endless(self._forwarder.run, "what forwards the statuses of tasks"))
        finally:
            for stream in self.sessions.streams():
                stream.end(Unavailable("this manager stops"))
            await self._link.close()

    async def _feed(self) -> None:
        """Tell sessions what changed in the store."""
        with self._store.watch(Task, Node, Service, Cluster, Network, Attachment) as watch:
            self._sampled.look(self._store.view.services)
            while True:
                await self._feed_next(watch)

    async def _feed_next(self, watch: Watch) -> None:
        try:
            commit: Commit = await anext(watch)
        except WatchOverflow:
            self._resync()
            return
        for event in commit.events:
            self._pass_on(event)
        paper = news_of(self._store.view, commit.events)
        for session in self.sessions if paper else ():
            session.networks_changed(paper, commit.index)
        self.sessions.networks_index = commit.index

    def _pass_on(self, event: Event) -> None:
        changed = event.object
        if isinstance(changed, Task):
            session = self.sessions.get(changed.node_id)
            if session is not None:
                session.task_changed(changed.id)
        elif isinstance(changed, Node):
            for stream in self.sessions.streams(changed.id):
                if event.action is Action.REMOVE:
                    stream.end(NodeRemoved("this node was removed from the cluster"))
                else:
                    stream.info_changed()
        elif isinstance(changed, Cluster) or (isinstance(changed, Service) and self._sampled.note(event)):
            for session in self.sessions:
                session.info_changed()

    def _resync(self) -> None:
        nodes = self._store.view.nodes
        self._sampled.look(self._store.view.services)
        for stream in self.sessions.streams():
            if nodes.get(stream.node_id) is None:
                stream.end(NodeRemoved("this node was removed from the cluster"))
        for session in self.sessions:
            session.everything_changed()
