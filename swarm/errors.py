"""What can go wrong, as one tree, split by who has to act.

SwarmError
├─ UserError            the request is wrong; the message says what to change
│  ├─ InvalidArgument   malformed or contradictory input
│  ├─ NotFound          no object of that name or id
│  ├─ Ambiguous         an id prefix or name that fits several objects
│  ├─ NameConflict      the name is taken
│  ├─ FailedPrecondition  the object is not in a state that allows it
│  ├─ Compacted         the version asked for is older than what is kept
│  ├─ NotPermitted      the caller's role does not allow it
│  │  └─ NodeRemoved    the calling node was removed from the cluster
│  └─ Unauthenticated   the caller could not prove who it is
├─ TransientError       the request may succeed when sent again
│  ├─ NotLeader         this manager cannot write; `leader_addr` may know who can
│  ├─ NoQuorum          too few managers reachable to commit anything
│  ├─ OutcomeUnknown    sent to the log, but not known to be committed
│  ├─ StaleVersion      the object changed since it was read
│  ├─ IdentityInUse     a machine that was started later has the caller's node id
│  ├─ SessionExpired    the manager no longer knows the agent's session
│  └─ Unavailable       nobody answered in time
├─ TaskFailure          becomes the status of a task; never crosses an RPC as an error
│  ├─ TaskRejected      it could not be prepared (image, mounts, network, port)
│  └─ TaskFailed        it could not be started, or ended badly
└─ InvariantBroken      a bug: log it, give up what depends on it
"""


class SwarmError(Exception):
    """Base of every error that swarm raises on purpose; `str()` is a sentence for people."""


class UserError(SwarmError):
    """The request is wrong; sending it again will not help."""


class InvalidArgument(UserError):
    """Malformed or contradictory input."""


class NotFound(UserError):
    """No object of that name or id."""


class Ambiguous(UserError):
    """An id prefix or name that fits several objects."""


class NameConflict(UserError):
    """The name is taken by another object of the same kind."""


class FailedPrecondition(UserError):
    """The object is not in a state that allows the request."""


class Compacted(UserError):
    """The version asked for is older than what is kept: list again, and go on from there."""


class NotPermitted(UserError):
    """The caller's role does not allow the request."""


class NodeRemoved(NotPermitted):
    """The calling node was removed from the cluster: it has to stop and remove what it runs."""


class Unauthenticated(UserError):
    """The caller could not prove who it is."""


class TransientError(SwarmError):
    """The request may succeed when sent again."""


class NotLeader(TransientError):
    """This manager cannot write; nothing was proposed."""

    def __init__(self, leader_addr: str = "") -> None:
        """Remember `leader_addr` (HOST:PORT), empty when no leader is known."""
        super().__init__(
            f"this manager is not the leader; the leader is at {leader_addr}"
            if leader_addr
            else "this manager is not the leader and knows of none"
        )
        self.leader_addr = leader_addr


class NoQuorum(TransientError):
    """Too few managers reachable to commit anything."""


class OutcomeUnknown(TransientError):
    """The change was sent to the log, but is not known to be committed."""


class StaleVersion(TransientError):
    """The object changed since the caller read it: "update out of sequence"."""


class SessionExpired(TransientError):
    """The manager no longer knows the agent's session."""


class IdentityInUse(TransientError):
    """A machine that was started later is connected under the caller's node id: one is a copy."""


class Unavailable(TransientError):
    """Nobody answered in time."""


class TaskFailure(SwarmError):
    """Becomes the status of a task; never crosses an RPC as an error."""


class TaskRejected(TaskFailure):
    """The task could not be prepared: image, mounts, network or port."""


class TaskFailed(TaskFailure):
    """The task could not be started, or ended badly."""


class InvariantBroken(SwarmError):
    """A bug: an illegal transition, a negative resource, a corrupt log."""
