"""Takes a template apart: into text and actions, an action into its words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isinf

from swarm.errors import InvalidArgument

_TEXT = r'"(?:\\.|[^"\\\n])*"|`[^`]*`'
_CHARACTER = r"'(?:\\[^\n][^'\n]*|[^'\\\n])'"
_ACTION = re.compile(
    rf"\{{\{{(?P<left>-\s)?(?P<inside>\s*/\*.*?\*/\s*?|(?:{_TEXT}|{_CHARACTER}|[^\"`'])*?)(?P<right>\s-)?\}}\}}",
    re.DOTALL,
)
NAME = r"[^\W\d]\w*"
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<text>{_TEXT})
    |(?P<character>{_CHARACTER})
    |(?P<number>[-+]?\.?\d(?:[eE][-+](?=\d)|[\w.])*)
    |(?P<variable>\$(?:{NAME})?(?:\.{NAME})*)
    |(?P<field>(?:\.{NAME})+|\.)
    |(?P<word>{NAME})
    |(?P<sign>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<named>[abfnrtv\\'\"])|x(?P<x>[\da-fA-F]{2})|(?P<octal>[0-7]{3})"
    r"|u(?P<u>[\da-fA-F]{4})|U(?P<U>[\da-fA-F]{8})|(?P<wrong>.?))"
)
_NAMED = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an action."""

    kind: str
    text: str
    touches: bool  # nothing stands between it and the one before


def refuse(reason: str, where: str) -> InvalidArgument:
    """Return what is wrong with a template, and where."""
    return InvalidArgument(f'--format: {reason} in "{where.strip()}"')


def pieces(template: str) -> Iterator[tuple[bool, str]]:
    """Yield (is it an action, its text), with the spaces removed that `{{-` and `-}}` ask to remove."""
    at, trim = 0, False
    while (begin := template.find("{{", at)) >= 0:
        match = _ACTION.match(template, begin)
        if match is None:
            raise refuse("an action is not closed, or a text within it", template[begin:])
        text = _spaced(template[at:begin])
        text = text.lstrip() if trim else text
        text = text.rstrip() if match["left"] else text
        if text:
            yield False, text
        if not match["inside"].lstrip().startswith("/*"):
            yield True, match["inside"]
        elif not match["inside"].rstrip().endswith("*/"):
            raise refuse("a comment is not closed, or not alone", match["inside"])
        at, trim = match.end(), bool(match["right"])
    rest = _spaced(template[at:])
    rest = rest.lstrip() if trim else rest
    if rest:
        yield False, rest


def _spaced(text: str) -> str:
    """Return `text` with a tab and an end of line where Docker's users write them so, outside of actions."""
    return text.replace("\\t", "\t").replace("\\n", "\n")


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of an action."""
    at, touches = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise refuse(f'unexpected "{text[at]}"', text)
        at = match.end()
        if match.lastgroup != "space":
            yield Token(str(match.lastgroup), match.group(), touches)
        touches = match.lastgroup != "space"


def literal(token: Token, where: str) -> str | int | float:
    """Return the text or the number that a word stands for; raise InvalidArgument when there is none."""
    try:
        if token.kind == "number":
            return _number(token.text)
        if token.text.startswith("`"):
            return token.text[1:-1]
        text = _ESCAPE.sub(_unescaped, token.text[1:-1])
        return text if token.kind == "text" else ord(text)
    except (ValueError, TypeError):
        raise refuse(f"{token.text} cannot be read", where) from None


def _number(text: str) -> int | float:
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    if digits.isdigit() and digits.startswith("0"):
        digits = f"0o{digits}"  # as in C
    try:
        return int(sign + digits, 0)
    except ValueError:
        number = float(text)
    if isinf(number):
        raise ValueError(text)
    return number


def _unescaped(match: re.Match[str]) -> str:
    if match["named"]:
        return _NAMED[match["named"]]
    if match["wrong"] is not None:
        raise ValueError(match.group())
    code = match["x"] or match["u"] or match["U"]
    return chr(int(code, 16) if code else int(match["octal"], 8))
