"""Durations and sizes as people write them, and back."""

import re
from collections.abc import Sequence
from fractions import Fraction

from swarm.errors import InvalidArgument

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_CPUS = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_MOST = (1 << 63) - 1  # what the messages between programs can hold


def parse_duration(text: str) -> int:
    """Return nanoseconds for a duration such as `10s`, `1m30s` or `250ms`; a lone `0` is allowed."""
    parts = list(_DURATION.finditer(text))
    if text == "0":
        return 0
    if not parts or "".join(part.group(0) for part in parts) != text.removeprefix("+"):
        raise InvalidArgument(
            f'invalid duration "{text}": write a number with a unit, e.g. 10s, 1m30s or 250ms'
        )
    nanoseconds = round(sum(Fraction(part.group(1)) * NANOSECONDS[part.group(2)] for part in parts))
    return _bounded(nanoseconds, f'the duration "{text}"', "292 years")


def format_duration(nanoseconds: int) -> str:
    """Return a duration the way `parse_duration` reads it, e.g. `1m30s`."""
    if nanoseconds == 0:
        return "0s"
    rest, text = nanoseconds, ""
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, NANOSECONDS[unit])
        text += f"{count}{unit}" if count else ""
    return text


def parse_bytes(text: str) -> int:
    """Return bytes for a size such as `64m`, `1.5g` or `1048576`; units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(
            f'invalid size "{text}": write a number with a unit, e.g. 64m, 1.5g or 1048576'
        )
    count = round(Fraction(match.group(1)) * BYTES[match.group(2).lower()])
    return _bounded(count, f'the size "{text}"', "8191p")


def exact_size(count: int) -> str:
    """Return a size the way `parse_bytes` reads it, in the largest unit that says it exactly, e.g. `64m`."""
    unit = max((one for one in BYTES if one != "b" and count % BYTES[one] == 0), key=BYTES.__getitem__)
    return f"{count // BYTES[unit]}{unit}"


def format_size(count: int) -> str:
    """Return a size for people, in powers of 1000 with three digits, e.g. `1.23MB`."""
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB"), digits=3)


def format_binary(count: int) -> str:
    """Return an amount as Docker prints memory: powers of 1024 with four digits, e.g. `23.54GiB`."""
    return _scaled(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB"), digits=4)


def _scaled(count: int, base: int, units: Sequence[str], *, digits: int) -> str:
    size, unit = float(count), 0
    while size >= base and unit < len(units) - 1:
        size, unit = size / base, unit + 1
    return f"{size:.{digits}g}{units[unit]}"


def format_memory(count: int) -> str:
    """Return an amount of memory for people, in powers of 1024, e.g. `1.2 GiB`."""
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):  # noqa: B007 -- the unit reached is the answer
        if abs(size) < 1024:
            break
        size /= 1024
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def format_cpus(nano_cpus: int) -> str:
    """Return a number of CPUs for people, e.g. `0.5 CPUs`."""
    number = f"{nano_cpus / 1e9:.3f}".rstrip("0").rstrip(".")
    return f"{number} CPU" if number == "1" else f"{number} CPUs"


def parse_cpus(text: str) -> int:
    """Return billionths of a CPU for a decimal number such as `0.5`."""
    if _CPUS.fullmatch(text) is None:
        raise InvalidArgument(f'invalid number of CPUs "{text}": write a decimal number, e.g. 0.5')
    return _bounded(round(Fraction(text) * 10**9), f'the number of CPUs "{text}"', "9 billion")


def _bounded(number: int, said: str, most: str) -> int:
    if number > _MOST:
        raise InvalidArgument(f"{said} is larger than any can be: write at most {most}")
    return number


def format_age(nanoseconds: int) -> str:
    """Return how long ago something was, roughly, e.g. `5 minutes`."""
    seconds = max(0, nanoseconds) // 10**9
    steps = (
        (1, "Less than a second"),
        (2, "1 second"),
        (60, f"{seconds} seconds"),
        (120, "About a minute"),
        (46 * 60, f"{seconds // 60} minutes"),
        (90 * 60, "About an hour"),
        (48 * 3600, f"{round(seconds / 3600)} hours"),
        (14 * 86400, f"{seconds // 86400} days"),
        (60 * 86400, f"{seconds // (7 * 86400)} weeks"),
        (730 * 86400, f"{seconds // (30 * 86400)} months"),
    )
    return next((text for limit, text in steps if seconds < limit), f"{seconds // (365 * 86400)} years")
