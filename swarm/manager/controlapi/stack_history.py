"""What was deployed as a stack, deploy by deploy: enough to go back to any of the last ones."""

from dataclasses import dataclass, field

from swarm.api.v1.control_pb2 import ListStackRevisionsResponse, RecordDeployRequest
from swarm.api.v1.objects_pb2 import Service, Stack, StackRevision
from swarm.api.v1.specs_pb2 import NetworkSpec
from swarm.clock import timestamp
from swarm.errors import InvalidArgument, NotFound
from swarm.ids import new_id
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.limits import NAME_CHARACTERS, STACK_HISTORY_BYTES, STACK_REVISIONS, shown
from swarm.model.stacks import NAMESPACE_LABEL


@dataclass(frozen=True, slots=True)
class Change:
    """A service before and after a change; None: there was, or is, none."""

    before: Service | None
    after: Service | None

    @property
    def name(self) -> str:
        """What the service is called."""
        found = self.after or self.before
        return found.spec.annotations.name if found is not None else ""

    @property
    def says_something(self) -> bool:
        """Whether the spec is another one."""
        return self.before is None or self.after is None or self.before.spec != self.after.spec


@dataclass(slots=True)
class Deploy:
    """Who deploys when, and what was changed so far."""

    by: str  # the name in a certificate; empty: at a manager's socket
    now_ns: int
    changes: list[Change] = field(default_factory=list)


def record(transaction: Transaction, request: RecordDeployRequest, deploy: Deploy) -> str:
    """Remember a stack as the transaction leaves it; return the id of its history, empty without one.

    A stack that is as it was remembered last is not remembered again. Raises InvalidArgument.
    """
    if not request.stack:
        raise InvalidArgument("the name of the stack is missing")
    for problem in NAME_CHARACTERS.exceeded(f"stack {shown(request.stack)}", len(request.stack)):
        raise InvalidArgument(problem)
    current = transaction.stacks.by_name(request.stack)
    revision = _present(transaction, request, deploy)
    if current is not None and current.revisions:
        last = current.revisions[-1]
        revision.revision = last.revision + 1
        is_changed = any(one.says_something for one in deploy.changes)
        if not is_changed and (not last.services or not _is_other(last, revision)):
            return current.id
    stack = copy_of(current) if current is not None else Stack(id=new_id())
    stack.annotations.name = request.stack
    stack.revisions.append(revision)
    _keep_within_limits(stack)
    written = transaction.create(stack) if current is None else transaction.update(stack)
    return written.id


def list_revisions(view: ReadView, name: str) -> ListStackRevisionsResponse:
    """Return what is remembered of a stack, oldest first; raises NotFound."""
    stack = view.stacks.by_name(name)
    if stack is None:
        raise NotFound(
            f"nothing is known of deploys of a stack {shown(name)}; `swarmctl stack ls` shows the stacks"
        )
    return ListStackRevisionsResponse(revisions=stack.revisions)


def forget(transaction: Transaction, name: str) -> None:
    """Forget a stack of which no service is left."""
    stack = transaction.stacks.by_name(name)
    if stack is not None and not _services(transaction, name):
        transaction.remove(stack)


def _services(view: ReadView, name: str) -> list[Service]:
    mine = [one for one in view.services if one.spec.annotations.labels.get(NAMESPACE_LABEL) == name]
    return sorted(mine, key=lambda one: one.spec.annotations.name)


def _present(view: ReadView, request: RecordDeployRequest, deploy: Deploy) -> StackRevision:
    revision = StackRevision(revision=1, at=timestamp(deploy.now_ns), by=deploy.by, back_to=request.back_to)
    for change in deploy.changes:
        if change.says_something:
            kind = "created" if change.before is None else "removed" if change.after is None else "updated"
            getattr(revision, kind).append(change.name)
    for service in _services(view, request.stack):
        spec = revision.services.add()
        spec.CopyFrom(service.spec)
        spec.task.container.ClearField("registry_auth")
    revision.networks.extend(sorted(_networks(view, request.stack), key=lambda one: one.annotations.name))
    return revision


def _networks(view: ReadView, name: str) -> list[NetworkSpec]:
    return [one.spec for one in view.networks if one.spec.annotations.labels.get(NAMESPACE_LABEL) == name]


def _is_other(before: StackRevision, after: StackRevision) -> bool:
    return list(before.services) != list(after.services) or list(before.networks) != list(after.networks)


def _keep_within_limits(stack: Stack) -> None:
    """Forget the oldest; of a deploy that is larger than all may be, keep only that there was one."""
    newest = stack.revisions[-1]
    if newest.ByteSize() > STACK_HISTORY_BYTES.value:
        del newest.services[:], newest.networks[:]
    sizes = [one.ByteSize() for one in stack.revisions]
    while len(sizes) > STACK_REVISIONS.value or sum(sizes) > STACK_HISTORY_BYTES.value:
        del sizes[0], stack.revisions[0]
