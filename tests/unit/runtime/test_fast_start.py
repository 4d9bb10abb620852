"""What makes starts fast: the gate, the sealed copy, the namespace without a mount, the early move."""

import asyncio
import fcntl
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.errors import TaskFailed, TaskRejected
from swarm.runtime.base import ContainerConfig, Security
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci import binaries, conmon
from swarm.runtime.oci.cgroups import CgroupLayout, hasten_moves
from swarm.runtime.oci.gate import let_go, opened_at_ns
from swarm.runtime.oci.invocation import Invocation
from swarm.runtime.oci.mount_points import make_mount_points
from swarm.runtime.oci.private_mounts import PrivateMounts
from swarm.runtime.oci.privileges import CAPABILITIES
from swarm.runtime.oci.probe import Choice
from swarm.runtime.oci.sealed import SealedProgram
from swarm.runtime.oci.seccomp import default_filter, default_profile
from swarm.runtime.oci.spec import Surroundings, build_spec
from swarm.runtime.oci.users import User
from swarm.runtime.starter import process, shim
from swarm.runtime.starter import state as starter
from swarm.runtime.starter.seccomp import PROGRAM_ANNOTATION


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    (tmp_path / "id").mkdir()
    (tmp_path / "config.json").write_text("{}")
    os.mkfifo(tmp_path / "id/exec.fifo")
    return tmp_path / "id/exec.fifo"


def opened(root: Path, runtime: str = "/usr/bin/crun") -> bool:
    return let_go(runtime, root, "id", root / "config.json")


def test_who_waits_at_the_gate_is_let_through_once(gate: Path, tmp_path: Path) -> None:
    waiting = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
    assert opened(tmp_path)
    assert os.read(waiting, 10) == b"\0"
    os.close(waiting)
    assert not gate.exists()  # crun calls it running from here on
    assert not opened(tmp_path)


@pytest.mark.parametrize("runtime", ["/usr/bin/crun", "/usr/sbin/runc"])
def test_the_gate_says_to_an_agent_that_comes_later_whether_and_when_it_was_opened(
    gate: Path, tmp_path: Path, runtime: str
) -> None:
    assert opened_at_ns(runtime, tmp_path, "id", 5) == 0
    gate.unlink()
    assert opened_at_ns(runtime, tmp_path, "id", 5) == (tmp_path / "id").stat().st_mtime_ns
    assert opened_at_ns(runtime, tmp_path, "gone", 5) == 5


def test_a_gate_at_which_nobody_waits_any_more_is_the_runtimes_business(gate: Path, tmp_path: Path) -> None:
    assert not opened(tmp_path)
    assert not gate.exists()  # or crun itself would wait there, and call a container created that runs


@pytest.mark.parametrize(("runtime", "config"), [("/usr/sbin/runc", "{}"), ("crun", '{"hooks": {}}')])
def test_runc_and_hooks_are_left_to_the_runtime(
    gate: Path, tmp_path: Path, runtime: str, config: str
) -> None:
    waiting = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "config.json").write_text(config)
    assert not opened(tmp_path, runtime)
    os.close(waiting)
    assert gate.exists()


def test_a_container_without_files_is_the_runtimes_business(tmp_path: Path) -> None:
    assert not opened(tmp_path)


async def test_what_the_starter_says_of_a_program_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "id").mkdir()
    (tmp_path / "id" / starter.STATE).write_text("{}")
    for name in (starter.GATE, starter.COMPLAINTS):
        os.mkfifo(tmp_path / "id" / name)
    assert not opened(tmp_path, "/state/starter")  # nobody waits
    gate, complaints = (
        os.open(tmp_path / "id" / name, os.O_RDWR) for name in (starter.GATE, starter.COMPLAINTS)
    )
    start = asyncio.create_task(asyncio.to_thread(opened, tmp_path, "/state/starter"))
    await asyncio.to_thread(os.read, gate, 1)
    os.write(complaints, b"not like this")
    os.close(complaints)
    with pytest.raises(TaskFailed, match="not like this"):
        await start
    os.close(gate)


def test_a_sealed_copy_runs_and_nobody_can_change_it() -> None:
    sealed = SealedProgram("/bin/echo")
    assert sealed.path.startswith("/proc/")
    said = subprocess.run([sealed.path, "hello"], check=True, capture_output=True).stdout
    assert said == b"hello\n"
    with pytest.raises(PermissionError), Path(sealed.path).open("r+b") as file:
        file.write(b"x")
    with Path(sealed.path).open("rb") as file:
        assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    sealed.close()
    sealed.close()


