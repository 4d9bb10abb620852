"""Plain containers in networks: what managers are told, also later, when they or the agent were gone."""

from pathlib import Path

import pytest

from swarm.agent.network.base import TaskNetwork
from swarm.agent.network.places import placed, with_places
from swarm.agent.plain import networks as plain_networks
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.errors import FailedPrecondition, NotFound, Unavailable
from swarm.runtime.fake import Script
from tests.unit.agent.fake_managers import FakeManagers, attachable
from tests.unit.agent.lab import until
from tests.unit.agent.plain_bench import Bench, spec


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(plain_networks, "RETRY_S", 0.01)
    monkeypatch.setattr(plain_networks, "RETRY_MAX_S", 0.02)
    bench = Bench(tmp_path)
    bench.managers, bench.telling = FakeManagers("shop", "back"), True
    return bench


def in_network(name: str = "shop", **more: str) -> NetworkAttachment:
    return NetworkAttachment(network_name=name, **more)  # type: ignore[arg-type]


def joined(bench: Bench, container_id: str) -> dict[str, tuple[str, ...]]:
    return {one.network_id: one.addresses for one in bench.network.networks.get(container_id, ())}


async def test_a_container_has_the_address_that_the_managers_gave_and_its_name_while_it_runs(
    bench: Bench,
) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(networks=[in_network(ipv4_address="10.0.0.9")]))
        (known,) = bench.managers.all()
        assert (known.node_id, known.name, known.serving) == ("n1", "one", False)
        assert list(known.networks[0].addresses) == ["10.0.0.9"]
        await plain.start()
        assert joined(bench, plain.id) == {"id-shop": ("10.0.0.9",)}
        await until(lambda: bench.managers.all()[0].serving)
        await plain.stop(1.0)
        await until(lambda: not bench.managers.all()[0].serving)
        assert list(bench.managers.all()[0].networks[0].addresses) == ["10.0.0.9"]
        await plain.remove(force=False)
        assert not bench.managers.all()


async def test_a_hardware_address_is_that_of_its_interface_also_in_later_lives(bench: Bench) -> None:
    of_shop, of_node = "02:42:ac:11:00:02", "02:42:ac:11:00:03"
    async with bench.life() as containers:
        made = spec(networks=[in_network(mac_address=of_shop)])
        made.mac_address = of_node
        plain = await containers.create(made)
        await plain.start()
        await containers.connect(plain, in_network("back", mac_address=of_node))
        with pytest.raises(FailedPrecondition, match="interface of network bridge since it was made"):
            await containers.connect(plain, in_network("bridge", mac_address=of_node))
    async with bench.life() as containers:
        (again,) = containers.all()
        await again.restart(0.1)
        found = {one.network_id: one.mac for one in bench.network.networks[again.id]}
        assert found == {"id-shop": of_shop, "id-back": of_node}
        assert bench.network.macs[again.id] == of_node


async def test_nothing_is_made_when_the_managers_refuse_or_are_not_there(bench: Bench) -> None:
    async with bench.life() as containers:
        with pytest.raises(NotFound, match="no network nowhere"):
            await containers.create(spec(networks=[in_network("nowhere")]))
        bench.managers.broken = Unavailable("no manager")
        with pytest.raises(Unavailable):
            await containers.create(spec(networks=[in_network()]))
        assert not containers.ids()
        assert not bench.managers.all()


async def test_it_is_started_again_without_managers(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(networks=[in_network()]))
        await plain.start()
        before = joined(bench, plain.id)
        bench.managers.broken = Unavailable("no manager")
        await plain.restart(0.1)
        assert joined(bench, plain.id) == before
    async with bench.life() as containers:
        (again,) = containers.all()
        assert [tuple(one.addresses) for one in again.record.addresses] == list(before.values())


async def test_what_managers_know_of_containers_that_are_gone_is_taken_back(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(networks=[in_network()]))
        bench.managers.broken = Unavailable("no manager")
        await plain.remove(force=True)
        assert bench.managers.all()  # they did not hear of it
        bench.managers.broken = None
        await until(lambda: not bench.managers.all())


