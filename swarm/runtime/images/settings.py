"""Can the settings of an image for its containers be meant? Pure; also of those that we make no use of."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from swarm.errors import InvalidArgument
from swarm.runtime.images.documents import string_of, strings_of
from swarm.runtime.images.shown import shown

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(?:tcp|udp|sctp))?", re.IGNORECASE)
_USER = re.compile(r"[^:/\s\x00-\x1f\x7f]*(?::[^:/\s\x00-\x1f\x7f]*)?")
_PORT_MAX = 65535


def check_settings(runs: Mapping[str, Any]) -> None:
    """Raise InvalidArgument for settings (the configuration's `config`) that no builder writes."""
    for variable in strings_of(runs, "Env"):
        if variable.find("=") < 1:
            raise InvalidArgument(f"`Env` has {shown(variable)}, which is not NAME=VALUE")
    if not _USER.fullmatch(user := string_of(runs, "User")):
        raise InvalidArgument(f"`User` is {shown(user)}, which is not USER or USER:GROUP")
    parts = PurePosixPath(folder := string_of(runs, "WorkingDir")).parts
    if ".." in parts or parts[:2] in (("/", "proc"), ("//", "proc")):
        raise InvalidArgument(f"`WorkingDir` is {shown(folder)}, where no image may want to be")
    for port in _keys(runs, "ExposedPorts"):
        found = _PORT.fullmatch(port)
        if found is None or any(int(number) > _PORT_MAX for number in found.groups() if number):
            raise InvalidArgument(f"`ExposedPorts` has {shown(port)}, which is not PORT/PROTOCOL")
    for place in _keys(runs, "Volumes"):
        if not place or "\0" in place or ".." in PurePosixPath(place).parts:
            raise InvalidArgument(f"`Volumes` has {shown(place)}, which is no place in a container")
    labels = runs.get("Labels")
    if not all(isinstance(value, str) for value in _object(labels, "Labels").values()):
        raise InvalidArgument("`Labels` has a value that is not a string")


def _keys(runs: Mapping[str, Any], key: str) -> list[str]:
    return list(_object(runs.get(key), key))


def _object(value: object, key: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"`{key}` is not an object")
    return value
