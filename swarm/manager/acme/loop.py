"""The leader's care for certificates by ACME: step after step of each order, all of them in the store.

What is about to be done is committed first: only one leader can, so nothing is ordered twice; and another
leader goes on with the order where it is.
"""

from __future__ import annotations  # so that no signature loads the library

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import structlog

from swarm.api.v1.objects_pb2 import AcmeCertificate, Cluster, Service
from swarm.clock import SECOND, Clock
from swarm.errors import FailedPrecondition, NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.acme import change
from swarm.manager.acme.plan import (
    PROXIES_NS,
    Plan,
    is_overdue,
    plan,
    proxies_answer,
    same_account,
    wanted_hosts,
)
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import WatchOverflow
from swarm.model.acme import directory_of
from swarm.timestamps import nanoseconds

if TYPE_CHECKING:
    from swarm.manager.acme.client import Order

log = structlog.get_logger(__name__)

POLL_S = 1.0  # while orders are under way
CLOCK_CHECK_S = 600.0  # times are of day: when somebody sets the clock, a sleeper notices after so long
REST_S = 0.25  # however much happens in the cluster, servers are not asked more often
FAILURE_REST_S = 1.0


class Client(Protocol):
    """An account at an ACME server: see client.py. Blocks."""

    def close(self) -> None:
        """Close connections."""

    def register(self, email: str) -> str:
        """Return the URL of the account."""

    def order(self, host: str) -> Order:
        """Order a certificate."""

    def look(self, url: str) -> Order:
        """Return an order as it is now."""

    def answer(self, order: Order) -> None:
        """Say that the challenge can be asked."""

    def finalize(self, order: Order, host: str, key_pem: bytes) -> None:
        """Ask for the certificate itself."""

    def download(self, order: Order) -> bytes:
        """Return the certificate with those that signed it."""


MakeClient = Callable[[str, bytes, bytes, str], Client]


def make_client(directory: str, ca_pem: bytes, key_pem: bytes, account_url: str) -> Client:
    """Return the real client; loads the library."""
    from swarm.manager.acme.client import AcmeClient

    return AcmeClient(directory, ca_pem, key_pem, account_url)


def new_key() -> bytes:
    """Return a new private key in PEM."""
    from swarm.manager.acme.client import new_key

    return new_key()


