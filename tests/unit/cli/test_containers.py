"""What people write to and see of containers; archives that come from hostile ones."""

import io
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from swarm.api.v1.containers_pb2 import (
    ContainerOutput,
    ContainerSample,
    ContainerSummary,
    PathInfo,
    ProcessList,
    SampleList,
)
from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Mount, PortConfig
from swarm.cli import parse
from swarm.cli.archive import Destination, extract, pack
from swarm.cli.container import container
from swarm.cli.container_cp import place, split
from swarm.cli.container_filters import FILTERS, Described
from swarm.cli.container_stats import Usage
from swarm.cli.container_table import process_rows, published_lines, rows
from swarm.cli.exec import request_of
from swarm.cli.log_options import apply_log
from swarm.cli.main import main
from swarm.cli.render import fill
from swarm.cli.service_group import service
from swarm.clock import SECOND, timestamp
from swarm.errors import InvalidArgument, UserError
from tests.unit.cli import stage

NOW = 1_000_000 * SECOND


def given(**changes: Any) -> dict[str, Any]:
    plain = {"env": (), "env_file": (), "workdir": "", "user": "", "tty": False, "interactive": False}
    return {**plain, "detach": False, "privileged": False, **changes}


def test_a_command_may_stand_behind_two_dashes_and_variables_may_be_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINE", "from here")
    asked = request_of(("--", "ls", "--", "-l"), given(env=("A=1", "MINE", "NOT_SET")), 24, 80).exec
    assert list(asked.command) == ["ls", "--", "-l"]
    assert list(asked.env) == ["A=1", "MINE=from here"]
    assert (asked.rows, asked.columns) == (24, 80)
    assert not request_of(("ls",), given(interactive=True, detach=True), 0, 0).exec.stdin
    for command, options in ((("--",), {}), (("ls",), {"env": ("=x",)})):
        with pytest.raises(InvalidArgument):
            request_of(command, given(**options), 0, 0)


def test_every_command_explains_itself() -> None:
    for name in container.list_commands(click.Context(container)):
        command = container.get_command(click.Context(container), name)
        assert command is not None
        text = command.get_help(click.Context(command, info_name=name))
        assert f"  swarmctl container {name}" in text


def a_container(node: str, **fields: Any) -> ContainerOutput:
    found = ContainerSummary(id="i" * 25, image="web:1", state="running", service_name="web", **fields)
    found.created_at.CopyFrom(timestamp(NOW - 7200 * SECOND))
    found.started_at.CopyFrom(timestamp(NOW - 3600 * SECOND))
    found.finished_at.CopyFrom(timestamp(NOW - 60 * SECOND))
    return ContainerOutput(node_id=node, container=found)


def test_the_list_tells_state_and_node_and_is_filtered() -> None:
    oom = a_container("n2", name="web.2", oom_killed=True, exit_code=137)
    oom.container.state = "exited"
    paused = a_container("n1", name="db.1")
    paused.container.state = "paused"
    answers = [a_container("n1", name="web.1"), oom, paused, ContainerOutput(done=True)]
    shown = {row["Names"]: row for row in rows(answers, {}, {"n1": "one"}, NOW, truncate=True)}
    assert shown["web.1"]["Status"] == "Up about an hour"
    assert shown["web.1"]["Node"] == "one"
    assert shown["db.1"]["Status"].endswith("(Paused)")
    assert shown["web.2"]["Status"].startswith("Exited (137)")
    assert shown["web.2"]["Status"].endswith("(out of memory)")
    assert shown["web.2"]["Node"] == "n2"
    filtered = rows(answers, {"name": ["web"], "status": ["running"]}, {}, NOW, truncate=False)
    assert [row["Names"] for row in filtered] == ["web.1"]


def samples(at_s: int, cpu_s: float) -> ContainerOutput:
    one = ContainerSample(
        container_id="c", at_ns=at_s * SECOND, cpu_usage_ns=int(cpu_s * SECOND), memory_bytes=50, pids=2
    )
    one.memory_limit_bytes = 200
    return ContainerOutput(node_id="n", samples=SampleList(samples=[one]))


