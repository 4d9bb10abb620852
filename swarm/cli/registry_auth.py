"""Registry credentials of the person at the keyboard, from Docker's config.json."""

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Any

from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.errors import InvalidArgument, NotFound
from swarm.model.reference import parse_reference

DOCKER_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")


def config_path() -> Path:
    """Return where Docker's client keeps its configuration."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def credentials(image: str) -> RegistryAuth:
    """Return the credentials for the registry of `image`; raises NotFound when there are none."""
    registry = parse_reference(image).registry
    path = config_path()
    entries = _auths(path)
    for key in DOCKER_HUB_KEYS if registry == "docker.io" else (registry, f"https://{registry}"):
        if entries.get(key):
            return _decode(registry, entries[key], path)
    raise NotFound(
        f"--with-registry-auth: {path} has no credentials for {registry}; "
        f"add them with `docker login {registry}`"
    )


def _auths(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise InvalidArgument(f"cannot read {path}: {problem}") from None
    auths = found.get("auths", {}) if isinstance(found, dict) else {}
    return auths if isinstance(auths, dict) else {}


def _decode(registry: str, entry: dict[str, Any], path: Path) -> RegistryAuth:
    username, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth"):
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise InvalidArgument(
                f"{path}: the entry for {registry} is not base64 of NAME:PASSWORD"
            ) from None
    return RegistryAuth(
        server=registry,
        username=username,
        password=password,
        identity_token=entry.get("identitytoken", ""),
    )
