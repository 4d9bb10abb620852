"""What Docker is asked for, and what is read from its answers."""

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import (
    BindMount,
    BlockLimit,
    ContainerConfig,
    ContainerState,
    Limits,
    Security,
    SELinuxLabel,
    TmpfsMount,
)
from swarm.runtime.cdi.spec import Edits
from swarm.runtime.docker.archive import archive_of
from swarm.runtime.docker.logs import framed_lines, nanoseconds, raw_lines
from swarm.runtime.docker.request import TASK_LABEL, Around, create_request, label_warnings
from swarm.runtime.docker.state import container_info, engine_places
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.places import Places

AROUND = Around("i", "image:1", "host", "box", False, {"/etc/hosts": "/h"}, {}, Edits())
CONFIG = ContainerConfig(id="t", image="app", image_digest="d", command=["run"])
IMAGE = ImageConfig(digest="d", env=["A=1", "B=2"], entrypoint=["other"], command=["args"])


def test_the_command_and_the_environment_are_ours_alone() -> None:
    body = create_request(replace(CONFIG, env=["B", "C=3"]), IMAGE, AROUND)
    assert (body["Entrypoint"], body["Cmd"]) == (["run"], [])
    assert {"A=1", "C=3", "HOSTNAME=box", "B"} <= set(body["Env"])
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    assert body["Labels"][TASK_LABEL] == "t"
    with pytest.raises(TaskRejected):
        create_request(replace(CONFIG, env=["=x"]), IMAGE, AROUND)


def test_mounts_of_the_user_come_before_our_own() -> None:
    mounts = [BindMount("/mine", "/etc/hosts", read_only=True), TmpfsMount("/t", size_bytes=9, mode=0o700)]
    host = create_request(replace(CONFIG, mounts=mounts), IMAGE, AROUND)["HostConfig"]
    assert [(one["Source"], one["Target"]) for one in host["Mounts"]] == [("/mine", "/etc/hosts")]
    assert host["Tmpfs"] == {"/t": "rw,nosuid,nodev,exec,mode=700,size=9"}


def test_limits_and_privileges_only_where_asked_for() -> None:
    host = create_request(CONFIG, IMAGE, AROUND)["HostConfig"]
    assert not {"Memory", "PidsLimit", "CgroupParent", "ShmSize", "MaskedPaths", "Annotations"} & host.keys()
    assert host["SecurityOpt"] == ["no-new-privileges"]
    asked = replace(
        CONFIG,
        annotations={"a": "b"},
        limits=Limits(
            memory_bytes=7,
            memory_swappiness=0,
            block=(BlockLimit("/dev/a", weight=10, write_iops=3), BlockLimit("/dev/b", read_bps=4)),
        ),
        security=Security(no_new_privileges=False, seccomp="", unmasked_paths=True),
    )
    host = create_request(asked, IMAGE, AROUND)["HostConfig"]
    assert (host["Memory"], host["MemorySwappiness"], host["MaskedPaths"]) == (7, 0, [])
    assert host["Annotations"] == {"a": "b"}
    assert {key: value for key, value in host.items() if key.startswith("BlkioDev") or "WeightD" in key} == {
        "BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 10}],
        "BlkioDeviceReadBps": [{"Path": "/dev/b", "Rate": 4}],
        "BlkioDeviceWriteIOps": [{"Path": "/dev/a", "Rate": 3}],
    }
    assert host["SecurityOpt"] == ["seccomp=unconfined"]


def test_labels_are_the_engines_matter() -> None:
    wanted = SELinuxLabel(type="web_t", level="s0:c1")
    config = replace(
        CONFIG,
        security=Security(no_new_privileges=False, selinux=wanted),
        mounts=[BindMount("/s", "/t", read_only=True, relabel="Z"), BindMount("/a:b", "/c", relabel="z")],
    )
    host = create_request(config, IMAGE, AROUND)["HostConfig"]
    assert host["SecurityOpt"] == ["label=type:web_t", "label=level:s0:c1"]
    assert not host["Binds"], "an engine that does not label gets the mounts that it always got"
    assert list(label_warnings(wanted, selinux=False))
    host = create_request(config, IMAGE, replace(AROUND, selinux=True))["HostConfig"]
    assert host["Binds"] == ["/s:/t:ro,rprivate,Z", "/h:/etc/hosts:rw,rprivate,z"]
    assert [one["Source"] for one in host["Mounts"]] == ["/a:b"]
    assert not list(label_warnings(wanted, selinux=True))


