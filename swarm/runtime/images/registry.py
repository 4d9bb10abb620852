"""How is an image fetched from an OCI registry? The client side of the distribution protocol, over httpx.

A password goes to the registry it is meant for and to the token server that registry names, over TLS
unless plain HTTP is allowed for that host; never along a redirect to another host.
"""

from __future__ import annotations  # so that no signature loads httpx

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from swarm.errors import InvalidArgument, NotFound, SwarmError, Unauthenticated, Unavailable
from swarm.lazy import lazily
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.digests import check_digest, digest_of
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.manifest import MANIFEST_TYPES
from swarm.runtime.images.registry_auth import (
    DOCKER_HUB,
    Challenge,
    basic_authorization,
    credentials_for,
    is_loopback,
    may_use_plain_http,
    parse_challenges,
)
from swarm.runtime.images.registry_trust import CERTIFICATES_DIR, own_certificates, trusting

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")  # 4 MB of memory that a node without a registry does not need

log = structlog.get_logger(__name__)

_DOCKER_HUB_ENDPOINT = "registry-1.docker.io"
_REDIRECTS_MAX = 5
_RETRIES_MAX = 4
_RETRY_AFTER_MAX_S = 30.0
_BACKOFF_S = 0.5
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_REDIRECTED_AS_IT_IS = frozenset({307, 308})  # with method and body
# A server without TLS answers a handshake with an error, or not at all.
_TLS_PROBE_S = 3.0
# What OpenSSL says when the answer to a handshake is plain text.
_NO_TLS = ("wrong version number", "record layer failure", "wrong_version_number")
_ERROR_BYTES_MAX = 64 * 1024
_CLIENT_ID = "swarm"

Content = Callable[[], bytes | AsyncIterator[bytes]] | None


@dataclass(frozen=True, slots=True)
class Repository:
    """Where an image lives: the registry's HOST[:PORT] as in the reference, and the path there."""

    domain: str
    path: str

    def __str__(self) -> str:
        """Return both as people write them."""
        return f"{self.domain}/{self.path}"


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do, with whose credentials: the key of the token cache."""

    repository: Repository  # with an empty path: the registry itself
    credentials: Credentials | None = field(repr=False)
    actions: str = "pull"
    also_from: str = ""  # path of another repository there, to take blobs from
    lasting: bool = False  # ask for an identity token as well

    @property
    def scopes(self) -> list[str]:
        """The scopes as token servers spell them."""
        scopes = [f"repository:{self.repository.path}:{self.actions}"] if self.repository.path else []
        return [*scopes, f"repository:{self.also_from}:pull"] if self.also_from else scopes


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest or index as the registry sent it, its digest computed here."""

    digest: str
    media_type: str
    content: bytes


