"""How a machine outside of any cluster becomes the only manager of a cluster that there is a backup of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.backup_pb2 import BackupPart, RestoreOptions, RestoreRequest
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import Clock
from swarm.config import DEFAULT_PORT, Settings, split_address
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model.constraint import address_of
from swarm.node.addresses import choose_advertise, choose_listen, interface_addresses, interface_names
from swarm.node.data_path import data_path_chosen
from swarm.node.moving import settings_noted
from swarm.node.state import NodeState
from swarm.security.certificates import (
    NODE_LIFETIME_NS,
    KeyedCertificate,
    create_csr,
    issue_node_certificate,
    new_key_pem,
    node_id_of_csr,
)
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.roots import check_keyed_root
from swarm.security.rotation import Issuer, issuer_of, trusted_roots
from swarm.security.tls import NodeCredentials
from swarm.security.tokens import format_token

if TYPE_CHECKING:  # a worker must not pay for what only managers need
    from swarm.manager.restoring import Backup
    from swarm.security.keyring import Keyring

log = structlog.get_logger(__name__)

ANSWER_S = 3.0  # for a manager that is said to be lost
GREETING_S = 20.0  # who accepts is not lost, however long a busy machine takes to greet
ASKED_AT_ONCE = 256  # so a thousand silent machines cost a quarter of a minute
BACKUP_BYTES_MAX = 2 << 30  # a whole state is held in memory, here as on every manager


@dataclass(frozen=True, slots=True)
class Restored:
    """A node whose files are written; it is a member once its state is saved."""

    state: NodeState
    credentials: NodeCredentials
    keyring: "Keyring"
    answer: control.InitResponse


async def receive(requests: AsyncIterator[RestoreRequest]) -> tuple[RestoreOptions, list[BackupPart]]:
    """Return what an operator sends; raises InvalidArgument for anything but options and parts."""
    options: RestoreOptions | None = None
    parts: list[BackupPart] = []
    size = 0
    async for request in requests:
        kind = request.WhichOneof("message")
        if (kind == "options") != (options is None):
            raise InvalidArgument("a restore begins with its options, and has them once")
        if kind == "options":
            options = request.options
            continue
        parts.append(request.part)
        size += request.part.ByteSize()
        if size > BACKUP_BYTES_MAX:
            raise InvalidArgument(f"the backup is too large: the limit is {BACKUP_BYTES_MAX} bytes")
    if options is None:
        raise InvalidArgument("nothing was sent to restore")
    return options, parts


async def restore_files(
    settings: Settings, options: RestoreOptions, parts: Sequence[BackupPart], clock: Clock
) -> Restored:
    """Write everything that makes this machine the only manager of the cluster, except the node's state.

    Raises FailedPrecondition for a backup that cannot be used, or while managers of the cluster answer.
    """
    from swarm.manager.restoring import read_backup, write_files
    from swarm.security.keyring import create_keyring

    listen = choose_listen(options.listen_addr, settings.listen_addr, interface_addresses())
    given = options.advertise_addr or settings.advertise_addr
    addr = choose_advertise(given, listen, interface_addresses(), interface_names())
    backup = await asyncio.to_thread(read_backup, parts, clock)
    bundle, node_id = _identity(backup, options.ca_key_pem, clock)
    if not options.force:
        await _check_lost(NodeCredentials(settings.certificate_file, bundle), _places(backup))
    credentials = NodeCredentials.create(settings.certificate_file, bundle)
    keyring = await asyncio.to_thread(create_keyring, settings.key_file)
    member = RaftMember(node_id=node_id, addr=addr)
    expires_at_ns = credentials.validity_ns[1]
    await asyncio.to_thread(write_files, settings.raft_dir, keyring, backup, member, expires_at_ns)
    state = NodeState(node_id, backup.header.cluster_id, addr, listen, ((node_id, addr),))
    state = settings_noted(state, settings, interface_addresses())
    state = data_path_chosen(state, "", settings, interface_addresses())
    log.warning("node.cluster_restored", node_id=node_id, cluster_id=state.cluster_id, addr=addr)
    return Restored(state, credentials, keyring, _answer(backup, state))


def _root_key(issuer: Issuer, given_pem: bytes, clock: Clock) -> KeyedCertificate:
    """Return the root with its key, from the backup or from who restores it."""
    if issuer.keyed is not None:
        if given_pem:
            raise InvalidArgument("the backup has the key of the cluster's root: leave out --ca-key")
        return issuer.keyed
    if not given_pem:
        raise FailedPrecondition(
            "an external CA holds the key of this cluster's root, so the backup has none to make a manager"
            " with: give it with --ca-key; it signs one certificate and is not kept"
        )
    return check_keyed_root(issuer.root_pem, given_pem, clock.now_ns())


def _identity(backup: "Backup", ca_key_pem: bytes, clock: Clock) -> tuple[NodeBundle, str]:
    """Return a new manager's certificate, signed by the cluster's root, and its node id."""
    root = backup.cluster.root_ca
    issuer = issuer_of(root)
    keyed = _root_key(issuer, ca_key_pem, clock)
    key_pem = new_key_pem()
    csr_pem = create_csr(key_pem)
    node_id = node_id_of_csr(csr_pem)
    cert_pem = issue_node_certificate(
        keyed,
        csr_pem,
        node_id=node_id,
        role=Role.MANAGER,
        cluster_id=backup.header.cluster_id,
        now_ns=clock.now_ns(),
        lifetime_ns=NODE_LIFETIME_NS,
    )
    return NodeBundle(cert_pem + issuer.intermediates_pem, trusted_roots(root), key_pem), node_id


def _places(backup: "Backup") -> list[str]:
    """Return where managers of the cluster may be: where they were, and at its other nodes.

    A worker may have become a manager since, and the cluster may have been restored on its machine already.
    """
    managers = [one.addr for one in backup.managers]
    ports = sorted({split_address(addr)[1] for addr in managers} | {DEFAULT_PORT})
    found = (address_of(node.status.addr) for node in backup.store.view.nodes)
    hosts = [f"[{host}]" if host.version == 6 else str(host) for host in found if host is not None]
    return list(dict.fromkeys((*managers, *(f"{host}:{port}" for host in hosts for port in ports))))


async def _check_lost(credentials: NodeCredentials, places: Sequence[str]) -> None:
    """Raise FailedPrecondition when a manager of the cluster still answers."""
    at_once = asyncio.Semaphore(ASKED_AT_ONCE)
    found = await asyncio.gather(*(_answers(credentials, addr, at_once) for addr in places))
    alive = [addr for addr, answers in zip(places, found, strict=True) if answers]
    if alive:
        raise FailedPrecondition(
            f"managers of this cluster still answer: {', '.join(alive)}. Two clusters with the same nodes"
            " would fight for them: stop swarmd there first (or use init --force-new-cluster on one of"
            " them); --force restores nevertheless"
        )


async def _answers(credentials: NodeCredentials, addr: str, at_once: asyncio.Semaphore) -> bool:
    """Return whether a manager of the cluster is there; most that are asked have nobody who listens."""
    try:
        async with at_once:
            async with asyncio.timeout(ANSWER_S):
                _, writer = await asyncio.open_connection(*split_address(addr))
            writer.close()
            async with asyncio.timeout(GREETING_S), credentials.channel(addr) as channel:
                await channel.channel_ready()
    except OSError:  # also that the time is over
        return False
    return True


def _answer(backup: "Backup", state: NodeState) -> control.InitResponse:
    root = backup.cluster.root_ca
    return control.InitResponse(
        node_id=state.node_id,
        cluster_id=state.cluster_id,
        worker_token=format_token(root.cert_pem, root.worker_secret),
        manager_token=format_token(root.cert_pem, root.manager_secret),
        addr=state.addr,
        former_managers=[Peer(node_id=one.node_id, addr=one.addr) for one in backup.managers],
    )
