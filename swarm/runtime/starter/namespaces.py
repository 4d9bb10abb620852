"""Forks a process into namespaces: new ones, given ones, or those of a container that runs."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from swarm.runtime.starter import kernel
from swarm.runtime.starter.state import readable

KINDS = {
    "mount": ("mnt", kernel.CLONE_NEWNS),
    "cgroup": ("cgroup", 0x02000000),
    "uts": ("uts", 0x04000000),
    "ipc": ("ipc", 0x08000000),
    "user": ("user", kernel.CLONE_NEWUSER),
    "pid": ("pid", kernel.CLONE_NEWPID),
    "network": ("net", 0x40000000),
}
_WITH_CGROUP = KINDS["cgroup"][1]
_NEW_USERS = b"u"


class Forked:
    """The first process in its namespaces, and the one between it and us."""

    def __init__(self, pid: int, between: int) -> None:
        """`pid` is as we see it."""
        self.pid, self._between = pid, between

    def wait(self) -> int:
        """Return its exit code, 128 + number of a signal; only for one forked with `stay`."""
        return exit_code(os.waitpid(self._between, 0)[1])


def fork_into_new(
    linux: dict[str, Any],
    before: Callable[[], None],
    adopt: Callable[[int], None],
    inside: Callable[[], None],
) -> Forked:
    """Fork into the namespaces that a config.json asks for, and let go of the child.

    `before` runs as the node's root in the process between; `adopt` gets the child's id before it has done
    anything; `inside` runs in the child and must not return. Raises OSError.
    """
    wanted = linux.get("namespaces") or ()
    given = [(one["path"], KINDS[one["type"]][1]) for one in wanted if one.get("path")]
    new = sum(KINDS[one["type"]][1] for one in wanted if not one.get("path"))

    def enter(report: int, go: int) -> None:
        before()
        _join([(os.open(path, os.O_RDONLY | os.O_CLOEXEC), kind) for path, kind in given])
        if new & kernel.CLONE_NEWUSER:
            kernel.unshare(kernel.CLONE_NEWUSER)
            os.write(report, _NEW_USERS)
            _wait_for(go)
            _be_root()
        kernel.unshare(new & ~(kernel.CLONE_NEWUSER | _WITH_CGROUP))

    def within() -> None:
        # Only now: the namespace begins where the process is, which `adopt` has seen to.
        if new & _WITH_CGROUP:
            kernel.unshare(_WITH_CGROUP)
        inside()

    maps = (linux.get("uidMappings") or (), linux.get("gidMappings") or ())
    return _fork(enter, adopt, within, maps if new & kernel.CLONE_NEWUSER else None, stay=False)


def fork_into_existing(
    pid: int, before: Callable[[], None], adopt: Callable[[int], None], inside: Callable[[], None]
) -> Forked:
    """Fork into the namespaces of the process `pid`; `Forked.wait` tells its end."""
    descriptors = list(_of_another(pid))

    def enter(report: int, go: int) -> None:
        before()
        # The users' last: who has joined them may join nothing of the node's any more.
        _join(descriptors)
        if any(kind == kernel.CLONE_NEWUSER for _, kind in descriptors):
            _be_root()

    return _fork(enter, adopt, inside, None, stay=True)


def _of_another(pid: int) -> Iterator[tuple[int, int]]:
    kinds = sorted(KINDS.values(), key=lambda one: one[1] == kernel.CLONE_NEWUSER)
    for name, kind in kinds:
        theirs = f"/proc/{pid}/ns/{name}"
        if os.stat(theirs).st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
            yield os.open(theirs, os.O_RDONLY | os.O_CLOEXEC), kind


def _join(descriptors: Sequence[tuple[int, int]]) -> None:
    for fd, kind in descriptors:
        kernel.join_namespace(fd, kind)
        os.close(fd)


def _be_root() -> None:
    os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _fork(
    enter: Callable[[int, int], None],
    adopt: Callable[[int], None],
    inside: Callable[[], None],
    maps: tuple[Sequence[dict[str, int]], Sequence[dict[str, int]]] | None,
    *,
    stay: bool,
) -> Forked:
    reports, report = os.pipe()
    go, start = os.pipe()
    between = os.fork()
    if between == 0:
        os.close(reports)
        os.close(start)
        _be_between(enter, inside, report, go, stay=stay)
    os.close(report)
    os.close(go)
    with open(reports, "rb", buffering=0) as said, open(start, "wb", buffering=0) as order:
        word = said.read(1)
        if maps is not None and word == _NEW_USERS:
            _write_maps(between, *maps)
            order.write(b"m")
            word = said.read(1)
        text = word + said.readline()
        if not text.startswith(b"="):
            os.waitpid(between, 0)
            raise OSError(0, text.decode("utf-8", "replace") or "the process between ended at once")
        pid = int(text[1:])
        if not stay:
            os.waitpid(between, 0)
        adopt(pid)
        order.write(b"g")
    return Forked(pid, between)


def _be_between(
    enter: Callable[[int, int], None], inside: Callable[[], None], report: int, go: int, *, stay: bool
) -> None:
    try:
        enter(report, go)
        pid = os.fork()
    except Exception as error:  # noqa: BLE001 -- nothing may go on in what is the parent's code
        os.write(report, readable(error).encode())
        os._exit(1)
    if pid == 0:
        os.close(report)
        try:
            _wait_for(go)
            inside()
        finally:
            os._exit(1)
    os.write(report, f"={pid}\n".encode())
    os.close(report)
    os.close(go)
    if not stay:
        os._exit(0)
    os._exit(exit_code(os.waitpid(pid, 0)[1]))


def exit_code(status: int) -> int:
    """Return what a shell would say of a process that ended."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _wait_for(go: int) -> None:
    if not os.read(go, 1):
        os._exit(1)  # who started us is gone


def _write_maps(pid: int, users: Sequence[dict[str, int]], groups: Sequence[dict[str, int]]) -> None:
    for file, ranges in (("gid_map", groups), ("uid_map", users)):
        lines = (f"{one['containerID']} {one['hostID']} {one['size']}\n" for one in ranges)
        fd = os.open(f"/proc/{pid}/{file}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, "".join(lines).encode())
        finally:
            os.close(fd)
