"""`printf`: values as the verbs of Go's package fmt ask for them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swarm.cli.templates.plain import printed, quoted, shortest, type_of
from swarm.cli.templates.values import NO_VALUE, EncodedText

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<first>(?:\[\d+\])?)(?P<width>\*|\d*)"
    r"(?P<precision>(?:\.(?:\*|\d*))?)(?P<last>(?:\[\d+\])?)(?P<letter>.?)",
    re.DOTALL,
)
_LARGEST = 1_000_000  # a width or a precision beyond it counts as none, as in Go
_BASES = {"b": ("b", "0b"), "o": ("o", "0"), "O": ("o", "0o"), "x": ("x", "0x"), "X": ("X", "0X")}


@dataclass(frozen=True, slots=True)
class _Verb:
    letter: str
    flags: str = ""
    width: int = 0
    precision: int | None = None

    def has(self, flag: str) -> bool:
        return flag in self.flags

    @property
    def zeros(self) -> bool:
        return self.has("0") and not self.has("-")

    def padded(self, text: str) -> str:
        if self.has("-"):
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if self.zeros else " ")


class _Values:
    """What is still to be printed."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self._at = 0
        self._chosen = False

    def choose(self, number: str) -> bool:
        """Go on with the value that `[NUMBER]` names; tell whether there is one."""
        if number:
            self._at, self._chosen = int(number[1:-1]) - 1, True
        return 0 <= self._at < len(self._values) or not number

    def take(self) -> tuple[Any, ...]:
        """Return the next value, alone; nothing when there is none."""
        self._at += 1
        return tuple(self._values[self._at - 1 : self._at])

    def left(self) -> str:
        """Return what is said of values that no verb took."""
        rest = () if self._chosen else self._values[self._at :]
        return f"%!(EXTRA {', '.join(map(_named, rest))})" if rest else ""


def printf(layout: str, *values: Any) -> str:
    """Return `layout` with `values` in place of its verbs, and a remark wherever one does not fit."""
    given = _Values(values)
    return _VERB.sub(lambda match: _filled(match, given), layout) + given.left()


def _filled(match: re.Match[str], values: _Values) -> str:
    letter, remarks = match["letter"], ""
    if not letter:
        return "%!(NOVERB)"
    if not values.choose(match["first"]):
        return f"%!{letter}(BADINDEX)"
    width, remark = _number(match["width"], values, "%!(BADWIDTH)")
    remarks += remark
    precision, remark = _number(match["precision"].removeprefix("."), values, "%!(BADPREC)")
    remarks += remark
    if letter == "%":
        return f"{remarks}%"
    if not values.choose(match["last"]):
        return f"{remarks}%!{letter}(BADINDEX)"
    taken = values.take()
    if not taken:
        return f"{remarks}%!{letter}(MISSING)"
    flags = match["flags"] + ("-" if width < 0 else "")
    wanted = max(precision, 0) if match["precision"] and not remark else None
    return remarks + _shown(_Verb(letter, flags, abs(width), wanted), taken[0])


def _number(text: str, values: _Values, remark: str) -> tuple[int, str]:
    """Return a width or precision, which may be one of the values, and what is wrong with that."""
    if text != "*":
        number = int(text or 0)
        return (number if number <= _LARGEST else 0), ""
    (found,) = values.take() or (None,)
    if not isinstance(found, int) or isinstance(found, bool) or abs(found) > _LARGEST:
        return 0, remark
    return found, ""


def _named(value: Any) -> str:
    return "<nil>" if value is None or value is NO_VALUE else f"{type_of(value)}={printed(value)}"


def _shown(verb: _Verb, value: Any) -> str:
    if verb.letter == "T":
        return verb.padded(type_of(value))
    if verb.letter == "v" and verb.has("#"):
        return verb.padded(_program(value, inside=False))
    if isinstance(value, Mapping):
        pairs = (f"{_shown(verb, key)}:{_shown(verb, value[key])}" for key in sorted(value))
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(_shown(verb, one) for one in value)}]"
    found = _one(verb, value)
    return f"%!{verb.letter}({_named(value)})" if found is None else found


