"""How is an image fetched from an OCI registry? The client side of the distribution protocol, over httpx.

A password goes to the registry it is meant for and to the token server that registry names, over TLS
unless plain HTTP is allowed for that host; never along a redirect to another host.
"""

from __future__ import annotations  # so that no signature loads httpx

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from swarm.errors import InvalidArgument, SwarmError, Unavailable
from swarm.lazy import lazily
from swarm.model.registries import RegistryRules
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.digests import check_digest, digest_of
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.manifest import MANIFEST_TYPES, check_served, parse_manifest
from swarm.runtime.images.registry_answers import (
    RETRIED,
    delay_s,
    error_of,
    not_reachable,
    read_document,
    reason_of,
)
from swarm.runtime.images.registry_auth import (
    DOCKER_HUB,
    Challenge,
    basic_authorization,
    credentials_for,
    is_loopback,
    may_use_plain_http,
    parse_challenges,
)
from swarm.runtime.images.registry_tokens import Question, ask_for_token
from swarm.runtime.images.registry_trust import CERTIFICATES_DIR, own_certificates, trusting
from swarm.runtime.images.shown import plain, shown

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")  # 4 MB of memory that a node without a registry does not need

log = structlog.get_logger(__name__)

_DOCKER_HUB_ENDPOINT = "registry-1.docker.io"
_REDIRECTS_MAX = 5
_RETRIES_MAX = 4
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_REDIRECTED_AS_IT_IS = frozenset({307, 308})  # with method and body
# A server without TLS answers a handshake with an error, or not at all.
_TLS_PROBE_S = 3.0
# Longer than the time without a byte that ends a connection: headers may come in drops.
_ANSWER_S = 60.0
# A mirror that failed is passed over for a while: it would cost the same time for every blob.
_SHUNNED_S = 60.0
# Who sends less than this in that time keeps us busy and nothing else.
SLOW_BYTES, SLOW_S = 16 * 1024, 60.0

