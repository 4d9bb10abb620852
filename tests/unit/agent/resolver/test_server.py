"""The server over loopback, asked by an independent client; and other servers that do not play fair."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from swarm.agent.resolver import forward
from swarm.agent.resolver.counters import Counters
from swarm.agent.resolver.forward import Forwarder, Upstreams, name_servers
from swarm.agent.resolver.listening import close_sockets
from swarm.agent.resolver.server import CONNECTIONS_MAX_OF_ONE, Server
from swarm.agent.resolver.tables import Tables

HERE = Path("/proc/self/ns/net")
MANY = [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(1000)]


class Lab:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.tables, self.counters = Tables(), Counters()
        self.servers: list[str] = []
        self.forwarder = Forwarder(lambda: self.servers)
        self.sockets = _open()
        self.port: int = self.sockets[0].getsockname()[1]
        self.server = Server(*self.sockets, self.tables, self.forwarder, self.counters)

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
        how = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await how(dns.message.make_query(name, kind), "127.0.0.1", port=self.port, timeout=60)


def _open() -> tuple[socket.socket, socket.socket]:
    """As `open_sockets`, which needs root to enter the namespace that it is in."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            udp.bind(("127.0.0.1", 0))
            tcp.bind(udp.getsockname())
            tcp.listen()
        except OSError:  # somebody has the other half of the number
            udp.close()
            tcp.close()
        else:
            return udp, tcp


