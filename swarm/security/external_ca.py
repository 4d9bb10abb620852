"""Certificates from an external CA: an HTTPS service that speaks CFSSL's protocol and holds the root's key.

A manager shows its own certificate there, and sends the key of a node or user with the name that it
shall get. What comes back is believed only as far as it can be checked: see `answers.py`.
"""

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from swarm.api.v1.specs_pb2 import ExternalCA
from swarm.errors import FailedPrecondition, InvalidArgument, SwarmError, Unavailable
from swarm.security.answers import Wanted, certificate_in, check_issued
from swarm.security.keyfiles import NodeBundle
from swarm.security.roots import check_cross_signed

TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 64 * 1024
SIGN_PATH = "/api/v1/cfssl/sign"
CROSS_SIGN_PROFILE = "CA"  # of the external CA: for authorities instead of nodes
URLS_MAX = 8


def check_external_cas(external_cas: Sequence[ExternalCA]) -> None:
    """Raise InvalidArgument for what cannot be asked."""
    if len(external_cas) > URLS_MAX:
        raise InvalidArgument(f"{len(external_cas)} external CAs were given, and {URLS_MAX} are the most")
    for external in external_cas:
        parts = urlsplit(external.url)
        if parts.scheme != "https" or not parts.hostname:
            raise InvalidArgument(
                f'the URL "{external.url}" of the external CA must be https://HOST[:PORT][/PATH]'
            )
        if parts.username or parts.password:
            raise InvalidArgument(
                "the URL of an external CA holds no password: managers show their certificate"
            )


def sign_url(url: str) -> str:
    """Return where to send requests: a URL without path gets CFSSL's."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=SIGN_PATH)) if parts.path in {"", "/"} else url


@dataclass(frozen=True, slots=True)
class ExternalSigner:
    """Asks the external CAs that sign with a root, one after the other."""

    external_cas: Sequence[ExternalCA]
    root_pem: bytes  # that the certificates are to be from
    trusted_pem: bytes  # roots that this manager trusts; the servers' certificates are from one of them
    bundle: NodeBundle  # with which this manager shows who it is

    async def sign(self, wanted: Wanted, now_ns: int) -> bytes:
        """Return a certificate (PEM) that says what is wanted.

        Raises Unavailable when no CA answers, FailedPrecondition when what it answers is wrong.
        """
        body = {
            "certificate_request": wanted.csr_pem.decode(),
            "hosts": wanted.hosts,
            "subject": {
                "CN": wanted.node_id,
                "names": [{"OU": wanted.role.value, "O": wanted.cluster_id}],
            },
        }

        def check(pem: bytes) -> None:
            check_issued(pem, wanted, self.root_pem, now_ns)

        return await self._ask(body, check)

    async def cross_sign(self, csr_pem: bytes, target_pem: bytes) -> bytes:
        """Return the root `target_pem` as an intermediate below this one; raises like `sign`."""
        body = {
            "certificate_request": csr_pem.decode(),
            "profile": CROSS_SIGN_PROFILE,
        }

        def check(pem: bytes) -> None:
            problem = check_cross_signed(pem, target_pem, self.root_pem)
            if problem:
                raise FailedPrecondition(f"the external CA signed the new root wrongly: {problem}")

        return await self._ask(body, check)

    async def _ask(self, body: Mapping[str, object], check: Callable[[bytes], None]) -> bytes:
        usable = [one for one in self.external_cas if one.ca_cert_pem in {b"", self.root_pem}]
        problem: SwarmError = FailedPrecondition(
            "the cluster does not have the key of its root, and no external CA that signs with it:"
            " give one with swarmctl ca --rotate --ca-cert FILE --external-ca protocol=cfssl,url=URL"
        )
        for external in usable:
            try:
                pem = await self._post(external, json.dumps(body).encode())
                check(pem)
            except SwarmError as error:
                problem = error
            else:
                return pem
        raise problem

    async def _post(self, external: ExternalCA, body: bytes) -> bytes:
        import httpx

        url = sign_url(external.url)
        context = await asyncio.to_thread(_tls, self.bundle, self.trusted_pem + external.ca_cert_pem)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                # Limits of its own would sometimes end it first, without the reason.
                async with httpx.AsyncClient(verify=context, trust_env=False, timeout=None) as client:  # noqa: S113
                    headers = {"content-type": "application/json"}
                    async with client.stream("POST", url, content=body, headers=headers) as response:
                        answer = b""
                        async for chunk in response.aiter_bytes():
                            answer += chunk
                            if len(answer) > ANSWER_BYTES_MAX:
                                raise FailedPrecondition(f"the external CA at {url} answers without an end")
        except TimeoutError:
            raise Unavailable(f"the external CA at {url} did not answer within {TIMEOUT_S:g} s") from None
        except (httpx.HTTPError, OSError) as error:  # an alert of TLS 1.3 comes late, as ssl's own error
            raise Unavailable(
                f"the external CA at {url} cannot be asked: {str(error) or type(error).__name__}"
            ) from error
        return certificate_in(url, response.status_code, answer)


def _tls(bundle: NodeBundle, roots_pem: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=roots_pem.decode())
    with _in_memory(bundle.key_pem + bundle.cert_pem) as path:
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Give content a path without putting it on a disk: `ssl` reads keys from files only."""
    descriptor = os.memfd_create("swarm-key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
