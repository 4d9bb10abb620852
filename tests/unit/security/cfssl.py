"""An external CA that speaks CFSSL's protocol over real TLS, and can be told to misbehave."""

import contextlib
import datetime as dt
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarm.clock import SystemClock
from swarm.security.certificates import KeyedCertificate, create_root_ca, issuer_key_id, load_authority_key

HOUR = dt.timedelta(hours=1)


@dataclass
class ExternalAuthority:
    """Signs with `root`; `fault` says what is wrong with its answers, empty: nothing."""

    root: KeyedCertificate
    url: str = ""
    fault: str = ""
    lifetime: dt.timedelta = 24 * HOUR
    clients: list[str] = field(default_factory=list)  # subjects of those who asked
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: dict[str, Any]) -> tuple[int, bytes]:
        """Return status and body."""
        if self.fault == "slow":
            self.released.wait(60)
        if self.fault == "html":
            return 502, b"<html>bad gateway</html>"
        if self.fault == "refused":
            said = {
                "success": False,
                "errors": [{"code": 5100, "message": "policy says no"}],
                "result": None,
            }
            return 400, json.dumps(said).encode()
        if self.fault == "endless":
            return 200, b"x" * 1_000_000
        pem = self.sign(request).public_bytes(Encoding.PEM).decode()
        if self.fault == "two":
            pem += pem
        return 200, json.dumps({"success": True, "result": {"certificate": pem}, "errors": []}).encode()

    def sign(self, request: dict[str, Any]) -> x509.Certificate:
        csr = x509.load_pem_x509_csr(request["certificate_request"].encode())
        authority = request.get("profile") == "CA"
        root = create_root_ca("foreign", SystemClock().now_ns()) if self.fault == "foreign" else self.root
        issuer = x509.load_pem_x509_certificate(root.cert_pem)
        key = (
            ec.generate_private_key(ec.SECP256R1()).public_key() if self.fault == "key" else csr.public_key()
        )
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(csr.subject if authority else self._subject(request))
            .issuer_name(issuer.subject)
            .public_key(key)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * HOUR)
            .not_valid_after(now - HOUR if self.fault == "expired" else now + self.lifetime)
            .add_extension(issuer_key_id(issuer), critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key),  # type: ignore[arg-type]
                critical=False,
            )
            .add_extension(x509.BasicConstraints(authority or self.fault == "ca", None), critical=True)
        )
        if not authority:
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            if self.fault == "usage":
                usages = usages[:1]
            hosts = ["elsewhere"] if self.fault == "hosts" else request["hosts"]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(load_authority_key(root.key_pem), hashes.SHA256())

    def _subject(self, request: dict[str, Any]) -> x509.Name:
        asked = request["subject"]
        unit, organisation = asked["names"][0]["OU"], asked["names"][0]["O"]
        if self.fault == "role":
            unit = "swarm-manager" if unit == "swarm-worker" else "swarm-worker"
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "other" if self.fault == "node" else asked["CN"]),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
                x509.NameAttribute(
                    NameOID.ORGANIZATION_NAME, "other" if self.fault == "cluster" else organisation
                ),
            ]
        )


def server_certificate(root: KeyedCertificate, address: str) -> bytes:
    """Key and certificate of the HTTPS server, issued by the same root."""
    issuer, key = x509.load_pem_x509_certificate(root.cert_pem), ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "external ca")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HOUR)
        .not_valid_after(now + 24 * HOUR)
        .add_extension(issuer_key_id(issuer), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(load_authority_key(root.key_pem), hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + certificate.public_bytes(Encoding.PEM)


@contextlib.contextmanager
def external_ca(
    folder: Path, root: KeyedCertificate, clients_pem: bytes, address: str = "127.0.0.1"
) -> Iterator[ExternalAuthority]:
    """Serve at a free port of `address`; clients need a certificate of `clients_pem` or of the root."""
    authority = ExternalAuthority(root)

    class Handler(BaseHTTPRequestHandler):
        timeout = 60

        def do_POST(self) -> None:
            peer = self.connection.getpeercert() or {}  # type: ignore[attr-defined]
            authority.clients.append(str(peer.get("subject", "")))
            status, body = authority.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            with contextlib.suppress(OSError):  # whoever asked has gone
                self.send_response(status if self.path == "/api/v1/cfssl/sign" else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            # In the thread of the request: a handshake that hangs must not hold up the others.
            with contextlib.suppress(OSError), context.wrap_socket(request, server_side=True) as secured:
                Handler(secured, client_address, self)

    file = folder / "server.pem"
    file.write_bytes(server_certificate(root, address))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=(clients_pem + root.cert_pem).decode())
    with Server((address, 0), Handler) as server:
        authority.url = f"https://{address}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield authority
        finally:
            authority.released.set()
            server.shutdown()
            thread.join()