class AcmeLoop:
    """Orders and renews certificates, while this manager leads."""

    def __init__(self, store: Store, clock: Clock, connect: MakeClient = make_client) -> None:
        self._store = store
        self._clock = clock
        self._connect = connect
        self._client: Client | None = None
        self._client_of: tuple[str, bytes, bytes, str] | None = None

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            with self._store.watch(Cluster, Service) as watch:
                while True:
                    wait_s = await self._pass()
                    await asyncio.sleep(REST_S)
                    with suppress(WatchOverflow, TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await anext(watch)
                    with suppress(WatchOverflow):
                        watch.drain()
        finally:
            self._hang_up()

    async def _pass(self) -> float:
        """Do what is due; return after how many seconds to look again, whatever happens."""
        cluster = self._store.view.cluster
        if cluster is None:
            return CLOCK_CHECK_S
        now_ns = self._clock.now_ns()
        enabled = cluster.spec.http_ingress.HasField("acme")
        todo = plan(cluster.acme, wanted_hosts(self._store.view) if enabled else frozenset(), now_ns)
        if not enabled:
            self._hang_up()
        try:
            if todo.unwanted or todo.wanted_again or todo.forgotten:
                await self._store.update(lambda tx: change.tidy(tx, todo, now_ns))
            if todo.steps:
                retry_ns = nanoseconds(cluster.acme.trouble.retry_at)
                settled = same_account(cluster, directory_of(cluster.spec.http_ingress.acme))
                if settled and retry_ns > now_ns:
                    return self._until(retry_ns, now_ns)
                if await self._has_account():
                    for host in todo.steps:
                        await self._advance(host)
        except (NoQuorum, OutcomeUnknown, StaleVersion, FailedPrecondition) as error:
            log.warning("acme.commit_failed", reason=str(error))
            return FAILURE_REST_S
        return self._next(todo)

    def _next(self, todo: Plan) -> float:
        if todo.steps:
            return POLL_S
        return CLOCK_CHECK_S if todo.next_ns is None else self._until(todo.next_ns, self._clock.now_ns())

    def _until(self, at_ns: int, now_ns: int) -> float:
        return min(max((at_ns - now_ns) / SECOND, 0.05), CLOCK_CHECK_S)

    # The account.

    async def _has_account(self) -> bool:
        """Whether there is an account; makes it when there is none."""
        cluster = self._cluster()
        config = cluster.spec.http_ingress.acme
        if not same_account(cluster, directory_of(config)):
            key = new_key()
            await self._store.update(lambda tx: change.begin_account(tx, key))
            cluster = self._cluster()
        state = cluster.acme
        client = self._dial(cluster)
        if state.account_url:
            return True
        try:
            url = await asyncio.to_thread(client.register, state.email)
        except Exception as error:  # noqa: BLE001 -- no server may end the work of the leader
            problem, now_ns = error, self._clock.now_ns()
            log.warning("acme.no_account", directory=state.directory, reason=change.reason_of(problem))
            await self._store.update(lambda tx: change.account_failed(tx, problem, now_ns))
            return False
        await self._store.update(lambda tx: change.keep_account(tx, state.account_key_pem, url))
        log.info("acme.account_made", directory=state.directory, account=url)
        self._dial(self._cluster())
        return True

    def _cluster(self) -> Cluster:
        cluster = self._store.view.cluster
        if cluster is None:
            raise FailedPrecondition("there is no cluster any more")
        return cluster

    def _dial(self, cluster: Cluster) -> Client:
        state, ca_pem = cluster.acme, cluster.spec.http_ingress.acme.ca_pem
        wanted = (state.directory, ca_pem, state.account_key_pem, state.account_url)
        if self._client is None or self._client_of != wanted:
            self._hang_up()
            self._client, self._client_of = self._connect(*wanted), wanted
        return self._client

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    # One order.

    async def _advance(self, host: str) -> None:
        """Do the next step of one host's order, and keep what came of it."""
        one = self._cluster().acme.certificates.get(host) or AcmeCertificate()
        now_ns = self._clock.now_ns()
        if not one.HasField("order"):
            key = new_key()
            await self._commit(host, one, lambda new: change.begin(new, key, now_ns))
            one = self._cluster().acme.certificates.get(host) or one
        try:
            await self._step(host, one)
        except (NoQuorum, OutcomeUnknown, StaleVersion):
            raise
        except Exception as error:  # noqa: BLE001 -- no server may end the work of the leader
            problem, at_ns = error, self._clock.now_ns()
            log.warning("acme.step_failed", host=host, reason=change.reason_of(problem))
            await self._store.update(lambda tx: change.order_failed(tx, host, one, problem, at_ns))

    async def _step(self, host: str, one: AcmeCertificate) -> None:
        client, order = self._client, one.order
        if client is None:
            return
        if is_overdue(one, self._clock.now_ns()):
            raise change.TooLate("the order was not done in time: it is given up, and made again")
        if not order.url:
            made = await asyncio.to_thread(client.order, host)
            await self._commit(host, one, lambda new: change.ordered(new, made))
            log.info("acme.ordered", host=host, order=made.url)
            return
        if order.proof_name and not order.answerable and not self._proxies_answer(one):
            return
        found = await asyncio.to_thread(client.look, order.url)
        if found.status == "pending" and not order.answerable:
            await asyncio.to_thread(client.answer, found)
            await self._commit(host, one, change.answered)
        elif found.status == "ready":
            await asyncio.to_thread(client.finalize, found, host, order.key_pem)
        elif found.status == "valid":
            chain = await asyncio.to_thread(client.download, found)
            await self._keep(host, one, chain)
        elif found.status == "invalid":
            raise change.Invalid(found.problem or "the ACME server gave no reason")

    def _proxies_answer(self, one: AcmeCertificate) -> bool:
        """Whether the challenge may be asked now: of any node, so all must answer; one that is broken is not
        waited for for ever.
        """
        waited_ns = self._clock.now_ns() - nanoseconds(one.order.begun_at)
        return waited_ns > PROXIES_NS or proxies_answer(self._store.view.nodes, one.order.proof_name)

    async def _keep(self, host: str, one: AcmeCertificate, chain: bytes) -> None:
        item = change.secret_of(host, chain, one.order.key_pem)
        chance = random.random()  # noqa: S311 -- to spread renewals, not to keep a secret
        await self._store.update(lambda tx: change.keep_certificate(tx, host, one, item, chance))
        log.info("acme.certificate_kept", host=host, secret_id=item.id)

    async def _commit(
        self, host: str, seen: AcmeCertificate, act: Callable[[AcmeCertificate], None]
    ) -> None:
        """Change the entry of a host, unless it is not the one that was seen any more."""

        def commit(tx: Transaction) -> None:
            change.change_certificate(tx, host, seen, act)

        await self._store.update(commit)
