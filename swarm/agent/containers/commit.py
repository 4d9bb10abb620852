"""What is an image like that is made of a container: its settings, and how it came to be? Pure."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from swarm.agent.task_status import PROTOCOLS
from swarm.api.v1.containers_pb2 import CommitContainer
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import HealthConfig
from swarm.model.image_changes import Settings, with_changes
from swarm.model.templates import TemplateContext, expand
from swarm.runtime.images.commit import new_configuration

_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


def committed(
    base: bytes, diff_id: str, wanted: CommitContainer, task: Task, context: TemplateContext, created: str
) -> bytes:
    """Return the configuration of the image; raises InvalidArgument for changes that cannot be.

    `base` is that of the image of the container, which `task` says everything else about.
    """
    before: Settings = json.loads(base).get("config") or {}
    runs = _settings(before, task, context)
    step = {
        "created": created,
        "created_by": shlex.join([*(runs.get("Entrypoint") or ()), *(runs.get("Cmd") or ())]),
        "author": wanted.author,
        "comment": wanted.message,
    }
    step = {key: value for key, value in step.items() if value}
    return new_configuration(base, diff_id, with_changes(runs, wanted.instructions), step)


def _settings(before: Mapping[str, Any], task: Task, context: TemplateContext) -> Settings:
    """Return what the container had been made with, over what its image said."""
    spec = task.spec.container
    found = dict(before)
    if spec.command:
        found["Entrypoint"], found["Cmd"] = list(spec.command), list(spec.args)
    elif spec.args:
        found["Cmd"] = list(spec.args)
    own = {key: value for key, _, value in (expand(one, context).partition("=") for one in spec.env)}
    said = dict(one.partition("=")[::2] for one in before.get("Env") or ())
    found["Env"] = [f"{key}={value}" for key, value in {**said, **own}.items()]
    labels = {key: expand(value, context) for key, value in spec.labels.items()}
    found["Labels"] = {**(before.get("Labels") or {}), **labels}
    ports: Settings = {
        f"{one.target_port}/{_PROTOCOL_NAMES[one.protocol]}": {} for one in task.endpoint.ports
    }
    found["ExposedPorts"] = {**(before.get("ExposedPorts") or {}), **ports}
    return found | _given(spec)


def _given(spec: ContainerSpec) -> Settings:
    given = {"User": spec.user, "WorkingDir": spec.dir, "StopSignal": spec.stop_signal}
    found: Settings = {key: value for key, value in given.items() if value}
    if _is_of_images(spec.healthcheck.test):
        found["Healthcheck"] = _health(spec.healthcheck)
    return found


def _is_of_images(test: Sequence[str]) -> bool:
    """Whether an image can say this: those that ask over HTTP or TCP are our own."""
    return bool(test) and test[0] in {"NONE", "CMD", "CMD-SHELL"}


def _health(check: HealthConfig) -> Settings:
    amounts = {
        "Interval": check.interval_ns,
        "Timeout": check.timeout_ns,
        "StartPeriod": check.start_period_ns,
        "StartInterval": check.start_interval_ns,
        "Retries": check.retries,
    }
    return {"Test": list(check.test)} | {key: value for key, value in amounts.items() if value}
