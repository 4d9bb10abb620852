"""What a task uses of its node."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of one task, on average over the last seconds."""

    nano_cpus: float
    memory_bytes: float