class RegistryClient:
    """Pulls from any registry. One instance serves one event loop; `close` when done."""

    def __init__(
        self,
        insecure_registries: Sequence[str] = (),
        limits: Limits | None = None,
        *,
        timeout_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
        certificates_dir: Path = CERTIFICATES_DIR,
    ) -> None:
        """`insecure_registries`: who may be asked without TLS, besides this machine; `tls`: own trust.

        `certificates_dir`/HOST[:PORT]/*.crt: certificates that are trusted for one registry as well.
        """
        self._certificates_dir = certificates_dir
        self._insecure = tuple(insecure_registries)
        self._limits = limits or Limits()
        self._timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0))
        self._tls = tls
        self._clients: dict[tuple[bool, bool, tuple[Path, ...]], httpx.AsyncClient] = {}
        self._schemes: dict[str, str] = {}
        self._tokens: dict[Access, str] = {}
        self._identity_tokens: dict[Access, str] = {}

    async def close(self) -> None:
        """Close all connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    async def login(self, domain: str, credentials: Credentials) -> str:
        """Find out whether the registry `domain` takes `credentials`; return its identity token, if any.

        Raises Unauthenticated, Unavailable, NotFound (no registry there).
        """
        access = Access(Repository(domain, ""), credentials_for(domain, credentials), lasting=True)
        response = await self.request(access, "GET", "")
        await response.aclose()
        return self._identity_tokens.pop(access, "")

    async def manifest(
        self, repository: Repository, tag_or_digest: str, credentials: Credentials | None = None
    ) -> FetchedManifest:
        """Return a manifest or index.

        Raises NotFound, Unauthenticated, Unavailable, InvalidArgument (content does not have the digest).
        """
        access = Access(repository, credentials_for(repository.domain, credentials))
        headers = {"Accept": ", ".join(MANIFEST_TYPES), "Accept-Encoding": "identity"}
        response = await self.request(access, "GET", f"manifests/{tag_or_digest}", headers=headers)
        try:
            content = await _read_bounded(response, self._limits.document_bytes_max)
        finally:
            await response.aclose()
        digest = digest_of(content)
        if ":" in tag_or_digest and digest != check_digest(tag_or_digest):
            raise InvalidArgument(f"{repository.domain} sent other content for {tag_or_digest}")
        return FetchedManifest(digest, response.headers.get("content-type", ""), content)

    async def blob(
        self, repository: Repository, digest: str, offset: int = 0, credentials: Credentials | None = None
    ) -> AsyncIterator[bytes]:
        """Yield a blob from `offset` on, unchecked; raises as `manifest` does."""
        access = Access(repository, credentials_for(repository.domain, credentials))
        # No transfer encoding: the bytes must be those that the digest was made of.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        response = await self.request(access, "GET", f"blobs/{digest}", headers=headers)
        # A registry may ignore the range and begin at the beginning.
        skip = offset if response.status_code != 206 else 0
        try:
            async for chunk in response.aiter_raw():
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:]
                skip = 0
        except httpx.TransportError as error:
            raise Unavailable(f"{repository.domain}: {_reason(error)}") from error
        finally:
            await response.aclose()

    async def request(
        self,
        access: Access,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content = None,
    ) -> httpx.Response:
        """Send a request about a repository and return the open response, which the caller closes.

        `path` is below the repository, or a whole URL that the registry named. Follows redirects, answers
        challenges, waits when told to, and raises for every status of 400 and above. `content` is called
        each time that the request is sent.
        """
        repository = access.repository
        scheme = await self._scheme(repository.domain)
        base = f"{scheme}://{_endpoint(repository.domain)}"
        registry, url = httpx.URL(base), httpx.URL(path)
        if not url.is_absolute_url:
            below = f"{repository.path}/{path}" if repository.path else ""
            url = httpx.URL(f"{base}/v2/{below}")
        elif not _same_origin(url, registry):
            self._check_secure(url, f"{repository.domain} sends us on")
        attempt = 0
        challenged = False
        while True:
            token = self._tokens.get(access)
            response = await self._send(method, url, registry, dict(headers or {}), token, content)
            self._schemes[repository.domain] = scheme
            # Whom we were sent on to may not say where the password goes.
            asked_by_registry = _same_origin(response.url, registry)
            if response.status_code == 401 and asked_by_registry and not challenged:
                challenged = True
                await self._answer_challenge(access, response)
            elif response.status_code in _RETRIED and attempt < _RETRIES_MAX:
                await response.aclose()
                await asyncio.sleep(_delay_s(response, attempt))
                attempt += 1
            elif response.status_code >= 400:
                raise await _error(response, repository)
            else:
                return response

    async def _send(
        self,
        method: str,
        url: httpx.URL,
        origin: httpx.URL,
        headers: dict[str, str],
        authorization: str | None,
        content: Content,
    ) -> httpx.Response:
        for _ in range(_REDIRECTS_MAX + 1):
            sent = dict(headers)
            if authorization is not None and _same_origin(url, origin):
                sent["Authorization"] = authorization
            client = self._client(url)
            try:
                body = content() if content is not None else None
                request = client.build_request(method, url, headers=sent, content=body)
                response = await client.send(request, stream=True)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise Unavailable(f"registry not reachable: {_name(url)}: {_reason(error)}") from error
            if response.status_code not in _REDIRECTED:
                return response
            if method not in ("GET", "HEAD") and response.status_code not in _REDIRECTED_AS_IT_IS:
                await response.aclose()
                raise Unavailable(f"{origin.host} redirects a {method} to something else")
            await response.aclose()
            url = self._redirected(url, response)
        raise Unavailable(f"{origin.host} redirects without end")

    def _redirected(self, url: httpx.URL, response: httpx.Response) -> httpx.URL:
        try:
            target = url.join(response.headers.get("location", ""))
        except httpx.InvalidURL as error:
            raise Unavailable(f"{url.host} redirects to nowhere: {error}") from error
        self._check_secure(target, f"{url.host} redirects")
        return target

    def _check_secure(self, target: httpx.URL, what_happens: str) -> None:
        if target.scheme != "https" and not (target.scheme == "http" and self._plain_http_allowed(target)):
            raise Unavailable(f"{what_happens} to {target.scheme}://{target.host}, which is not secure")

    def _plain_http_allowed(self, url: httpx.URL) -> bool:
        return may_use_plain_http(url.netloc.decode("ascii"), self._insecure)

    async def _scheme(self, domain: str) -> str:
        """Return https, or http when it is allowed for the registry and TLS does not work there."""
        if not may_use_plain_http(domain, self._insecure):
            return "https"
        if known := self._schemes.get(domain):
            return known
        try:
            url = httpx.URL(f"https://{domain}/v2/")
            async with self._client(url).stream("GET", url, timeout=_TLS_PROBE_S):
                return "https"
        except (httpx.TransportError, httpx.InvalidURL):
            # Also when nobody listens: the request itself will say so.
            return "http"

    def _client(self, url: httpx.URL) -> httpx.AsyncClient:
        # Proxies of the environment are for the world outside, never for this machine.
        local = is_loopback(url.host)
        # Where plain HTTP is good enough, so is a certificate that nobody vouches for.
        insecure = self._plain_http_allowed(url)
        trusted = () if insecure else own_certificates(self._certificates_dir, url.netloc.decode("ascii"))
        client = self._clients.get((local, insecure, trusted))
        if client is None:
            client = self._clients[local, insecure, trusted] = httpx.AsyncClient(
                timeout=self._timeout,
                follow_redirects=False,
                trust_env=not local,
                verify=_unverified() if insecure else self._tls or trusting(trusted),
                limits=httpx.Limits(max_connections=16),
            )
        return client

    async def _answer_challenge(self, access: Access, response: httpx.Response) -> None:
        await response.aclose()
        for challenge in parse_challenges(response.headers.get_list("www-authenticate")):
            if challenge.scheme == "bearer":
                self._tokens[access] = f"Bearer {await self._token(access, challenge)}"
                return
            if access.credentials is not None and access.credentials.username:
                self._tokens[access] = basic_authorization(access.credentials)
                return
        self._tokens.pop(access, None)

    async def _token(self, access: Access, challenge: Challenge) -> str:
        realm = challenge.parameters.get("realm", "")
        try:
            url = httpx.URL(realm)
        except httpx.InvalidURL as error:
            raise Unavailable(f"{access.repository.domain} names no usable token server") from error
        if url.scheme != "https" and not (url.scheme == "http" and self._plain_http_allowed(url)):
            raise Unavailable(f"the token server of {access.repository.domain} is not secure: {realm}")
        query = {"service": service} if (service := challenge.parameters.get("service")) else {}
        response = await self._ask_for_token(url, query, access)
        if response.status_code in (401, 403):
            raise Unauthenticated(
                f"authentication required: {url.host} refused the credentials for "
                f"{access.repository if access.repository.path else access.repository.domain}"
            )
        if response.status_code != 200:
            raise Unavailable(f"token server {url.host} answered {response.status_code}")
        try:
            answer = response.json()
            token = answer.get("token") or answer["access_token"]
            if access.lasting and isinstance(lasting := answer.get("refresh_token"), str):
                self._identity_tokens[access] = lasting
        except (ValueError, KeyError, AttributeError) as error:
            raise Unavailable(f"token server {url.host} sent no token") from error
        return str(token)

    async def _ask_for_token(self, url: httpx.URL, query: dict[str, str], access: Access) -> httpx.Response:
        client, credentials = self._client(url), access.credentials
        try:
            if credentials is not None and credentials.identity_token:
                form = query | {"scope": " ".join(access.scopes)} if access.scopes else query
                form |= {"grant_type": "refresh_token", "client_id": _CLIENT_ID}
                return await client.post(url, data=form | {"refresh_token": credentials.identity_token})
            headers = {"Authorization": basic_authorization(credentials)} if credentials else {}
            lasting = {"offline_token": "true", "client_id": _CLIENT_ID} if access.lasting else {}
            asked = {"scope": access.scopes} | query | lasting
            return await client.get(url.copy_merge_params(asked), headers=headers)
        except httpx.TransportError as error:
            raise Unavailable(f"token server not reachable: {url.host}: {_reason(error)}") from error


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _endpoint(domain: str) -> str:
    return _DOCKER_HUB_ENDPOINT if domain == DOCKER_HUB else domain


def _same_origin(first: httpx.URL, second: httpx.URL) -> bool:
    return (first.scheme, first.host, first.port) == (second.scheme, second.host, second.port)


def _name(url: httpx.URL) -> str:
    return url.netloc.decode("ascii")


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if any(sign in text.lower() for sign in _NO_TLS):
        return "it speaks no TLS; name it with --insecure-registry where that is as it should be"
    return text


def _delay_s(response: httpx.Response, attempt: int) -> float:
    """Return how long to wait: what the registry asks for in seconds, within reason, else ever longer."""
    try:
        asked = float(response.headers.get("retry-after", ""))
    except ValueError:  # absent, or a date
        return float(_BACKOFF_S * 2**attempt)
    return min(max(asked, 0.0), _RETRY_AFTER_MAX_S)


async def _read_bounded(response: httpx.Response, size_max: int) -> bytes:
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > size_max:
                raise InvalidArgument(f"{response.url.host} sent more than {size_max} bytes")
    except httpx.TransportError as error:
        raise Unavailable(f"{response.url.host}: {_reason(error)}") from error
    except httpx.DecodingError as error:
        raise Unavailable(f"{response.url.host} sent damaged content: {error}") from error
    return bytes(content)


async def _error(response: httpx.Response, repository: Repository) -> SwarmError:
    status = response.status_code
    try:
        detail = _detail(await _read_bounded(response, _ERROR_BYTES_MAX))
    except SwarmError:
        detail = ""
    finally:
        await response.aclose()
    if status in (401, 403):
        return Unauthenticated(
            f"authentication required: {repository.domain} refused access ({detail or status})"
        )
    if status == 404:
        return NotFound(f"image not found in {repository.domain} ({detail or status})")
    if status in _RETRIED:
        return Unavailable(f"{repository.domain} answered {status} ({detail})")
    return InvalidArgument(f"{repository.domain} answered {status} ({detail})")


def _detail(content: bytes) -> str:
    """Return the first error of a registry's answer, shortened; empty when there is none."""
    try:
        first = httpx.Response(200, content=content).json()["errors"][0]
        text = str(first.get("message") or first.get("code") or "")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return text[:200]