async def _chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_frames_are_lines_however_they_arrive(size: int) -> None:
    time = b"2026-01-02T03:04:05.000000006Z "
    texts = [(1, time + b"one\n"), (2, time + b"\n"), (1, time + b"x" * 16384), (1, time + b"end")]
    data = b"".join(bytes([kind, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for kind, text in texts)
    lines = [line async for line in framed_lines(_chunks(data, size))]
    assert [(line.stream, len(line.data), line.partial) for line in lines] == [
        *(("stdout", 3, False), ("stderr", 0, False), ("stdout", 16384, True), ("stdout", 3, False)),
    ]
    assert lines[0].timestamp_ns % 10**9 == 6


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_lines_of_a_terminal_are_told_apart_by_their_times(size: int) -> None:
    data = b"2026-01-02T03:04:05Z one\r\n2026-01-02T03:04:06.5Z two\r\n2026-01-02T03:04:07Z no end"
    lines = [line async for line in raw_lines(_chunks(data, size))]
    assert [line.data for line in lines] == [b"one\r", b"two\r", b"no end"]
    assert lines[1].timestamp_ns - lines[0].timestamp_ns == 1_500_000_000


def test_times_that_stand_for_never() -> None:
    assert nanoseconds("0001-01-01T00:00:00Z") == nanoseconds("") == nanoseconds("yesterday") == 0
    assert nanoseconds("1970-01-01T01:00:01.25+01:00") == 1_250_000_000


def _about(**state: object) -> dict[str, object]:
    return {"Config": {"Labels": {TASK_LABEL: "t"}}, "State": state}


def test_what_docker_says_of_a_container() -> None:
    never, then = "0001-01-01T00:00:00Z", "2026-01-02T03:04:05Z"
    created = _about(Status="created", StartedAt=never, FinishedAt=never)
    assert container_info(created, (), "").state is ContainerState.CREATED
    assert container_info(created, (), "no").error == "no"
    failed = container_info(_about(Status="created", Error="bad", StartedAt=never), ("w",), "")
    assert (failed.state, failed.error, failed.warnings) == (ContainerState.EXITED, "bad", ("w",))
    running = container_info(_about(Status="paused", Paused=True, Pid=9, StartedAt=then), (), "")
    assert (running.state, running.pid, running.paused) == (ContainerState.RUNNING, 9, True)
    ended = _about(Status="exited", ExitCode=137, OOMKilled=True, Pid=0, StartedAt=then, FinishedAt=never)
    info = container_info(ended, (), "")
    assert (info.state, info.exit_code, info.oom_killed) == (ContainerState.EXITED, 137, True)
    assert info.finished_at_ns == info.started_at_ns


def test_what_docker_has_of_a_container_is_found_where_it_was_mounted() -> None:
    found = engine_places(
        {
            "LogPath": "/d/log",
            "HostsPath": "",
            "ResolvConfPath": "/d/resolv.conf",
            "AppArmorProfile": "docker-default",
            "Driver": "overlay2",
            "GraphDriver": {"Name": "overlay2", "Data": {"MergedDir": "/d/merged", "UpperDir": "/d/diff"}},
            "HostConfig": {"MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": None},
            "Mounts": [{"Destination": "/etc/hosts", "Source": "/ours/hosts"}, {"Destination": "/run"}],
            "NetworkSettings": {"SandboxKey": "/run/netns/x"},
        }
    )
    assert (found.log, found.hosts, found.resolv_conf) == ("/d/log", "/ours/hosts", "/d/resolv.conf")
    assert (found.storage_driver, found.merged, found.upper, found.work) == (
        "overlay2",
        "/d/merged",
        "/d/diff",
        "",
    )
    assert (found.network, found.apparmor) == ("/run/netns/x", "docker-default")
    assert (found.masked_paths, found.readonly_paths) == (("/proc/kcore",), ())
    assert found.sources == {"/etc/hosts": "/ours/hosts", "/run": ""}
    assert engine_places({}) == Places()


def _files(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_an_archive_has_its_layers_from_the_bottom_and_names_by_content(tmp_path: Path) -> None:
    for name in ("top", "bottom"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"of-{name}").write_text(name)
    data = archive_of([tmp_path / "top", tmp_path / "bottom"], IMAGE, "x:1")
    files = _files(data)
    ((entry),) = json.loads(files["manifest.json"])
    layers = [list(_files(files[one])) for one in entry["Layers"]]
    assert entry["RepoTags"] == ["x:1"]
    assert layers == [["of-bottom"], ["of-top"]]


async def test_a_silent_engine_is_unavailable_not_an_endless_wait(tmp_path: Path) -> None:
    from swarm.errors import Unavailable
    from swarm.runtime.docker.client import EngineClient

    with pytest.raises(Unavailable, match="does not answer"):
        await EngineClient(tmp_path / "none.sock").request("GET", "/info")

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / "engine.sock"):
        with pytest.raises(Unavailable, match="does not answer"):
            await EngineClient(tmp_path / "engine.sock").request("GET", "/info")