def test_containers_of_tasks_are_found_by_the_labels_that_docker_gives_them() -> None:
    answer = a_container("n1", name="web.1.t1", labels={"tier": "front"})
    of_image = {"tier": "theirs", "vendor": "them"}
    plain = a_container("n1", name="web", plain=True, labels={"tier": "front"}, image_labels=of_image)

    def names(*labels: str) -> list[str]:
        return [row["Names"] for row in rows([answer, plain], {"label": labels}, {}, NOW, truncate=True)]

    assert names("com.docker.swarm.service.name=web", "com.docker.swarm.node.id=n1") == ["web.1.t1"]
    assert names("com.docker.swarm.task.name=web.1.t1", "tier=back") == []
    assert sorted(names("tier=front")) == ["web", "web.1.t1"]
    assert (names("vendor=them"), names("tier=theirs")) == (["web"], [])
    (row,) = rows([answer], {}, {}, NOW, truncate=True)
    assert fill('{{.Label "com.docker.swarm.service.name"}} {{.Label "tier"}}', row) == "web front"


def test_processor_time_is_what_was_used_between_two_samples() -> None:
    usage = Usage(frozenset())
    usage.take(samples(10, 1.0))
    assert usage.rows({})[0]["CPUPerc"] == "--"
    usage.take(samples(12, 4.0))
    row = usage.rows({"n": "one"})[0]
    assert (row["CPUPerc"], row["MemPerc"], row["PIDs"], row["Node"]) == ("150.00%", "25.00%", "2", "one")
    assert (row["NetIO"], row["BlockIO"], row["MemUsage"]) == ("--", "--", "50B / 200B")
    assert Usage(frozenset({"other"})).rows({}) == []


def test_a_container_without_a_limit_may_take_the_memory_of_its_node() -> None:
    usage, answer = Usage(frozenset()), samples(10, 1.0)
    answer.samples.samples[0].memory_limit_bytes = 0
    answer.samples.samples[0].memory_bytes = 352 << 10
    usage.take(answer)
    assert (usage.rows({})[0]["MemUsage"], usage.rows({})[0]["MemPerc"]) == ("352KiB / none", "--")
    usage.node_memory = {"n": 24 << 30}
    assert (usage.rows({})[0]["MemUsage"], usage.rows({})[0]["MemPerc"]) == ("352KiB / 24GiB", "0.00%")


def test_processes_are_shown_as_ps_does_one_word_a_column() -> None:
    now_ns = 1_000_000 * SECOND
    found = ProcessList()
    for age_s, cpu_s in ((10, 1), (100 * 86400, 0), (0, 0)):
        one = found.processes.add(pid=7, parent_pid=1, user="0", command="sleep 1", cpu_ns=cpu_s * SECOND)
        one.started_at.FromNanoseconds(max(1, now_ns - age_s * SECOND))
    shown = process_rows(found, now_ns)
    assert [(row["CPU"], row["TTY"], row["Time"]) for row in shown] == [
        ("10", "?", "00:00:01"),
        ("0", "?", "00:00:00"),
        ("0", "?", "00:00:00"),
    ]
    today = datetime.fromtimestamp(now_ns // SECOND - 10).astimezone()
    assert shown[0]["STime"] == f"{today:%H:%M}"
    assert shown[1]["STime"] == f"{datetime.fromtimestamp(0).astimezone():%b%d}"


def test_a_long_command_is_cut_within_its_quotes() -> None:
    answer = a_container("n", command=["sh", "-c", "echo hello; sleep 1"])
    assert rows([answer], {}, {}, NOW, truncate=True)[0]["Command"] == '"sh -c \'echo hello; …"'


def test_what_was_moved_is_shown_as_docker_does() -> None:
    usage, answer = Usage(frozenset()), samples(10, 1.0)
    answer.samples.samples[0].network.in_bytes = 1234
    answer.samples.samples[0].disks.out_bytes = 4_500_000
    usage.take(answer)
    (row,) = usage.rows({})
    assert (row["Container"], row["NetIO"], row["BlockIO"]) == ("c", "1.23kB / 0B", "0B / 4.5MB")


def test_what_does_not_run_is_shown_when_it_was_asked_for() -> None:
    usage = Usage(frozenset(), None)
    long = "c" * 25
    usage.know([a_container("n", name="idle"), ContainerOutput(node_id="n", done=True)])
    sample = ContainerSample(container_id=long, name="busy", at_ns=SECOND, pids=2)
    usage.take(ContainerOutput(node_id="n", samples=SampleList(samples=[sample])))
    rows_ = usage.rows({"n": "one"})
    assert [(row["ID"], row["Name"], row["Node"], row["PIDs"]) for row in rows_] == [
        (long, "busy", "one", "2"),
        ("i" * 25, "idle", "one", "--"),
    ]
    # Once it runs it is measured, and not there twice.
    sample.container_id = "i" * 25
    usage.take(ContainerOutput(node_id="n", samples=SampleList(samples=[sample])))
    assert [row["PIDs"] for row in usage.rows({})] == ["2"]
    one = Usage(frozenset({"other"}))
    one.know([a_container("n")])
    assert one.rows({}) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("web.1:/data", ("web.1", "/data")),
        ("web:a:b", ("web", "a:b")),
        ("./a:b", ("", "./a:b")),
        ("/a:b", ("", "/a:b")),
        ("dir/a:b", ("", "dir/a:b")),
        ("-", ("", "-")),
        ("plain", ("", "plain")),
    ],
)
def test_a_colon_tells_container_from_file(text: str, found: tuple[str, str]) -> None:
    assert split(text) == found


