"""A token server of our own for Debian's registry: the registry believes what it signs."""

import base64
import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.integration.images.registries import (
    PASSWORD,
    USER,
    Answer,
    Request,
    ScriptedServer,
    docker_registry,
    scripted,
)

ISSUER, SERVICE = "tests", "registry"
_LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class TokenServer:
    """Gives tokens for pulls to everybody, for pushes and logins to whoever has the password."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        today = dt.datetime.now(dt.UTC)
        self.certificate = (
            x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(today - dt.timedelta(days=1))
            .not_valid_after(today + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        known = request.headers.get("authorization") == _LOGIN
        if not known and "authorization" in request.headers:
            return Answer(401, b'{"errors":[{"message":"wrong password"}]}')
        asked = parse_qs(urlsplit(request.path).query)
        access = []
        for scope in asked.get("scope", []):
            kind, name, actions = scope.split(":")
            allowed = [one for one in actions.split(",") if known or one == "pull"]
            access.append({"type": kind, "name": name, "actions": allowed})
        return Answer(body=json.dumps({"token": self._token(access)}).encode())

    def _token(self, access: list[dict[str, object]]) -> str:
        now = int(dt.datetime.now(dt.UTC).timestamp())
        chain = [base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()]
        head = {"typ": "JWT", "alg": "ES256", "x5c": chain}
        claims = {"iss": ISSUER, "sub": USER, "aud": SERVICE, "jti": "1", "access": access}
        claims |= {"exp": now + 300, "nbf": now - 60, "iat": now}
        signed = ".".join(_encoded(json.dumps(one).encode()) for one in (head, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass
class Guarded:
    """A registry, and the server that gives tokens for it."""

    addr: str
    tokens: TokenServer
    server: ScriptedServer


@contextlib.asynccontextmanager
async def guarded_registry(folder: Path) -> AsyncIterator[Guarded]:
    """Run docker-registry with a token server."""
    folder.mkdir(parents=True)
    tokens = TokenServer()
    bundle = folder / "root.pem"
    bundle.write_bytes(tokens.certificate.public_bytes(Encoding.PEM))
    async with scripted(tokens) as server:
        realm = f"http://{server.addr}/token"
        auth = f"token: {{realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {bundle}}}"
        async with docker_registry(folder / "registry", auth=auth) as addr:
            yield Guarded(addr, tokens, server)