@pytest.fixture
async def lab(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    lab = Lab(monkeypatch)
    names = {"web": [["10.0.1.2"], [], []], "many": [MANY, [], []]}
    zone = {"name": "shop", "subnets": [], "internal": False, "names": names}
    lab.tables.put_zones({"n1": zone}, whole=True)
    client = {"task_id": "t1", "address": "127.0.0.1", "network_ids": ["n1"], "own": {}}
    lab.tables.put_client({**client, "nameservers": [], "netns_path": ""})
    lab.server.start()
    try:
        yield lab
    finally:
        lab.server.stop_listening()
        await lab.server.finish(60)
        close_sockets(lab.sockets)


Answerer = Callable[[bytes], list[bytes]]


class _Upstream(asyncio.DatagramProtocol):
    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer
        self.peers: list[tuple[str, int]] = []
        self.ids: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peers.append(addr)
        self.ids.append(data[:2])
        for answer in self.answerer(data):
            self.transport.sendto(answer, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def upstreams(lab: Lab, *answerers: Answerer) -> AsyncIterator[list[_Upstream]]:
    """Name servers of the node at 127.0.0.2, 127.0.0.3 …, all at one port that is free."""
    loop = asyncio.get_running_loop()
    found, port = [], 0
    for number, answerer in enumerate(answerers):
        address = f"127.0.0.{number + 2}"
        transport, protocol = await loop.create_datagram_endpoint(
            lambda answerer=answerer: _Upstream(answerer), local_addr=(address, port)
        )
        port = transport.get_extra_info("sockname")[1]
        lab.servers.append(address)
        found.append(protocol)
    lab.monkeypatch.setattr(forward, "PORT", port)
    try:
        yield found
    finally:
        for protocol in found:
            protocol.transport.close()  # type: ignore[attr-defined]


def right(data: bytes, code: int = 0) -> list[bytes]:
    query = dns.message.from_wire(data)
    answer = dns.message.make_response(query)
    answer.set_rcode(dns.rcode.Rcode(code))
    if not code:
        answer.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.80")]
    return [answer.to_wire()]


def silent(data: bytes) -> list[bytes]:
    return []


def broken(data: bytes) -> list[bytes]:
    return right(data, 2)


def denies(data: bytes) -> list[bytes]:
    return right(data, 3)


def only(message: dns.message.Message) -> list[str]:
    assert message.rcode() == 0, dns.rcode.to_text(message.rcode())
    return [str(item) for records in message.answer for item in records]


async def test_names_are_answered_over_both_protocols_and_short_lived(lab: Lab) -> None:
    for tcp in (False, True):
        answer = await lab.ask("WEB", tcp=tcp)
        assert only(answer) == ["10.0.1.2"]
        assert answer.flags & dns.flags.AA
        assert answer.flags & dns.flags.RA
        assert answer.answer[0].ttl <= 5
    counted = lab.counters.values()
    assert counted["questions.a"] == 2
    assert sum(value for name, value in counted.items() if name.startswith("own.le.")) == 2


async def test_what_is_too_long_for_a_datagram_is_had_over_a_connection(lab: Lab) -> None:
    cut = await lab.ask("many")
    assert cut.flags & dns.flags.TC
    assert sorted(only(await lab.ask("many", tcp=True))) == sorted(MANY)


async def test_the_addresses_of_a_name_come_in_ever_other_orders(lab: Lab) -> None:
    orders = {tuple(only(await lab.ask("many", tcp=True))) for _ in range(3)}
    assert len(orders) > 1


async def test_several_questions_go_over_one_connection_and_garbage_ends_it(lab: Lab) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    for _ in range(3):
        query = dns.message.make_query("web", "A").to_wire()
        writer.write(len(query).to_bytes(2, "big") + query)
    for _ in range(3):
        size = int.from_bytes(await reader.readexactly(2), "big")
        assert only(dns.message.from_wire(await reader.readexactly(size))) == ["10.0.1.2"]
    writer.write(b"\0\x03abc")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_other_names_are_asked_elsewhere_from_ports_and_with_numbers_that_differ(lab: Lab) -> None:
    async with upstreams(lab, right) as [server]:
        for _ in range(8):
            assert only(await lab.ask("example.org")) == ["192.0.2.80"]
        assert len(set(server.peers)) > 4
        assert len(set(server.ids)) > 4
        assert lab.counters.values()["forwarded"] == 8


async def test_forged_answers_are_passed_over(lab: Lab) -> None:
    def forged(data: bytes) -> list[bytes]:
        other = dns.message.make_query("example.com", "A", id=int.from_bytes(data[:2], "big"))
        lie = right(data)[0].replace(bytes([192, 0, 2, 80]), bytes([6, 6, 6, 6]))
        wrong_number = bytes([lie[0] ^ 1]) + lie[1:]
        return [wrong_number, right(other.to_wire())[0], b"", b"\0" * 12, data, *right(data)]

    async with upstreams(lab, forged):
        assert only(await lab.ask("example.org")) == ["192.0.2.80"]


async def test_a_forged_answer_of_a_stranger_never_arrives(lab: Lab) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.66", 0))

        def overtaken(data: bytes) -> list[bytes]:
            lie = right(data)[0].replace(bytes([192, 0, 2, 80]), bytes([6, 6, 6, 6]))
            stranger.sendto(lie, server.peers[-1])  # right in all but where it comes from
            return right(data)

        async with upstreams(lab, overtaken) as [server]:
            assert only(await lab.ask("example.org")) == ["192.0.2.80"]


@pytest.mark.parametrize("bad", [silent, broken])
async def test_the_next_server_is_asked_when_one_is_silent_or_broken(lab: Lab, bad: Answerer) -> None:
    lab.monkeypatch.setattr(forward, "PATIENCE_S", 2.0)
    async with upstreams(lab, bad, right) as [first, second]:
        assert only(await lab.ask("example.org")) == ["192.0.2.80"]
        assert only(await lab.ask("example.org")) == ["192.0.2.80"]
        # The silent one is not waited for again at once; the broken one costs nothing.
        assert (len(first.peers), len(second.peers)) == (1 if bad is silent else 2, 2)


async def test_that_a_name_does_not_exist_is_an_answer(lab: Lab) -> None:
    async with upstreams(lab, denies, right):
        assert (await lab.ask("example.org")).rcode() == dns.rcode.NXDOMAIN


async def test_without_anybody_to_ask_it_fails_at_once(lab: Lab) -> None:
    assert (await lab.ask("example.org")).rcode() == dns.rcode.SERVFAIL
    lab.servers.append("nonsense")
    assert (await lab.ask("example.org", tcp=True)).rcode() == dns.rcode.SERVFAIL


async def test_who_holds_many_connections_takes_none_from_others(lab: Lab) -> None:
    async with contextlib.AsyncExitStack() as held:
        for _ in range(CONNECTIONS_MAX_OF_ONE):
            _, silent = await asyncio.open_connection("127.0.0.1", lab.port)
            held.callback(silent.close)
        await until(lambda: lab.server.connections == CONNECTIONS_MAX_OF_ONE)
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        held.callback(writer.close)
        async with asyncio.timeout(60):
            assert await reader.read() == b""  # hung up at once
        query = dns.message.make_query("example.org", "A")
        other = await dns.asyncquery.tcp(query, "127.0.0.1", port=lab.port, timeout=60, source="127.0.0.2")
        assert other.rcode() == dns.rcode.SERVFAIL  # nobody to ask; but it was heard
    await until(lambda: lab.server.connections == 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_who_asks_too_much_at_once_is_refused_while_own_names_still_answer(lab: Lab) -> None:
    lab.monkeypatch.setattr(forward, "QUESTIONS_MAX_OF_ONE", 3)
    lab.monkeypatch.setattr(forward, "PATIENCE_S", 60)
    held: list[bytes] = []

    def later(data: bytes) -> list[bytes]:
        held.append(data)
        return []

    async with upstreams(lab, later) as [server]:
        waiting = [asyncio.create_task(lab.ask(f"{n}.example.org")) for n in range(3)]
        while len(held) < 3:
            await asyncio.sleep(0.01)
        assert (await lab.ask("more.example.org")).rcode() == dns.rcode.SERVFAIL
        assert only(await lab.ask("web")) == ["10.0.1.2"]
        for data, peer in zip(held, server.peers, strict=True):
            server.transport.sendto(right(data)[0], peer)  # type: ignore[attr-defined]
        for answer in await asyncio.gather(*waiting):
            assert only(answer) == ["192.0.2.80"]
        assert lab.forwarder.under_way == 0


def test_the_node_s_servers_are_read_again_when_the_file_differs(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    found = Upstreams(path)
    assert found.servers() == ()
    path.write_text("# none\nnameserver 192.0.2.1\nsearch x\nnameserver ::1 # two\nnameserver\n")
    assert found.servers() == ("192.0.2.1", "::1")
    other = tmp_path / "other"
    other.write_text("nameserver 192.0.2.2\n")
    other.rename(path)
    assert found.servers() == ("192.0.2.2",)
    path.unlink()
    assert found.servers() == ()


def test_no_more_servers_are_asked_than_a_c_library_would() -> None:
    assert len(name_servers("nameserver 192.0.2.1\n" * 9)) == 3
