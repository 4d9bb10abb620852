"""Debian's etcd: three members, mutual TLS on loopback, and a Python client that speaks gRPC to the leader.

What etcd can do on its own is more: the client here is one Python process, and a request crosses a
connection before it is proposed, while the other systems are asked in their own process.
"""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bench.raft.load import Load, Sample, drive
from bench.raft.ports import free_ports

MEMBERS = 3
READY_S = 30.0
TIMEOUT_S = 10.0


def program() -> str | None:
    """Return the program, None when it is not installed (Debian: etcd-server)."""
    return shutil.which("etcd")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Callable[[Load], Sample]]:
    """Run a group; yields what puts a load on it."""
    found = program()
    assert found is not None
    _make_certificate(folder)
    ports = free_ports(2 * MEMBERS)
    clients, peers = [f"https://127.0.0.1:{port}" for port in ports[:MEMBERS]], ports[MEMBERS:]
    cluster = ",".join(f"m{number}=https://127.0.0.1:{port}" for number, port in enumerate(peers))
    members = []
    try:
        for number, peer in enumerate(peers):
            with (folder / f"etcd-{number}.log").open("ab") as log:
                command = [found, *_flags(folder, number, clients[number], peer, cluster)]
                members.append(subprocess.Popen(command, stdout=log, stderr=log))
        leader = _leader(folder, clients)
        yield lambda load: asyncio.run(_measure(folder, leader.removeprefix("https://"), load))
    finally:
        for member in members:
            member.kill()
            member.wait()


def _flags(folder: Path, number: int, client: str, peer: int, cluster: str) -> list[str]:
    key, certificate = folder / "key.pem", folder / "cert.pem"
    return [
        f"--name=m{number}",
        f"--data-dir={folder}/etcd-{number}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls=https://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=https://127.0.0.1:{peer}",
        f"--initial-cluster={cluster}",
        "--client-cert-auth",
        "--peer-client-cert-auth",
        *(f"--{name}trusted-ca-file={certificate}" for name in ("", "peer-")),
        *(f"--{name}cert-file={certificate}" for name in ("", "peer-")),
        *(f"--{name}key-file={key}" for name in ("", "peer-")),
    ]


def _leader(folder: Path, urls: list[str]) -> str:
    """Return the address of the member that leads, once there is one."""
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        for url in urls:
            request = urllib.request.Request(f"{url}/v3/maintenance/status", data=b"{}", method="POST")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                    status = json.load(answer)
                if status.get("leader") == status["header"]["member_id"]:
                    return url
        time.sleep(0.1)
    raise TimeoutError(f"etcd has no leader; see {folder}")


async def _measure(folder: Path, addr: str, load: Load) -> Sample:
    certificate, key = (folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes()
    credentials = grpc.ssl_channel_credentials(certificate, key, certificate)
    async with grpc.aio.secure_channel(addr, credentials) as channel:
        put = channel.unary_unary("/etcdserverpb.KV/Put", _put_request)
        return await drive(lambda payload: put(payload, timeout=TIMEOUT_S), load)


def _put_request(value: bytes) -> bytes:
    """Return a PutRequest: field 1 is the key, field 2 the value, each as type, length and bytes."""
    length, size = b"", len(value)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return b"\x0a\x05bench" + b"\x12" + length + bytes([size]) + value


def _make_certificate(folder: Path) -> None:
    """One certificate for everybody, which trusts itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