FOLDER, FILE, NOTHING = PathInfo(exists=True, directory=True), PathInfo(exists=True), PathInfo()


def test_where_a_copy_goes_follows_the_rules_of_cp(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    folder, file = tmp_path / "d", tmp_path / "f"
    assert place(folder, "d", "/x", FOLDER) == ("/x", "d")
    assert place(folder, "d/.", "/x", FOLDER) == ("/x", "")
    assert place(folder, "d", "/x/new", NOTHING) == ("/x", "new")
    assert place(file, "f", "/x/new", NOTHING) == ("/x", "new")
    assert place(file, "f", "/x/old", FILE) == ("/x", "old")
    for source, target, kind in (
        (file, "/x/new/", NOTHING),
        (folder, "/x", FILE),
        (tmp_path / "no", "/x", FOLDER),
    ):
        with pytest.raises(InvalidArgument):
            place(source, source.name, target, kind)


def archive(*entries: tuple[str, bytes, str]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kind, 0o4755
            if kind == tarfile.REGTYPE:
                entry.size = len(content)
            else:
                entry.linkname = content
            tar.addfile(entry, io.BytesIO(content.encode()))
    data = buffer.getvalue()
    return iter([data[at : at + 700] for at in range(0, len(data), 700)])


def test_an_archive_becomes_files_under_the_name_wanted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/file").write_text("content")
    (source / "link").symlink_to("sub/file")
    for name, where in (("renamed", tmp_path / "to/renamed"), ("", tmp_path / "to/renamed")):
        sink = io.BytesIO()
        pack(source, name or "top", sink)
        (tmp_path / "to").mkdir(exist_ok=True)
        target = Destination(tmp_path / "to", name or "renamed")
        assert extract(iter([sink.getvalue()]), target, keep_owner=False) == []
        assert (where / "sub/file").read_text() == "content"
        assert (where / "link").readlink() == Path("sub/file")
    sink = io.BytesIO()
    pack(source, "", sink)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as tar:
        assert sorted(tar.getnames()) == ["link", "sub", "sub/file"]


@pytest.mark.parametrize(
    "entries",
    [
        [("t/../../out", tarfile.REGTYPE, "bad")],
        [("..", tarfile.DIRTYPE, "")],
        [("t", tarfile.SYMTYPE, ".."), ("t/out", tarfile.REGTYPE, "bad")],
        [("t/x", tarfile.SYMTYPE, "../.."), ("t/x/out", tarfile.REGTYPE, "bad")],
        [
            ("t/x", tarfile.SYMTYPE, "../.."),
            ("t/x", tarfile.DIRTYPE, ""),
            ("t/x/out", tarfile.REGTYPE, "bad"),
        ],
    ],
)
def test_a_hostile_archive_writes_nothing_outside(
    tmp_path: Path, entries: list[tuple[str, bytes, str]]
) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(InvalidArgument):
        extract(archive(*entries), Destination(tmp_path / "here", ""), keep_owner=False)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_what_is_no_file_is_left_out_and_no_program_gets_rights(tmp_path: Path) -> None:
    entries = [
        ("t/fifo", tarfile.FIFOTYPE, ""),
        ("t/tool", tarfile.REGTYPE, "#!"),
        ("t/l", tarfile.LNKTYPE, "/etc/x"),
    ]
    warnings = extract(archive(*entries), Destination(tmp_path, None), keep_owner=False)
    assert len(warnings) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["tool"]
    assert (tmp_path / "tool").stat().st_mode & 0o7777 == 0o755


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no archive"):
        extract(iter([b"x" * 5000]), Destination(tmp_path, ""), keep_owner=False)


def test_a_destination_must_exist_or_have_a_parent(tmp_path: Path) -> None:
    assert Destination.choose(tmp_path, str(tmp_path), contents=False) == Destination(tmp_path, "")
    assert Destination.choose(tmp_path, str(tmp_path), contents=True) == Destination(tmp_path, None)
    assert Destination.choose(tmp_path / "x", "x", contents=False) == Destination(tmp_path, "x")
    for text in ("x/", "no/x"):
        with pytest.raises(InvalidArgument):
            Destination.choose(tmp_path / text, text, contents=False)


def test_log_options_are_written_into_the_spec() -> None:
    spec = ServiceSpec()
    apply_log(spec, {"log_opt": ("max-size=10m", "max-file=5")})
    assert (spec.task.container.log.max_size_bytes, spec.task.container.log.max_files) == (10 << 20, 5)
    apply_log(spec, {"log_opt": ("labels=a, b", "labels=c,d", "env=E", "tag={{.Name}}")})
    log = spec.task.container.log
    assert (list(log.labels), list(log.env), log.tag) == (["c", "d"], ["E"], "{{.Name}}")
    for text in ("max-file=x", "max-size=", "compress=true"):
        with pytest.raises(InvalidArgument):
            apply_log(spec, {"log_opt": (text,)})


def test_published_ports_are_listed_from_inside_to_outside() -> None:
    one = ContainerSummary()
    one.ports.add(target_port=80, published_port=8080)
    one.ports.add(target_port=53, published_port=5353, protocol=1)
    one.ports.add(target_port=9000)
    assert published_lines(one, "") == ["80/tcp -> 0.0.0.0:8080", "53/udp -> 0.0.0.0:5353"]
    assert published_lines(one, "80") == ["0.0.0.0:8080"]
    assert published_lines(one, "53") == []
    assert published_lines(one, "53/udp") == ["0.0.0.0:5353"]


def test_a_driver_of_logs_that_is_none_of_ours_is_refused() -> None:
    asked = CliRunner().invoke(service, ["create", "--log-driver", "syslog", "web:1"])
    assert "nodes keep the output themselves" in str(asked.exception)


def listed(*filters: str, **more: Any) -> list[str]:
    """The names of those of three containers that filters mean."""
    old = ContainerSummary(id="aa1", name="old", image="shop/web:1", state="exited", exit_code=3, plain=True)
    web = ContainerSummary(id="bb2", name="web.1.x", image="docker.io/library/web", state="running")
    web.labels.update({"tier": "front", "zone": "a"})
    web.ports.add(target_port=80, published_port=8080, publish_mode=PortConfig.PUBLISH_MODE_HOST)
    db = ContainerSummary(id="cc3", name="db", image="db:1", state="paused", plain=True)
    db.labels["tier"] = "back"
    made = [old, web, db]
    for second, one in enumerate(made):
        one.created_at.seconds = second + 1
    answers = [ContainerOutput(node_id="n", container=one) for one in made]
    spec = ContainerSpec()
    spec.mounts.add(type=Mount.TYPE_VOLUME, source="data", target="/var/lib/db")
    described = {"cc3": Described(spec, {"shop": "net1"})}
    wanted = parse.filters(filters, FILTERS)
    found = rows(answers, wanted, {}, NOW, truncate=True, described=described, **more)
    return sorted(row["Names"] for row in found)


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (("name=^/db$",), ["db"]),
        (("name=^db$",), ["db"]),
        (("name=w.b",), ["web.1.x"]),
        (("name=[",), []),
        (("label=tier", "label=zone=a"), ["web.1.x"]),  # all of them
        (("status=exited", "status=paused"), ["db", "old"]),  # any of them
        (("exited=3",), ["old"]),
        (("exited=0",), []),
        (("ancestor=web:latest",), ["web.1.x"]),
        (("ancestor=shop/web:1",), ["old"]),
        (("since=old",), ["db", "web.1.x"]),
        (("before=/db", "since=aa"), ["web.1.x"]),
        (("publish=8000-9000/tcp",), ["web.1.x"]),
        (("publish=80",), []),
        (("expose=80",), ["web.1.x"]),
        (("volume=data",), ["db"]),
        (("volume=/var/lib/db",), ["db"]),
        (("network=shop",), ["db"]),
        (("network=net1",), ["db"]),
    ],
)
def test_containers_are_filtered_as_docker_does(filters: tuple[str, ...], names: list[str]) -> None:
    assert listed(*filters) == names