def test_a_program_that_is_not_there_is_started_by_its_name() -> None:
    assert SealedProgram("/no/such/program").path == "/no/such/program"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_one_mount_is_missing_in_the_namespace_and_the_node_keeps_it(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    try:
        (tmp_path / "there").touch()
        choice = Choice("crun-private-mounts", "conmon", "wrapper", "/bin/ls", str(tmp_path), {})
        invocation = Invocation(choice)
        with invocation.words() as words:
            seen = subprocess.run([*words, str(tmp_path)], check=True, capture_output=True).stdout
        invocation.close()
        assert seen == b""
        assert (tmp_path / "there").exists()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_each_namespace_has_the_mounts_of_its_moment_and_the_next_one_follows_a_failure(
    tmp_path: Path,
) -> None:
    def seen(namespace: int) -> list[bytes]:
        command = ["nsenter", f"--mount=/proc/{os.getpid()}/fd/{namespace}", "ls", str(tmp_path / "later")]
        return subprocess.run(command, check=True, capture_output=True).stdout.split()

    hidden, later = tmp_path / "hidden", tmp_path / "later"
    hidden.mkdir()
    later.mkdir()
    mounts = PrivateMounts(str(hidden))
    ours = Path("/proc/self/ns/mnt").stat().st_ino
    with mounts.namespace() as first:
        assert os.fstat(first).st_ino != ours
        assert seen(first) == []
    hidden.rmdir()
    with pytest.raises(FileNotFoundError), mounts.namespace():
        pass
    hidden.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", later], check=True)
    try:
        (later / "there").touch()
        with mounts.namespace() as second, mounts.namespace() as third:
            assert len({ours, *(os.fstat(one).st_ino for one in (second, third))}) == 3
            assert seen(second) == seen(third) == [b"there"]
    finally:
        subprocess.run(["umount", later], check=True)
    mounts.close()


@pytest.mark.parametrize(
    ("installed", "busybox_ends_with", "entered_by"),
    [
        (("busybox", "nsenter"), 0, ("busybox", "nsenter")),
        (("busybox", "nsenter"), 1, ("nsenter",)),  # built without it
        (("busybox",), 1, ()),
        (("nsenter",), 0, ("nsenter",)),
        ((), 0, ()),
    ],
)
def test_a_namespace_is_entered_by_the_smallest_program_that_can(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: tuple[str, ...],
    busybox_ends_with: int,
    entered_by: tuple[str, ...],
) -> None:
    for name in installed:
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {busybox_ends_with}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(binaries, "SEARCH_PATH", str(tmp_path))
    first, *rest = (*entered_by, "")
    assert binaries.entering() == tuple(filter(None, (first and str(tmp_path / first), *rest)))


def test_our_own_runtime_is_one_program_less() -> None:
    invocation = Invocation(Choice("starter", "conmon", "/state/starter", "", "", {}))
    with invocation.words() as words:
        assert list(words) == shim._OWN_RUNTIME  # which our own shim does not start, but calls
    invocation.close()


def test_the_move_is_to_where_we_are_and_failures_are_passed_over(tmp_path: Path) -> None:
    own = tmp_path / "here"
    own.mkdir()
    layout = CgroupLayout(1, {"pids": tmp_path}, None)
    hasten_moves(layout, "3:pids:/here\n")
    assert (own / "cgroup.procs").read_text() == "0"
    hasten_moves(layout, "3:pids:/gone\n")
    hasten_moves(layout, "")
    hasten_moves(CgroupLayout(2, {}, tmp_path / "no"), "0::/\n")


def test_the_default_list_is_given_as_a_program_that_our_starter_takes_as_well() -> None:
    names = frozenset({"CAP_CHOWN"})
    annotations = default_filter(names)
    whole = {"linux": {"seccomp": default_profile(capabilities=names)}}
    assert len(annotations[PROGRAM_ANNOTATION]) > 1000
    assert process.filter_for({**whole, "annotations": annotations}) == process.filter_for(whole) != b""


def test_annotations_are_told_to_the_runtime_and_order_nothing() -> None:
    around = Surroundings(Path("/r"), "/c", User(0, 0, (), "/"))
    config = ContainerConfig("id", "web:1", "sha256:0", command=("x",), labels={"a": "label", "c": "d"})
    config = replace(config, annotations={"a": "b", PROGRAM_ANNOTATION: "none"})
    annotations = build_spec(config, ImageConfig(digest=""), around)["annotations"]
    assert (annotations["a"], annotations["c"]) == ("b", "d")
    assert len(annotations[PROGRAM_ANNOTATION]) > 1000, "the filter is ours"


def test_a_label_is_no_order_to_crun_and_a_profile_of_the_users_own_is_not_compiled() -> None:
    around = Surroundings(Path("/r"), "/c", User(0, 0, (), "/"))
    config = ContainerConfig("id", "web:1", "sha256:0", command=("x",), labels={"run.oci.x": "1", "a": "b"})
    annotations = build_spec(config, ImageConfig(digest=""), around)["annotations"]
    assert set(annotations) == {"a", PROGRAM_ANNOTATION}
    own = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    for security in (Security(privileged=True), Security(seccomp=own), Security(seccomp="")):
        changed = replace(config, security=security)
        assert set(build_spec(changed, ImageConfig(digest=""), around)["annotations"]) == {"a"}


def test_a_runtime_that_takes_programs_gets_no_list_beside_the_one_of_the_default_list() -> None:
    around = Surroundings(Path("/r"), "/c", User(0, 0, (), "/"), takes_filters=True)
    config = ContainerConfig("id", "web:1", "sha256:0", command=("x",))
    spec = build_spec(config, ImageConfig(digest=""), around)
    found = spec["linux"]["seccomp"]
    assert "syscalls" not in found
    assert found["defaultAction"] == "SCMP_ACT_ERRNO"  # who passes the program over lets nothing run
    assert default_profile(capabilities=frozenset(CAPABILITIES))["syscalls"]  # type: ignore[index]
    whole = build_spec(config, ImageConfig(digest=""), replace(around, takes_filters=False))
    assert whole["annotations"] == spec["annotations"]
    assert whole["linux"]["seccomp"]["syscalls"]
    own = replace(config, security=Security(seccomp='{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}'))
    assert "syscalls" in build_spec(own, ImageConfig(digest=""), around)["linux"]["seccomp"]


@pytest.mark.parametrize(
    ("name", "program", "takes"),
    [
        ("crun", f"...{PROGRAM_ANNOTATION}...", True),
        ("crun", "an old one", False),
        ("runc", f"...{PROGRAM_ANNOTATION}...", False),
        ("starter", "", True),
    ],
)
def test_only_a_runtime_whose_program_names_the_annotation_takes_it(
    tmp_path: Path, name: str, program: str, takes: bool
) -> None:
    path = tmp_path / name
    path.write_text(program)
    invocation = Invocation(Choice(name, "conmon", str(path), str(path) if program else "", "", {}))
    assert invocation.takes_filters is takes
    invocation.close()


def test_the_layer_below_all_images_has_what_is_mounted_over_and_is_repaired(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    for _ in range(2):
        make_mount_points(layer)
        found = {str(path.relative_to(layer)): path.stat().st_mode & 0o777 for path in layer.rglob("*")}
        assert found == {
            **dict.fromkeys(("proc", "dev", "sys", "etc"), 0o755),
            **dict.fromkeys(("etc/hosts", "etc/hostname", "etc/resolv.conf"), 0o644),
        }
        (layer / "etc/hosts").unlink()
        (layer / "proc").rmdir()
        (layer / "dev").chmod(0o700)


def test_conmon_that_says_nothing_in_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conmon, "CREATE_TIMEOUT_S", 0.05)
    with pytest.raises(TaskRejected, match="did not create the container"):
        conmon.create(["/bin/sleep", "100"], tmp_path / "errors", "x")


def test_the_answer_and_the_complaint_of_conmon_are_read(tmp_path: Path) -> None:
    def shell(script: str) -> list[str]:
        return ["/bin/sh", "-c", script]

    good = 'echo "{\\"data\\": 4711}" > /proc/self/fd/$_OCI_SYNCPIPE'
    assert conmon.create(shell(good), tmp_path / "errors", "x") == 4711
    with pytest.raises(TaskRejected, match="no more room"):
        conmon.create(shell("echo no more room >&2"), tmp_path / "errors", "x")
    bad = 'echo "{\\"data\\": -1, \\"message\\": \\"so not\\"}" > /proc/self/fd/$_OCI_SYNCPIPE'
    with pytest.raises(TaskRejected, match="so not"):
        conmon.create(shell(bad), tmp_path / "errors", "x")
