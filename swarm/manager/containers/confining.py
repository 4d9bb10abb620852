"""What of containers is there for somebody who may only see and change what has certain labels?

Containers of tasks, as far as the tasks are. Nodes know more (plain containers, volumes, images, disks), of
which the managers do not know whose it is: all that is refused.
"""

from dataclasses import dataclass

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerQuestion
from swarm.errors import NotFound, NotPermitted
from swarm.manager.store.scope import Scope, sees
from swarm.manager.store.store import Store

_OF_ONE = frozenset(
    ("exec", "inspect", "top", "stop", "kill", "pause", "unpause", "wait", "copy_from", "copy_to", "stat")
) | {"attach", "restart", "logs", "remove", "diff", "export"}
_OF_NODES = frozenset({"list", "stats", "events"})


@dataclass(frozen=True, slots=True)
class Confined:
    """Somebody with a scope; without one, nothing is refused or hidden."""

    scope: Scope
    store: Store

    def check(self, question: ContainerQuestion, verb: str) -> None:
        """Raise NotPermitted or NotFound unless this may be asked."""
        if not self.scope:
            return
        container_id = question.request.container_id
        if verb in _OF_NODES and not container_id:
            return
        if verb not in _OF_ONE and verb not in _OF_NODES:
            raise NotPermitted(
                f"{verb.replace('_', ' ')} is about more than what has {' or '.join(self.scope)}, which is"
                " all that you see and change: ask an administrator"
            )
        if not self._has(container_id):
            raise NotFound(f"there is no container {container_id}")
        if question.request.exec.privileged:
            raise NotPermitted("a privileged command reaches the whole node: ask an administrator")

    def hears_nodes(self, verb: str) -> bool:
        """Whether nodes may know something of `verb` that is there for them: not of what has no service."""
        return not self.scope or verb != "events"

    def shows(self, output: ContainerOutput) -> bool:
        """Whether this answer is for them; samples of what is not theirs are taken out of it."""
        if not self.scope:
            return True
        if output.HasField("container"):
            return self._has(output.container.task_id)
        if output.HasField("samples"):
            mine = [one for one in output.samples.samples if self._has(one.container_id)]
            del output.samples.samples[:]
            output.samples.samples.extend(mine)
        return True

    def _has(self, task_id: str) -> bool:
        task = self.store.view.tasks.get(task_id)
        return task is not None and sees(self.scope, self.store.view, task)
