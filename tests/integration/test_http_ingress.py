"""HTTP requests reach services through any node, and none is lost while services and routes change."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from examples.hello import build
from swarm.agent.network import namespaces
from swarm.dev.cluster import DevCluster
from swarm.model.http_certificates import self_signed
from tests.integration.acme_server import AcmeServer
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until

HOST = "shop.example.org"
SAFE = "safe.example.org"  # has its certificate by ACME
ENTRY = "worker-2"  # where clients come in
# Takes whatever is asked for as the beginning of a WebSocket, with the key of the client below, and sends
# back what it hears.
TUNNEL = """\
while read -r line && [ ${#line} -gt 1 ]; do :; done
printf '%s\\r\\n' 'HTTP/1.1 101 Switching Protocols' 'Upgrade: websocket' 'Connection: Upgrade' \\
  'Sec-WebSocket-Accept: BACScCJPNqyz+UBoqMH89VmURoA=' ''
exec cat
"""
TUNNELS = "trap 'exit 0' TERM; busybox nc -ll -p 9000 -e /bin/sh /tunnel & wait"
# Says `up`, then how often what it sent came back; ends when its standard input does.
SOCKET_CLIENT = """\
import select, socket, sys
one = socket.create_connection(("127.0.0.1", 80))
one.sendall(b"GET /socket HTTP/1.1\\r\\nHost: shop.example.org\\r\\nConnection: Upgrade\\r\\n"
            b"Upgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\\r\\n\\r\\n")
head = b""
while b"\\r\\n\\r\\n" not in head:
    head += one.recv(1024) or sys.exit("refused: " + repr(head))
assert b" 101 " in head, head
print("up", flush=True)
count = 0
while not select.select([sys.stdin], [], [], 0.05)[0]:
    one.sendall(b"0123456789")
    got = b""
    while len(got) < 10:
        got += one.recv(10) or sys.exit(f"closed after {count}")
    count += 1
print(count, flush=True)
"""


class Requests(threading.Thread):
    """Asks again and again, fifty times over one connection each."""

    def __init__(self, cluster: DevCluster, *options: str, url: str) -> None:
        super().__init__(daemon=True)
        self.answers: Counter[str] = Counter()
        self._cluster = cluster
        trust = [] if "--cacert" in options else ["-k"]
        self._command = ["curl", "-s", *trust, "-o", "/dev/null", "--max-time", "60", "--rate", "50/s"]
        self._command += ["--resolve", "*:80:127.0.0.1", "--resolve", "*:443:127.0.0.1"]
        self._command += [
            "-w",
            "%{http_code} HTTP/%{http_version} %{errormsg}\\n",
            *options,
            f"{url}?[1-50]",
        ]
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            done = self._cluster.run(ENTRY, *self._command, timeout_s=120)
            self.answers.update(line.strip() for line in done.stdout.splitlines())

    def finish(self) -> Counter[str]:
        self._over.set()
        self.join(150)
        return self.answers


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    """One manager and two workers: more nodes would only take longer to come and go."""
    return clusters.up(1, 2)


@pytest.fixture(scope="module")
def shop(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A service that answers, and one that keeps connections."""
    folder = tmp_path_factory.mktemp("images")
    operator.load_image(folder)
    archive = folder / "tunnels.tar"
    image = build.ImageSpec(
        name="docker.io/library/tunnels:1", script=TUNNELS, files={"tunnel": TUNNEL.encode()}
    )
    archive.write_bytes(build.archive(build.build(image)))
    operator("image", "load", "-i", str(archive))
    create = ("service", "create", "-q", "--restart-delay", "0s")
    operator(*create, "--name", "web", "--replicas", "3", "--route", f"host={HOST},port=8080", "hello:1")
    operator(*create, "--name", "chat", "--constraint", "node.hostname==manager-1",
             "--route", f"host={HOST},path=/socket,port=9000", "tunnels:1")  # fmt: skip


def enable(operator: Operator, *options: str) -> None:
    """Have a proxy on every node."""
    operator("ingress", "enable", *options)
    wait_until(lambda: operator.try_("ingress", "status").returncode == 0, 60, "all proxies")


def answer(cluster: DevCluster, node: str, url: str, *options: str) -> str:
    """Return the status and body that a client on a node gets."""
    done = cluster.run(node, "curl", "-sk", "--max-time", "60", "-w", " %{http_code}", *options, url)
    return done.stdout


def proxies(cluster: DevCluster, node: str) -> list[int]:
    """Return the ids of the processes that are proxies of a node."""
    mine, found = f"/{cluster.plan.name}/{node}/", []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            words = (entry / "cmdline").read_text().split("\0") if entry.name.isdigit() else []
            if words and words[0].endswith("haproxy") and any(mine in word for word in words):
                found.append(int(entry.name))
    return found


def a_socket(cluster: DevCluster) -> subprocess.Popen[str]:
    """A client of the tunnels that sends and receives until its input is closed."""

    def came_up() -> subprocess.Popen[str] | None:
        with namespaces.entered(cluster.plan.namespace(cluster.node(ENTRY))):
            command = [sys.executable, "-c", SOCKET_CLIENT]
            client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        if client.stdout.readline() == "up\n":
            return client
        client.communicate()
        return None

    return wait_until(came_up, what="a way to the tunnels")


@pytest.mark.usefixtures("shop")
def test_no_request_is_lost_and_no_socket_closed_by_updates_scaling_routes_and_drains(
    cluster: DevCluster, operator: Operator
) -> None:
    enable(operator)
    plain = Requests(cluster, "--http1.1", url=f"http://{HOST}/")
    secure = Requests(cluster, "--http2", url=f"https://{HOST}/")
    wait_until(lambda: answer(cluster, ENTRY, "http://127.0.0.1/", "-H", f"Host: {HOST}").endswith("200"))
    with a_socket(cluster) as socket:
        assert socket.stdout is not None
        assert socket.stdin is not None
        plain.start()
        secure.start()
        before = proxies(cluster, ENTRY)
        update = ("service", "update", "-q", "--update-order", "start-first", "--update-monitor", "0s")
        operator(*update, "--env-add", "HELLO_MESSAGE=again", "web")
        operator("service", "scale", "-q", "web=5")
        operator("service", "scale", "-q", "web=2")
        assert proxies(cluster, ENTRY) == before, "tasks come and go without another process"
        operator("service", "update", "-q", "--route-add", "host=other.example.org,port=8080", "web")
        wait_until(lambda: len(proxies(cluster, ENTRY)) == 2, 60, "a new proxy beside the old one")
        cluster.kill(ENTRY)
        cluster.start(ENTRY)
        operator("node", "update", "--availability", "drain", "worker-1")
        wait_until(lambda: not [one for one in operator.running("web") if one["Node"] == "worker-1"], 60)
        operator("node", "update", "--availability", "active", "worker-1")
        assert socket.poll() is None, "the connection ended"
        answers = plain.finish() + secure.finish()
        socket.stdin.close()
        assert int(socket.stdout.readline()) > 20
    assert answers.keys() == {"200 HTTP/1.1", "200 HTTP/2"}, answers


def served_name(cluster: DevCluster) -> str:
    """Return whose certificate a client gets for the host."""
    done = cluster.run(ENTRY, "curl", "-svk", "--max-time", "60", "--resolve", f"{HOST}:443:127.0.0.1",
                       f"https://{HOST}/")  # fmt: skip
    found = [line for line in done.stderr.splitlines() if "subject:" in line]
    return found[0].rpartition("CN=")[2] if found else ""


@pytest.mark.usefixtures("shop")
def test_certificates_roll_a_killed_proxy_is_replaced_and_disabled_ones_leave_nothing(
    cluster: DevCluster, operator: Operator, tmp_path: Path
) -> None:
    enable(operator)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(self_signed(name, time.time_ns()))
        operator("secret", "create", name, str(tmp_path / name))
    refused = operator.try_(
        "service", "create", "--name", "other", "--route", f"host={HOST},port=1", "hello:1"
    )
    assert refused.returncode == 1
    assert "is one of service web already" in refused.stderr
    for name in ("one", "two"):
        operator("service", "update", "-q", "--route-add", f"host={HOST},port=8080,tls={name},sticky", "web")
        wait_until(lambda name=name: served_name(cluster) == name, 60, f"certificate {name}")  # type: ignore[misc]
    in_use = operator.try_("secret", "rm", "two")
    assert "is the certificate of route" in in_use.stderr
    for pid in proxies(cluster, ENTRY):
        os.kill(pid, signal.SIGKILL)
    assert served_name(cluster) == "two", "clients wait for the next proxy"
    counted = wait_until(
        lambda: [
            line
            for line in answer(
                cluster, ENTRY, f"http://{cluster.node(ENTRY).address}:9323/metrics"
            ).splitlines()
            if line.startswith("swarm_http_requests_total") and 'service="web"' in line and "2xx" in line
        ],
        60,
        "counted requests",
    )
    assert float(counted[0].split()[-1]) > 0
    operator("ingress", "disable")
    wait_until(lambda: not proxies(cluster, ENTRY), 60, "the end of the proxies")
    assert "disabled" in operator.try_("ingress", "status").stdout


def acme_state(operator: Operator) -> dict[str, str]:
    """Return what `ingress status` says of the host that has its certificate by ACME."""
    (found,) = json.loads(operator.try_("ingress", "status", "--format", "json").stdout)["Certificates"]
    return dict(found)


@pytest.mark.usefixtures("shop")
def test_a_certificate_comes_by_acme_and_is_renewed_while_requests_go_on(
    cluster: DevCluster, operator: Operator, tmp_path: Path
) -> None:
    refused = operator.try_("ingress", "enable", "--acme-email", "ops@example.org")
    assert refused.returncode == 1
    assert "--acme-agree-tos" in refused.stderr
    with AcmeServer(cluster, tmp_path) as server:
        options = ("--acme-directory", server.directory, "--acme-ca", str(server.ca))
        operator("ingress", "enable", "--acme-email", "ops@example.org", "--acme-agree-tos", *options)
        route = f"host={SAFE},port=8080,tls=acme,redirect=https"
        operator("service", "update", "-q", "--route-add", route, "web")
        try:
            wait_until(lambda: acme_state(operator)["State"] == "valid", 60, "the first certificate")
            first = acme_state(operator)
            roots = str(server.roots())
            wait_until(lambda: trusted(cluster, roots), 60, "the certificate at the proxy")
            safe = Requests(cluster, "--http2", "--cacert", roots, url=f"https://{SAFE}/")
            safe.start()
            wait_until(lambda: acme_state(operator)["Expires"] != first["Expires"], 180, "a renewal")
            wait_until(lambda: served_until(cluster) not in ("", first["Expires"][:19]), 60, "it is served")
            answers = safe.finish()
        finally:
            operator("service", "update", "-q", "--route-rm", f"{SAFE}/", "web")
            operator("ingress", "enable", "--acme-email", "")
    assert answers.keys() == {"200 HTTP/2"}, answers
    text = operator("secret", "ls", "--format", "json")
    assert "PRIVATE KEY" not in text + operator("ingress", "status", "--format", "json")


def trusted(cluster: DevCluster, roots: str) -> bool:
    """Whether clients that trust the ACME server's CA trust every node."""
    return all(
        cluster.run(node.name, "curl", "-s", "--cacert", roots, "--resolve", "*:443:127.0.0.1",
                    f"https://{SAFE}/").returncode == 0
        for node in cluster.plan.nodes
    )  # fmt: skip


def served_until(cluster: DevCluster) -> str:
    """Return until when the certificate that a client gets is valid, as `ingress status` says it."""
    done = cluster.run(ENTRY, "curl", "-svk", "--resolve", "*:443:127.0.0.1", f"https://{SAFE}/")
    for line in done.stderr.splitlines():
        if "expire date:" in line:
            text = line.partition(": ")[2].strip().replace("GMT", "+0000")
            return datetime.strptime(text, "%b %d %H:%M:%S %Y %z").isoformat()[:19]
    return ""
