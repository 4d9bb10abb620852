"""What of a container is told with each line of its output, to those who want details?"""

from collections.abc import Callable, Mapping

from swarm.agent.container import NodeFacts, container_labels, template_context
from swarm.api.v1.objects_pb2 import Task
from swarm.model.log_tags import filled
from swarm.model.task import task_name
from swarm.model.templates import expand
from swarm.runtime.images.base import ImageConfig, ImageStore

DAEMON = "swarm"

AttributesOf = Callable[[Task], Mapping[str, str]]


def attributes_of(task: Task, node: NodeFacts, image: ImageConfig | None) -> dict[str, str]:
    """Return what its spec names of labels, environment and itself; without its image, no defaults. Pure."""
    spec, context = task.spec.container, template_context(task, node)
    image = image or ImageConfig("")
    found: dict[str, str] = {}
    if spec.log.labels:
        labels = {**image.labels, **container_labels(task, context)}
        found |= {key: labels[key] for key in spec.log.labels if key in labels}
    if spec.log.env:
        settings = (*image.env, *(expand(one, context) for one in spec.env))
        env = dict(one.partition("=")[::2] for one in settings)
        found |= {key: env[key] for key in spec.log.env if key in env}
    if spec.log.tag:
        digest = image.digest.removeprefix("sha256:")
        values = {
            "ID": task.id[:12],
            "FullID": task.id,
            "Name": task_name(task),
            "ImageName": spec.image,
            "ImageID": digest[:12],
            "ImageFullID": image.digest,
            "DaemonName": DAEMON,
        }
        found["tag"] = filled(spec.log.tag, values)
    return found


def asking(node: Callable[[], NodeFacts], images: ImageStore) -> AttributesOf:
    """Return who knows the attributes of every container of this node."""
    return lambda task: attributes_of(task, node(), images.image_of(task.id))
