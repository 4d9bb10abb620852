"""What did a registry answer? Read within bounds of size and time, and told to people without harm."""

from __future__ import annotations  # so that no signature loads httpx

import asyncio
from typing import TYPE_CHECKING

from swarm.errors import InvalidArgument, NotFound, SwarmError, Unauthenticated, Unavailable
from swarm.lazy import lazily
from swarm.runtime.images.documents import parse_object
from swarm.runtime.images.registry_trust import CERTIFICATES_DIR
from swarm.runtime.images.shown import plain

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazily("httpx")

# What a registry may answer when it is only busy.
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
# A document has at most a few megabytes: who needs longer than this does not mean to end.
DOCUMENT_S = 120.0
_RETRY_AFTER_MAX_S = 30.0
_BACKOFF_S = 0.5
_ERROR_BYTES_MAX = 64 * 1024
# What OpenSSL says when the answer to a handshake is plain text.
_NO_TLS = ("wrong version number", "record layer failure", "wrong_version_number")
_NO_TRUST = "certificate verify failed"


class WrongTls(Unavailable):
    """No secure connection can be made, and the next attempt would end in the same way."""


def reason_of(error: Exception) -> str:
    """Return why a request failed, and what to do where we know."""
    text = str(error) or type(error).__name__
    if isinstance(error, (httpx.ReadTimeout, TimeoutError)):
        return "it keeps us waiting for too long"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if _speaks_no_tls(error):
        return (
            "it speaks no TLS; name it with --insecure-registry (for login: in SWARM_INSECURE_REGISTRIES) "
            "where that is as it should be"
        )
    return plain(text)


def not_reachable(name: str, error: Exception) -> Unavailable:
    """Return the error for a request to the registry `name` that got no answer."""
    text = f"registry not reachable: {name}: {reason_of(error)}"
    if _speaks_no_tls(error):
        return WrongTls(text)
    if _NO_TRUST in str(error).lower():
        place = CERTIFICATES_DIR / name / "ca.crt"
        return WrongTls(f"{text}; put the certificate of its authority into {place} on each node")
    return Unavailable(text)


def _speaks_no_tls(error: Exception) -> bool:
    return any(sign in str(error).lower() for sign in _NO_TLS)


def delay_s(response: httpx.Response, attempt: int) -> float:
    """Return how long to wait: what the registry asks for in seconds, within reason, else ever longer."""
    try:
        asked = float(response.headers.get("retry-after", ""))
    except ValueError:  # absent, or a date
        return float(_BACKOFF_S * 2**attempt)
    return min(asked, _RETRY_AFTER_MAX_S) if asked >= 0 else 0.0  # it may be no number at all


async def read_document(response: httpx.Response, size_max: int) -> bytes:
    """Return the content of an answer and close it; raises InvalidArgument (too much), Unavailable."""
    host = response.url.host
    content = bytearray()
    try:
        async with asyncio.timeout(DOCUMENT_S):
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > size_max:
                    raise InvalidArgument(f"{host} sent more than {size_max} bytes")
    except httpx.TransportError as error:
        raise Unavailable(f"{host}: {reason_of(error)}") from error
    except httpx.DecodingError as error:
        raise Unavailable(f"{host} sent damaged content: {reason_of(error)}") from error
    except TimeoutError as error:
        raise Unavailable(f"{host} did not come to an end within {DOCUMENT_S:g} s") from error
    finally:
        await response.aclose()
    return bytes(content)


async def error_of(response: httpx.Response, domain: str) -> SwarmError:
    """Return what an answer of 400 and above means, and close it."""
    status = response.status_code
    try:
        detail = _detail(await read_document(response, _ERROR_BYTES_MAX))
    except SwarmError:
        detail = ""
    if status in (401, 403):
        return Unauthenticated(f"authentication required: {domain} refused access ({detail or status})")
    if status == 404:
        return NotFound(f"image not found in {domain} ({detail or status})")
    if status in RETRIED:
        return Unavailable(f"{domain} answered {status} ({detail or _words(status)})")
    return InvalidArgument(f"{domain} answered {status} ({detail})")


def _words(status: int) -> str:
    return "too many requests" if status == httpx.codes.TOO_MANY_REQUESTS else "no reason given"


def _detail(content: bytes) -> str:
    """Return the first error of a registry's answer, shortened; empty when there is none."""
    try:
        first = parse_object(content, "answer")["errors"][0]
        return plain(str(first.get("message") or first.get("code") or ""))
    except (SwarmError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
