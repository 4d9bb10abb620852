"""The functions that a template may call: those of Go and those that Docker adds."""

import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swarm.cli.templates.layout import printf
from swarm.cli.templates.plain import Number, printed, text_of
from swarm.cli.templates.values import NO_VALUE
from swarm.errors import InvalidArgument

_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"})
_SCRIPT = {"\\": "\\\\", "'": "\\'", '"': '\\"'}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return None if value is NO_VALUE else dict(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping) and isinstance(key, str):
            value = value.get(key, "")
        elif _counts(key) and isinstance(value, list | tuple | str):
            entries = value.encode() if isinstance(value, str) else value
            if not 0 <= key < len(entries):
                raise _wrong(f"index {key} is out of range: there are {len(entries)}")
            value = entries[key]
        else:
            raise _wrong(f"index: {text_of(value)} has no {text_of(key)}")
    return value


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _slice(value: Any, *bounds: Any) -> Any:
    most = 2 if isinstance(value, str) else 3
    if not isinstance(value, list | tuple | str) or len(bounds) > most or not all(map(_counts, bounds)):
        raise _wrong("slice wants a list or a text, where it begins, and where it ends")
    entries = value.encode() if isinstance(value, str) else value
    begin, end = (*bounds, len(entries))[:2] if bounds else (0, len(entries))
    if not 0 <= begin <= end <= len(entries):
        raise _wrong(f"slice: {begin} to {end} is out of range: there are {len(entries)}")
    cut = entries[begin:end]
    return cut.decode(errors="replace") if isinstance(cut, bytes) else cut


def _length(value: Any) -> int:
    try:
        return len(value.encode() if isinstance(value, str) else value)
    except TypeError as problem:
        raise _wrong(f"len: {text_of(value)} has no length") from problem


def _truncate(text: Any, length: int) -> str:
    """Return the first bytes, without a letter of which only a part is among them."""
    if length < 0:
        raise _wrong(f"truncate: {length} is less than nothing")
    return text_of(text).encode()[:length].decode(errors="ignore")


def _pad(text: Any, before: int, after: int) -> str:
    return f"{' ' * before}{text_of(text)}{' ' * after}" if text else ""


def _title(text: Any) -> str:
    return re.sub(r"(?<!\w)\w", lambda match: match[0].upper(), text_of(text))


def _join(values: Sequence[Any], separator: str) -> str:
    if isinstance(values, str):
        raise _wrong(f'join wants a list, not "{values}"')
    return separator.join(text_of(one) for one in values)


def _side_by_side(values: Sequence[Any], show: Callable[[Any], str]) -> str:
    """As Go does: a space stands between two neighbours of which neither is a text."""
    shown = ""
    for at, value in enumerate(values):
        apart = at and not isinstance(value, str) and not isinstance(values[at - 1], str)
        shown += (" " if apart else "") + show(value)
    return shown


def _printf(layout: Any, *values: Any) -> str:
    if not isinstance(layout, str):
        raise _wrong(f"printf wants a text first, not {text_of(layout)}")
    return printf(layout, *values)


def _quoting(quote: Callable[[str], str]) -> Callable[..., str]:
    """Return a function of whatever is printed side by side."""
    return lambda *values: quote(_side_by_side(values, text_of))


def _script(text: str) -> str:
    """Return `text` for a string of JavaScript, which may stand in a page."""
    return "".join(_SCRIPT.get(one) or _in_script(one) for one in text)


def _in_script(one: str) -> str:
    if one in "<>&=" or one < " " or not one.isprintable():
        return f"\\u{ord(one):04X}"
    return one


def _call(*_: Any) -> Any:
    raise _wrong("call: there is nothing to call, no value is a function")


def _absent(value: Any) -> bool:
    return value is None or value is NO_VALUE


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, Number) else "text" if isinstance(value, str) else ""


def _comparable(one: Any, other: Any, *, ordered: bool) -> None:
    if (_absent(one) or _absent(other)) and not ordered:
        return
    kinds = [_kind(value) for value in (one, other)]
    if kinds[0] != kinds[1] or not kinds[0] or (ordered and kinds[0] == "bool"):
        told = (kind or "neither number nor text" for kind in kinds)
        raise _wrong(f"{text_of(one)} and {text_of(other)} cannot be compared: {' and '.join(told)}")


def _equal(one: Any, *others: Any) -> bool:
    if not others:
        raise _wrong("eq wants something to compare with")
    for other in others:
        _comparable(one, other, ordered=False)
        if one == other or (_absent(one) and _absent(other)):
            return True
    return False


def _ordered(judge: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        _comparable(one, other, ordered=True)
        return judge(one, other)

    return compare


def _wrong(reason: str) -> InvalidArgument:
    return InvalidArgument(f"--format: {reason}")


# `and` and `or` are not here: they stop at the first argument that decides, so they are no functions.
Functions = Mapping[str, Callable[..., Any]]

FUNCTIONS: Functions = {
    "json": _json,
    "index": _index,
    "slice": _slice,
    "len": _length,
    "not": lambda value: not value,
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": _ordered(lambda one, other: one < other),
    "le": _ordered(lambda one, other: one <= other),
    "gt": _ordered(lambda one, other: one > other),
    "ge": _ordered(lambda one, other: one >= other),
    "call": _call,
    "print": lambda *values: _side_by_side(values, printed),
    "println": lambda *values: " ".join(map(printed, values)) + "\n",
    "printf": _printf,
    "html": _quoting(lambda text: text.translate(_HTML)),
    "js": _quoting(_script),
    "urlquery": _quoting(urllib.parse.quote_plus),
    "upper": lambda value: text_of(value).upper(),
    "lower": lambda value: text_of(value).lower(),
    "title": _title,
    "split": lambda value, separator: text_of(value).split(separator),
    "join": _join,
    "pad": _pad,
    "truncate": _truncate,
}


def call(name: str, arguments: Sequence[Any], functions: Functions) -> Any:
    """Return what a function makes of its arguments; raise InvalidArgument when they are not for it."""
    try:
        return functions[name](*arguments)
    except (TypeError, ValueError, AttributeError) as problem:
        from inspect import signature  # late: few templates are wrong

        try:
            signature(functions[name]).bind(*arguments)
        except TypeError as reason:
            raise _wrong(f"{name} has {len(arguments)} arguments: {reason}") from problem
        shown = " ".join(map(text_of, arguments))
        raise _wrong(f'{name} does not take "{shown}"') from problem


# In the line of titles of a table, what would change a value leaves its title alone.
OF_TITLES: Functions = {
    **FUNCTIONS,
    **dict.fromkeys(("json", "lower", "title", "truncate", "upper"), lambda value, *_: value),
}
