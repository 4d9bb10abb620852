"""What an ACME server is asked, by the library of Certbot. Blocks; loaded by a leader that needs it.

Each call stands for itself: an order is known by its URL alone, so that another leader can go on with it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import josepy as jose
import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarm.errors import Unavailable, UserError
from swarm.model.acme import PROOF, PROOF_NAME

TIMEOUT_S = 10
PROBLEM_CHARACTERS = 400
_CN_CHARACTERS = 64


class Refused(UserError):
    """The ACME server says no."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the server has it."""

    url: str
    status: str  # pending, ready, processing, valid, invalid
    finalize: str = ""
    certificate: str = ""
    challenge: str = ""  # URL of the HTTP-01 challenge that waits; empty: nothing has to be proved
    proof_name: str = ""
    proof: str = ""
    problem: str = ""


def new_key() -> bytes:
    """Return a new private key in PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class AcmeClient:
    """One account at one ACME server. Raises Refused, and Unavailable when nothing came of it."""

    def __init__(self, directory: str, ca_pem: bytes, key_pem: bytes, account_url: str) -> None:
        """`account_url` is empty until `register` has returned it."""
        private: Any = serialization.load_pem_private_key(key_pem, password=None)
        self._key = jose.jwk.JWKEC(key=private)
        self._directory_url = directory
        self._directory: dict[str, Any] = {}
        self._ca_fd = os.memfd_create("acme-ca") if ca_pem else -1
        if ca_pem:
            os.write(self._ca_fd, ca_pem)
        verify: Any = f"/proc/self/fd/{self._ca_fd}" if ca_pem else True
        self._net = ClientNetwork(
            self._key, alg=jose.jwa.ES256, verify_ssl=verify, user_agent="swarm", timeout=TIMEOUT_S
        )
        self._retry_after_s = 0.0
        self._net.session.hooks["response"].append(self._heard)
        if account_url:
            self._use(account_url)

    def close(self) -> None:
        """Close connections and files."""
        self._net.session.close()
        if self._ca_fd >= 0:
            os.close(self._ca_fd)
            self._ca_fd = -1

    def register(self, email: str) -> str:
        """Return the URL of the account: the one that the key has already, or a new one."""
        asked = messages.NewRegistration.from_data(email=email, terms_of_service_agreed=True)
        response = self._ask(self._place("newAccount"), asked)
        self._use(self._location(response))
        return self._location(response)

    def order(self, host: str) -> Order:
        """Order a certificate for a host; a server may return an order that is there already."""
        name = messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=host)
        response = self._ask(self._place("newOrder"), messages.NewOrder(identifiers=[name]))
        return self._order(self._location(response), response.json())

    def look(self, url: str) -> Order:
        """Return an order as it is now."""
        return self._order(url, self._ask(url).json())

    def answer(self, order: Order) -> None:
        """Say that the challenge can be asked; may be said twice."""
        if order.challenge:
            self._ask(order.challenge, challenges.HTTP01Response())

    def finalize(self, order: Order, host: str, key_pem: bytes) -> None:
        """Ask for the certificate itself."""
        key: Any = serialization.load_pem_private_key(key_pem, password=None)
        names = [x509.NameAttribute(NameOID.COMMON_NAME, host)] if len(host) <= _CN_CHARACTERS else []
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name(names))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._ask(order.finalize, messages.CertificateRequest(csr=csr))

    def download(self, order: Order) -> bytes:
        """Return the certificate and those that signed it, in PEM."""
        chain: bytes = self._ask(order.certificate).content
        return chain.strip() + b"\n"

    # Below.

    def _use(self, account_url: str) -> None:
        self._net.account = messages.RegistrationResource(uri=account_url, body=messages.Registration())

    def _place(self, name: str) -> str:
        if not self._directory:
            with _translated(self):
                self._directory = self._net.get(self._directory_url).json()
        place = self._directory.get(name)
        if not isinstance(place, str):
            raise Unavailable(f"{self._directory_url} is no directory of an ACME server: it has no {name}")
        return place

    def _ask(self, url: str, what: Any = None) -> requests.Response:
        nonces = self._place("newNonce")
        with _translated(self):
            for again in (True, True, False):
                try:
                    return self._net.post(url, what, new_nonce_url=nonces)
                except messages.Error as error:
                    if error.code != "badNonce" or not again:
                        raise
        raise AssertionError

    def _order(self, url: str, said: dict[str, Any]) -> Order:
        status = str(said.get("status", ""))
        problem = _detail(said.get("error"))
        challenge = name = proof = ""
        if status in ("pending", "invalid"):
            for place in said.get("authorizations", [])[:1]:  # one host, one proof
                authorization = self._ask(place).json()
                found = [one for one in authorization["challenges"] if one.get("type") == "http-01"]
                if status == "invalid":
                    problem = next((text for one in found if (text := _detail(one.get("error")))), problem)
                elif authorization["status"] == "pending":
                    challenge, name, proof = self._proof(found)
        return Order(
            url,
            status,
            str(said.get("finalize", "")),
            str(said.get("certificate", "")),
            challenge,
            name,
            proof,
            problem,
        )

    def _proof(self, found: list[dict[str, Any]]) -> tuple[str, str, str]:
        if not found:
            raise Refused("the ACME server does not offer HTTP-01 for this host")
        with _translated(self):
            body = messages.ChallengeBody.from_json(found[0])
            proof = str(body.chall.key_authorization(self._key))
        name = str(found[0]["token"])
        # Both are put into commands for the proxies.
        if not PROOF_NAME.fullmatch(name) or not PROOF.fullmatch(proof):
            raise Refused("the ACME server gave a challenge that no ACME server gives")
        waits = found[0].get("status") == "pending"  # else it was answered already
        return str(found[0]["url"]) if waits else "", name, proof

    def _location(self, response: requests.Response) -> str:
        url = str(response.headers.get("Location", ""))
        if not url:
            raise Unavailable("the ACME server does not say where what it made is")
        return url

    def _heard(self, response: requests.Response, *_: object, **__: object) -> None:
        after = response.headers.get("Retry-After", "")
        self._retry_after_s = float(after) if re.fullmatch(r"[0-9]{1,8}", after) else 0.0

    @property
    def retry_after_s(self) -> float:
        """Return how long the last answer asked to wait."""
        return self._retry_after_s


@contextmanager
def _translated(client: AcmeClient) -> Iterator[None]:
    """Turn what the library raises into errors of our own."""
    try:
        yield
    except messages.Error as error:
        reason = _cut(f"{error.code or 'error'}: {error.detail}")
        if error.code in ("badNonce", "serverInternal"):  # says nothing of the order
            raise Unavailable(f"the ACME server is in trouble: {reason}") from None
        raise Refused(reason, client.retry_after_s) from None
    except (requests.RequestException, errors.Error, jose.errors.Error, ValueError, KeyError) as error:
        reason = _cut(str(error) or type(error).__name__)
        raise Unavailable(f"the ACME server cannot be asked: {reason}") from None


def _detail(error: Any) -> str:
    if not isinstance(error, dict):
        return ""
    kind = str(error.get("type", "")).rpartition(":")[2]
    return _cut(f"{kind}: {error.get('detail', '')}")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= PROBLEM_CHARACTERS else f"{line[:PROBLEM_CHARACTERS]}…"
