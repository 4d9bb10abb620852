"""When must a certificate be renewed, and how is a new one asked for?"""

from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAStub
from swarm.errors import NodeRemoved, SwarmError, Unavailable
from swarm.security.certificates import create_csr, new_key_pem
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import NodeCredentials

EARLIEST, LATEST = 0.5, 0.8  # of the life of a certificate
FIRST_RETRY_S = 5.0
LAST_RETRY_S = 3600.0
REQUEST_TIMEOUT_S = 10.0


def renewal_time_ns(validity_ns: tuple[int, int], chance: float) -> int:
    """Return when to renew: between 50 and 80 % of the life, by `chance` (0 to 1).

    Nodes that joined together thus do not all ask the leader in the same second 90 days later.
    """
    start, end = validity_ns
    return start + int((end - start) * (EARLIEST + (LATEST - EARLIEST) * chance))


def retry_pause_s(failures: int, left_s: float) -> float:
    """Return how long to wait after `failures` attempts in a row with `left_s` of validity left.

    It doubles from 5 s to an hour, and never skips past the last tenth of what is left.
    """
    pause: float = min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 20), LAST_RETRY_S)
    return max(FIRST_RETRY_S, min(pause, left_s / 10))


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
