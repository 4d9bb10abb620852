"""Which services come first, and which may push others out?"""

from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Service
from swarm.model import rollout


@dataclass(frozen=True, slots=True)
class Precedence:
    """How the tasks of one service stand to those of others."""

    priority: int = 0  # higher ones come first
    preempts: bool = False  # tasks of lower priority have to go where there is no room
    is_updated: bool = False  # its tasks are being replaced: one that goes now hurts more


def precedence_of(service: Service) -> Precedence:
    """Return what a service says now; it counts for all of its tasks, whatever their version."""
    spec = service.spec.task
    return Precedence(spec.priority, spec.preempt, rollout.is_unfinished(service.update_status))
