"""What can happen to a task on its node, and what the task machine can ask for.

The result of an instruction is again an event. Instructions are carried out by the worker, one at a time
for a task, except `WaitContainer` and `WatchHealth`, which go on beside the others.
"""

from dataclasses import dataclass
from typing import TypeAlias

from swarm.agent.network.base import Sandbox
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HealthStatus
from swarm.model.health import HealthCheck
from swarm.runtime.base import ContainerInfo

# Events.


@dataclass(frozen=True, slots=True)
class Wanted:
    """The managers want this task, perhaps in another desired state than before."""

    task: Task


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The managers forgot the task: nothing of it may stay."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the runtime has of the task, None when nothing."""

    info: ContainerInfo | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a long instruction is at, for people."""

    message: str


@dataclass(frozen=True, slots=True)
class ImagePulled:
    """The image is usable on this node; `check` is the health check in force."""

    digest: str
    check: HealthCheck | None = None


@dataclass(frozen=True, slots=True)
class NetworkAttached:
    """The task has its address and ports."""

    sandbox: Sandbox


@dataclass(frozen=True, slots=True)
class ContainerCreated:
    """Everything is prepared; the user's command does not run yet."""


@dataclass(frozen=True, slots=True)
class ContainerStarted:
    """The user's command runs."""

    info: ContainerInfo


@dataclass(frozen=True, slots=True)
class ContainerEnded:
    """The container ended by itself."""

    info: ContainerInfo


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """The container was found to be in another state of health, or its first probe failed."""

    health: HealthStatus


@dataclass(frozen=True, slots=True)
class ContainerStopped:
    """The container ended because it was stopped; None when the runtime knows nothing of it."""

    info: ContainerInfo | None


@dataclass(frozen=True, slots=True)
class ContainerRemoved:
    """Nothing of the container is left."""


@dataclass(frozen=True, slots=True)
class NetworkDetached:
    """Address and ports are free again."""


@dataclass(frozen=True, slots=True)
class InstructionFailed:
    """An instruction did not succeed; `temporary` when the same may work in a moment."""

    error: str
    temporary: bool


@dataclass(frozen=True, slots=True)
class Drained:
    """Nobody is led to the task any more."""


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The wait after a temporary failure is over."""


Event: TypeAlias = (
    Wanted
    | Unwanted
    | Inspected
    | Progress
    | ImagePulled
    | NetworkAttached
    | ContainerCreated
    | ContainerStarted
    | ContainerEnded
    | HealthChanged
    | ContainerStopped
    | ContainerRemoved
    | NetworkDetached
    | InstructionFailed
    | Drained
    | RetryDue
)

# Instructions.


@dataclass(frozen=True, slots=True)
class Instruction:
    """Something to do for a task; two of one kind with the same fields are the same."""


class InspectContainer(Instruction):
    """Find out what the runtime has of the task → Inspected."""


class PullImage(Instruction):
    """Make the image usable → ImagePulled, with Progress on the way."""


class AttachNetwork(Instruction):
    """Give the task its sandbox → NetworkAttached."""


class CreateContainer(Instruction):
    """Create the container → ContainerCreated."""


class StartContainer(Instruction):
    """Start the container → ContainerStarted."""


class WaitContainer(Instruction):
    """Wait for the container's end → ContainerEnded."""


@dataclass(frozen=True, slots=True)
class WatchHealth(Instruction):
    """Ask the container for its health, beside all else, while it runs → HealthChanged."""

    check: HealthCheck
    started_ns: int


@dataclass(frozen=True, slots=True)
class Drain(Instruction):
    """Wait, while the container goes on and others hear that it will stop → Drained."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class StopContainer(Instruction):
    """Stop the container → ContainerStopped."""

    grace_s: float


class RemoveContainer(Instruction):
    """Leave nothing of the container → ContainerRemoved."""


class DetachNetwork(Instruction):
    """Free address and ports → NetworkDetached."""


@dataclass(frozen=True, slots=True)
class RetryLater(Instruction):
    """Wait → RetryDue."""

    delay_s: float


class CancelCurrent(Instruction):
    """Give up the instruction (or the wait) under way → InstructionFailed, temporary."""


class Forget(Instruction):
    """Take the task out of the books."""
