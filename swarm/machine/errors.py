"""What can go wrong with a machine, by who has to act; each kind has an exit code of its own.

MachineError 1
├─ PreCheckFailed 3    the machine or the wish cannot be as it is; nothing was changed
├─ Unreachable 4       nobody answers at the address, or the connection was lost
├─ AuthRefused 5       the machine does not let us in
├─ HostKeyRefused 6    the machine is not known, or not the one that it was
│  └─ HostKeyUnknown   its key was never seen; `fingerprint` may be confirmed by somebody
├─ SudoRefused 7       we are in, but may not act as root
├─ Unhealthy 8         what was installed does not work; what ran before runs again
└─ Partial 9           some of several machines failed
"""

from swarm.errors import SwarmError


class MachineError(SwarmError):
    """Something failed on or about a machine; `exit_code` is that of the command."""

    exit_code = 1


class PreCheckFailed(MachineError):
    """The machine or the wish cannot be as it is; nothing was changed."""

    exit_code = 3


class Unreachable(MachineError):
    """Nobody answers, or the connection was lost: what was under way may be done or not."""

    exit_code = 4


class AuthRefused(MachineError):
    """The machine does not let us in; trying again will not help."""

    exit_code = 5


class HostKeyRefused(MachineError):
    """The machine shows another key than the one that is on record, or none that is trusted."""

    exit_code = 6


class HostKeyUnknown(HostKeyRefused):
    """The machine was never seen: somebody has to compare `fingerprint` (`SHA256:…`) of `host`."""

    def __init__(self, message: str, host: str, fingerprint: str) -> None:
        """Remember whose key it is."""
        super().__init__(message)
        self.host = host
        self.fingerprint = fingerprint


class SudoRefused(MachineError):
    """We are in, but may not act as root."""

    exit_code = 7


class Unhealthy(MachineError):
    """What was installed does not work; what ran before runs again."""

    exit_code = 8


class Partial(MachineError):
    """Some of several machines failed; the others are done."""

    exit_code = 9
