"""Reads a template."""

import re

from swarm.cli.templates.functions import FUNCTIONS
from swarm.cli.templates.tokens import NAME, literal, pieces, refuse, tokens
from swarm.cli.templates.tree import (
    Block,
    Call,
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
    Template,
    Text,
    Variable,
)

_BLOCKS = ("if", "with", "range")
_NAMED = {"true": True, "false": False, "nil": None}


def parse(template: str) -> Template:
    """Return the parts of `template`; raise InvalidArgument that says what is wrong and where."""
    try:
        return _Parser(template).whole()
    except RecursionError:
        raise refuse("too many blocks and parentheses within each other", template[:40]) from None


class _Parser:
    def __init__(self, template: str) -> None:
        self._template = template
        self._pieces = list(pieces(template))
        self._at = 0
        self._ranges = 0
        self._depth = 0
        self._definitions: dict[str, Nodes] = {}

    def whole(self) -> Template:
        nodes, end = self._nodes()
        if end:
            raise refuse(f"{{{{{end}}}}} without a beginning", self._template)
        return Template(nodes, self._definitions)

    def _nodes(self) -> tuple[Nodes, str]:
        """Return what comes up to the next `end` or `else`, and that word with what follows it."""
        found: list[Node] = []
        while self._at < len(self._pieces):
            is_action, text = self._pieces[self._at]
            self._at += 1
            if not is_action:
                found.append(Text(text))
                continue
            word, rest = _split(text)
            if word == "define":
                self._define(rest, text)
                continue
            if word in {"end", "else"}:
                return tuple(found), f"{word} {rest.strip()}".strip()
            found.append(self._action(word, rest, text))
        return tuple(found), ""

    def _action(self, word: str, rest: str, text: str) -> Node:
        if word in _BLOCKS:
            return self._block(word, rest)
        if word in {"break", "continue"}:
            if not self._ranges:
                raise refuse(f"{word} outside of a range", text)
            return Leave(word)
        if word == "template":
            return _call(rest, text)
        if word == "block":
            called = _call(rest, text)
            if called.pipeline is None:
                raise refuse("a value is missing", text)
            self._definitions[called.name] = self._body("block")
            return called
        return Output(_Reader(text).pipeline(most=1))

    def _define(self, rest: str, text: str) -> None:
        if self._depth:
            raise refuse("define stands outside of everything else", text)
        definition = _call(rest, text)
        if definition.pipeline or definition.name in self._definitions:
            raise refuse("define wants one name, that no other definition has,", text)
        self._definitions[definition.name] = self._body("define")

    def _body(self, word: str) -> Nodes:
        """Return what a definition consists of: it knows no range around it."""
        ranges, self._ranges = self._ranges, 0
        self._depth += 1
        body, end = self._nodes()
        self._depth -= 1
        self._ranges = ranges
        if end != "end":
            raise refuse(f"{{{{{word}}}}} has no {{{{end}}}}", self._template)
        return body

    def _block(self, word: str, rest: str) -> Block:
        pipeline = _Reader(rest, f"{word}{rest}").pipeline(most=2 if word == "range" else 1)
        self._ranges += word == "range"
        self._depth += 1
        body, end = self._nodes()
        self._ranges -= word == "range"
        otherwise: Nodes = ()
        if end.startswith("else "):
            inner, condition = _split(end.removeprefix("else "))
            if inner != word or word == "range":
                raise refuse(f'"{end}" is not understood', self._template)
            self._depth -= 1
            return Block(word, pipeline, body, (self._block(inner, condition),))
        if end == "else":
            otherwise, end = self._nodes()
        self._depth -= 1
        if end != "end":
            raise refuse(f"{{{{{word}}}}} has no {{{{end}}}}", self._template)
        return Block(word, pipeline, body, otherwise)


def _call(rest: str, text: str) -> Call:
    """Return the name that stands first in quotes, and the value behind it."""
    first = next(tokens(rest), None)
    if first is None or first.kind != "text":
        raise refuse("a name in quotes is missing", text)
    value = rest.strip().removeprefix(first.text).strip()
    pipeline = _Reader(value).pipeline(most=1) if value else None
    return Call(str(literal(first, text)), pipeline)


class _Reader:
    """Reads the inside of one action."""

    def __init__(self, text: str, whole: str = "") -> None:
        self._text = (whole or text).strip() or "{{}}"
        self._tokens = list(tokens(text))
        self._at = 0

    def pipeline(self, *, most: int) -> Pipeline:
        """Return the only pipeline here, whose value at most `most` variables take."""
        names, declares = self._assignment(most)
        pipeline = self._commands()
        if self._peek():
            raise refuse(f'unexpected "{self._peek()}"', self._text)
        return Pipeline(pipeline, names, declares)

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _assignment(self, most: int) -> tuple[tuple[str, ...], bool]:
        signs = [one.text for one in self._tokens[: 2 * most]]
        for count in range(1, most + 1):
            sign = 2 * count - 1
            if len(signs) > sign and signs[sign] in {":=", "="} and signs[1:sign:2] == [","] * (count - 1):
                names = tuple(signs[0:sign:2])
                if not all(re.fullmatch(rf"\${NAME}", name) for name in names):
                    raise refuse("only a variable takes a value", self._text)
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
                raise refuse("after | comes the name of a function", self._text)
        return tuple(commands)

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._peek() not in {"", "|", ")"}:
            operands.append(self._operand())
        if not operands:
            raise refuse("a value is missing", self._text)
        if operands[0] == Literal(None):
            raise refuse("nil alone is no value", self._text)
        asks_label = operands[0] == Field(("Label",)) and len(operands) == 2
        if len(operands) > 1 and not asks_label and not isinstance(operands[0], Function):
            raise refuse("only a function takes arguments", self._text)
        return tuple(operands)

    def _operand(self) -> Operand:
        token = self._tokens[self._at]
        self._at += 1
        if token.kind in {"text", "number", "character"}:
            return Literal(literal(token, self._text))
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
        raise refuse(f'unexpected "{token.text}"', self._text)

    def _function(self, name: str) -> Function:
        if name not in FUNCTIONS and name not in {"and", "or"}:
            known = ", ".join(sorted({*FUNCTIONS, "and", "or"}))
            raise refuse(f'there is no function "{name}" (known: {known})', self._text)
        return Function(name)

    def _group(self) -> Group:
        pipeline = Pipeline(self._commands())
        if self._peek() != ")":
            raise refuse("a parenthesis is not closed", self._text)
        self._at += 1
        path: tuple[str, ...] = ()
        if self._at < len(self._tokens):
            after = self._tokens[self._at]
            if after.kind == "field" and after.touches:
                path = _path(after.text)
                self._at += 1
        return Group(pipeline, path)


def _split(action: str) -> tuple[str, str]:
    """Return the name that an action begins with, and what comes behind it."""
    match = re.match(rf"\s*({NAME})?(.*)", action, re.DOTALL)
    return ("", "") if match is None else (match[1] or "", match[2])


def _path(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(".") if part)
