import pytest

from swarm.api.v1.types_pb2 import PortConfig
from swarm.errors import FailedPrecondition
from swarm.model.ingress_ports import FIRST, LAST, choose_port

WEB = PortConfig(target_port=80, protocol=PortConfig.PROTOCOL_UDP)


def test_the_same_service_is_given_the_same_port_and_another_one_another() -> None:
    ports = {choose_port(f"service-{number}", WEB, lambda _: False) for number in range(50)}
    assert len(ports) > 40
    assert all(FIRST <= port <= LAST for port in ports)
    assert choose_port("service-1", WEB, lambda _: False) in ports


def test_every_port_is_found_and_then_there_is_none() -> None:
    taken: set[int] = set()
    for _ in range(FIRST, LAST + 1):
        taken.add(choose_port("one", WEB, taken.__contains__))
    assert len(taken) == LAST - FIRST + 1
    with pytest.raises(FailedPrecondition, match="no udp port between 30000 and 32767 is free for port 80"):
        choose_port("one", WEB, taken.__contains__)
