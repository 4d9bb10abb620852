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
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import NodeCredentials

log = structlog.get_logger(__name__)

EARLIEST, LATEST = 0.5, 0.8  # of the life of a certificate
FIRST_RETRY_S = 5.0
LAST_RETRY_S = 3600.0
ROTATION_RETRY_S = 30.0
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
        # The manager was verified: it knows whom to trust. A node never goes back to older roots.
        roots_pem = answer.root_ca_pem or credentials.bundle.root_ca_pem
        return Renewed(NodeBundle(answer.cert_pem, roots_pem, key_pem), answer)
    raise Unavailable(f"no manager renewed the certificate: {problem}") from problem


class RenewalLoop:
    """Renews in time, and soon after the managers said that role or root changed."""

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
        self._changed = asyncio.Event()
        self._role_doubtful = False
        self._wanted_issuer = b""
        self._due_ns = renewal_time_ns(credentials.validity_ns, _chance())

    def check_role(self) -> None:
        """Renew soon: the cluster may have given this node another role."""
        self._role_doubtful = True
        self._changed.set()

    async def renew_now(self) -> None:
        """Renew because somebody wants it; raises Unavailable, NodeRemoved, OSError (the disk is full)."""
        await self._renew()
        self._due_ns = self._next_ns()
        self._changed.set()

    def want_issuer(self, root_digest: bytes, within_s: float) -> None:
        """Get a certificate of this root at a random moment of the next `within_s`, if it is not one."""
        if root_digest == self._wanted_issuer:
            return
        self._wanted_issuer = root_digest
        if self._outdated:
            self._due_ns = min(self._due_ns, self._in(within_s * _chance()))
            self._changed.set()

    async def run(self) -> None:
        """Run until cancelled."""
        failures = disappointments = 0
        while True:
            asked = await self._sleep_until_due()
            before = self._credentials.identity.role
            try:
                await self._renew()
            except (SwarmError, OSError) as error:  # OSError: the disk is full
                failures += 1
                self._note_failure(error)
                self._due_ns = self._in(self._retry_pause_s(failures))
            else:
                failures = 0
                self._due_ns = self._next_ns()
            same = asked and self._credentials.identity.role is before
            disappointed = same or (failures == 0 and self._outdated)
            disappointments = disappointments + 1 if disappointed else 0
            await asyncio.sleep(role_pause_s(disappointments))

    @property
    def _outdated(self) -> bool:
        """Whether the certificate is from another root than the managers want."""
        return self._wanted_issuer not in {b"", self._credentials.tls_info.issuer_digest}

    def _in(self, seconds: float) -> int:
        return self._clock.now_ns() + int(seconds * SECOND)

    def _next_ns(self) -> int:
        """Return when to renew a certificate that was just issued; it is dated back a little."""
        now_ns = self._clock.now_ns()
        return now_ns if self._outdated else renewal_time_ns((now_ns, self._end_ns), _chance())

    @property
    def _end_ns(self) -> int:
        return self._credentials.validity_ns[1]

    async def _sleep_until_due(self) -> bool:
        """Wait until it is time or until asked to check the role; returns whether it was asked."""
        while not self._role_doubtful and (left_s := (self._due_ns - self._clock.now_ns()) / SECOND) > 0:
            try:
                async with asyncio.timeout(min(left_s, SLEEP_MAX_S)):
                    await self._changed.wait()
            except TimeoutError:
                continue
            self._changed.clear()
        asked, self._role_doubtful = self._role_doubtful, False
        return asked

    async def _renew(self) -> None:
        renewed = await renew(self._credentials, self._addrs())
        self._credentials.renew(renewed.bundle, renewed.answer.trust_version)
        identity = self._credentials.identity
        log.info("node.certificate_renewed", node_id=identity.node_id, role=identity.role.value)
        self._on_problem("")
        self._on_renewed(renewed.answer)

    def _retry_pause_s(self, failures: int) -> float:
        pause_s = retry_pause_s(failures, (self._end_ns - self._clock.now_ns()) / SECOND)
        # All nodes wait for the last one before the root before is forgotten.
        return min(pause_s, ROTATION_RETRY_S) if self._outdated else pause_s

    def _note_failure(self, error: SwarmError | OSError) -> None:
        log.warning("node.renewal_failed", node_id=self._credentials.identity.node_id, reason=str(error))
        if self._clock.now_ns() > self._end_ns:
            self._on_problem(expired_advice(self._credentials.identity.role, self._end_ns))
        elif not isinstance(error, NodeRemoved):  # then the agent's session ends, and with it this node
            self._on_problem(str(error))


def expired_advice(role: Role, end_ns: int) -> str:
    """Return what is wrong with a node whose certificate expired at `end_ns`, and which commands help."""
    ended = dt.datetime.fromtimestamp(end_ns // SECOND, tz=dt.UTC)
    kind = "manager" if role is Role.MANAGER else "worker"
    return (
        f"the certificate expired at {ended:%Y-%m-%d %H:%M:%S} UTC and managers refuse it (or a clock is"
        f" wrong); containers run on. Run `swarmctl join-token {kind}` on a manager and then, here, the"
        " command that it prints: this node stays the node it was"
    )
