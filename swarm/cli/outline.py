"""Nested objects as an outline for people."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from swarm.model.units import format_duration, format_size

PROFILE_SHOWN = 64  # an AppArmor profile is a name; one of seccomp is a document
DURATIONS = {
    "Delay",
    "Window",
    "Monitor",
    "StopGracePeriod",
    "MaxDelay",
    "StartingDeadline",
    "ScaleUpWindow",
    "ScaleDownWindow",
}


def as_text(key: str, value: Any) -> str:
    """Return the value of a field in the unit that its name speaks of."""
    if key in DURATIONS and isinstance(value, int):
        return format_duration(value)
    if key.endswith("Bytes"):
        return format_size(value)
    if key == "Profile" and len(str(value)) > PROFILE_SHOWN:
        return f"{len(b64decode(value))} bytes"
    if key == "NanoCPUs":
        return f"{value / 1e9:g} CPUs"
    return str(value).lower() if isinstance(value, bool) else str(value)


def lines_of(view: Mapping[str, Any], indent: int = 0) -> list[str]:
    """Return an indented outline of a nested mapping; empty parts are left out, tuples are lines."""
    pad = " " * indent
    result: list[str] = []
    for key, value in view.items():
        if isinstance(value, Mapping):
            inner = lines_of(value, indent + 1)
            result += [f"{pad}{key}:", *inner] if inner else []
        elif isinstance(value, tuple):
            result += [f"{pad}{key}:", *(f"{pad} {one}" for one in value)] if value else []
        elif isinstance(value, Sequence) and not isinstance(value, str):
            result += _list_lines(key, value, pad)
        elif value not in {"", None}:
            result.append(f"{pad}{key}: {as_text(key, value)}")
    return result


def _list_lines(key: str, values: Sequence[Any], pad: str) -> list[str]:
    if not values:
        return []
    if all(isinstance(value, str) for value in values):
        return [f"{pad}{key}: {' '.join(values)}"]
    items = [", ".join(line.strip() for line in lines_of(value)) for value in values]
    return [f"{pad}{key}:", *(f"{pad} - {item}" for item in items)]
