"""What people have set in the configuration of Docker's client, and hold for ours too."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

_DETACH_KEYS = "ctrl-p,ctrl-q"


def config_path() -> Path:
    """Return where Docker's client keeps its configuration."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def layout_of(key: str, given: str, *, quiet: bool = False) -> str:
    """Return the format of a list: what was given, else what stands under `key`, such as `psFormat`."""
    return given or ("" if quiet else _text(key))


def prune_filters(given: Iterable[str]) -> list[str]:
    """Return the filters of every `prune`, without those that what was given contradicts."""
    contrary = {_opposite(one) for one in given}
    wanted = _settings().get("pruneFilters")
    return [one for one in wanted or () if isinstance(one, str) and one not in contrary]


def _opposite(text: str) -> str:
    key, _, value = text.partition("=")
    return f"label={value}" if key == "label!" else f"label!={value}" if key == "label" else ""


def _text(key: str) -> str:
    value = _settings().get(key)
    return value if isinstance(value, str) else ""


def _detach_keys() -> str:
    return _text("detachKeys") or _DETACH_KEYS


DETACH_KEYS = click.option(
    "--detach-keys", default=_detach_keys, show_default=_DETACH_KEYS, help="Keys that let it run on."
)


def _settings() -> Mapping[str, Any]:
    """Return the settings; those of a file that makes no sense hold for nothing, as with Docker's client."""
    path = config_path()
    try:
        found = json.loads(path.read_text() or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as problem:
        click.echo(f"Warning: cannot read {path}: {problem}", err=True)
        return {}
    return found if isinstance(found, dict) else {}
