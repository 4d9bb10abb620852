"""Volume drivers of others: Docker's plugin protocol, version 1, over the Unix sockets of a node. Blocks."""

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from swarm.errors import NotFound, TaskRejected, Unavailable

SOCKET_DIRECTORIES = (Path("/run/docker/plugins"),)
TIMEOUT_S = 45.0  # below what the creation of a container may take
ANSWER_BYTES = 4 * 1024 * 1024

_TYPE = {"Content-Type": "application/vnd.docker.plugins.v1.2+json"}
_KIND = "VolumeDriver"


class VolumePlugin:
    """One plugin; every call may raise Unavailable (nobody answers) and TaskRejected (it says why not)."""

    def __init__(self, name: str, path: Path) -> None:
        """`path` is the socket on which it listens."""
        self.name = name
        self._socket = path

    def check(self) -> None:
        """Raise TaskRejected for a plugin that makes no volumes."""
        implements = self._ask("Plugin.Activate").get("Implements")
        if not isinstance(implements, list) or _KIND not in implements:
            raise TaskRejected(f"the plugin {self.name} is none for volumes")

    def ensure(self, volume: str, options: Mapping[str, str]) -> None:
        """Make a volume, unless the plugin has it: perhaps another node made it."""
        try:
            self._call("Get", Name=volume)
        except TaskRejected:
            self._call("Create", Name=volume, Opts=dict(options))

    def mount(self, volume: str, user: str) -> Path:
        """Return where a volume is for one user, whose name is the plugin's way to count them."""
        point = self._call("Mount", Name=volume, ID=user).get("Mountpoint")
        if not isinstance(point, str) or not point.startswith("/") or "\0" in point:
            raise TaskRejected(f"the volume plugin {self.name} does not say where {volume} is mounted")
        return Path(point)

    def unmount(self, volume: str, user: str) -> None:
        """Tell that a user is done."""
        self._call("Unmount", Name=volume, ID=user)

    def remove(self, volume: str) -> None:
        """Remove a volume with its data."""
        self._call("Remove", Name=volume)

    def _call(self, verb: str, **fields: object) -> dict[str, Any]:
        return self._ask(f"{_KIND}.{verb}", **fields)

    def _ask(self, verb: str, **fields: object) -> dict[str, Any]:
        try:
            status, content = self._post(verb, json.dumps(fields))
        except (OSError, HTTPException) as error:
            what = f"{verb.rpartition('.')[2]} {fields.get('Name', '')}".rstrip()
            raise Unavailable(f"the volume plugin {self.name} does not answer {what}: {error}") from None
        try:
            found = json.loads(content) if len(content) <= ANSWER_BYTES else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise TaskRejected(
                f"the volume plugin {self.name} answers {verb} with what is no object in JSON"
            )
        if found.get("Err") or status >= 400:
            reason = found.get("Err") or f"HTTP status {status}"
            raise TaskRejected(f"the volume plugin {self.name} says: {str(reason)[:1000]}")
        return found

    def _post(self, verb: str, body: str) -> tuple[int, bytes]:
        with closing(_Connection(self._socket)) as connection:
            connection.request("POST", f"/{verb}", body, _TYPE)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_BYTES + 1)


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("plugin", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket of the file system."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Plugins:
    """The plugins of a node."""

    def __init__(self, directories: Sequence[Path] = SOCKET_DIRECTORIES) -> None:
        """Look for sockets in `directories`: NAME.sock or NAME/NAME.sock."""
        self._directories = tuple(directories)

    def find(self, name: str) -> VolumePlugin:
        """Return a plugin; raises NotFound."""
        if name == Path(name).name:
            for directory in self._directories:
                for path in (directory / f"{name}.sock", directory / name / f"{name}.sock"):
                    if path.is_socket():
                        return VolumePlugin(name, path)
        where = " or ".join(str(directory / f"{name}.sock") for directory in self._directories)
        raise NotFound(f"this node has no volume plugin {name}: there is no socket {where}")