def test_what_has_ended_is_left_out_unless_asked_for_even_where_since_names_it() -> None:
    assert listed("since=old", everything=False) == ["db", "web.1.x"]
    assert listed(everything=False) == ["db", "web.1.x"]


@pytest.mark.parametrize(
    "text", ["status=up", "health=well", "exited=x", "is-task=maybe", "publish=web", "since=nobody"]
)
def test_filters_that_nothing_could_fit_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        listed(text)


def test_columns_of_docker_are_there() -> None:
    one = ContainerSummary(id="a" * 25, name="db", image="db:1", command=["sh", "-c", "a b"], plain=True)
    one.created_at.seconds = 0
    one.ports.add(target_port=80, published_port=8080, publish_mode=PortConfig.PUBLISH_MODE_HOST)
    one.ports.add(target_port=443, published_port=8443)
    one.ports.add(target_port=53, protocol=1)
    one.labels["a"] = "b"
    spec = ContainerSpec()
    spec.mounts.add(type=Mount.TYPE_VOLUME, source="data", target="/d")
    spec.mounts.add(type=Mount.TYPE_BIND, source="/srv", target="/s")
    answers = [ContainerOutput(node_id="n", container=one)]
    described = {one.id: Described(spec, {"shop": "net1", "bridge": ""})}
    (row,) = rows(answers, {}, {}, NOW, truncate=False, described=described)
    shown = fill(
        '{{.CreatedAt}} {{.RunningFor}} {{.Label "a"}}{{.Label "none"}} {{.Mounts}} {{.LocalVolumes}}', row
    )
    assert shown == "1970-01-01 00:00:00 +0000 UTC 11 days ago b data,/srv 1"
    assert row["Networks"] == "shop,bridge"
    assert row["Ports"] == "0.0.0.0:8080->80/tcp, *:8443->443/tcp, 53/udp"
    assert row["Command"] == "\"sh -c 'a b'\""


@pytest.mark.parametrize("name", ["web", "web.1"])
@pytest.mark.parametrize("command", ["run", "rename"])
def test_no_container_gets_a_name_by_which_commands_would_reach_a_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    arguments = ["run", "--name", name, "web:1"] if command == "run" else ["rename", "db", name]
    with stage.served(tmp_path) as address, pytest.raises(SystemExit) as ended:
        main(["-H", address, *arguments])
    assert ended.value.code == (125 if command == "run" else 1)
    assert "choose another name" in capsys.readouterr().err
