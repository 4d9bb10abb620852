"""Which settings do instructions of a Dockerfile give to an image that is made of a container? Pure."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from swarm.errors import InvalidArgument
from swarm.model.units import parse_duration

Settings = dict[str, Any]

_SHELL = ("/bin/sh", "-c")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_HEALTH = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"} | {
    "start-interval": "StartInterval"
}


def with_changes(settings: Mapping[str, Any], changes: Iterable[str]) -> Settings:
    """Return settings (the `config` of an image) changed as the instructions say; raises InvalidArgument."""
    found, given = dict(settings), set[str]()
    for line in changes:
        word, _, rest = line.strip().partition(" ")
        apply = _INSTRUCTIONS.get(word.upper())
        if apply is None:
            known = ", ".join(sorted(_INSTRUCTIONS))
            raise InvalidArgument(f'--change "{line}": {word or "nothing"} is none of {known}')
        if not rest.strip():
            raise InvalidArgument(f'--change "{line}": nothing follows {word}')
        try:
            apply(found, rest.strip())
        except (ValueError, InvalidArgument) as error:
            raise InvalidArgument(f'--change "{line}": {error}') from None
        given.add(word.upper())
    if "ENTRYPOINT" in given and "CMD" not in given:
        found.pop("Cmd", None)  # it was meant for the one before
    return found


def _command(key: str) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, text: str) -> None:
        words = _listed(text)
        settings[key] = [*_SHELL, text] if words is None else words

    return apply


def _listed(text: str) -> list[str] | None:
    """Return the words of a JSON list, which may be empty; None for what is no such list."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except ValueError:
        return None
    return words if isinstance(words, list) and all(isinstance(one, str) for one in words) else None


def _environment(settings: Settings, text: str) -> None:
    added = _pairs(text)
    kept = [one for one in settings.get("Env") or () if one.partition("=")[0] not in added]
    settings["Env"] = kept + [f"{key}={value}" for key, value in added.items()]


def _labels(settings: Settings, text: str) -> None:
    settings["Labels"] = {**(settings.get("Labels") or {}), **_pairs(text)}


def _pairs(text: str) -> dict[str, str]:
    """Return `KEY=VALUE KEY="VALUE"`, or `KEY VALUE` with all that follows."""
    words = shlex.split(text)
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise ValueError("write KEY=VALUE")
        return {key: value.strip()}
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise ValueError(f'"{word}" is not KEY=VALUE')
        found[key] = value
    return found


def _expose(settings: Settings, text: str) -> None:
    ports = dict(settings.get("ExposedPorts") or {})
    for word in text.split():
        for port in ports_of(word):
            ports[port] = {}
    settings["ExposedPorts"] = ports


def ports_of(text: str) -> list[str]:
    """Return PORT/PROTOCOL for `PORT[-PORT][/PROTOCOL]`; raises ValueError."""
    found = _PORT.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if found is None or not 0 < first <= last <= 65535:
        raise ValueError(f'"{text}" is not PORT[-PORT][/tcp|udp|sctp]')
    return [f"{number}/{(found[3] or 'tcp').lower()}" for number in range(first, last + 1)]


def _volume(settings: Settings, text: str) -> None:
    places = _listed(text) or text.split()
    settings["Volumes"] = {**(settings.get("Volumes") or {}), **{place: {} for place in places}}


def _on_build(settings: Settings, text: str) -> None:
    settings["OnBuild"] = [*(settings.get("OnBuild") or ()), text]


def _working_dir(settings: Settings, text: str) -> None:
    before = settings.get("WorkingDir") or "/"
    settings["WorkingDir"] = text if text.startswith("/") else f"{before.rstrip('/')}/{text}"


def _text(key: str) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, text: str) -> None:
        settings[key] = text

    return apply


def _health(settings: Settings, text: str) -> None:
    check: dict[str, Any] = {}
    while (option := re.match(r"--([a-z-]+)=(\S+)\s*", text)) is not None:
        name, value = option.groups()
        if name == "retries" and value.isdecimal():
            check["Retries"] = int(value)
        elif name in _HEALTH:
            check[_HEALTH[name]] = parse_duration(value)
        else:
            raise ValueError(f"--{name}={value} is no option of HEALTHCHECK")
        text = text[option.end() :]
    word, _, rest = text.partition(" ")
    if word.upper() == "NONE" and not check:
        settings["Healthcheck"] = {"Test": ["NONE"]}
        return
    if word.upper() != "CMD" or not rest.strip():
        raise ValueError("write HEALTHCHECK [OPTION...] CMD COMMAND, or HEALTHCHECK NONE")
    words = _listed(rest.strip())
    test = ["CMD", *words] if words else ["CMD-SHELL", rest.strip()]
    settings["Healthcheck"] = {"Test": test, **check}


_INSTRUCTIONS: Mapping[str, Callable[[Settings, str], None]] = {
    "CMD": _command("Cmd"),
    "ENTRYPOINT": _command("Entrypoint"),
    "ENV": _environment,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health,
    "LABEL": _labels,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _text("StopSignal"),
    "USER": _text("User"),
    "VOLUME": _volume,
    "WORKDIR": _working_dir,
}
