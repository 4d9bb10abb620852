"""The name server of a node, asked from inside of tasks, while agents and name servers come and go."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

from swarm.agent.network import namespaces
from swarm.agent.resolver.link import MARK
from swarm.runtime.processes import carriers
from tests.integration.network.lab import Attached, Lab
from tests.integration.operator import wait_until

pytestmark = pytest.mark.integration

SERVER = "169.254.1.1"


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    try:
        lab.agent.start()
        lab.agent.call("resolver_start")
        yield lab
        lab.agent.call("resolver_teardown")
        assert resolvers(lab) == []
    finally:
        for process in carriers(f"{MARK}={lab.run_dir}/resolver.sock"):
            process.send(signal.SIGKILL)
            process.close()
        lab.close()


def resolvers(lab: Lab) -> list[int]:
    found = carriers(f"{MARK}={lab.run_dir}/resolver.sock")
    for process in found:
        process.close()
    return [process.pid for process in found]


def a_network(*tasks: dict[str, Any], **service: Any) -> dict[str, Any]:
    return {
        "network_id": "n1",
        "network": {"id": "n1", "name": "shop", "subnets": [{"subnet": "10.0.1.0/24"}]},
        "endpoints": list(tasks),
        "services": [{"service_id": "s1", "name": "web", "virtual_addresses": ["10.0.1.2"], **service}],
    }


WEB_1 = {
    "task_id": "t1",
    "service_id": "s1",
    "name": "web.1.t1",
    "addresses": ["10.0.1.3"],
    "serving": True,
}


def ask(task: Attached, name: str, kind: str = "A", *, tcp: bool = False) -> list[str]:
    """Return what a task is answered, empty when there is no such name; raises LookupError for no answer."""
    question = dns.message.make_query(name, kind)
    how = dns.query.tcp if tcp else dns.query.udp
    with namespaces.entered(task.netns):
        answer = how(question, SERVER, timeout=60)
    if answer.rcode() == dns.rcode.SERVFAIL:
        raise LookupError(f"the server that was asked for {name} did not answer in time")
    assert answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}, dns.rcode.to_text(answer.rcode())
    return sorted(str(item) for records in answer.answer for item in records)


def joined(lab: Lab, task_id: str = "t1", **more: Any) -> Attached:
    task = lab.agent.attach(task_id)
    client = {"task_id": task_id, "address": task.address, "network_ids": ["n1"], "hostname": task_id}
    lab.agent.call("resolver_attach", client | more)
    return task


def test_tasks_ask_one_server_and_see_what_their_networks_have(lab: Lab) -> None:
    lab.agent.call("resolver_apply", [a_network(WEB_1)])
    inside, outside = joined(lab), joined(lab, "t2", network_ids=[])
    assert inside.resolv_conf.read_text().startswith(f"nameserver {SERVER}\n")
    assert ask(inside, "web") == ["10.0.1.2"]
    assert ask(inside, "tasks.web", tcp=True) == ["10.0.1.3"]
    assert ask(outside, "t2") == [outside.address]
    lab.agent.call("resolver_apply", [a_network({**WEB_1, "serving": False})])
    assert ask(inside, "tasks.web") == []
    assert ask(inside, "web") == ["10.0.1.2"]


class Upstream:
    """A name server that knows one name and says who asked."""

    def __init__(self, lab: Lab, where: Path, address: str) -> None:
        with namespaces.entered(where):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((address, 53))
        self._socket.settimeout(0.05)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.asked: list[str] = []

    def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(OSError):  # its time is over; who asked has given up
                data, peer = self._socket.recvfrom(4096)
                query = dns.message.from_wire(data)
                self.asked.append(str(query.question[0].name))
                answer = dns.message.make_response(query)
                answer.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", peer[0])]
                self._socket.sendto(answer.to_wire(), peer)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._socket.close()


def test_other_names_are_asked_of_the_node_s_servers_or_of_the_task_s_own_from_inside(lab: Lab) -> None:
    lab.agent.call("resolver_apply", [a_network(WEB_1)])
    lab.resolv_conf.write_text("nameserver 192.0.2.53\n")
    with contextlib.ExitStack() as stack:
        of_node = Upstream(lab, lab.node, "127.0.0.7")
        stack.callback(of_node.close)
        plain = joined(lab)
        own = joined(lab, "t2", nameservers=["127.0.0.8"])
        of_task = Upstream(lab, own.netns, "127.0.0.8")
        stack.callback(of_task.close)
        lab.resolv_conf.write_text("nameserver 127.0.0.7\n")  # another one, while everything runs
        for task in (plain, own):  # a server that is slow to answer is asked again, as by every client
            assert wait_until(lambda task=task: ask(task, "web.example.org")) == ["127.0.0.1"]
        assert ask(own, "web") == ["10.0.1.2"]
        assert ask(own, "web.shop") == ["10.0.1.2"]
        assert set(of_node.asked) == set(of_task.asked) == {"web.example.org."}


class Flood:
    """Questions, one after the other, from one task; each must be answered rightly.

    `repeated`: questions that had to be asked again, as all clients do. One that a name server had taken
    up when it was killed is such a one.
    """

    def __init__(self, task: Attached) -> None:
        self._task = task
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self.answers = self.repeated = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with namespaces.entered(self._task.netns):
                asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with asking:
                asking.settimeout(20)
                while not self._stopping.is_set():
                    answer = self._ask(asking)
                    assert [str(item) for item in answer.answer[0]] == ["10.0.1.2"]
                    self.answers += 1
        except BaseException as error:  # noqa: BLE001 -- told to the test
            self._failure = error

    def _ask(self, asking: socket.socket) -> dns.message.Message:
        question = dns.message.make_query("web", "A")
        asking.sendto(question.to_wire(), (SERVER, 53))
        while True:
            try:
                answer = dns.message.from_wire(asking.recv(512))
            except TimeoutError:
                self.repeated += 1
                asking.sendto(question.to_wire(), (SERVER, 53))
                continue
            if answer.id == question.id:  # else of a question that was asked twice
                return answer

    def __enter__(self) -> "Flood":
        return self

    def more(self) -> None:
        """Return when it has been answered some times more."""
        wanted = self.answers + 20
        wait_until(lambda: self.answers >= wanted or self._failure is not None)

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(90)
        assert self._failure is None, repr(self._failure)


def test_no_question_is_lost_while_agents_come_and_go_and_the_name_server_is_killed(lab: Lab) -> None:
    lab.agent.call("resolver_apply", [a_network(WEB_1)])
    task = joined(lab)
    with Flood(task) as flood:
        flood.more()
        first = resolvers(lab)
        lab.agent.kill()
        flood.more()  # nobody is there but the name server
        lab.agent.start()
        lab.agent.call("resolver_start")
        flood.more()
        assert resolvers(lab) == first
        assert flood.repeated == 0

        lab.agent.call("resolver_apply", [a_network(WEB_1)])
        joined(lab)
        os.kill(first[0], signal.SIGKILL)  # one that this lab has started, by its mark
        flood.more()
        assert resolvers(lab) not in ([], first)
        assert flood.repeated <= 1


def test_a_name_server_hears_the_next_agent_also_when_nobody_asks_it(lab: Lab) -> None:
    """Both hold the same open socket: nothing that one does to it may make the other wait in it."""
    lab.agent.call("resolver_apply", [a_network(WEB_1)])
    task = joined(lab)
    (pid,) = resolvers(lab)
    lab.agent.kill()
    lab.agent.start()
    lab.agent.call("resolver_start")
    assert ask(task, "web") == ["10.0.1.2"]
    assert resolvers(lab) == [pid]
    with namespaces.entered(task.netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(b"no question", (SERVER, 53))  # it looks into its socket, and then at the agent again
    lab.agent.call("resolver_attach", {"task_id": "t1", "address": task.address, "network_ids": ["n1"]})
    arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    udp = arguments[arguments.index("--udp") + 1]
    flags = Path(f"/proc/{pid}/fdinfo/{udp}").read_text().partition("flags:")[2].split()[0]
    assert int(flags, 8) & os.O_NONBLOCK
    lab.agent.call("resolver_apply", [a_network({**WEB_1, "addresses": ["10.0.1.9"]})])
    assert ask(task, "tasks.web") == ["10.0.1.9"]


def test_an_agent_that_has_lost_its_memory_has_names_of_before_withdrawn_first(lab: Lab) -> None:
    gone = {**WEB_1, "task_id": "t2", "name": "web.2.t2", "addresses": ["10.0.1.4"]}
    heir = {**WEB_1, "task_id": "t5", "name": "other", "service_id": "", "addresses": ["10.0.1.4"]}
    lab.agent.call("resolver_apply", [a_network(WEB_1, gone)])
    task = joined(lab)
    assert ask(task, "tasks.web") == ["10.0.1.3", "10.0.1.4"]
    lab.agent.kill()
    lab.agent.start()
    lab.agent.call("resolver_start")
    assert ask(task, "tasks.web") == ["10.0.1.3", "10.0.1.4"], "it answers as before"
    lab.agent.call("resolver_withdraw", [a_network(WEB_1, heir)])
    assert ask(task, "tasks.web") == ["10.0.1.3"]
    assert ask(task, "web") == ["10.0.1.2"]
    lab.agent.call("resolver_apply", [a_network(WEB_1, heir)])
    assert ask(task, "tasks.web") == ["10.0.1.3"]
    assert ask(task, "other.shop") == ["10.0.1.4"]


def test_code_that_has_changed_takes_over_with_all_that_was_known(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.agent.call("resolver_apply", [a_network(WEB_1)])
    task = joined(lab)
    with Flood(task) as flood:
        flood.more()
        first = resolvers(lab)
        lab.agent.stop()
        monkeypatch.setenv("TEST_CODE", "another")
        lab.agent.start()
        lab.agent.call("resolver_start")  # and nothing is said of tasks or networks
        flood.more()
        wait_until(lambda: first[0] not in resolvers(lab))
        flood.more()
        assert len(resolvers(lab)) == 1
        assert flood.repeated == 0


def test_a_name_server_whose_node_has_gone_ends(lab: Lab) -> None:
    lab.agent.stop()
    (lab.run_dir / "resolver.sock").unlink()
    wait_until(lambda: resolvers(lab) == [])
    lab.agent.start()


def test_a_router_that_was_made_again_has_a_name_server_too(lab: Lab) -> None:
    lab.agent.stop()
    namespaces.remove(lab.run_dir / "netns" / "router")
    lab.agent.start()
    lab.agent.call("resolver_start")
    lab.agent.call("resolver_apply", [a_network(WEB_1)])
    assert ask(joined(lab, "t9"), "web") == ["10.0.1.2"]
