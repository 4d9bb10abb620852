"""Plain containers on a fake node: what people and policies do with them, and what an agent finds again."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from swarm.agent.plain import policy
from swarm.agent.plain.records import PlainRecords
from swarm.agent.plain.requests import PlainRequests, plain_details, plain_summary
from swarm.api.v1.containers_pb2 import ContainerSummary, PruneContainers
from swarm.api.v1.plain_pb2 import PlainContainer, PlainRestart
from swarm.api.v1.types_pb2 import Mount, PortConfig
from swarm.clock import SECOND
from swarm.errors import FailedPrecondition, InvalidArgument, NameConflict, TaskRejected
from swarm.model import limits
from swarm.runtime.base import ContainerState, ImageMount
from swarm.runtime.fake import Script
from swarm.runtime.images.base import Pull
from tests.unit.agent.lab import until
from tests.unit.agent.plain_bench import Bench, spec

R = PlainRestart


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(policy, "FIRST_DELAY_NS", SECOND // 100)
    return Bench(tmp_path)


async def test_an_image_that_it_mounts_is_pulled_with_it_and_stays_what_it_was(bench: Bench) -> None:
    wanted = spec()
    wanted.container.image = "registry.test/web:1"
    wanted.container.registry_auth.username = "ann"
    wanted.container.mounts.add(type=Mount.TYPE_IMAGE, source="registry.test/model:1", target="/model")
    async with bench.life() as containers:
        plain = await containers.create(wanted)
        assert bench.images.credentials["registry.test/model:1"] is not None
        kept = containers.image_digests()
        assert kept == {"sha256:registry.test/web:1", "sha256:registry.test/model:1"}
    async with bench.life() as containers:  # an agent that knows its records only
        assert containers.image_digests() == kept
        (plain,) = containers.all()
        await plain.start()
        (mounted,) = bench.driver.config(plain.id).mounts
        assert isinstance(mounted, ImageMount)
        assert (mounted.target, bench.images.pulls["registry.test/model:1"]) == ("/model", 1)
        assert bench.images.pulls["registry.test/model:1@sha256:registry.test/model:1"] == 1


async def test_what_a_container_lacks_is_told_before_its_first_start_and_ever_after(bench: Bench) -> None:
    bench.driver.default = Script(warnings=("swap: left out",))
    async with bench.life() as containers:
        plain = await containers.create(spec())
        assert (await plain_details(plain)).warnings == ["swap: left out"]
        bench.driver.default = Script()  # the node became another: what counts is what it was made with
        await plain.start()
        assert not (await plain_details(plain)).warnings
        bench.driver.default = Script(warnings=("swap: left out",))
        later = await containers.create(spec("two"))
        await later.start()
    bench.driver.default = Script()
    async with bench.life() as containers:
        (found,) = containers.named(["two"])
        assert (await plain_details(found)).warnings == ["swap: left out"]


async def test_what_cannot_be_at_all_is_made_without_a_warning_and_says_so_when_it_starts(
    bench: Bench,
) -> None:
    wanted = spec()
    wanted.container.env.append("A={{.Nonsense}}")
    async with bench.life() as containers:
        plain = await containers.create(wanted)
        assert not (await plain_details(plain)).warnings
        with pytest.raises(TaskRejected, match="Nonsense"):
            await plain.start()


async def test_a_container_is_made_started_stopped_started_again_and_removed(bench: Bench) -> None:
    async with bench.life() as containers:
        wanted = spec(ports=[PortConfig(target_port=80)])
        wanted.container.registry_auth.password = "secret"
        wanted.container.labels["tier"] = "db"
        plain = await containers.create(wanted)
        assert (await plain_summary(plain)).state == "created"
        assert not bench.driver.ids()
        await plain.start()
        await plain.start()  # twice is once
        shown = await plain_summary(plain)
        assert (shown.state, shown.name, shown.plain, shown.task_id) == ("running", "one", True, "")
        assert shown.ports[0].published_port >= 30000
        assert dict(bench.driver.config(plain.id).labels) == {"tier": "db"}
        with pytest.raises(FailedPrecondition, match="is running"):
            await plain.remove(force=False)
        await plain.stop(1.0)
        assert not bench.network.sandboxes  # address and ports are free
        assert (await plain_summary(plain)).state == "exited"
        await plain.start()
        assert bench.driver.calls["renew"] == 1
        await plain.remove(force=True)
        assert not bench.driver.ids()
        assert not containers.ids()
    assert not list((bench.folder / "plain").iterdir())
    assert [event for _, event in bench.events] == [
        *("create", "connect", "start", "kill", "die", "disconnect", "stop"),
        *("connect", "start", "kill", "die", "disconnect", "destroy"),
    ]


async def test_who_prunes_is_told_what_each_container_had_written(bench: Bench) -> None:
    async with bench.life() as containers:
        ended, unknown, _never_ran = [await containers.create(spec(name)) for name in ("a", "b", "c")]
        for plain in (ended, unknown):
            await plain.start()
            await plain.stop(1.0)
        requests = PlainRequests(containers, bench.driver, lambda _task: {})

        async def measure(found: ContainerSummary) -> None:
            if found.id == ended.id:
                found.written_bytes = 5

        requests.measure = measure
        gone = {one.removed: one for one in await requests.prune(PruneContainers())}
    assert len(gone) == 3
    assert gone[ended.id].removed_bytes == 5
    assert not gone.pop(unknown.id).HasField("removed_bytes")
    assert sum(one.removed_bytes for one in gone.values() if one.HasField("removed_bytes")) == 5


async def test_another_signal_may_ask_it_to_end_and_an_unknown_one_changes_nothing(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec(condition=R.CONDITION_ALWAYS))
        await plain.start()
        with pytest.raises(InvalidArgument, match="SIGNOT"):
            await plain.stop(1.0, "SIGNOT")
        assert not plain.record.stopped
        await plain.restart(1.0, "SIGINT")
        assert bench.driver.stop_signals[plain.id] == "SIGINT"
        assert [event for _, event in bench.events][-7:] == [
            *("kill", "die", "disconnect", "stop", "connect", "start", "restart")
        ]
        await plain.stop(1.0, "QUIT")
        assert bench.driver.stop_signals[plain.id] == "QUIT"
        await plain.remove(force=True)


async def test_signals_are_told_by_their_numbers_and_a_new_name_with_the_old_one(bench: Bench) -> None:
    told: list[tuple[str, dict[str, str]]] = []
    async with bench.life() as containers:
        containers.on_event = lambda _plain, event, more: told.append((event, dict(more)))
        plain = await containers.create(spec("db"))
        await containers.rename(plain, "base")
        await plain.start()
        await plain.stop(1.0)
        await plain.start()
        await plain.stop(1.0, "QUIT")
        await plain.start()
        await plain.remove(force=True)
    assert [more["signal"] for event, more in told if event == "kill"] == ["15", "3", "9"]
    assert ("rename", {"oldName": "/db"}) in told


async def test_a_registry_is_asked_as_whoever_makes_it_wants(bench: Bench) -> None:
    async with bench.life() as containers:
        for name, pull in (("one", Pull.MISSING), ("two", Pull.ALWAYS), ("three", Pull.NEVER)):
            plain = await containers.create(spec(name), pull=pull)
            assert bench.images.wanted["web:1"] is pull
            await plain.start()  # with what it was made of
            assert bench.images.wanted["web:1"] is Pull.MISSING


async def test_what_it_and_its_image_expose_is_published_with_the_rest(bench: Bench) -> None:
    bench.images.exposed = ("80", "53/udp", "8000-8001/tcp")
    udp = PortConfig.PROTOCOL_UDP
    async with bench.life() as containers:
        own = [PortConfig(target_port=80, published_port=8080)]
        exposed = [PortConfig(target_port=7000, protocol=udp)]
        plain = await containers.create(spec(publish_all=True, ports=own, exposed=exposed))
        ports = {(one.protocol, one.target_port): one.published_port for one in plain.record.spec.ports}
        assert ports == {(0, 80): 8080, (udp, 7000): 0, (udp, 53): 0, (0, 8000): 0, (0, 8001): 0}
        unpublished = await containers.create(spec("two", exposed=exposed))
        hosts = await containers.create(spec("three", publish_all=True, network="host"))
        assert not unpublished.record.spec.ports
        assert not hosts.record.spec.ports
        bench.images.exposed = ("1-65535",) * 1000  # of a stranger
        with pytest.raises(InvalidArgument, match="PORTS"):
            await containers.create(spec("four", publish_all=True))


async def test_no_password_reaches_the_disk(bench: Bench) -> None:
    async with bench.life() as containers:
        wanted = spec()
        wanted.container.registry_auth.password = "hunter2"
        plain = await containers.create(wanted)
        assert b"hunter2" not in (bench.folder / "plain" / plain.id).read_bytes()
        await plain.remove(force=True)


async def test_what_policy_says_is_done_and_a_stop_by_hand_is_final(bench: Bench) -> None:
    async with bench.life() as containers:
        always = await containers.create(spec("always", R.CONDITION_ALWAYS))
        await always.start()
        for count in (1, 2):
            bench.driver.exit(always.id, exit_code=0)
            await until(lambda count=count: always.record.restarts == count)  # type: ignore[misc]
            await until(lambda: always.id in bench.driver.ids(ContainerState.RUNNING))
        await always.stop(1.0)
        await asyncio.sleep(0.05)
        assert always.id in bench.driver.ids(ContainerState.EXITED)
        failing = await containers.create(spec("failing", R.CONDITION_ON_FAILURE))
        await failing.change(lambda record: setattr(record.spec.restart, "max_retries", 2))
        bench.driver.scripts[failing.id] = Script(runs_s=0.0, exit_code=3)
        await failing.start()
        await until(lambda: failing.record.restarts == 2 and not failing.record.running)
        assert (await plain_summary(failing)).exit_code == 3
        for plain in (always, failing):
            await plain.remove(force=True)


async def test_a_container_that_removes_itself_leaves_nothing_and_gives_its_volumes_back(
    bench: Bench,
) -> None:
    async with bench.life() as containers:
        wanted = spec(auto_remove=True)
        wanted.container.mounts.add(type=Mount.TYPE_VOLUME, target="/scratch")
        wanted.container.mounts.add(type=Mount.TYPE_VOLUME, source="data", target="/data")
        plain = await containers.create(wanted)
        await plain.start()
        assert len(bench.volumes.all()) == 2
        bench.driver.exit(plain.id)
        await until(lambda: not containers.ids())
        assert [state.record.name for state in bench.volumes.all()] == ["data"]
        assert not bench.volumes.get("data").users


async def test_the_next_agent_finds_what_ran_what_ended_and_what_was_stopped(bench: Bench) -> None:
    async with bench.life() as containers:
        for name, condition in (
            ("runs", R.CONDITION_NO),
            ("ends", R.CONDITION_ALWAYS),
            ("stopped", R.CONDITION_UNLESS_STOPPED),
            ("created", R.CONDITION_NO),
        ):
            plain = await containers.create(spec(name, condition))
            if name != "created":
                await plain.start()
            if name == "stopped":
                await plain.stop(1.0)
        by_name = {one.name: one.id for one in containers.all()}
    bench.driver.exit(by_name["ends"], exit_code=1)
    bench.events.clear()
    async with bench.life() as containers:
        found = {one.name: one for one in containers.all()}
        await until(lambda: found["ends"].record.restarts == 1)
        await until(lambda: found["ends"].id in bench.driver.ids(ContainerState.RUNNING))
        assert ("runs", "start") not in bench.events
        assert found["stopped"].id in bench.driver.ids(ContainerState.EXITED)
        assert (await plain_summary(found["created"])).state == "created"
        bench.driver.exit(found["runs"].id, exit_code=5)  # it is watched over again
        await until(lambda: not found["runs"].record.running)


async def test_an_always_container_that_was_stopped_starts_with_the_next_agent(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec("a", R.CONDITION_ALWAYS))
        await plain.start()
        await plain.stop(1.0)
    async with bench.life() as containers:
        await until(lambda: plain.id in bench.driver.ids(ContainerState.RUNNING))


async def test_a_removal_that_was_interrupted_is_finished_by_the_next_agent(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec())
        await plain.start()
        bench.driver.broken["remove"] = OSError("busy")
        with pytest.raises(OSError, match="busy"):
            await plain.remove(force=True)
    bench.driver.broken.clear()
    async with bench.life() as containers:
        assert not containers.ids()
        assert not bench.driver.ids()


async def test_a_full_disk_stops_no_end_and_what_it_kept_from_being_written_follows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, full = PlainRecords.save, True

    def save_if_there_is_room(records: PlainRecords, record: PlainContainer) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(records, record)

    async with bench.life() as containers:
        running = await containers.create(spec("running", R.CONDITION_ALWAYS))
        ended = await containers.create(spec("ended"))
        fleeting = await containers.create(spec("fleeting", auto_remove=True))
        for one in (running, ended, fleeting):
            await one.start()
        monkeypatch.setattr(PlainRecords, "save", save_if_there_is_room)
        await running.stop(0.0)
        await ended.remove(force=True)
        await fleeting.stop(0.0)
        await until(lambda: [one.name for one in containers.all()] == ["running"])
        assert bench.driver.ids() == {running.id}
        with pytest.raises(OSError, match="No space left"):
            await running.start()
        full = False
        await running.stop(0.0)
    async with bench.life() as containers:
        (found,) = containers.all()
        assert found.record.stopped
        assert not found.record.running


async def test_a_removal_in_the_middle_of_a_restart_leaves_no_trace(bench: Bench) -> None:
    async with bench.life() as containers:
        for turn in range(8):
            plain = await containers.create(spec(f"c{turn}", R.CONDITION_ALWAYS))
            bench.driver.scripts[plain.id] = Script(runs_s=0.0)
            await plain.start()
            await asyncio.sleep(0.004 * turn)
            await plain.remove(force=True)
        assert not containers.ids()
    assert not list((bench.folder / "plain").iterdir())
    assert not bench.driver.ids()
    assert not bench.network.sandboxes


async def test_names_are_unique_on_a_node(bench: Bench) -> None:
    async with bench.life() as containers:
        first = await containers.create(spec("db"))
        with pytest.raises(NameConflict, match="db"):
            await containers.create(spec("db"))
        second = await containers.create(spec("other"))
        with pytest.raises(NameConflict):
            await containers.rename(second, "db")
        with pytest.raises(InvalidArgument, match="is called so already"):
            await containers.rename(first, "db")
        await containers.rename(first, "old")
        await containers.rename(second, "db")
        assert [one.id for one in containers.named(["db"])] == [second.id]
        with pytest.raises(InvalidArgument):
            await containers.rename(first, "-")


async def test_a_start_that_fails_frees_everything_and_says_why(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec())
        bench.driver.default = Script(create_error="no such program")
        with pytest.raises(TaskRejected):
            await plain.start()
        assert not bench.network.sandboxes
        shown = await plain_summary(plain)
        assert (shown.state, shown.error) == ("created", "no such program")
        assert not plain.record.running
        bench.driver.default = Script()
        await plain.start()
        assert not (await plain_summary(plain)).error


async def test_a_policy_tries_again_what_cannot_be_started_now(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec("a", R.CONDITION_ALWAYS))
        await plain.start()
        bench.network.broken["attach"] = TaskRejected("port taken")
        bench.driver.exit(plain.id)
        await until(lambda: plain.record.restarts >= 2)
        assert (await plain_summary(plain)).state == "restarting"
        bench.network.broken.clear()
        await until(lambda: plain.id in bench.driver.ids(ContainerState.RUNNING))


async def test_a_damaged_file_keeps_its_container_from_being_taken_for_a_strangers(bench: Bench) -> None:
    async with bench.life() as containers:
        plain = await containers.create(spec())
        await plain.start()
    (bench.folder / "plain" / plain.id).write_bytes(b"\xff\xff")
    async with bench.life() as containers:
        assert containers.ids() == {plain.id}
        assert not list(containers.all())


async def test_a_node_has_only_so_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    most = limits.Limit("PLAIN_CONTAINERS", 1, "plain containers", "test")
    monkeypatch.setattr("swarm.agent.plain.containers.PLAIN_CONTAINERS", most)
    async with bench.life() as containers:
        await containers.create(spec("a"))
        with pytest.raises(FailedPrecondition, match="PLAIN_CONTAINERS"):
            await containers.create(spec("b"))


def a_record(condition: "R.Condition", **fields: object) -> PlainContainer:
    record = PlainContainer(id="x", **fields)  # type: ignore[arg-type]
    record.spec.restart.condition = condition
    return record


def test_the_delay_doubles_up_to_a_minute_and_begins_anew_after_a_steady_run() -> None:
    record, delays, last = a_record(R.CONDITION_ALWAYS), [], 0
    for _ in range(12):
        last = policy.after_end(record, policy.Ending(1, SECOND), last).delay_ns
        delays.append(last / SECOND)
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 60
    assert policy.after_end(record, policy.Ending(1, 11 * SECOND), last).delay_ns == SECOND // 10


def test_which_containers_run_again() -> None:
    again = policy.Then.RESTART
    for condition, code, expected in (
        (R.CONDITION_NO, 1, policy.Then.STAY),
        (R.CONDITION_ALWAYS, 0, again),
        (R.CONDITION_UNLESS_STOPPED, 0, again),
        (R.CONDITION_ON_FAILURE, 0, policy.Then.STAY),
        (R.CONDITION_ON_FAILURE, 1, again),
    ):
        assert policy.after_end(a_record(condition), policy.Ending(code), 0).then is expected
        stopped = a_record(condition, stopped=True)
        assert policy.after_end(stopped, policy.Ending(code), 0).then is policy.Then.STAY
    limited = a_record(R.CONDITION_ON_FAILURE, restarts=3)
    limited.spec.restart.max_retries = 3
    assert policy.after_end(limited, policy.Ending(1), 0).then is policy.Then.STAY
    removing = a_record(R.CONDITION_ALWAYS, removing=True)
    assert policy.after_end(removing, policy.Ending(1), 0).then is policy.Then.REMOVE
