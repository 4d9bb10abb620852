"""The driver `vault`: KV secrets of HashiCorp Vault, OpenBao and whatever speaks like them, over HTTP(S).

The address is other people's: no redirects (the token would go along), no proxies of the environment, and
bounded time and size.
"""

from __future__ import annotations  # so that no signature loads httpx

import asyncio
import hashlib
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from swarm.clock import Clock
from swarm.errors import TaskRejected, Unavailable
from swarm.lazy import lazily
from swarm.manager.secrets.question import Answer, Lookup, Question
from swarm.manager.secrets.vault_answers import (
    Forbidden,
    check_answer,
    login_url,
    secret_url,
    token_in,
    value_in,
)
from swarm.model.limits import SECRET_BYTES

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")  # memory that a cluster without such secrets does not need

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 4 * SECRET_BYTES.value  # in JSON a byte may become several
CLIENTS_MAX = 16
LOGINS_MAX = 256
LOGIN_PART = 0.8  # of its life, after which a token is not used any more


@dataclass(frozen=True, slots=True)
class _Login:
    token: str
    until_s: float


class Vault:
    """A Driver."""

    def __init__(self, clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._clients: OrderedDict[bytes, httpx.AsyncClient] = OrderedDict()  # by their CA
        self._logins: OrderedDict[tuple[str, ...], _Login] = OrderedDict()
        self._turns: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    def per_task(self, question: Question) -> bool:
        """Whether the user wants each task to be asked for by itself."""
        return question.options.get("reuse") == "false"

    async def close(self) -> None:
        """See Driver."""
        clients, self._clients = self._clients, OrderedDict()
        for client in clients.values():
            await client.aclose()

    async def read(self, question: Question, lookup: Lookup) -> Answer:
        """See Driver."""
        options = question.options
        what = f'the path "{options["path"]}"'
        if "version" in options:
            what += f" version {options['version']}"
        try:
            async with asyncio.timeout(self._timeout_s):
                page = await self._read(options, lookup, what)
        except TimeoutError:
            raise Unavailable(f"Vault did not answer within {self._timeout_s:g} s") from None
        return Answer(value_in(page, options, what), reusable=not self.per_task(question))

    async def _read(self, options: Mapping[str, str], lookup: Lookup, what: str) -> Mapping[str, Any]:
        client = await self._client(lookup.config(options["ca-config"]) if "ca-config" in options else b"")
        token, is_fresh = await self._token(client, options, lookup)
        url = secret_url(options)
        try:
            return check_answer(*await self._ask(client, "GET", url, options, token=token), what)
        except Forbidden:
            if is_fresh:
                raise
        # A login of before may have been revoked, also before its time.
        key = _login_key(options, lookup)
        if key in self._logins and self._logins[key].token == token:
            del self._logins[key]
        token, _ = await self._token(client, options, lookup)
        return check_answer(*await self._ask(client, "GET", url, options, token=token), what)

    async def _token(
        self, client: httpx.AsyncClient, options: Mapping[str, str], lookup: Lookup
    ) -> tuple[str, bool]:
        """Return a token, and whether another one would be no better."""
        if options.get("token-secret"):
            return _line(lookup.secret(options["token-secret"])), True
        key, now_s = _login_key(options, lookup), self._clock.monotonic_s()
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:  # secret ids may be good for a few logins only
            known = self._logins.get(key)
            if known is not None and now_s < known.until_s:
                return known.token, False
            asked = {
                "role_id": options["role-id"],
                "secret_id": _line(lookup.secret(options["secret-id-secret"])),
            }
            answer = await self._ask(client, "POST", login_url(options), options, body=asked)
            token, lasts_s = token_in(check_answer(*answer, "the login of its AppRole"))
            self._logins[key] = _Login(token, now_s + LOGIN_PART * lasts_s if lasts_s else float("inf"))
            while len(self._logins) > LOGINS_MAX:
                self._logins.popitem(last=False)
            return token, True

    async def _ask(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        options: Mapping[str, str],
        *,
        token: str = "",
        body: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        headers = {"X-Vault-Request": "true"}
        if token:
            headers["X-Vault-Token"] = token
        if options.get("namespace"):
            headers["X-Vault-Namespace"] = options["namespace"]
        try:
            async with client.stream(method, url, headers=headers, json=body) as answer:
                content = bytearray()
                async for piece in answer.aiter_raw():  # nothing is unpacked: it could grow a thousandfold
                    content += piece
                    if len(content) > ANSWER_BYTES_MAX:
                        raise TaskRejected("what Vault has there is too large for a secret")
                return answer.status_code, bytes(content)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
            reason = " ".join((str(error) or type(error).__name__).split())[:200]
            raise Unavailable(f"Vault at {options['address']} cannot be asked: {reason}") from None

    async def _client(self, ca_pem: bytes) -> httpx.AsyncClient:
        key = hashlib.sha256(ca_pem).digest()
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = httpx.AsyncClient(
                timeout=self._timeout_s,
                trust_env=False,
                verify=_trust(ca_pem),
                headers={"Accept-Encoding": "identity"},
            )
        self._clients.move_to_end(key)
        while len(self._clients) > CLIENTS_MAX:
            await self._clients.popitem(last=False)[1].aclose()
        return client


def _trust(ca_pem: bytes) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=ca_pem.decode("ascii") or None)
    except (ssl.SSLError, UnicodeDecodeError):
        raise TaskRejected("the config that ca-config names holds no CA certificates in PEM") from None


def _line(data: bytes) -> str:
    """Return a token or secret id; a file often ends with a line feed that is none of it."""
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text:
        raise TaskRejected("the secret that its driver vault logs in with holds no token or secret id")
    return text


def _login_key(options: Mapping[str, str], lookup: Lookup) -> tuple[str, ...]:
    digest = hashlib.sha256(lookup.secret(options["secret-id-secret"])).hexdigest()
    return (login_url(options), options.get("namespace", ""), options["role-id"], digest)
