"""A Vault-compatible server for tests: KV 1 and 2, tokens with policies, AppRole, sealing.

Standard library only.
`python vault_server.py HOST PORT STATE [CERT KEY]` serves; STATE is a JSON file that is read anew for each
request, and STATE.log gets a line for each. It is as strict as the real one: a request without its header or
with the wrong token is refused, and nothing is told to who may not read.
"""

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

EMPTY: dict[str, Any] = {
    "sealed": False,
    "slow_s": 0,
    "namespace": "",
    "tokens": {},  # token -> paths that it may read, as prefixes
    "roles": {},  # role id -> {"secret_id", "token", "lease_duration"}
    "kv1": {},  # mount/path -> fields
    "kv2": {},  # mount/path -> list of versions: fields, or "deleted" or "destroyed"
}


class State:
    """What the server knows: a file, so that a test can change it from anywhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path.with_suffix(".log")
        self._lock = threading.Lock()
        if not path.exists():
            self.write(EMPTY)

    def read(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    def write(self, state: dict[str, Any]) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self.path)

    def change(self, **fields: Any) -> None:
        self.write(self.read() | fields)

    def note(self, line: str) -> None:
        with self._lock, self.log.open("a") as log:
            log.write(line + "\n")

    def asked(self) -> list[str]:
        """What was asked so far: method, path, status."""
        return self.log.read_text().splitlines() if self.log.exists() else []


class Refused(Exception):
    def __init__(self, status: int, *errors: str, data: dict[str, Any] | None = None) -> None:
        self.status = status
        self.page: dict[str, Any] = {"errors": list(errors)} if data is None else {"data": data}


def answer(state: dict[str, Any], method: str, url: str, headers: Any, body: bytes) -> dict[str, Any]:
    """What Vault says; raises Refused."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if state["sealed"]:
        raise Refused(503, "Vault is sealed")
    if headers.get("X-Vault-Request") != "true":
        raise Refused(412, "missing required header")
    if headers.get("X-Vault-Namespace", "") != state["namespace"] or not path.startswith("/v1/"):
        raise Refused(404, "no handler for route")
    path = path.removeprefix("/v1/")
    if path.startswith("auth/"):
        return login(state, method, path, body)
    allowed = state["tokens"].get(headers.get("X-Vault-Token", ""))
    if allowed is None or not any(path.startswith(one) for one in allowed):
        raise Refused(403, "1 error occurred:\n\t* permission denied\n\n")
    if method != "GET":
        raise Refused(405, "unsupported operation")
    mount, _, rest = path.partition("/")
    if f"{mount}/{rest}" in state["kv1"]:
        return {"data": state["kv1"][f"{mount}/{rest}"], "lease_duration": 2764800}
    if not rest.startswith("data/"):
        raise Refused(404)
    versions = state["kv2"].get(f"{mount}/{rest.removeprefix('data/')}")
    number = int(parse_qs(parts.query).get("version", ["0"])[0]) or len(versions or ())
    if not versions or number > len(versions):
        raise Refused(404)
    return {"data": version(versions[number - 1], number)}


def version(fields: Any, number: int) -> dict[str, Any]:
    metadata = {"version": number, "destroyed": fields == "destroyed", "deletion_time": ""}
    if isinstance(fields, str):
        metadata["deletion_time"] = "2026-01-01T00:00:00Z"
        raise Refused(404, data={"data": None, "metadata": metadata})
    return {"data": fields, "metadata": metadata}


def login(state: dict[str, Any], method: str, path: str, body: bytes) -> dict[str, Any]:
    asked = json.loads(body or b"{}")
    role = state["roles"].get(asked.get("role_id"))
    if method != "POST" or path != "auth/approle/login":
        raise Refused(403, "permission denied")
    if role is None or role["secret_id"] != asked.get("secret_id"):
        raise Refused(400, "invalid role or secret ID")
    lasts = role.get("lease_duration", 3600)
    return {"auth": {"client_token": role["token"], "lease_duration": lasts, "renewable": True}}


class VaultServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, state: State, context: ssl.SSLContext | None = None) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                now = state.read()
                time.sleep(now["slow_s"])
                status, page = 200, {}
                try:
                    page = answer(now, self.command, self.path, self.headers, body)
                except Refused as refused:
                    status, page = refused.status, refused.page
                state.note(f"{self.command} {self.path} {status}")
                content = json.dumps(page).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        super().__init__((host, port), Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


if __name__ == "__main__":
    context = None
    if len(sys.argv) > 4:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
    VaultServer(sys.argv[1], int(sys.argv[2]), State(Path(sys.argv[3])), context).serve_forever()
