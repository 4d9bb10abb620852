"""The functions that a template may call: those of Go and those that Docker adds."""

import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swarm.cli.templates.values import NIL, EncodedText
from swarm.errors import InvalidArgument

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d+)?(?P<precision>\.\d+)?(?P<verb>[a-zA-Z%])")
Number = int | float


def text_of(value: Any) -> str:
    """Return a value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.17g}" if value != int(value) else f"{value:.0f}"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{text_of(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(text_of(one) for one in value)}]"
    return str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return None if value is NIL else dict(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(key, int) and not isinstance(key, bool) and isinstance(value, list | tuple | str):
            if not 0 <= key < len(value):
                raise _wrong(f"index {key} is out of range: there are {len(value)}")
            value = value[key]
        else:
            raise _wrong(f"index: {text_of(value)} has no {text_of(key)}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    if not isinstance(value, list | tuple | str) or not 1 <= len(bounds) <= 2:
        raise _wrong("slice wants a list or a text, where it begins, and where it ends")
    return value[slice(*bounds) if len(bounds) > 1 else slice(bounds[0], None)]


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError as problem:
        raise _wrong(f"len: {text_of(value)} has no length") from problem


def _truncate(text: Any, length: int) -> str:
    return text_of(text)[:length]


def _pad(text: Any, before: int, after: int) -> str:
    return f"{' ' * before}{text_of(text)}{' ' * after}" if text else ""


def _title(text: Any) -> str:
    return re.sub(r"(^|[\s-])(\w)", lambda match: match[1] + match[2].upper(), text_of(text))


def _join(values: Sequence[Any], separator: str) -> str:
    return separator.join(text_of(one) for one in values)


def _print(*values: Any) -> str:
    """As Go does: a space stands between two neighbours of which neither is a text."""
    printed = ""
    for at, value in enumerate(values):
        apart = at and not isinstance(value, str) and not isinstance(values[at - 1], str)
        printed += (" " if apart else "") + text_of(value)
    return printed


def _printf(layout: str, *values: Any) -> str:
    left = list(values)

    def fill(match: re.Match[str]) -> str:
        if match["verb"] == "%":
            return "%"
        if not left:
            return f"%!{match['verb']}(MISSING)"
        return _formatted(match, left.pop(0))

    return _VERB.sub(fill, layout) + "".join(f"%!(EXTRA {text_of(one)})" for one in left)


def _formatted(match: re.Match[str], value: Any) -> str:
    flags, width, precision, verb = (match[name] or "" for name in ("flags", "width", "precision", "verb"))
    number = isinstance(value, Number) and not isinstance(value, bool)
    if verb in "sv":
        text = value.decoded if isinstance(value, EncodedText) and verb == "s" else text_of(value)
        text = text[: int(precision[1:])] if precision else text
    elif verb == "q":
        text = json.dumps(text_of(value), ensure_ascii=False)
    elif verb == "t" and isinstance(value, bool):
        text = text_of(value)
    elif verb in "dxXob" and number:
        sign = "+" if "+" in flags else ""
        zeros = f"0{width}" if "0" in flags and width and "-" not in flags else ""
        text = format(int(value), f"{sign}{zeros}{verb}")
    elif verb in "feEgG" and number:
        zeros = f"0{width}" if "0" in flags and width and "-" not in flags else ""
        text = format(float(value), f"{zeros}{precision}{verb}")
    else:
        return f"%!{verb}({text_of(value)})"
    return text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0))


def _comparable(one: Any, other: Any, *, ordered: bool) -> None:
    kinds = [
        "bool"
        if isinstance(value, bool)
        else "number"
        if isinstance(value, Number)
        else type(value).__name__
        for value in (one, other)
    ]
    if (one is None or other is None) and not ordered:
        return
    if kinds[0] != kinds[1] or (ordered and kinds[0] not in {"number", "str"}):
        raise _wrong(f"{text_of(one)} and {text_of(other)} cannot be compared: {kinds[0]} and {kinds[1]}")


def _equal(one: Any, *others: Any) -> bool:
    for other in others:
        _comparable(one, other, ordered=False)
    return any(one == other for other in others)


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
    "print": _print,
    "println": lambda *values: " ".join(text_of(one) for one in values) + "\n",
    "printf": _printf,
    "urlquery": lambda value: urllib.parse.quote_plus(text_of(value)),
    "upper": lambda value: text_of(value).upper(),
    "lower": lambda value: text_of(value).lower(),
    "title": _title,
    "split": lambda value, separator: text_of(value).split(separator),
    "join": _join,
    "pad": _pad,
    "truncate": _truncate,
}

# In the line of titles of a table, what would change a value leaves its title alone.
OF_TITLES: Functions = {
    **FUNCTIONS,
    **dict.fromkeys(("json", "lower", "title", "truncate", "upper"), lambda value, *_: value),
}
