"""Fills a template with values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.cli.templates.functions import FUNCTIONS, Functions, call
from swarm.cli.templates.plain import text_of
from swarm.cli.templates.tree import (
    Block,
    Call,
    Field,
    Function,
    Group,
    Leave,
    Literal,
    Nodes,
    Operand,
    Output,
    Pipeline,
    Template,
    Text,
    Variable,
)
from swarm.cli.templates.values import NO_VALUE, LabelText
from swarm.errors import InvalidArgument


class _Left(Exception):
    """A `break` or `continue` on its way to its `range`."""

    def __init__(self, word: str) -> None:
        self.word = word


def evaluate(template: Template, value: Any, functions: Functions = FUNCTIONS) -> str:
    """Return the text that `template` makes of `value`; raise InvalidArgument where that cannot be."""
    page = _Page([], functions, template.definitions)
    try:
        _Scope(page, value, [{"$": value}]).run(template.nodes)
    except RecursionError:
        raise InvalidArgument("--format: a template of this format calls itself without end") from None
    return "".join(page.printed)


@dataclass(frozen=True, slots=True)
class _Page:
    """What was printed so far, and what all parts of a template know."""

    printed: list[str]
    functions: Functions
    definitions: Mapping[str, Nodes]


class _Scope:
    """Where a template is: the value of `.`, and the variables of all blocks around."""

    def __init__(self, page: _Page, dot: Any, variables: list[dict[str, Any]]) -> None:
        self._page = page
        self._dot = dot
        self._variables = variables

    def run(self, nodes: Nodes) -> None:
        """Print what `nodes` say."""
        for node in nodes:
            match node:
                case Text():
                    self._page.printed.append(node.text)
                case Output():
                    self._output(node.pipeline)
                case Leave():
                    raise _Left(node.word)
                case Call():
                    self._call(node)
                case Block(word="range"):
                    self._range(node)
                case Block():
                    self._branch(node)

    def _output(self, pipeline: Pipeline) -> None:
        value = self._value(pipeline)
        if not pipeline.variables:
            self._page.printed.append(text_of(value))
        else:
            self._assign(pipeline.variables[0], value, declares=pipeline.declares)

    def _call(self, node: Call) -> None:
        if node.name not in self._page.definitions:
            raise InvalidArgument(f'--format: there is no template "{node.name}"')
        value = self._value(node.pipeline) if node.pipeline else NO_VALUE
        _Scope(self._page, value, [{"$": value}]).run(self._page.definitions[node.name])

    def _branch(self, block: Block) -> None:
        scope = _Scope(self._page, self._dot, [*self._variables, {}])
        value = self._value(block.pipeline)
        for name in block.pipeline.variables:
            scope._assign(name, value, declares=block.pipeline.declares)
        if value and block.word == "with":
            scope._dot = value
        scope.run(block.body if value else block.otherwise)

    def _range(self, block: Block) -> None:
        names = block.pipeline.variables
        value = self._value(block.pipeline)
        if isinstance(value, int) and len(names) > 1:
            raise InvalidArgument(f"--format: range over {value} has one variable")
        entries = list(_entries(value))
        if not entries:
            _Scope(self._page, self._dot, [*self._variables, {}]).run(block.otherwise)
        for key, value in entries:
            scope = _Scope(self._page, value, [*self._variables, {}])
            taken = (key, value) if len(names) > 1 else (value,)
            for name, one in zip(names, taken, strict=False):
                scope._assign(name, one, declares=block.pipeline.declares)
            try:
                scope.run(block.body)
            except _Left as left:
                if left.word == "break":
                    break

    def _assign(self, name: str, value: Any, *, declares: bool) -> None:
        if declares:
            self._variables[-1][name] = value
            return
        self._holder(name)[name] = value

    def _holder(self, name: str) -> dict[str, Any]:
        names: dict[str, Any]
        for names in reversed(self._variables):
            if name in names:
                return names
        raise InvalidArgument(f'--format: there is no variable "{name}"')

    def _value(self, pipeline: Pipeline) -> Any:
        value: Any = None
        for number, command in enumerate(pipeline.commands):
            value = self._command(command, (value,) if number else ())
        return value

    def _command(self, command: tuple[Operand, ...], last: tuple[Any, ...]) -> Any:
        first = command[0]
        if not isinstance(first, Function):
            return self._label(command[1]) if len(command) > 1 else self._operand(first)
        if first.name in {"and", "or"}:
            return self._first_that_decides(first.name, command[1:], last)
        arguments = [*(self._operand(one) for one in command[1:]), *last]
        return call(first.name, arguments, self._page.functions)

    def _label(self, key: Operand) -> Any:
        """Return what `.Label KEY` asks of a row of a list: one of its labels; of its titles, the key."""
        labels, wanted = _reach(self._dot, ("Labels",)), text_of(self._operand(key))
        if isinstance(labels, LabelText):
            return labels.labels.get(wanted, "")
        if isinstance(labels, str):
            return wanted.upper()
        raise InvalidArgument('--format: there is no "Label" here')

    def _first_that_decides(self, word: str, operands: tuple[Operand, ...], last: tuple[Any, ...]) -> Any:
        if not operands and not last:
            raise InvalidArgument(f"--format: {word} wants a value")
        value: Any = None
        for one in (*operands, *map(Literal, last)):
            value = self._operand(one)
            if bool(value) == (word == "or"):
                break
        return value

    def _operand(self, operand: Operand) -> Any:
        match operand:
            case Literal():
                return operand.value
            case Field():
                return _reach(self._dot, operand.path)
            case Variable():
                return _reach(self._holder(operand.name)[operand.name], operand.path)
            case Group():
                return _reach(self._value(operand.pipeline), operand.path)
            case Function():
                return self._command((operand,), ())


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from ((key, value[key]) for key in sorted(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from ((number, number) for number in range(value))
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif value:
        raise InvalidArgument(f"--format: range goes over lists and maps, not over {text_of(value)}")


def _reach(value: Any, path: tuple[str, ...]) -> Any:
    found = value
    for key in path:
        try:
            found = found[key]  # not `get`: some know what they do not list
        except (KeyError, TypeError, IndexError):
            if found is NO_VALUE:
                return found
            known = ", ".join(map(str, found)) if isinstance(found, Mapping) else "nothing"
            raise InvalidArgument(f'--format: there is no "{".".join(path)}" here; known: {known}') from None
    return found
