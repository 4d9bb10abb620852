"""A volume plugin of Docker's protocol, version 1: `volume_plugin.py SOCKET FOLDER`. Standard library only.

A volume is a folder in FOLDER. It counts who has mounted what, refuses what makes no sense, and writes down
every call: tests read calls.log.
"""

import json
import shutil
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class Refused(Exception):
    """What becomes Err."""


class Volumes:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users: dict[str, set[str]] = {}
        self.lock = threading.Lock()
        self.answers = threading.Event()  # cleared: it is silent
        self.answers.set()

    def answer(self, verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.answers.wait()
        with self.lock:
            with (self.folder / "calls.log").open("a") as log:
                log.write(
                    f"{verb.rpartition('.')[2]} {asked.get('Name', '')} {asked.get('ID', '')}".strip() + "\n"
                )
            if verb == "Plugin.Activate":
                return {"Implements": ["VolumeDriver"]}
            handler = getattr(self, verb.removeprefix("VolumeDriver.").lower(), None)
            if handler is None:
                raise Refused(f"unknown call {verb}")
            return handler(asked) or {}

    def _place(self, asked: dict[str, Any]) -> Path:
        place = self.folder / asked["Name"]
        if not place.is_dir():
            raise Refused(f"no volume {asked['Name']}")
        return place

    def create(self, asked: dict[str, Any]) -> None:
        if "fail" in (asked.get("Opts") or {}):
            raise Refused("as you like")
        (self.folder / asked["Name"]).mkdir()

    def get(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Volume": {"Name": asked["Name"], "Mountpoint": str(self._place(asked))}}

    def list(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Volumes": [{"Name": path.name} for path in self.folder.iterdir() if path.is_dir()]}

    def mount(self, asked: dict[str, Any]) -> dict[str, Any]:
        place, users = self._place(asked), self.users.setdefault(asked["Name"], set())
        if asked["ID"] in users:
            raise Refused(f"{asked['ID']} has it already")
        users.add(asked["ID"])
        return {"Mountpoint": str(place)}

    def unmount(self, asked: dict[str, Any]) -> None:
        users = self.users.get(asked["Name"], set())
        if asked["ID"] not in users:
            raise Refused(f"{asked['ID']} does not have it")
        users.remove(asked["ID"])

    def remove(self, asked: dict[str, Any]) -> None:
        if self.users.get(asked["Name"]):
            raise Refused("it is mounted")
        shutil.rmtree(self._place(asked))


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        try:
            answer = self.server.volumes.answer(self.path.strip("/"), asked)  # type: ignore[attr-defined]
        except Refused as problem:
            answer = {"Err": str(problem)}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(socket: Path, folder: Path) -> Iterator[Volumes]:
    """Serve in a thread of this process."""
    folder.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(parents=True, exist_ok=True)
    with _Server(str(socket), _Handler) as server:
        server.volumes = volumes = Volumes(folder)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield volumes
        finally:
            server.shutdown()
            thread.join()
            socket.unlink()


if __name__ == "__main__":
    with serving(Path(sys.argv[1]), Path(sys.argv[2])):
        threading.Event().wait()
