"""What is told of changes comes to the same as telling everything anew."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.overlay.state import OverlayState
from swarm.agent.resolver.tables import Tables
from swarm.agent.resolver.zones import Zones, everything_of
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayEndpoint, OverlayNetwork, OverlayService
from swarm.api.v1.types_pb2 import PortConfig

NAMES = st.sampled_from(["web", "db", "www", "tasks.web", "Shop"])
SERVICES = st.builds(
    OverlayService,
    service_id=st.sampled_from(["s1", "s2"]),
    name=NAMES,
    aliases=st.lists(NAMES, max_size=2),
    virtual_addresses=st.sampled_from([[], ["10.0.0.2"], ["10.0.0.3", "fd00::3"]]),
    ports=st.sampled_from([[], [PortConfig(name="http", target_port=80)]]),
)
ENDPOINTS = st.builds(
    OverlayEndpoint,
    task_id=st.sampled_from(["t1", "t2", "t3"]),
    service_id=st.sampled_from(["s1", "s2", ""]),
    name=NAMES,
    hostname=st.sampled_from(["", "web", "host"]),
    aliases=st.lists(NAMES, max_size=1),
    addresses=st.sampled_from([["10.0.0.9"], ["10.0.0.10", "fd00::10"]]),
    serving=st.booleans(),
)
NETWORKS = st.builds(
    OverlayNetwork,
    name=st.sampled_from(["shop", "back"]),
    internal=st.booleans(),
    subnets=st.just([Subnet(subnet="10.0.0.0/24")]),
)
CHANGES = st.builds(
    OverlayChanges,
    network_id=st.sampled_from(["n1", "n2"]),
    network=st.none() | NETWORKS,
    removed=st.sampled_from([False, False, False, True]),
    services=st.lists(SERVICES, max_size=2),
    endpoints=st.lists(ENDPOINTS, max_size=3),
    removed_task_ids=st.lists(st.sampled_from(["t1", "t2"]), max_size=1),
    removed_service_ids=st.lists(st.sampled_from(["s1", "s2"]), max_size=1),
)


def told(messages: Iterable[tuple[object, bool]]) -> object:
    tables = Tables()
    for message, whole in messages:
        tables.put_zones(json.loads(json.dumps(message)), whole=whole)
    return tables.said()["zones"]


@given(st.lists(st.tuples(st.lists(CHANGES, max_size=3), st.booleans()), max_size=6))
def test_changes_one_after_the_other_come_to_what_the_whole_says(
    steps: list[tuple[list[OverlayChanges], bool]],
) -> None:
    state, zones = OverlayState(), Zones()
    messages = []
    for changes, complete in steps:
        messages.append((zones.follow(state, state.apply(changes, complete=complete)), False))
    assert told(messages) == told([(zones.everything(), True)])
    again = OverlayState()
    anew = Zones().follow(again, again.apply(state.everything(), complete=True))
    assert told(messages) == told([(anew, True)])


def test_a_change_of_one_task_tells_of_its_names_only() -> None:
    state, zones = OverlayState(), Zones()
    service = OverlayService(service_id="s1", name="web", virtual_addresses=["10.0.0.2"])
    tasks = [
        OverlayEndpoint(
            task_id=f"t{n}", service_id="s1", name=f"web.{n}", addresses=[f"10.0.0.{n}"], serving=True
        )
        for n in range(3, 9)
    ]
    network = OverlayNetwork(name="shop")
    first = OverlayChanges(network_id="n1", network=network, services=[service], endpoints=tasks)
    zones.follow(state, state.apply([first]))
    ill = OverlayEndpoint()
    ill.CopyFrom(tasks[0])
    ill.serving = False
    told_now = zones.follow(state, state.apply([OverlayChanges(network_id="n1", endpoints=[ill])]))
    assert set(told_now["n1"]["names"]) == {"web.3", "t3", "tasks.web"}
    assert told_now["n1"]["names"]["tasks.web"][0] == [f"10.0.0.{n}" for n in range(4, 9)]


@given(st.lists(st.tuples(st.lists(CHANGES, max_size=3), st.booleans()), max_size=6))
def test_what_is_withdrawn_first_adds_nothing_and_changes_nothing_of_what_comes_of_it(
    steps: list[tuple[list[OverlayChanges], bool]],
) -> None:
    state, zones, tables = OverlayState(), Zones(), Tables()
    for changes, complete in steps:
        before = addresses_by_sayer(zones)
        touched = state.apply(changes, complete=complete)
        tables.put_zones(json.loads(json.dumps(zones.withdraw(state, touched))), whole=False)
        assert addresses_by_sayer(zones) <= before
        tables.put_zones(json.loads(json.dumps(zones.follow(state, touched))), whole=False)
    assert tables.said()["zones"] == told([(zones.everything(), True)])


def addresses_by_sayer(zones: Zones) -> set[tuple[str, str, str, str]]:
    return {
        (network_id, sayer, name, address)
        for network_id, known in zones._networks.items()
        for sayer, names in known.said.items()
        for name, said in names.items()
        for address in said.addresses
    }


def test_a_name_leads_no_more_to_an_address_of_before_until_packets_go_to_the_next() -> None:
    state, zones = OverlayState(), Zones()
    network = OverlayNetwork(name="shop", subnets=[Subnet(subnet="10.0.0.0/24")])
    before = OverlayEndpoint(task_id="t1", name="web", addresses=["10.0.0.9"], serving=True)
    zones.follow(
        state,
        state.apply([OverlayChanges(network_id="n1", network=network, endpoints=[before])], complete=True),
    )
    after = OverlayEndpoint(task_id="t1", name="web", addresses=["10.0.0.10"], serving=True)
    touched = state.apply([OverlayChanges(network_id="n1", endpoints=[after])], complete=False)
    assert zones.withdraw(state, touched)["n1"]["names"]["web"][0] == []
    assert zones.follow(state, touched)["n1"]["names"]["web"][0] == ["10.0.0.10"]


@given(
    st.tuples(*[st.lists(CHANGES, max_size=3)] * 2),
    st.lists(CHANGES, max_size=3),
)
def test_of_what_an_earlier_life_said_only_that_stays_which_is_said_now(
    earlier: tuple[list[OverlayChanges], list[OverlayChanges]], now: list[OverlayChanges]
) -> None:
    state, tables = OverlayState(), Tables()
    for changes in earlier:
        state.apply(changes)
    tables.put_zones(json.loads(json.dumps(everything_of(state))), whole=True)
    before = said_by(tables.said()["zones"])
    after = OverlayState()
    after.apply(now, complete=True)
    tables.withdraw(json.loads(json.dumps(everything_of(after))))
    assert said_by(tables.said()["zones"]) == before & said_by(everything_of(after))
    tables.put_zones(json.loads(json.dumps(everything_of(after))), whole=True)
    assert tables.said()["zones"] == told([(everything_of(after), True)])


def said_by(zones: Any) -> set[tuple[str, str, str]]:
    return {
        (network_id, name, json.dumps(one))
        for network_id, zone in zones.items()
        for name, said in zone["names"].items()
        for kind in said
        for one in kind
    }
