"""Placeholders in a service spec, filled in for one task on one node: `{{.Task.Slot}}`.

The notation is Go's, as far as it makes sense here: fields of Service, Node and Task, a label by
`{{index .Service.Labels "key"}}` or, where the key is an identifier, `{{.Service.Labels.key}}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm.errors import TaskRejected

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD = re.compile(r"-?\s*\.([A-Za-z]+(?:\.[A-Za-z0-9_]+)+)\s*-?")
_INDEX = re.compile(r"""-?\s*index\s+\.([A-Za-z]+\.Labels)\s+(?:"([^"]*)"|`([^`]*)`)\s*-?""")


@dataclass(frozen=True, slots=True)
class TemplateContext:
    """What placeholders can stand for."""

    service_id: str = ""
    service_name: str = ""
    service_labels: Mapping[str, str] = field(default_factory=dict)
    node_id: str = ""
    node_hostname: str = ""
    node_os: str = ""
    node_architecture: str = ""
    task_id: str = ""
    task_name: str = ""
    task_slot: str = ""

    def fields(self) -> Mapping[str, str]:
        """Return every field by the name people write."""
        return {
            "Service.ID": self.service_id,
            "Service.Name": self.service_name,
            "Node.ID": self.node_id,
            "Node.Hostname": self.node_hostname,
            "Node.Platform.OS": self.node_os,
            "Node.Platform.Architecture": self.node_architecture,
            "Task.ID": self.task_id,
            "Task.Name": self.task_name,
            "Task.Slot": self.task_slot,
        }


def expand(text: str, context: TemplateContext) -> str:
    """Return `text` with its placeholders filled in; raises TaskRejected naming one that means nothing."""
    if "{{" not in text:
        return text
    return _PLACEHOLDER.sub(lambda match: _value(match, context), text)


def _value(match: re.Match[str], context: TemplateContext) -> str:
    inner = match.group(1).strip()
    by_index = _INDEX.fullmatch(inner)
    if by_index and by_index.group(1) == "Service.Labels":
        return context.service_labels.get(by_index.group(2) or by_index.group(3) or "", "")
    by_field = _FIELD.fullmatch(inner)
    if by_field:
        name = by_field.group(1)
        known = context.fields()
        if name in known:
            return known[name]
        if name.startswith("Service.Labels."):
            return context.service_labels.get(name.removeprefix("Service.Labels."), "")
    raise TaskRejected(f"the placeholder {match.group(0)} means nothing; known are {_known(context)}")


def _known(context: TemplateContext) -> str:
    names = [f"{{{{.{name}}}}}" for name in (*context.fields(), "Service.Labels.KEY")]
    return ", ".join(names)
