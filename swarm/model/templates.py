"""Placeholders in a service spec, secret or config, filled in for one task on one node: `{{.Task.Slot}}`.

The notation is Go's, as far as it makes sense here. Between the braces stands one of

    .Service.Name           a field of Service, Node or Task; `.Service.Labels.key` where the key is a word
    index .Service.Labels "key"
    "text"                  itself, e.g. {{"{{"}} for two braces
    secret "NAME"           in templated secrets and configs only, as are `config "NAME"` and `env "NAME"`
    /* a comment */         nothing

and `{{- ` and ` -}}` take the white space before and after away. Nothing is run, what is filled in is not
read again, and what comes of it is bounded.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from swarm.errors import TaskRejected
from swarm.model.limits import EXPANDED_BYTES

ACTION_CHARACTERS = 1024  # between two braces
SHOWN_CHARACTERS = 80  # of a placeholder, in an error

_SPACE = " \t\r\n"
_TEXT = r'"(?:\\.|[^"\\\n])*"|`[^`]*`'
_ACTION = re.compile(r"\{\{(?P<inner>(?:[^\"`}]|" + _TEXT + r"|\}(?!\}))*)\}\}", re.DOTALL)
_COMMENT = re.compile(r"\{\{(?P<inner>(?:-\s)?\s*/\*.*?\*/\s*?(?:\s-)?)\}\}", re.DOTALL)
_FIELD = re.compile(r"\.([A-Za-z]+(?:\.[A-Za-z0-9_]+)+)")
_INDEX = re.compile(r"index\s+\.Service\.Labels\s+(" + _TEXT + ")")
_CALL = re.compile(r"([a-z]+)\s+(" + _TEXT + ")")
_LITERAL = re.compile(_TEXT)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


class Unfilled(TaskRejected):
    """A placeholder cannot be filled in; `line` says where without telling what stands there."""

    def __init__(self, reason: str, line: int) -> None:
        """`line` counts from 1."""
        super().__init__(reason)
        self.line = line


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
    # Name -> what it makes of its argument; raises TaskRejected for one that it does not know.
    functions: Mapping[str, Callable[[str], str]] = field(default_factory=dict)

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
    """Return `text` with its placeholders filled in.

    Raises Unfilled naming one that means nothing, and TaskRejected when the result is larger than
    EXPANDED_BYTES.
    """
    if "{{" not in text:
        return text
    parts: list[str] = []
    size = 0
    for part in _parts(text, context):
        size += len(part.encode(errors="surrogateescape"))
        for problem in EXPANDED_BYTES.exceeded("what the placeholders expand to", size):
            raise TaskRejected(problem)
        parts.append(part)
    return "".join(parts)


def expand_bytes(data: bytes, context: TemplateContext) -> bytes:
    """Return `data`, which need not be text, with its placeholders filled in; raises as `expand`."""
    text = data.decode(errors="surrogateescape")
    return expand(text, context).encode(errors="surrogateescape")


def _parts(text: str, context: TemplateContext) -> Iterator[str]:
    place, strip_next = 0, False
    while (start := text.find("{{", place)) >= 0:
        try:
            action = _action(text, start)
            value = _value(_content(action), context)
        except TaskRejected as problem:
            raise Unfilled(str(problem), text.count("\n", 0, start) + 1) from None
        inner = action.group("inner")
        before = text[place:start]
        if strip_next:
            before = before.lstrip(_SPACE)
        if inner[:1] == "-" and inner[1:2].isspace():
            before = before.rstrip(_SPACE)
        strip_next = inner[-1:] == "-" and inner[-2:-1].isspace()
        yield before
        yield value
        place = action.end()
    rest = text[place:]
    yield rest.lstrip(_SPACE) if strip_next else rest


def _content(action: re.Match[str]) -> str:
    """Return what stands between the braces, without the marks that take white space away."""
    inner: str = action.group("inner")
    if inner[:1] == "-" and inner[1:2].isspace():
        inner = inner[1:]
    if inner[-1:] == "-" and inner[-2:-1].isspace():
        inner = inner[:-1]
    return inner.strip()


def _action(text: str, start: int) -> re.Match[str]:
    end = start + ACTION_CHARACTERS + 4
    found = _COMMENT.match(text, start, end) or _ACTION.match(text, start, end)
    if found is None:
        raise TaskRejected(f"the placeholder {_shown(text[start : start + ACTION_CHARACTERS])} has no end")
    return found


def _value(inner: str, context: TemplateContext) -> str:
    if inner.startswith("/*") and inner.endswith("*/"):
        return ""
    if by_field := _FIELD.fullmatch(inner):
        return _field(by_field.group(1), context)
    if _LITERAL.fullmatch(inner):
        return _unquoted(inner)
    if by_index := _INDEX.fullmatch(inner):
        return _label(_unquoted(by_index.group(1)), context)
    call = _CALL.fullmatch(inner)
    if call and call.group(1) in context.functions:
        return context.functions[call.group(1)](_unquoted(call.group(2)))
    raise _unknown(inner, context)


def _field(name: str, context: TemplateContext) -> str:
    known = context.fields()
    if name in known:
        return known[name]
    if name.startswith("Service.Labels."):
        return _label(name.removeprefix("Service.Labels."), context)
    raise _unknown(f".{name}", context)


def _label(key: str, context: TemplateContext) -> str:
    if key not in context.service_labels:
        raise TaskRejected(f'a placeholder means the label "{_shown(key)}", which the service does not have')
    return context.service_labels[key]


def _unquoted(literal: str) -> str:
    inner = literal[1:-1]
    return inner if literal[0] == "`" else _ESCAPE.sub(_unescaped, inner)


def _unescaped(match: re.Match[str]) -> str:
    if match.group(1) not in _ESCAPES:
        raise TaskRejected(f"a placeholder has the unknown escape {_shown(match.group())}")
    return _ESCAPES[match.group(1)]


def _unknown(inner: str, context: TemplateContext) -> TaskRejected:
    names = [f"{{{{.{name}}}}}" for name in (*context.fields(), "Service.Labels.KEY")]
    names += [f'{{{{{name} "NAME"}}}}' for name in context.functions]
    return TaskRejected(
        f"the placeholder {{{{{_shown(inner)}}}}} means nothing; known are {', '.join(names)}"
    )


def _shown(text: str) -> str:
    """Return the beginning of a text, in characters that can be said."""
    cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return cut.encode(errors="replace").decode(errors="replace")
