"""What does a JSON document of an image say? Read strictly: nothing that readers could take differently.

Python alone would take the last of two equal keys, NaN, half of a surrogate pair, and any Unicode encoding.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from swarm.errors import InvalidArgument
from swarm.runtime.images.shown import shown


def parse_json(content: bytes, what: str) -> Any:
    """Return the JSON in `content`; raises InvalidArgument naming `what`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in found if keys.count(key) > 1)
            raise InvalidArgument(f"the {what} says {shown(twice)} twice")
        return found

    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=unique, parse_constant=_no_number)
    except RecursionError:
        raise InvalidArgument(f"the {what} is nested too deeply") from None
    except ValueError as error:
        raise InvalidArgument(f"the {what} is not JSON: {error}") from error


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def parse_object(content: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in `content`; raises InvalidArgument naming `what`."""
    document = parse_json(content, what)
    if not isinstance(document, dict):
        raise InvalidArgument(f"the {what} is not a JSON object")
    return document


def string_of(document: Mapping[str, Any], key: str) -> str:
    """Return a string of an object, empty when there is none; raises InvalidArgument."""
    value = document.get(key)
    return "" if value is None else _text(value, key, "a string")


def strings_of(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a list of strings of an object, empty when there is none; raises InvalidArgument."""
    value = document.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidArgument(f"`{key}` is not a list of strings")
    return tuple(_text(item, key, "a list of strings") for item in value)


def amount_of(document: Mapping[str, Any], key: str, most: int) -> int:
    """Return a number from 0 to `most` of an object, 0 when there is none; raises InvalidArgument."""
    value = document.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidArgument(f"`{key}` is not a number from 0 to {most}")
    return value


def _text(value: object, key: str, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"`{key}` is not {what}")
    if "\0" in value:
        raise InvalidArgument(f"`{key}` has a zero byte in {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"`{key}` has half a character in {shown(value)}") from None
    return value
