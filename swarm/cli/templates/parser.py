"""Reads a template."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from swarm.cli.templates.functions import FUNCTIONS
from swarm.cli.templates.tree import (
    Block,
    Field,
    Function,
    Group,
    Leave,
    Literal,
    Node,
    Nodes,
    Operand,
    Output,
    Pipeline,
    Text,
    Variable,
)
from swarm.errors import InvalidArgument

_ACTION = re.compile(
    r"\{\{(?P<left>-\s)?(?P<inside>(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|/\*.*?\*/|[^\"`])*?)(?P<right>\s-)?\}\}",
    re.DOTALL,
)
_NAME = r"[^\W\d]\w*"
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)
    |(?P<number>[-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?))
    |(?P<variable>\$(?:{_NAME})?(?:\.{_NAME})*)
    |(?P<field>(?:\.{_NAME})+|\.)
    |(?P<word>{_NAME})
    |(?P<sign>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_BLOCKS = ("if", "with", "range")
_NAMED = {"true": True, "false": False, "nil": None}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    touches: bool  # nothing stands between it and the one before


def parse(template: str) -> Nodes:
    """Return the parts of `template`; raise InvalidArgument that says what is wrong and where."""
    return _Parser(template).whole()


def _refuse(reason: str, where: str) -> InvalidArgument:
    return InvalidArgument(f'--format: {reason} in "{where.strip()}"')


class _Parser:
    def __init__(self, template: str) -> None:
        self._template = template
        self._pieces = list(_pieces(template))
        self._at = 0
        self._ranges = 0

    def whole(self) -> Nodes:
        nodes, end = self._nodes()
        if end:
            raise _refuse(f"{{{{{end}}}}} without a beginning", self._template)
        return nodes

    def _nodes(self) -> tuple[Nodes, str]:
        """Return what comes up to the next `end` or `else`, and that word with what follows it."""
        found: list[Node] = []
        while self._at < len(self._pieces):
            is_action, text = self._pieces[self._at]
            self._at += 1
            if not is_action:
                found.append(Text(text))
                continue
            word, _, rest = text.strip().partition(" ")
            if word in {"end", "else"}:
                return tuple(found), f"{word} {rest}".strip()
            found.append(self._action(word, rest, text))
        return tuple(found), ""

    def _action(self, word: str, rest: str, text: str) -> Node:
        if word in _BLOCKS:
            return self._block(word, rest)
        if word in {"break", "continue"}:
            if not self._ranges:
                raise _refuse(f"{word} outside of a range", text)
            return Leave(word)
        if word in {"define", "template", "block"}:
            raise _refuse(f"{word} is not for formats", text)
        return Output(_Reader(text).pipeline(most=1))

    def _block(self, word: str, rest: str) -> Block:
        pipeline = _Reader(rest).pipeline(most=2 if word == "range" else 1)
        self._ranges += word == "range"
        body, end = self._nodes()
        self._ranges -= word == "range"
        otherwise: Nodes = ()
        if end.startswith("else "):
            inner, _, condition = end.removeprefix("else ").strip().partition(" ")
            if inner not in {"if", "with"}:
                raise _refuse(f'"{end}" is not understood', self._template)
            return Block(word, pipeline, body, (self._block(inner, condition),))
        if end == "else":
            otherwise, end = self._nodes()
        if end != "end":
            raise _refuse(f"{{{{{word}}}}} has no {{{{end}}}}", self._template)
        return Block(word, pipeline, body, otherwise)


def _pieces(template: str) -> Iterator[tuple[bool, str]]:
    """Yield (is it an action, its text), with the spaces removed that `{{-` and `-}}` ask to remove."""
    at, trim = 0, False
    for match in _ACTION.finditer(template):
        text = template[at : match.start()]
        if "{{" in text:
            break
        text = text.lstrip() if trim else text
        text = text.rstrip() if match["left"] else text
        if text:
            yield False, text
        inside = match["inside"].strip()
        if not (inside.startswith("/*") and inside.endswith("*/")):
            yield True, match["inside"]
        at, trim = match.end(), bool(match["right"])
    rest = template[at:]
    if "{{" in rest:
        raise _refuse("an action is not closed", rest)
    rest = rest.lstrip() if trim else rest
    if rest:
        yield False, rest


class _Reader:
    """Reads the inside of one action."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read())
        self._at = 0

    def pipeline(self, *, most: int) -> Pipeline:
        """Return the only pipeline here, whose value at most `most` variables take."""
        names, declares = self._assignment(most)
        pipeline = self._commands()
        if self._peek():
            raise _refuse(f'unexpected "{self._peek()}"', self._text)
        return Pipeline(pipeline, names, declares)

    def _read(self) -> Iterator[_Token]:
        at, touches = 0, False
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise _refuse(f'unexpected "{self._text[at]}"', self._text)
            at = match.end()
            if match.lastgroup != "space":
                yield _Token(str(match.lastgroup), match.group(), touches)
            touches = match.lastgroup != "space"

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _assignment(self, most: int) -> tuple[tuple[str, ...], bool]:
        signs = [one.text for one in self._tokens[: 2 * most]]
        for count in range(1, most + 1):
            sign = 2 * count - 1
            if len(signs) > sign and signs[sign] in {":=", "="} and signs[1:sign:2] == [","] * (count - 1):
                names = tuple(signs[0:sign:2])
                if not all(re.fullmatch(rf"\${_NAME}", name) for name in names):
                    raise _refuse("only a variable takes a value", self._text)
                self._at = sign + 1
                return names, signs[sign] == ":="
        return (), False

    def _commands(self) -> tuple[tuple[Operand, ...], ...]:
        commands = [self._command()]
        while self._peek() == "|":
            self._at += 1
            commands.append(self._command())
        for command in commands[1:]:
            if not isinstance(command[0], Function):
                raise _refuse("after | comes the name of a function", self._text)
        return tuple(commands)

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._peek() not in {"", "|", ")"}:
            operands.append(self._operand())
        if not operands:
            raise _refuse("a value is missing", self._text)
        asks_label = operands[0] == Field(("Label",)) and len(operands) == 2
        if len(operands) > 1 and not asks_label and not isinstance(operands[0], Function):
            raise _refuse("only a function takes arguments", self._text)
        return tuple(operands)

    def _operand(self) -> Operand:
        token = self._tokens[self._at]
        self._at += 1
        if token.kind == "text":
            return Literal(_unquoted(token.text, self._text))
        if token.kind == "number":
            return Literal(float(token.text) if "." in token.text else int(token.text, 0))
        if token.kind == "field":
            return Field(_path(token.text))
        if token.kind == "variable":
            name, _, path = token.text.partition(".")
            return Variable(name, _path(path))
        if token.kind == "word" and token.text in _NAMED:
            return Literal(_NAMED[token.text])
        if token.kind == "word":
            return self._function(token.text)
        if token.text == "(":
            return self._group()
        raise _refuse(f'unexpected "{token.text}"', self._text)

    def _function(self, name: str) -> Function:
        if name not in FUNCTIONS and name not in {"and", "or"}:
            known = ", ".join(sorted({*FUNCTIONS, "and", "or"}))
            raise _refuse(f'there is no function "{name}" (known: {known})', self._text)
        return Function(name)

    def _group(self) -> Group:
        pipeline = Pipeline(self._commands())
        if self._peek() != ")":
            raise _refuse("a parenthesis is not closed", self._text)
        self._at += 1
        path: tuple[str, ...] = ()
        if self._at < len(self._tokens):
            after = self._tokens[self._at]
            if after.kind == "field" and after.touches:
                path = _path(after.text)
                self._at += 1
        return Group(pipeline, path)


def _path(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(".") if part)


def _unquoted(text: str, where: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        return str(json.loads(text))
    except ValueError as problem:
        raise _refuse(f"{text} cannot be read", where) from problem
