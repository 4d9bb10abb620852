"""The leader's loop over a real store, with an ACME server that does as the test says."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from swarm.api.v1.objects_pb2 import AcmeCertificate, Cluster, Node, Service
from swarm.api.v1.types_pb2 import NodeState
from swarm.errors import Unavailable
from swarm.manager.acme.client import Order, Refused
from swarm.manager.acme.loop import AcmeLoop
from swarm.manager.acme.plan import FORGOTTEN_NS, PROXIES_NS
from swarm.manager.controlapi.redact import shown_cluster
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.model.http_routes import parse_route
from swarm.timestamps import SECOND, nanoseconds

HOST = "shop.example.org"
LIFE_S = 90 * 24 * 3600


class Server:
    """Knows accounts and orders; every call may be told to fail."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.calls: list[str] = []
        self.status: dict[str, str] = {}
        self.failure: dict[str, Exception] = {}
        self._key = b""

    def connect(self, directory: str, ca_pem: bytes, key_pem: bytes, account_url: str) -> "Server":
        assert b"PRIVATE KEY" in key_pem
        return self

    def close(self) -> None:
        """Nothing is open."""

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.failure:
            raise self.failure.pop(what)

    def register(self, email: str) -> str:
        self._called("register")
        return "https://ca/account"

    def order(self, host: str) -> Order:
        self._called("order")
        url = f"https://ca/{host}/{len(self.status)}"
        self.status[url] = "pending"
        return Order(url, "pending", challenge="c", proof_name="token", proof="token.print")

    def look(self, url: str) -> Order:
        self._called("look")
        status = self.status[url]
        return Order(url, status, challenge="c", problem="unauthorized: 404" if status == "invalid" else "")

    def answer(self, order: Order) -> None:
        self._called("answer")
        self.status[order.url] = "ready"

    def finalize(self, order: Order, host: str, key_pem: bytes) -> None:
        self._called("finalize")
        self.status[order.url], self._key = "valid", key_pem

    def download(self, order: Order) -> bytes:
        self._called("download")
        key = serialization.load_pem_private_key(self._key, password=None)
        now = dt.datetime.fromtimestamp(self.clock.now_ns() // SECOND, dt.UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        builder = x509.CertificateBuilder(name, name, key.public_key(), 7)  # type: ignore[arg-type]
        builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(seconds=LIFE_S))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        cluster = Cluster(id="c")
        acme = cluster.spec.http_ingress.acme
        acme.email, acme.terms_agreed = "ops@example.org", True
        self.node = Node(id="n")
        self.node.status.state = NodeState.NODE_STATE_READY
        self.node.description.http_proxy.running = True
        service = Service(id="web")
        service.spec.annotations.name = "web"
        service.spec.endpoint.routes.append(parse_route(f"host={HOST},port=80,tls=acme"))
        self.store = store_with(cluster, self.node, service, clock=self.clock)
        self.store.attach(LocalProposer(self.store))
        self.server = Server(self.clock)
        self.new_leader()

    def new_leader(self) -> None:
        self.loop = AcmeLoop(self.store, self.clock, self.server.connect)

    async def passes(self, count: int = 1) -> None:
        for _ in range(count):
            await self.loop._pass()

    async def advance(self, ns: int) -> None:
        self.clock.advance(ns / SECOND)
        await self.passes()

    async def answers(self) -> None:
        """The proxy of the only node answers to the challenge."""
        found = self.store.view.nodes.get("n")
        assert found is not None
        changed = copy_of(found)
        changed.description.http_proxy.proofs[:] = ["token"]
        await self.store.update(lambda tx: tx.update(changed))

    async def without_routes(self) -> None:
        found = self.store.view.services.get("web")
        assert found is not None
        changed = copy_of(found)
        del changed.spec.endpoint.routes[:]
        await self.store.update(lambda tx: tx.update(changed))

    @property
    def cluster(self) -> Cluster:
        found = self.store.view.cluster
        assert found is not None
        return found

    @property
    def one(self) -> AcmeCertificate:
        return self.cluster.acme.certificates.get(HOST) or AcmeCertificate()


async def test_a_route_gets_a_certificate_once_all_proxies_answer() -> None:
    bench = Bench()
    await bench.passes(3)
    assert bench.server.calls == ["register", "order"], "nobody answers to the challenge yet"
    await bench.answers()
    await bench.passes(3)
    (secret,) = bench.store.view.secrets
    assert secret.id == bench.one.secret_id
    assert not bench.one.HasField("order")
    calls = list(bench.server.calls)
    assert [calls.count(one) for one in ("order", "answer", "finalize", "download")] == [1, 1, 1, 1]
    await bench.passes(3)
    assert bench.server.calls == calls, "there is nothing to do"


async def test_every_step_may_be_the_last_of_its_leader() -> None:
    bench = Bench()
    await bench.answers()
    for _ in range(6):
        await bench.passes()
        bench.new_leader()
    assert bench.one.secret_id
    assert bench.server.calls.count("register") == bench.server.calls.count("order") == 1


