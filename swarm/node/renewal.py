"""Keeps a node's certificate valid, and its role the one that the cluster gives it."""

import asyncio
import datetime as dt
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc
import structlog

from swarm.api.status import from_rpc_error
from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAStub
from swarm.clock import SECOND, Clock
from swarm.errors import NodeRemoved, SwarmError, Unavailable
from swarm.security.certificates import create_csr, new_key_pem
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import NodeCredentials

log = structlog.get_logger(__name__)

EARLIEST, LATEST = 0.5, 0.8  # of the life of a certificate
FIRST_RETRY_S = 5.0
LAST_RETRY_S = 3600.0
REQUEST_TIMEOUT_S = 10.0
FIRST_ROLE_PAUSE_S = 2.0
LAST_ROLE_PAUSE_S = 60.0
SLEEP_MAX_S = 3600.0  # wall clocks jump: look again
_chance = random.SystemRandom().random


def renewal_time_ns(validity_ns: tuple[int, int], chance: float) -> int:
    """Return when to renew: between 50 and 80 % of the life, by `chance` (0 to 1).

    Nodes that joined together thus do not all ask the leader in the same second 90 days later.
    """
    start, end = validity_ns
    return start + int((end - start) * (EARLIEST + (LATEST - EARLIEST) * chance))


def retry_pause_s(failures: int, left_s: float) -> float:
    """Return how long to wait after `failures` attempts in a row with `left_s` of validity left.

    It doubles from 5 s to an hour, and is never more than a tenth of what is left.
    """
    pause: float = min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 20), LAST_RETRY_S)
    return max(FIRST_RETRY_S, min(pause, left_s / 10))


def role_pause_s(disappointments: int) -> float:
    """Return how long to believe the certificate after so many renewals in a row gave the same role again.

    The managers then disagree about the role, e.g. because one of them is behind.
    """
    return min(FIRST_ROLE_PAUSE_S * 2.0 ** min(disappointments, 10), LAST_ROLE_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new certificate, and what the managers said with it."""

    bundle: NodeBundle
    answer: IssueCertificateResponse


async def renew(credentials: NodeCredentials, addrs: Iterable[str]) -> Renewed:
    """Ask the managers at `addrs`, one after the other, for a new certificate with a new key.

    Raises NodeRemoved when one says so, else Unavailable with what the last one said.
    """
    key_pem = new_key_pem()
    request = IssueCertificateRequest(csr_pem=create_csr(key_pem))
    problem: SwarmError = Unavailable("this node knows of no manager")
    for addr in addrs:
        try:
            async with credentials.channel(addr) as channel:
                answer = await NodeCAStub(channel).IssueCertificate(request, timeout=REQUEST_TIMEOUT_S)
        except grpc.RpcError as error:
            problem = from_rpc_error(error)
            if isinstance(problem, NodeRemoved):
                raise problem from error
            continue
        # The root stays the one that this node trusts already.
        return Renewed(NodeBundle(answer.cert_pem, credentials.bundle.root_ca_pem, key_pem), answer)
    raise Unavailable(f"no manager renewed the certificate: {problem}") from problem


class RenewalLoop:
    """Renews in time, and soon after `check_role` said that the role may have changed."""

    def __init__(
        self,
        credentials: NodeCredentials,
        addrs: Callable[[], Iterable[str]],
        clock: Clock,
        on_renewed: Callable[[IssueCertificateResponse], None],
        on_problem: Callable[[str], None],
    ) -> None:
        """`addrs` are the managers of now; `on_problem` hears what is wrong, empty when nothing is."""
        self._credentials = credentials
        self._addrs = addrs
        self._clock = clock
        self._on_renewed = on_renewed
        self._on_problem = on_problem
        self._check = asyncio.Event()

    def check_role(self) -> None:
        """Renew soon: the cluster may have given this node another role."""
        self._check.set()

    async def run(self) -> None:
        """Run until cancelled."""
        failures = disappointments = 0
        due_ns = renewal_time_ns(self._credentials.validity_ns, _chance())
        while True:
            asked = await self._sleep_until(due_ns)
            before = self._credentials.identity.role
            try:
                await self._renew()
            except (SwarmError, OSError) as error:  # OSError: the disk is full
                failures += 1
                self._note_failure(error)
                due_ns = self._clock.now_ns() + int(self._retry_pause_s(failures) * SECOND)
            else:
                failures = 0
                due_ns = renewal_time_ns(self._credentials.validity_ns, _chance())
            same = self._credentials.identity.role is before
            disappointments = disappointments + 1 if asked and same else 0
            await asyncio.sleep(role_pause_s(disappointments))

    async def _sleep_until(self, due_ns: int) -> bool:
        """Wait until `due_ns` or until asked to check the role; returns whether it was asked."""
        while not self._check.is_set() and (left_s := (due_ns - self._clock.now_ns()) / SECOND) > 0:
            try:
                async with asyncio.timeout(min(left_s, SLEEP_MAX_S)):
                    await self._check.wait()
            except TimeoutError:
                continue
        asked = self._check.is_set()
        self._check.clear()
        return asked

    async def _renew(self) -> None:
        renewed = await renew(self._credentials, self._addrs())
        self._credentials.renew(renewed.bundle)
        identity = self._credentials.identity
        log.info("node.certificate_renewed", node_id=identity.node_id, role=identity.role.value)
        self._on_problem("")
        self._on_renewed(renewed.answer)

    def _retry_pause_s(self, failures: int) -> float:
        return retry_pause_s(failures, (self._credentials.validity_ns[1] - self._clock.now_ns()) / SECOND)

    def _note_failure(self, error: SwarmError | OSError) -> None:
        log.warning("node.renewal_failed", node_id=self._credentials.identity.node_id, reason=str(error))
        end_ns = self._credentials.validity_ns[1]
        if self._clock.now_ns() > end_ns:
            ended = dt.datetime.fromtimestamp(end_ns // SECOND, tz=dt.UTC).isoformat()
            self._on_problem(
                f"the certificate expired at {ended}: leave (swarmctl leave --force) and join again"
            )
        elif not isinstance(error, NodeRemoved):  # then the agent's session ends, and with it this node
            self._on_problem(str(error))
