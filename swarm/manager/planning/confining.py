"""What of a look ahead is there for somebody who may only see and change what has certain labels? Pure.

The look itself is at the whole cluster: what others run takes room, and may have to go.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from swarm.api.v1.control_pb2 import PlanChangesResponse, PlannedStep
from swarm.manager.store.scope import Scope, ScopedTransaction, sees
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction

R = TypeVar("R")


def within(scope: Scope, change: Callable[[Transaction], R]) -> Callable[[Transaction], R]:
    """Return a change in which only what is in scope can be named and changed."""
    if not scope:
        return change
    return lambda transaction: change(cast("Transaction", ScopedTransaction(transaction, scope)))


def shows_service(scope: Scope, service_id: str, *views: ReadView) -> bool:
    """Whether a service is there for somebody of this scope in any of `views`; without a scope all are."""
    found = ((view, view.services.get(service_id)) for view in views)
    return not scope or any(one is not None and sees(scope, view, one) for view, one in found)


def confine(answer: PlanChangesResponse, scope: Scope, *views: ReadView) -> None:
    """Take out of an answer what happens to services that are not there, and say how much that was."""
    if not scope:
        return
    steps = [one for one in answer.steps if shows_service(scope, one.service_id, *views)]
    hidden = sum(
        one.kind != PlannedStep.KIND_KEEP and not shows_service(scope, one.service_id, *views)
        for one in answer.steps
    )
    services = [one for one in answer.services if shows_service(scope, one.service_id, *views)]
    del answer.steps[:], answer.services[:]
    answer.steps.extend(steps)
    answer.services.extend(services)
    if hidden:
        what = "one task" if hidden == 1 else f"{hidden} tasks"
        answer.notes.append(f"{what} of services that you do not see would start, stop or move as well")
