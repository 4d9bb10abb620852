"""Values as Go prints them where nobody says how, and what it calls their types."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from swarm.cli.templates.values import NO_VALUE

Number = int | float

_NAMES = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", "\\": "\\"}


def text_of(value: Any) -> str:
    """Return a value as `{{.}}` prints it."""
    return "<no value>" if value is NO_VALUE else printed(value)


def printed(value: Any) -> str:
    """Return a value as `print` and lists do."""
    if value is None or value is NO_VALUE:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return shortest(value)
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(printed(one) for one in value)}]"
    return str(value)


def type_of(value: Any) -> str:
    """Return what Go calls the type of a value."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case Mapping():
            return f"map[string]{_of_all(value.values())}"
        case list() | tuple():
            return f"[]{_of_all(value)}"
    return "<nil>" if value is NO_VALUE else "string"


def _of_all(values: Any) -> str:
    return "string" if all(isinstance(one, str) for one in values) else "interface {}"


def shortest(value: float) -> str:
    """Return the fewest digits that stand for a number, with an exponent where it is large or small."""
    exact = Decimal(repr(value)).normalize()
    sign, digits, _ = exact.as_tuple()
    if value == 0 or -4 <= exact.adjusted() < 6:
        return format(exact, "f")
    first, *rest = map(str, digits)
    point = "." if rest else ""
    return f"{'-' if sign else ''}{first}{point}{''.join(rest)}e{exact.adjusted():+03d}"


def quoted(text: str, *, quote: str = '"', ascii_only: bool = False) -> str:
    """Return `text` as Go would write it in a program."""
    return quote + "".join(_escaped(one, quote, ascii_only=ascii_only) for one in text) + quote


def _escaped(one: str, quote: str, *, ascii_only: bool) -> str:
    if one == quote:
        return f"\\{one}"
    if one in _NAMES:
        return f"\\{_NAMES[one]}"
    if one.isprintable() and (one.isascii() or not ascii_only):
        return one
    code = ord(one)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
