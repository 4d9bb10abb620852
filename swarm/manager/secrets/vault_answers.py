"""What does an answer of a Vault-compatible server say? Pure. No error shows anything of a secret."""

import base64
import binascii
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from swarm.errors import TaskRejected, Unavailable

PROBLEM_CHARACTERS = 200
KV1, KV2 = "1", "2"


def secret_url(options: Mapping[str, str]) -> str:
    """Return where a secret is; raises TaskRejected for a path that leads elsewhere."""
    mount, path = options.get("mount", "secret"), options["path"]
    middle = "" if options.get("kv", KV2) == KV1 else "data/"
    url = f"{options['address'].rstrip('/')}/v1/{_quoted(mount)}/{middle}{_quoted(path)}"
    return f"{url}?version={options['version']}" if "version" in options else url


def login_url(options: Mapping[str, str]) -> str:
    """Return where an AppRole logs in; raises TaskRejected as `secret_url`."""
    mount = _quoted(options.get("approle-mount", "approle"))
    return f"{options['address'].rstrip('/')}/v1/auth/{mount}/login"


def _quoted(path: str) -> str:
    parts = path.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise TaskRejected(f'its driver vault cannot ask for the path "{path[:80]}"')
    return "/".join(quote(part, safe="") for part in parts)


def check_answer(status: int, body: bytes, what: str) -> Mapping[str, Any]:
    """Return the object in the answer to a question for `what`; raises TaskRejected and Unavailable."""
    page = _object(body)
    if status == HTTPStatus.OK and page is not None:
        return page
    said = _said(page)
    if status == HTTPStatus.FORBIDDEN:
        raise Forbidden(f"Vault does not permit {what}{said}: does its token, or a policy, still hold?")
    if status == HTTPStatus.NOT_FOUND:
        raise TaskRejected(f"Vault has nothing for {what}{_deleted(page)}{said}")
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED):
        raise TaskRejected(f"Vault refuses {what}{said}")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise Unavailable(f"Vault is not ready{said}")
    if 300 <= status < 400:
        raise Unavailable("Vault sends its clients elsewhere: give the address of the active server")
    if status == HTTPStatus.OK:
        raise Unavailable("the server answers with what no Vault answers: is the address right?")
    raise Unavailable(f"Vault answers with HTTP status {status}{said}")


class Forbidden(TaskRejected):
    """Vault does not take the token, or does not let it read this."""


def value_in(page: Mapping[str, Any], options: Mapping[str, str], what: str) -> bytes:
    """Return the secret in the answer to a read; raises TaskRejected."""
    fields: Any = page.get("data")
    if options.get("kv", KV2) != KV1:
        fields = fields.get("data") if isinstance(fields, dict) else None
    if not isinstance(fields, dict):
        raise TaskRejected(f"Vault has no secret for {what}: is it an engine KV {options.get('kv', KV2)}?")
    return _decoded(_text(fields, options.get("field", ""), what), options, what)


def _text(fields: Mapping[str, Any], name: str, what: str) -> bytes:
    if name == "*":
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if not name and len(fields) != 1:
        raise TaskRejected(f"{what} in Vault has {len(fields)} fields: say which with the option field=NAME")
    if name and name not in fields:
        raise TaskRejected(f'{what} in Vault has no field "{name[:80]}"')
    value = fields[name] if name else next(iter(fields.values()))
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _decoded(value: bytes, options: Mapping[str, str], what: str) -> bytes:
    if options.get("encoding") != "base64":
        return value
    try:
        return base64.b64decode(b"".join(value.split()), validate=True)
    except binascii.Error:
        raise TaskRejected(f"{what} in Vault is not in base64, which encoding=base64 says") from None


def token_in(page: Mapping[str, Any]) -> tuple[str, float]:
    """Return the token that a login gave, and for how many seconds it is good (0: for ever)."""
    auth = page.get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(token, str) or not token:
        raise Unavailable("Vault let the AppRole in but gave it no token")
    lasts = auth.get("lease_duration") if isinstance(auth, dict) else 0
    return token, float(lasts) if isinstance(lasts, int | float) and lasts > 0 else 0.0


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return page if isinstance(page, dict) else None


def _said(page: Mapping[str, Any] | None) -> str:
    errors = page.get("errors") if page is not None else None
    found = [one for one in errors if isinstance(one, str)] if isinstance(errors, list) else []
    line = " ".join(" ".join(found).split())
    return f" ({line[:PROBLEM_CHARACTERS]})" if line else ""


def _deleted(page: Mapping[str, Any] | None) -> str:
    data = page.get("data") if page is not None else None
    metadata = data.get("metadata") if isinstance(data, dict) else None
    if not isinstance(metadata, dict):
        return ""
    if metadata.get("destroyed"):
        return ": that version was destroyed"
    return ": that version was deleted" if metadata.get("deletion_time") else ""