def _one(verb: _Verb, value: Any) -> str | None:
    """Return what the verb makes of a value that is neither list nor map, None when it is not for such."""
    if value is None or value is NO_VALUE:
        return verb.padded("<nil>") if verb.letter == "v" else None
    if isinstance(value, bool):
        return verb.padded(printed(value)) if verb.letter in "tv" else None
    by_type: Callable[[_Verb, Any], str | None]
    by_type = _integer if isinstance(value, int) else _float if isinstance(value, float) else _text
    return by_type(verb, value)


def _program(value: Any, *, inside: bool) -> str:
    """Return a value as it would stand in a program."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        pairs = (f"{quoted(key)}:{_program(value[key], inside=True)}" for key in sorted(value))
        return f"{type_of(value)}{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"{type_of(value)}{{{', '.join(_program(one, inside=True) for one in value)}}}"
    return "interface {}(nil)" if inside and value is None else printed(value)


def _sign(verb: _Verb, *, negative: bool) -> str:
    return "-" if negative else "+" if verb.has("+") else " " if verb.has(" ") else ""


def _integer(verb: _Verb, value: int) -> str | None:
    if verb.letter in "cqU":
        return _character(verb, value)
    if verb.letter not in {"d", "v", *_BASES}:
        return None
    kind, prefix = _BASES.get(verb.letter, ("d", ""))
    sign = _sign(verb, negative=value < 0)
    least = verb.precision or 0
    if verb.precision is None and verb.zeros:
        least = verb.width - len(sign)
    digits = format(abs(value), kind).rjust(least, "0")
    prefix = prefix if verb.has("#") or verb.letter == "O" else ""
    return replace(verb, flags=verb.flags.replace("0", "")).padded(f"{sign}{prefix}{digits}")


def _character(verb: _Verb, value: int) -> str:
    is_one = 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000  # what Unicode has
    character = chr(value) if is_one else "\ufffd"
    if verb.letter == "c":
        return verb.padded(character)
    single = quoted(character, quote="'", ascii_only=verb.has("+"))
    if verb.letter == "q":
        return verb.padded(single)
    return verb.padded(f"U+{value:04X}" + (f" {single}" if verb.has("#") else ""))


def _float(verb: _Verb, value: float) -> str | None:
    letter = {"v": "g", "F": "f"}.get(verb.letter, verb.letter)
    if letter not in "eEfgG":
        return None
    if letter in "gG" and verb.precision is None:
        text = shortest(abs(value))
        text = text.upper() if letter == "G" else text
    else:
        text = format(abs(value), f".{6 if verb.precision is None else verb.precision}{letter}")
    sign = _sign(verb, negative=value < 0)
    if verb.zeros:
        return sign + text.rjust(verb.width - len(sign), "0")
    return verb.padded(sign + text)


def _text(verb: _Verb, value: str) -> str | None:
    match verb.letter:
        case "s" | "v":
            told = value.decoded if isinstance(value, EncodedText) and verb.letter == "s" else str(value)
            return verb.padded(told[: verb.precision])
        case "q" if verb.has("#") and "`" not in value and value.isprintable():
            return verb.padded(f"`{value[: verb.precision]}`")
        case "q":
            return verb.padded(quoted(value[: verb.precision], ascii_only=verb.has("+")))
        case "x" | "X":
            return verb.padded(_hexadecimal(verb, value.encode()[: verb.precision]))
    return None


def _hexadecimal(verb: _Verb, octets: bytes) -> str:
    pairs = [format(one, f"02{verb.letter}") for one in octets]
    prefix = f"0{verb.letter}" if verb.has("#") and pairs else ""
    if verb.has(" "):
        return " ".join(prefix + pair for pair in pairs)
    return prefix + "".join(pairs)
