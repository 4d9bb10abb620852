"""An ACME server for tests: Let's Encrypt's Pebble, in the network of a node of a cluster.

It checks everything as strictly as the real one, refuses good nonces at random, and fetches challenges from
a node at random. Its certificates live for a minute and a half.
"""

import datetime as dt
import ipaddress
import json
import os
import random
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarm.agent.network import namespaces
from swarm.dev.cluster import DevCluster
from tests.integration.operator import wait_until

NODE = "worker-1"
PORT, ROOTS_PORT, DNS_PORT, DNS_ADMIN_PORT = 14000, 15000, 8053, 8055
LIFE_S = 90  # a third of it is left when a busy machine begins to renew


class AcmeServer:
    """Serves between `with` and its end."""

    def __init__(self, cluster: DevCluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._address = str(cluster.node(NODE).address)
        self._running: list[subprocess.Popen[bytes]] = []
        self.directory = f"https://{self._address}:{PORT}/dir"
        self.ca = folder / "acme.pem"

    def __enter__(self) -> "AcmeServer":
        self._write()
        dns = ["pebble-challtestsrv", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]
        # One node answers for all names: whichever it is, it has to know the challenge.
        dns += ["-defaultIPv4", str(random.choice(self._cluster.plan.nodes).address)]
        dns += ["-dns01", f"127.0.0.1:{DNS_PORT}", "-management", f"127.0.0.1:{DNS_ADMIN_PORT}"]
        try:
            self._start("dns", *dns)
            config = str(self._folder / "pebble.json")
            self._start("pebble", "pebble", "-config", config, "-dnsserver", f"127.0.0.1:{DNS_PORT}")
            wait_until(self._answers, 60, "the ACME server")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self._folder.joinpath("pebble.log").read_text()[-4000:])
        self._end()

    def roots(self) -> Path:
        """Return a file with the CA that signs its certificates."""
        path = self._folder / "roots.pem"
        path.write_bytes(self._get(f"https://{self._address}:{ROOTS_PORT}/roots/0"))
        return path

    def _answers(self) -> bool:
        try:
            return bool(self._get(self.directory))
        except OSError:
            assert all(one.poll() is None for one in self._running), "it ended"
            return False

    def _get(self, url: str) -> bytes:
        with namespaces.entered(self._cluster.plan.namespace(self._cluster.node(NODE))):
            context = ssl.create_default_context(cafile=str(self.ca))
            with urllib.request.urlopen(url, timeout=30, context=context) as answer:
                return bytes(answer.read())

    def _start(self, name: str, *command: str) -> None:
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "10"}
        log = self._folder / f"{name}.log"
        with (
            log.open("wb") as out,
            namespaces.entered(self._cluster.plan.namespace(self._cluster.node(NODE))),
        ):
            self._running.append(
                subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
            )

    def _end(self) -> None:
        for one in self._running:
            one.terminate()
        for one in self._running:
            try:
                one.wait(60)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        self._running.clear()

    def _write(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
        now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
        own = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self._address))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(own, critical=False)
            .sign(key, hashes.SHA256())
        )
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path = self._folder / "acme.key"
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_path.write_bytes(key.private_bytes(*form))
        config = {
            "listenAddress": f"{self._address}:{PORT}",
            "managementListenAddress": f"{self._address}:{ROOTS_PORT}",
            "certificate": str(self.ca),
            "privateKey": str(key_path),
            "httpPort": 80,
            "tlsPort": 443,
            "certificateValidityPeriod": LIFE_S,
        }
        (self._folder / "pebble.json").write_text(json.dumps({"pebble": config}))
