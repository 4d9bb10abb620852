"""A node that has lost its managers comes back as itself: with its old key and a join token, or by being
told where the managers are now."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from swarm.api.v1.ca_pb2 import IssueCertificateRequest
from swarm.api.v1.control_pb2 import JoinRequest
from swarm.clock import Clock
from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable
from swarm.node.addresses import choose_listen
from swarm.node.joining import ask_managers
from swarm.node.membership import Membership
from swarm.node.waiting import until
from swarm.security.certificates import create_csr
from swarm.security.tokens import parse_token

log = structlog.get_logger(__name__)

CONNECT_S = 45.0  # the pause of an agent that has tried in vain for long, and the session


@dataclass(frozen=True, slots=True)
class _Standing:
    """How a member stands."""

    cluster_id: str
    connected: bool
    expired: bool


def check_rejoin(standing: _Standing) -> None:
    """Raise FailedPrecondition for a node that needs no token: managers accept its certificate. Pure."""
    if standing.connected or not standing.expired:
        raise FailedPrecondition(
            f"this node is part of cluster {standing.cluster_id} already: swarmctl leave takes it out"
        )


async def come_back(member: Membership, request: JoinRequest, clock: Clock) -> None:
    """Get a new certificate for the key of the present one, whose date has passed.

    The managers see by the key which node this is, and by the token that somebody wants it back. Raises
    FailedPrecondition when there is no need, and what `ask_managers` raises.
    """
    credentials = member.credentials
    expired = clock.now_ns() > credentials.validity_ns[1]
    connected = member.agent is not None and member.agent.connected
    check_rejoin(_Standing(member.state.cluster_id, connected, expired))
    bundle = credentials.bundle
    asked = IssueCertificateRequest(csr_pem=create_csr(bundle.key_pem), previous_cert_pem=bundle.cert_pem)
    token = parse_token(request.token)
    fresh, answer = await ask_managers(request.remote_addrs, token, asked, bundle.key_pem, clock)
    credentials.renew(fresh, answer.trust_version)
    member.certificate_replaced(answer)
    log.warning("node.came_back", node_id=credentials.identity.node_id)


async def find_managers(member: Membership, given: Sequence[str]) -> None:
    """Let this node turn to managers at other addresses, with the certificate that it has.

    They are asked first; those known before stay in the list until a manager sends another one. Raises
    FailedPrecondition when a manager is there already, and Unavailable when none answers at the addresses.
    """
    if not given:
        raise InvalidArgument("give the address of a manager: HOST:PORT")
    addrs = [choose_listen(addr, "") for addr in given]
    if member.agent is not None and member.agent.connected:
        raise FailedPrecondition(
            f"this node has its managers already: {', '.join(addr for _, addr in member.state.managers)}"
        )
    member.add_managers(addrs)
    try:
        async with asyncio.timeout(CONNECT_S):
            await until(lambda: member.agent is not None and member.agent.connected)
    except TimeoutError:
        reason = "; ".join(member.problems.values()) or "no manager of this cluster answers there"
        raise Unavailable(
            f"no session with {', '.join(addrs)} yet: {reason}. This node goes on trying; if its certificate"
            " has expired, swarmctl join with a token brings it back"
        ) from None
    log.warning("node.managers_found", node_id=member.state.node_id, addrs=addrs)
