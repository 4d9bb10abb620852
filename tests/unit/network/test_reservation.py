import os
import socket
from collections.abc import Iterator

import pytest

from swarm.agent.network.base import PublishedPort
from swarm.agent.network.holders import holder_of
from swarm.agent.network.reservation import PortReservations
from swarm.errors import TaskRejected

HOST = "127.211.0.1"  # of our own, so that no program of the machine is in the way


@pytest.fixture
def reservations() -> Iterator[PortReservations]:
    found = PortReservations((HOST,), holder_of)
    yield found
    found.release_all()


def taken(port: int, host: str = HOST) -> bool:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind((host, port))
            other.listen()
        except OSError:
            return True
        return False


def test_a_held_port_is_refused_to_others_until_it_is_released(reservations: PortReservations) -> None:
    reservations.hold("task", [PublishedPort("tcp", 18080, 80)], {}, 0)
    assert taken(18080)
    reservations.release("task")
    assert not taken(18080)


def test_a_refused_task_holds_none_of_its_ports(reservations: PortReservations) -> None:
    with socket.create_server((HOST, 18082)):
        wanted = [PublishedPort("tcp", 18081, 80), PublishedPort("tcp", 18082, 80)]
        with pytest.raises(
            TaskRejected, match=rf"port 18082/tcp is in use on this node by .*pid {os.getpid()}"
        ):
            reservations.hold("task", wanted, {}, 0)
    assert not taken(18081)


def test_a_dynamic_port_that_a_program_has_is_passed_over(reservations: PortReservations) -> None:
    with socket.create_server((HOST, 30005)):
        (port,) = reservations.hold("task", [PublishedPort("tcp", 0, 80)], {}, 5)
    assert port == PublishedPort("tcp", 30006, 80)


def test_two_dynamic_ports_of_one_task_differ(reservations: PortReservations) -> None:
    one, other = reservations.hold("task", [PublishedPort("udp", 0, 53), PublishedPort("udp", 0, 54)], {}, 0)
    assert one.published_port != other.published_port


def test_a_port_of_sctp_needs_no_program_that_speaks_it(reservations: PortReservations) -> None:
    (port,) = reservations.hold("task", [PublishedPort("sctp", 18083, 80)], {}, 0)
    assert port.published_port == 18083


def test_a_port_at_one_address_is_free_at_others(reservations: PortReservations) -> None:
    reservations.hold("task", [PublishedPort("tcp", 18084, 80, "127.211.0.2")], {}, 0)
    assert not taken(18084)
    assert taken(18084, "127.211.0.2")


def test_an_address_of_somebody_else_is_refused_by_its_name(reservations: PortReservations) -> None:
    with pytest.raises(
        TaskRejected, match=r"no address of this node is in 198\.18\.7\.0/24, .* port 18085/tcp"
    ):
        reservations.hold("task", [PublishedPort("tcp", 18085, 80, "198.18.7.0/24")], {}, 0)