T = TypeVar("T")
Content = Callable[[], bytes | AsyncIterator[bytes]] | None
Tell = Callable[[str], None] | None  # hears why it takes longer


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
        rules: RegistryRules | None = None,
    ) -> None:
        """`insecure_registries`: who may be asked without TLS, besides this machine; `tls`: own trust.

        `certificates_dir`/HOST[:PORT]/*.crt: certificates that are trusted for one registry as well.
        `rules`: who is asked in place of a registry, and who never is.
        """
        self._rules = rules or RegistryRules()
        self._shunned_until_s: dict[str, float] = {}
        self._forged: set[tuple[Repository, str]] = set()  # what mirrors sent for a digest was not that
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
        self,
        repository: Repository,
        tag_or_digest: str,
        credentials: Credentials | None = None,
        tell: Tell = None,
    ) -> FetchedManifest:
        """Return a manifest or index, of a mirror or of the registry itself.

        Raises NotFound, Unauthenticated, Unavailable, InvalidArgument (content does not have the digest),
        NotPermitted (a blocked registry).
        """
        return await self.first_of(
            repository,
            credentials,
            lambda place, login: self._manifest(place, tag_or_digest, login, tell),
            tell,
        )

    async def first_of(
        self,
        repository: Repository,
        credentials: Credentials | None,
        ask: Callable[[Repository, Credentials | None], Awaitable[T]],
        tell: Tell = None,
    ) -> T:
        """Return the first answer: of a mirror, else of the registry itself, whose errors are raised."""
        for mirror in self._mirrors(repository):
            if tell is not None:
                tell(f"asking mirror {mirror.domain}")
            try:
                with self._shunning(mirror):
                    return await ask(mirror, for_mirror(credentials))
            except SwarmError as error:
                _pass_over(mirror, error, tell)
        return await ask(repository, credentials)

    async def _manifest(
        self, repository: Repository, tag_or_digest: str, credentials: Credentials | None, tell: Tell
    ) -> FetchedManifest:
        access = Access(repository, credentials_for(repository.domain, credentials))
        headers = {"Accept": ", ".join(MANIFEST_TYPES), "Accept-Encoding": "identity"}
        path = f"manifests/{tag_or_digest}"
        response = await self.request(access, "GET", path, headers=headers, tell=tell)
        content = await read_document(response, self._limits.document_bytes_max)
        digest, said = digest_of(content), response.headers.get("docker-content-digest", "")
        if ":" in tag_or_digest and digest != check_digest(tag_or_digest):
            raise InvalidArgument(f"{repository.domain} sent other content for {tag_or_digest}")
        if said.startswith("sha256:") and said != digest:
            raise InvalidArgument(f"{repository.domain} says {shown(said)} of what has the digest {digest}")
        media_type = response.headers.get("content-type", "")
        try:
            # Also for whoever only asks for the digest: a page of a server must not be pinned.
            parse_manifest(content, self._limits.layers_max)
            check_served(content, media_type)
        except InvalidArgument as error:
            raise InvalidArgument(f"{repository}: {error}") from error
        return FetchedManifest(digest, media_type, content)

    async def blob(
        self,
        repository: Repository,
        digest: str,
        offset: int = 0,
        credentials: Credentials | None = None,
        tell: Tell = None,
    ) -> AsyncIterator[bytes]:
        """Yield a blob from `offset` on, unchecked; raises as `manifest` does.

        What a mirror begins and does not bring to an end, the next one or the registry goes on with.
        """
        for mirror in self._mirrors(repository):
            if (mirror, digest) in self._forged:
                continue
            whole = hashlib.sha256() if offset == 0 else None
            try:
                with self._shunning(mirror):
                    login = for_mirror(credentials)
                    chunks = self._blob(mirror, digest, offset, login, tell)
                    async with contextlib.aclosing(chunks):
                        async for chunk in chunks:
                            offset += len(chunk)
                            if whole is not None:
                                whole.update(chunk)
                            yield chunk
            except GeneratorExit:
                self._forged.add((mirror, digest))  # maybe: it was more than there should be
                raise
            except SwarmError as error:
                _pass_over(mirror, error, tell)
                continue
            if whole is not None and digest != f"sha256:{whole.hexdigest()}":
                # The reader finds out by itself, and comes again for what is right.
                self._forged.add((mirror, digest))
                log.warning("images.mirror_sent_other_content", mirror=str(mirror), digest=digest)
            return
        chunks = self._blob(repository, digest, offset, credentials, tell)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _blob(
        self, repository: Repository, digest: str, offset: int, credentials: Credentials | None, tell: Tell
    ) -> AsyncGenerator[bytes, None]:
        access = Access(repository, credentials_for(repository.domain, credentials))
        # No transfer encoding: the bytes must be those that the digest was made of.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        response = await self.request(access, "GET", f"blobs/{digest}", headers=headers, tell=tell)
        # A registry may ignore the range and begin at the beginning.
        skip = offset if response.status_code != 206 else 0
        clock = asyncio.get_running_loop().time
        received, since_s = 0, clock()
        try:
            async for chunk in response.aiter_raw():
                received += len(chunk)
                if clock() - since_s > SLOW_S:
                    if received < SLOW_BYTES:
                        raise Unavailable(f"{repository.domain} sent {received} bytes in {SLOW_S:g} s")
                    received, since_s = 0, clock()
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:]
                skip = 0
        except httpx.TransportError as error:
            raise Unavailable(f"{repository.domain}: {reason_of(error)}") from error
        finally:
            await response.aclose()

    def _mirrors(self, repository: Repository) -> list[Repository]:
        """Return where else a repository is looked for, in this order."""
        now_s = asyncio.get_running_loop().time()
        return [
            Repository(mirror.host, mirror.repository(repository.path))
            for mirror in self._rules.mirrors_of(repository.domain)
            if self._shunned_until_s.get(mirror.host, 0.0) <= now_s
        ]

    @contextlib.contextmanager
    def _shunning(self, mirror: Repository) -> Iterator[None]:
        """Pass over a mirror for a while after it broke, or kept somebody waiting for too long."""
        try:
            yield
        except (Unavailable, asyncio.CancelledError):
            self._shunned_until_s[mirror.domain] = asyncio.get_running_loop().time() + _SHUNNED_S
            raise

    async def request(
        self,
        access: Access,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content = None,
        tell: Tell = None,
    ) -> httpx.Response:
        """Send a request about a repository and return the open response, which the caller closes.

        `path` is below the repository, or a whole URL that the registry named. Follows redirects, answers
        challenges, waits when told to, and raises for every status of 400 and above. `content` is called
        each time that the request is sent.
        """
        repository = access.repository
        self._rules.check(repository.domain)
        scheme = await self._scheme(repository.domain)
        base = f"{scheme}://{_endpoint(repository.domain)}"
        registry, url = httpx.URL(base), httpx.URL(path)
        if not url.is_absolute_url:
            below = f"{repository.path}/{path}" if repository.path else ""
            url = httpx.URL(f"{base}/v2/{below}")
        elif not _same_origin(url, registry):
            self._check_secure(url, registry)
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
            elif response.status_code in RETRIED and attempt < _RETRIES_MAX:
                wait_s = delay_s(response, attempt)
                reason = await error_of(response, repository.domain)
                if tell is not None:
                    tell(f"{reason}, asking again in {wait_s:g} s")
                await asyncio.sleep(wait_s)
                attempt += 1
            elif response.status_code >= 400:
                raise await error_of(response, repository.domain)
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
                # An upload takes as long as it takes.
                async with asyncio.timeout(_ANSWER_S if content is None else None):
                    response = await client.send(request, stream=True)
            except (httpx.TransportError, httpx.InvalidURL, TimeoutError) as error:
                raise not_reachable(_name(url), error) from error
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
            raise Unavailable(f"{url.host} redirects to nowhere: {plain(str(error))}") from error
        self._check_secure(target, url)
        return target

    def _check_secure(self, target: httpx.URL, sender: httpx.URL) -> None:
        """Raise Unavailable when the server `sender` sends us to a place where nobody should send us."""
        place = plain(f"{target.scheme}://{target.host}")
        if target.scheme != "https" and not (target.scheme == "http" and self._plain_http_allowed(target)):
            raise Unavailable(f"{sender.host} sends us on to {place}, which is not secure")
        if is_loopback(target.host) and not self._plain_http_allowed(sender):
            # What listens on this machine for this machine trusts whoever asks.
            raise Unavailable(f"{sender.host} sends us on to this machine ({place})")
        if self._rules.is_blocked(_name(target)):
            raise Unavailable(f"{sender.host} sends us on to {place}, which is blocked on this node")

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
        realm, domain = challenge.parameters.get("realm", ""), access.repository.domain
        try:
            url = httpx.URL(realm)
        except httpx.InvalidURL as error:
            raise Unavailable(f"{domain} names no usable token server") from error
        if url.scheme != "https" and not (url.scheme == "http" and self._plain_http_allowed(url)):
            raise Unavailable(f"the token server of {domain} is not secure: {plain(realm)}")
        if is_loopback(url.host) and not may_use_plain_http(domain, self._insecure):
            raise Unavailable(f"{domain} names this machine as its token server: {plain(realm)}")
        asker = str(access.repository) if access.repository.path else domain
        service = challenge.parameters.get("service", "")
        question = Question(url, service, access.scopes, access.credentials, access.lasting, asker)
        tokens = await ask_for_token(self._client(url), question)
        if tokens.identity:
            self._identity_tokens[access] = tokens.identity
        return tokens.bearer


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _pass_over(mirror: Repository, error: SwarmError, tell: Tell) -> None:
    log.info("images.mirror_passed_over", mirror=str(mirror), reason=str(error))
    if tell is not None:
        tell(f"mirror {mirror.domain}: {error}")


def _endpoint(domain: str) -> str:
    return _DOCKER_HUB_ENDPOINT if domain == DOCKER_HUB else domain


def _same_origin(first: httpx.URL, second: httpx.URL) -> bool:
    return (first.scheme, first.host, first.port) == (second.scheme, second.host, second.port)


def _name(url: httpx.URL) -> str:
    return url.netloc.decode("ascii")


def for_mirror(credentials: Credentials | None) -> Credentials | None:
    """Return credentials for a mirror to choose from: only those that say by name whom they are for."""
    return credentials if credentials is not None and credentials.server else None
