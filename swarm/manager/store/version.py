"""Which state does this program understand?

The number grows when a manager of an earlier version could not take the state over without losing some.
"""

from swarm.errors import FailedPrecondition

STORE_VERSION = 1


def check_store_version(found: int, what: str) -> None:
    """Raise FailedPrecondition for a state that a newer version wrote; pure."""
    if found > STORE_VERSION:
        raise FailedPrecondition(
            f"{what} has version {found} of the cluster's state, and this swarmd knows versions up to"
            f" {STORE_VERSION}: it would lose what it does not know. Install a newer swarmd"
        )
