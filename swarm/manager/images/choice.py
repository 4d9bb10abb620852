"""Is an image one that somebody wants to remove, by its labels and its age? Pure."""

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.control_pb2 import PruneChosenImagesRequest
from swarm.api.v1.objects_pb2 import Image
from swarm.clock import nanoseconds
from swarm.errors import InvalidArgument
from swarm.model.labels import has_label
from swarm.runtime.images.documents import parse_object


def is_chosen(choice: PruneChosenImagesRequest, image: Image, configuration: bytes) -> bool:
    """Whether an image is meant; raises InvalidArgument when its configuration cannot be read.

    It is as young as the younger of its content and its name: neither what was built a moment ago nor what
    somebody has just pulled is old.
    """
    says = parse_object(configuration, "configuration")
    runs = says.get("config") or {}
    labels = runs.get("Labels") or {} if isinstance(runs, dict) else {}
    if not isinstance(labels, dict):
        raise InvalidArgument("the configuration's `Labels` is not an object")
    made_ns = max(nanoseconds(image.meta.created_at), _built_ns(says.get("created")))
    return (
        (not choice.before_ns or made_ns < choice.before_ns)
        and all(has_label(labels, one) for one in choice.labels)
        and not any(has_label(labels, one) for one in choice.without_labels)
    )


def _built_ns(told: object) -> int:
    built = Timestamp()
    try:
        built.FromJsonString(told if isinstance(told, str) else "")
    except ValueError:
        return 0  # builders may leave it out, or write what they like
    return nanoseconds(built)