async def test_what_the_cluster_has_lost_is_asked_for_again(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(networks=[in_network()]))
        await plain.start()
        bench.managers.tables.attachments.delete(plain.id)
        bench.managers.tables.networks.delete("id-shop")
        bench.managers.tables.networks.put(attachable("shop", 7, "new-one"))
    async with bench.life():
        await until(lambda: joined(bench, plain.id) == {"new-one": ("10.7.0.2",)})


async def test_a_running_container_joins_and_leaves(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(networks=[in_network()]))
        await plain.start()
        await containers.connect(plain, in_network("back", ipv4_address="10.1.0.5"))
        assert joined(bench, plain.id) == {"id-shop": ("10.0.0.2",), "id-back": ("10.1.0.5",)}
        with pytest.raises(FailedPrecondition, match="is in network back already"):
            await containers.connect(plain, in_network("back"))
        await containers.disconnect(plain, "shop")
        assert joined(bench, plain.id) == {"id-back": ("10.1.0.5",)}
        (known,) = bench.managers.all()
        assert [one.network_id for one in known.networks] == ["id-back"]
        with pytest.raises(NotFound):
            await containers.disconnect(plain, "shop")
        await containers.disconnect(plain, "id-back")
        assert not bench.managers.all()
        assert [event for _, event in bench.events][-3:] == ["connect", "disconnect", "disconnect"]


async def test_its_networks_are_told_where_it_starts_and_ends(bench: Bench) -> None:
    told: list[tuple[str, str]] = []
    async with bench.life() as containers:
        containers.on_event = lambda _plain, event, more: told.append((event, more.get("network", "")))
        for wanted in spec("a", networks=[in_network(), in_network("back")]), spec("b"):
            plain = await containers.create(wanted)
            await plain.start()
            await plain.stop(1.0)
    assert [one for one in told if one[1]] == [
        *(("connect", "shop"), ("connect", "back"), ("disconnect", "shop"), ("disconnect", "back")),
        *(("connect", "bridge"), ("disconnect", "bridge")),
    ]


async def test_a_connection_that_fails_on_the_node_leaves_all_as_it_was(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(networks=[in_network()]))
        await plain.start()
        bench.network.broken["attach"] = Unavailable("no room")
        with pytest.raises(Unavailable, match="no room"):
            await containers.connect(plain, in_network("back"))
        assert [one.network_name for one in plain.record.spec.networks] == ["shop"]
        await until(lambda: [one.network_id for one in bench.managers.all()[0].networks] == ["id-shop"])


async def test_it_can_leave_without_managers_and_they_hear_of_it_later(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(networks=[in_network(), in_network("back")]))
        bench.managers.broken = Unavailable("no manager")
        await containers.disconnect(plain, "back")
        assert [one.network_name for one in plain.record.spec.networks] == ["shop"]
        bench.managers.broken = None
        await until(lambda: [one.network_id for one in bench.managers.all()[0].networks] == ["id-shop"])


async def test_what_crashes_and_waits_for_its_restart_has_no_name(bench: Bench) -> None:
    async with bench.life() as containers:
        bench.driver.default = Script(runs_s=0.0, exit_code=1)
        plain = await containers.create(spec(networks=[in_network()]))
        await plain.start()
        await until(lambda: not plain.record.address)
        await until(lambda: not bench.managers.all()[0].serving)


def test_an_interface_keeps_its_place_and_a_new_one_gets_the_lowest_free() -> None:
    first, second, third = placed([TaskNetwork("a"), TaskNetwork("b"), TaskNetwork("c")])
    assert [one.position for one in (first, second, third)] == [0, 1, 2]
    after = placed([second, third, TaskNetwork("d")])
    assert [(one.network_id, one.position) for one in after] == [("b", 1), ("c", 2), ("d", 0)]
    assert [place for place, _ in with_places([TaskNetwork("a"), TaskNetwork("b")])] == [0, 1]
