"""Is this node locked, and how is it opened? A locked manager keeps its place, and does nothing.

Its containers run on: their shims need nobody. A worker is never locked: demoting a manager puts its private
key in clear first, and only then forgets the key file.
"""

from dataclasses import dataclass

from swarm.api.v1.control_pb2 import InfoResponse
from swarm.config import Settings
from swarm.errors import FailedPrecondition
from swarm.node.state import NodeState
from swarm.security.identity import Role
from swarm.security.keyring import Keyring, Locked, WrongUnlockKey, is_sealed, open_keyring
from swarm.security.sealed_key import sealed_with
from swarm.security.tls import NodeCredentials
from swarm.security.unlock_key import UnlockKey, parse_unlock_key

LOCKED = (
    "this manager is locked since its restart, and its containers run on: swarmctl unlock asks for the"
    " unlock key, which swarmctl unlock-key prints on a manager that is not locked"
)


@dataclass(frozen=True, slots=True)
class LockedNode:
    """What is known of a node that cannot read its own files; `reason` says what to do."""

    state: NodeState
    reason: str

    @property
    def refusal(self) -> FailedPrecondition:
        """What is answered to everything that needs an open node."""
        return FailedPrecondition(self.reason)

    def info(self, version: str) -> InfoResponse:
        """Say what this node is and knows."""
        return InfoResponse(
            state=InfoResponse.STATE_LOCKED,
            node_id=self.state.node_id,
            cluster_id=self.state.cluster_id,
            is_manager=True,
            error=self.reason,
            version=version,
            addr=self.state.addr,
            managers=self.state.peers,
        )

    def check_leave(self, *, force: bool) -> None:
        """Raise FailedPrecondition unless this node may leave."""
        if not force:
            raise FailedPrecondition(
                "this manager is locked and cannot tell the others that it leaves: unlock it first"
                " (swarmctl unlock), or leave with --force and then remove it on another manager"
                f" (swarmctl node demote, then swarmctl node rm {self.state.node_id})"
            )


@dataclass(frozen=True, slots=True)
class Opened:
    """The secrets of a node; a worker has no keyring, and a manager that never ran has none yet."""

    credentials: NodeCredentials | None
    keyring: Keyring | None


def open_node(settings: Settings, unlock_key: UnlockKey | None = None) -> Opened:
    """Read certificate and keys. Blocks.

    Raises Locked without the key that is needed or without a usable key file, WrongUnlockKey for another
    key, and FailedPrecondition for a damaged certificate.
    """
    if not _needs_keys(settings):
        return Opened(NodeCredentials.load(settings.certificate_file), None)
    try:
        keyring = open_keyring(settings.key_file, unlock_key)
    except FileNotFoundError:
        raise Locked(
            f"the private key of this node is sealed, and the key file {settings.key_file} is missing:"
            " restore it from a backup, or leave (swarmctl leave --force) and join again"
        ) from None
    except WrongUnlockKey:
        raise
    except Locked as error:
        raise Locked(LOCKED) from error
    except FailedPrecondition as error:  # damaged: locked for good, but it can still leave
        raise Locked(str(error)) from error
    return Opened(NodeCredentials.load(settings.certificate_file, keyring), keyring)


def _needs_keys(settings: Settings) -> bool:
    """Tell whether this node cannot be what it was without its key file."""
    try:
        text = settings.certificate_file.read_bytes()
    except FileNotFoundError:
        return False
    if sealed_with(text) is not None:
        return True
    credentials = NodeCredentials.load(settings.certificate_file)
    if credentials is None or credentials.identity.role is not Role.MANAGER:
        return False  # a key file beside a worker's certificate was left by an interrupted demotion
    try:
        return is_sealed(settings.key_file)
    except FailedPrecondition:  # damaged: the manager half will say so, the rest of the node can work
        return False


def unlocked(settings: Settings, unlock_key: str) -> Opened:
    """Open a locked node; raises what `open_node` does, and InvalidArgument. Blocks."""
    return open_node(settings, parse_unlock_key(unlock_key))
