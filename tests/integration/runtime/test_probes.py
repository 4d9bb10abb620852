"""Containers asked how they are: by commands, HTTP and TCP, in networks of their own."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.agent.network import namespaces
from swarm.agent.probes import Answer, Prober
from swarm.model.health import Command, HealthCheck, Http, Probe, Tcp
from swarm.timestamps import SECOND
from tests.integration.runtime.labs import Driver, Lab, until
from tests.integration.runtime.sleepers import marker, sleepers

pytestmark = pytest.mark.integration

SERVER = """
busybox httpd -p 8080 -h /srv
busybox nc -ll -p 9000 -e sleep 1000 &
while :; do sleep 1; done
"""


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[str]:
    """A network with nothing but a loopback."""
    path = tmp_path / "netns"
    namespaces.create(path)
    subprocess.run(["nsenter", f"--net={path}", "ip", "link", "set", "lo", "up"], check=True)
    yield str(path)
    namespaces.remove(path)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _start(lab: Lab, driver: Driver, script: str, **changes: object) -> str:
    config = lab.config(script, **changes)
    await driver.create(config)
    await driver.start(config.id)
    return config.id


async def _ask(
    driver: Driver, container: str, probe: Probe, timeout_s: float = 10, address: str = ""
) -> Answer:
    check = HealthCheck(probe, timeout_ns=int(timeout_s * SECOND))
    answer = await Prober(driver, 4).ask(container, check, address)
    assert answer is not None
    return answer


async def test_a_container_is_asked_inside_its_own_network(oci_lab: Lab, netns: str) -> None:
    driver = oci_lab.driver()
    container = await _start(oci_lab, driver, SERVER, netns_path=netns)

    async def serves() -> bool:
        return all([(await _ask(driver, container, Tcp(port))).exit_code == 0 for port in (8080, 9000)])

    await until(serves)
    files = _open_files()
    assert await _ask(driver, container, Http("http", 8080, "/layer")) == Answer(0, "HTTP 200 OK")
    missing = await _ask(driver, container, Http("http", 8080, "/nothing"))
    assert missing.exit_code == 1
    assert missing.output.startswith("HTTP 404 Not Found: ")
    refused = await _ask(driver, container, Tcp(81))
    assert refused.exit_code == 1
    assert refused.output.startswith("port 81: connection refused at 127.0.0.1")
    silent = await _ask(driver, container, Http("http", 9000, "/"), timeout_s=0.2)
    assert silent == Answer(-1, "no answer within 200ms")
    no_tls = await _ask(driver, container, Http("https", 8080, "/layer"))
    assert no_tls == Answer(1, "no TLS: wrong version number")
    await until(lambda: _open_files() <= files)
    assert namespaces.inode(namespaces.OWN) == Path("/proc/self/ns/net").stat().st_ino
    await driver.remove(container)
    check = HealthCheck(Tcp(8080))
    assert await Prober(driver, 4).ask(container, check, "") is None


async def test_what_is_no_http_is_shown_as_people_write(process_lab: Lab) -> None:
    driver = process_lab.driver()
    container = await _start(process_lab, driver, "while :; do sleep 1; done", address="127.83.17.7")

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-\xffs\x07\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.83.17.7", 18081):
        answer = await _ask(driver, container, Http("http", 18081, "/"), address="127.83.17.7")
    assert answer == Answer(1, "no answer by HTTP: SSH-2.0-ÿs\\x07")


async def test_a_plain_process_is_asked_at_its_own_address(process_lab: Lab) -> None:
    driver = process_lab.driver()
    address = "127.83.17.5"
    script = "busybox httpd -f -p $SWARM_TASK_ADDRESS:18080 -h /"
    container = await _start(process_lab, driver, script, address=address)
    probe = Http("http", 18080, "/etc/passwd")

    async def serves() -> bool:
        return (await _ask(driver, container, probe, address=address)).exit_code == 0

    await until(serves)
    assert (await _ask(driver, container, probe, address="127.83.17.6")).exit_code == 1


async def test_a_command_says_how_a_container_is_and_leaves_nothing_behind(lab: Lab) -> None:
    driver = lab.driver()
    container = await _start(lab, driver, "while :; do sleep 1; done", env=["WANT=7"])
    shell = ("/bin/sh", "-c")
    answer = await _ask(driver, container, Command((*shell, "echo out; echo err >&2; exit $WANT")))
    assert (answer.exit_code, sorted(answer.output.split())) == (7, ["err", "out"])
    mark = marker()
    slow = Command((*shell, f"echo thinking; sleep {mark} & sleep {mark}"))
    for timeout_s in (1, 4, 16, 64):  # the machine may be too busy for it to have said anything so soon
        answer = await _ask(driver, container, slow, timeout_s=timeout_s)
        assert answer.exit_code == -1
        assert answer.output.startswith("no answer within ")
        assert not sleepers(mark)
        if "thinking" in answer.output:
            break
    assert answer.output.strip().endswith("it said: thinking")
    behind = Command((*shell, f"sleep {mark} >/dev/null 2>&1 & exit 0"))
    assert await _ask(driver, container, behind) == Answer(0, "")
    assert not sleepers(mark)
    endless = Command((*shell, "yes | head -c 1000000"))
    assert (await _ask(driver, container, endless)).exit_code == 0
    asking = asyncio.ensure_future(_ask(driver, container, Command((*shell, f"sleep {mark}"))))
    await until(lambda: len(sleepers(mark)) >= 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: not sleepers(mark))
