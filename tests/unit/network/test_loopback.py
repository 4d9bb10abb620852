import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import pytest_asyncio

from swarm.agent.network.base import PublishedPort
from swarm.agent.network.loopback import LoopbackNetwork, task_range
from swarm.errors import TaskRejected

NODE = IPv4Address("127.93.0.4")
WEB = PublishedPort("tcp", 18080, 18081)


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[LoopbackNetwork]:
    network = LoopbackNetwork(tmp_path, NODE)
    await network.setup()
    yield network
    await network.close()


def test_nodes_and_clusters_of_one_machine_share_no_address() -> None:
    assert task_range(IPv4Address("127.93.0.4")) == IPv4Network("127.221.4.0/24")
    nodes = [IPv4Address(f"127.{cluster}.0.{node}") for cluster in range(64, 128) for node in range(1, 20)]
    ranges = {task_range(node) for node in nodes}
    assert len(ranges) == len(nodes)
    assert not any(node in found for found in ranges for node in nodes)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data.upper())
    writer.close()
    await writer.wait_closed()


async def ask(host: str, port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_a_published_port_leads_to_the_address_of_the_task(network: LoopbackNetwork) -> None:
    sandbox = await network.attach("task1", [PublishedPort("tcp", 18080, 18081)])
    async with await asyncio.start_server(echo, sandbox.address, 18081):
        assert await ask(str(NODE), 18080, b"hello" * 50_000) == b"HELLO" * 50_000
    assert sandbox.netns_path == ""


async def test_a_task_that_does_not_serve_its_port_closes_the_connection(network: LoopbackNetwork) -> None:
    await network.attach("task1", [WEB])
    reader, writer = await asyncio.open_connection(str(NODE), 18080)
    assert await reader.read() == b""
    writer.close()


async def test_datagrams_of_two_clients_find_their_way_there_and_back(network: LoopbackNetwork) -> None:
    sandbox = await network.attach("task1", [PublishedPort("udp", 18053, 18054)])
    loop = asyncio.get_running_loop()
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for one in sockets:
        one.setblocking(False)
    server, *clients = sockets
    server.bind((sandbox.address, 18054))
    for number, client in enumerate(clients):
        client.connect((str(NODE), 18053))
        await loop.sock_sendall(client, b"%d" % number)
    for _ in clients:
        data, peer = await loop.sock_recvfrom(server, 100)
        await loop.sock_sendto(server, b"re:" + data, peer)
    async with asyncio.timeout(60):
        answers = [await loop.sock_recv(client, 100) for client in clients]
    assert answers == [b"re:0", b"re:1"]
    for one in sockets:
        one.close()


async def test_tasks_have_different_addresses_and_no_port_twice(network: LoopbackNetwork) -> None:
    one = await network.attach("task1", [WEB])
    with pytest.raises(TaskRejected, match="already published on this node by task task1"):
        await network.attach("task2", [WEB])
    other = await network.attach("task2", [PublishedPort("tcp", 0, 80)])
    assert one.address != other.address
    assert other.ports[0].published_port >= 30000


async def test_the_next_agent_opens_the_same_ports_for_the_same_addresses(tmp_path: Path) -> None:
    first, second = LoopbackNetwork(tmp_path, NODE), LoopbackNetwork(tmp_path, NODE)
    sandbox = await first.attach("task1", [WEB])
    await first.close()
    await second.setup()
    async with await asyncio.start_server(echo, sandbox.address, 18081):
        assert await ask(str(NODE), 18080, b"hello") == b"HELLO"
    assert await second.attach("task1", [WEB]) == sandbox
    await second.keep_only([])
    with pytest.raises(ConnectionRefusedError):
        await ask(str(NODE), 18080, b"hello")
    await second.teardown()
    assert list(tmp_path.iterdir()) == []


async def test_detach_ends_running_connections(network: LoopbackNetwork) -> None:
    sandbox = await network.attach("task1", [PublishedPort("tcp", 18080, 18081)])
    async with await asyncio.start_server(echo, sandbox.address, 18081):
        reader, writer = await asyncio.open_connection(str(NODE), 18080)
        writer.write(b"hello")
        assert await reader.read(10) == b"HELLO"
        await network.detach("task1")
        assert await reader.read() == b""
        writer.close()
