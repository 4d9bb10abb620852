"""How a machine with a join token becomes a node."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import grpc
import structlog

from swarm.api.status import from_rpc_error
from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAStub
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.clock import Clock
from swarm.config import Settings
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    OutcomeUnknown,
    SwarmError,
    Unauthenticated,
    Unavailable,
)
from swarm.node.addresses import choose_listen
from swarm.security.bootstrap import TrustedManager, find_manager, token_refused
from swarm.security.certificates import create_csr, new_key_pem, split_pem
from swarm.security.keyfiles import NodeBundle, write_private
from swarm.security.tokens import JoinToken

log = structlog.get_logger(__name__)

ROTATION_PAUSE_S = 0.5  # more than a follower of a healthy cluster is behind
ISSUE_TIMEOUT_S = 20.0  # the manager may have to wait for an election
ISSUE_TRIES = 3  # an election may come between what is asked and its commit


async def obtain_certificate(
    remote_addrs: Sequence[str],
    token: JoinToken,
    availability: NodeAvailability,
    key_file: Path,
    clock: Clock,
) -> tuple[NodeBundle, IssueCertificateResponse]:
    """Return the certificate that the cluster of `token` gives this machine.

    The key is kept in `key_file`: asked again after a lost answer or a crash, the cluster recognises it and
    makes no second node. Raises what the last of `remote_addrs` was found to be wrong with.
    """
    key_pem = pending_key(key_file)
    request = IssueCertificateRequest(csr_pem=create_csr(key_pem), availability=availability)
    return await ask_managers(remote_addrs, token, request, key_pem, clock)


async def ask_managers(
    remote_addrs: Sequence[str],
    token: JoinToken,
    request: IssueCertificateRequest,
    key_pem: bytes,
    clock: Clock,
) -> tuple[NodeBundle, IssueCertificateResponse]:
    """Return the certificate that the first of some managers gives to the holder of `token`.

    Raises what the last of `remote_addrs` was found to be wrong with.
    """
    if not remote_addrs:
        raise InvalidArgument("give the address of a manager: HOST:PORT")
    problem: SwarmError | None = None
    for given in remote_addrs:
        addr = choose_listen(given, "")
        try:
            manager = await _find_manager(addr, token, clock)
            answer = await _ask(manager, request)
        except SwarmError as error:
            log.warning("node.join_refused", addr=addr, reason=str(error))
            problem = error
            continue
        # The manager proved to be one: it may name further roots, while its cluster changes to another one.
        if manager.root_ca_pem not in split_pem(answer.root_ca_pem, "CERTIFICATE"):
            raise FailedPrecondition(f"{addr} answered with a root certificate that is not its own")
        return NodeBundle(answer.cert_pem, answer.root_ca_pem, key_pem), answer
    assert problem is not None
    raise problem


async def _find_manager(addr: str, token: JoinToken, clock: Clock) -> TrustedManager:
    """Return the manager; a refused token is tried twice: a follower hears of a rotation a moment later."""
    try:
        return await find_manager(addr, token, clock.now_ns())
    except Unauthenticated:
        await asyncio.sleep(ROTATION_PAUSE_S)
        return await find_manager(addr, token, clock.now_ns())


async def _ask(manager: TrustedManager, request: IssueCertificateRequest) -> IssueCertificateResponse:
    """Return the certificate; where nobody knows what came of it, the cluster recognises who asks again."""
    for _ in range(ISSUE_TRIES - 1):
        with contextlib.suppress(OutcomeUnknown):
            return await _ask_once(manager, request)
    return await _ask_once(manager, request)


async def _ask_once(manager: TrustedManager, request: IssueCertificateRequest) -> IssueCertificateResponse:
    try:
        async with manager.channel() as channel:
            return await NodeCAStub(channel).IssueCertificate(request, timeout=ISSUE_TIMEOUT_S)
    except grpc.RpcError as error:
        problem = from_rpc_error(error)
        if isinstance(problem, Unauthenticated):
            # The leader knows of a rotation that this manager has not heard of yet.
            raise token_refused(manager.addr) from error
        if type(problem) is Unavailable:
            raise Unavailable(
                f"the manager at {manager.addr} does not give out certificates now: {problem}"
            ) from error
        raise problem from error


def pending_key_file(settings: Settings) -> Path:
    """Return where the key of a join is kept until the node is a member."""
    return settings.state_dir / "joining.key"


def forget_pending_key(settings: Settings) -> None:
    """Forget it: the node is a member, and its key is with its certificate."""
    pending_key_file(settings).unlink(missing_ok=True)


def pending_key(key_file: Path) -> bytes:
    """Return the key of an interrupted join, else a new one, saved."""
    try:
        found = split_pem(key_file.read_bytes(), "PRIVATE KEY")
    except FileNotFoundError:
        found = []
    if len(found) == 1:
        return found[0]
    key_pem = new_key_pem()
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(key_file, key_pem)
    return key_pem