async def test_it_is_renewed_at_two_thirds_and_the_old_one_goes() -> None:
    bench = Bench()
    await bench.answers()
    await bench.passes(5)
    first = bench.one.secret_id
    await bench.advance(LIFE_S * SECOND // 2)
    assert bench.server.calls.count("order") == 1
    await bench.advance(LIFE_S * SECOND // 4)
    await bench.passes(4)
    assert bench.one.secret_id not in ("", first)
    assert [one.id for one in bench.store.view.secrets] == [bench.one.secret_id]


async def test_a_refused_order_is_put_off_and_then_made_again() -> None:
    bench = Bench()
    await bench.answers()
    await bench.passes()
    (url,) = bench.server.status
    bench.server.status[url] = "invalid"
    await bench.passes(5)
    assert bench.one.trouble.problem == "unauthorized: 404"
    assert bench.server.calls.count("order") == 1
    await bench.advance(nanoseconds(bench.one.trouble.retry_at) - bench.clock.now_ns())
    await bench.passes(4)
    assert bench.one.secret_id
    assert not bench.one.HasField("trouble")


async def test_a_server_that_does_not_answer_costs_no_order() -> None:
    bench = Bench()
    await bench.answers()
    bench.server.failure["look"] = Unavailable("gone")
    await bench.passes(3)
    assert bench.one.trouble.failures == 1
    assert bench.one.order.url
    await bench.advance(nanoseconds(bench.one.trouble.retry_at) - bench.clock.now_ns())
    await bench.passes(4)
    assert bench.one.secret_id
    assert bench.server.calls.count("order") == 1


async def test_an_account_that_is_refused_is_said_and_not_asked_for_again_and_again() -> None:
    bench = Bench()
    bench.server.failure["register"] = Refused("rateLimited: too many", 7200)
    await bench.passes(4)
    assert bench.server.calls == ["register"]
    trouble = bench.cluster.acme.trouble
    assert trouble.problem == "rateLimited: too many"
    assert nanoseconds(trouble.retry_at) == bench.clock.now_ns() + 7200 * SECOND
    await bench.advance(7200 * SECOND)
    assert bench.server.calls[:3] == ["register", "register", "order"]


async def test_an_account_that_the_server_has_lost_is_made_again() -> None:
    bench = Bench()
    bench.server.failure["order"] = Refused("accountDoesNotExist: who?")
    await bench.answers()
    await bench.passes(2)
    await bench.advance(3600 * SECOND)
    assert bench.server.calls == ["register", "order", "register", "order"]


async def test_a_proxy_that_never_answers_is_not_waited_for_for_ever() -> None:
    bench = Bench()
    await bench.passes(3)
    assert "answer" not in bench.server.calls
    await bench.advance(PROXIES_NS + SECOND)
    assert "answer" in bench.server.calls


async def test_another_directory_is_another_account_and_certificates_stay() -> None:
    bench = Bench()
    await bench.answers()
    await bench.passes(5)
    before = bench.one.secret_id
    changed = copy_of(bench.cluster)
    key = changed.acme.account_key_pem
    changed.spec.http_ingress.acme.directory = "https://other.example.org/dir"
    changed.acme.certificates[HOST].renew_at.Clear()
    await bench.store.update(lambda tx: tx.update(changed))
    await bench.passes()
    assert bench.cluster.acme.directory == "https://other.example.org/dir"
    assert bench.cluster.acme.account_key_pem != key
    assert bench.one.secret_id == before


async def test_a_certificate_that_no_route_wants_goes_after_a_day() -> None:
    bench = Bench()
    await bench.answers()
    await bench.passes(5)
    await bench.without_routes()
    await bench.passes()
    assert len(bench.store.view.secrets) == 1
    await bench.advance(FORGOTTEN_NS)
    assert not len(bench.store.view.secrets)
    assert not bench.cluster.acme.certificates


async def test_nobody_is_asked_without_a_route_and_no_key_is_ever_shown() -> None:
    bench = Bench()
    await bench.answers()
    await bench.passes()
    shown = str(shown_cluster(bench.cluster))
    assert "PRIVATE KEY" in str(bench.cluster)
    assert "PRIVATE KEY" not in shown
    other = Bench()
    await other.without_routes()
    await other.passes(3)
    assert other.server.calls == []


async def test_what_is_not_asked_for_any_more_is_forgotten_also_where_acme_was_ended() -> None:
    bench = Bench()
    await bench.answers()
    await bench.passes(5)
    changed = copy_of(bench.cluster)
    changed.spec.ClearField("http_ingress")
    await bench.store.update(lambda tx: tx.update(changed))
    await bench.passes()
    assert bench.one.HasField("unwanted_since")
    await bench.advance(FORGOTTEN_NS)
    assert not len(bench.store.view.secrets)


async def test_a_route_that_was_taken_away_and_comes_again_is_tried_at_once() -> None:
    bench = Bench()
    bench.server.failure["order"] = Refused("rejectedIdentifier: no")
    await bench.passes(2)
    assert bench.one.trouble.failures == 1
    found = bench.store.view.services.get("web")
    assert found is not None
    await bench.without_routes()
    await bench.passes()
    back = copy_of(found)
    back.meta.CopyFrom(bench.store.view.services.get("web").meta)  # type: ignore[union-attr]
    await bench.store.update(lambda tx: tx.update(back))
    await bench.passes()
    assert bench.server.calls.count("order") == 2
