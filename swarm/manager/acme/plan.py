"""Which hosts need a certificate by ACME now, and what becomes of one that came or failed? Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import AcmeCertificate, AcmeState, AcmeTrouble, Cluster, Node
from swarm.api.v1.types_pb2 import NodeState
from swarm.manager.store.tables import ReadView
from swarm.model.limits import ACME_ORDERS
from swarm.timestamps import SECOND, nanoseconds, timestamp

# Let's Encrypt takes five failed proofs of a host in an hour: with these there are four.
FAILED_NS, FAILED_MAX_NS = 300 * SECOND, 12 * 3600 * SECOND
UNREACHABLE_NS, UNREACHABLE_MAX_NS = 5 * SECOND, 3600 * SECOND  # nothing came of it: no limit counts it
RETRY_AFTER_MAX_NS = 7 * 24 * 3600 * SECOND  # whatever a server says
FORGOTTEN_NS = 24 * 3600 * SECOND  # a route that is taken away may come back
ORDER_NS = 15 * 60 * SECOND  # an order that is not done then never will be
PROXIES_NS = 30 * SECOND  # so long a proxy that does not answer is waited for
PARTS_OF_LIFE = (2, 3)
JITTER = 0.05  # of the life


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to look again."""

    steps: tuple[str, ...] = ()  # hosts whose order goes on, or begins
    unwanted: tuple[str, ...] = ()  # no route asks for them any more
    wanted_again: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    next_ns: int | None = None  # nanoseconds since the epoch; None: when something changes


def wanted_hosts(view: ReadView) -> frozenset[str]:
    """Return the hosts of all routes that ask for a certificate."""
    services = view.services.indexed("acme", key=True)
    return frozenset(route.host for one in services for route in one.spec.endpoint.routes if route.acme)


def plan(state: AcmeState, hosts: frozenset[str], now_ns: int) -> Plan:
    """Return what to do: orders under way first, then hosts without a certificate, then renewals."""
    known = state.certificates
    times: list[int] = []
    due: list[tuple[int, int, str]] = []
    for host in hosts:
        one = known.get(host) or AcmeCertificate()
        at_ns = due_ns(one)
        if at_ns > now_ns:
            times.append(at_ns)
        else:
            rank = 0 if one.HasField("order") else 1 if not one.secret_id else 2
            due.append((rank, nanoseconds(one.not_after), host))
    # An order that waits for its next try holds its place: it is under way at the server.
    held = sum(known[host].HasField("order") for host in hosts & known.keys())
    free = max(0, ACME_ORDERS.value - held)
    going_on = [host for rank, _, host in sorted(due) if rank == 0]
    beginning = [host for rank, _, host in sorted(due) if rank > 0][:free]
    gone = {host: nanoseconds(one.unwanted_since) for host, one in known.items() if host not in hosts}
    forgotten = [host for host, since in gone.items() if since and since + FORGOTTEN_NS <= now_ns]
    times += [since + FORGOTTEN_NS for since in gone.values() if since and since + FORGOTTEN_NS > now_ns]
    return Plan(
        steps=(*going_on, *beginning),
        unwanted=tuple(sorted(host for host, since in gone.items() if not since)),
        wanted_again=tuple(sorted(h for h in hosts & known.keys() if known[h].HasField("unwanted_since"))),
        forgotten=tuple(sorted(forgotten)),
        next_ns=min(times, default=None),
    )


def due_ns(one: AcmeCertificate) -> int:
    """Return from when on something is to be done for a wanted host: nanoseconds since the epoch."""
    retry_ns = nanoseconds(one.trouble.retry_at)
    if one.HasField("order") or not one.secret_id:
        return retry_ns
    return max(retry_ns, nanoseconds(one.renew_at))


def renewal_ns(not_before_ns: int, not_after_ns: int, chance: float) -> int:
    """Return when to renew: after two thirds of the life and up to JITTER more; `chance` is in [0, 1)."""
    life_ns = max(0, not_after_ns - not_before_ns)
    part, parts = PARTS_OF_LIFE
    return not_before_ns + life_ns * part // parts + int(life_ns * JITTER * chance)


def troubled(
    before: AcmeTrouble, problem: str, now_ns: int, *, reached: bool, retry_after_s: float = 0.0
) -> AcmeTrouble:
    """Return the trouble after one more failure; `reached`: the server said so itself."""
    failures = before.failures + 1
    first, most = (FAILED_NS, FAILED_MAX_NS) if reached else (UNREACHABLE_NS, UNREACHABLE_MAX_NS)
    pause_ns = min(first << min(failures - 1, 20), most)
    asked_ns = min(max(0, int(retry_after_s * SECOND)), RETRY_AFTER_MAX_NS)
    retry_at = timestamp(now_ns + max(pause_ns, asked_ns))
    return AcmeTrouble(problem=problem, failures=failures, retry_at=retry_at)


def proxies_answer(nodes: Iterable[Node], proof_name: str) -> bool:
    """Whether every proxy that runs on a node that is there answers to a challenge, and there is one."""
    running = [
        node.description.http_proxy
        for node in nodes
        if node.status.state == NodeState.NODE_STATE_READY and node.description.http_proxy.running
    ]
    return bool(running) and all(proof_name in one.proofs for one in running)


def is_overdue(one: AcmeCertificate, now_ns: int) -> bool:
    """Whether an order takes so long that it is given up."""
    return now_ns - nanoseconds(one.order.begun_at) > ORDER_NS


def same_account(cluster: Cluster, directory: str) -> bool:
    """Whether the account of the cluster is the one that its spec asks for."""
    config = cluster.spec.http_ingress.acme
    return (cluster.acme.directory, cluster.acme.email) == (directory, config.email) and bool(
        cluster.acme.account_key_pem
    )
