"""What a template is made of, once it was read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the template."""

    value: Any


@dataclass(frozen=True, slots=True)
class Field:
    """`.`, `.Name`, `.Spec.Name`: a path from where the template is."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`$`, `$name`, `$name.Key`."""

    name: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """The name of a function; what follows it are its arguments."""

    name: str


@dataclass(frozen=True, slots=True)
class Group:
    """A pipeline in parentheses, and a path from its value."""

    pipeline: "Pipeline"
    path: tuple[str, ...]


Operand = Literal | Field | Variable | Function | Group


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each of which gets the value of the one before as its last argument."""

    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()  # those that take its value; two in a `range`
    declares: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """What is printed as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """The value of a pipeline; nothing where it goes into a variable."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Block:
    """`if`, `with` or `range`: what to do with a value, and what without."""

    word: str
    pipeline: Pipeline
    body: "Nodes"
    otherwise: "Nodes"


@dataclass(frozen=True, slots=True)
class Leave:
    """`break` or `continue`."""

    word: str


@dataclass(frozen=True, slots=True)
class Call:
    """`template "NAME"`: what a definition makes of a value."""

    name: str
    pipeline: Pipeline | None


Node = Text | Output | Block | Leave | Call
Nodes = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A whole template, and what it defines under names."""

    nodes: Nodes
    definitions: Mapping[str, Nodes]
