"""What is still on the machine of a dev cluster, by the kernel's account? And away with it.

The last resort behind the orderly teardown, and the judge over it: whatever lost its books in a crash is
found here by namespace, cgroup, mount point or command line.
"""

import ctypes
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from swarm.agent.network import links, namespaces, nft
from swarm.agent.network.netlink import Netlink
from swarm.dev import fabric
from swarm.dev.plan import Plan
from swarm.dev.processes import command_lines
from swarm.dev.state import LOCK
from swarm.runtime.oci.cgroups import Cgroup, parse_layout
from swarm.runtime.process.driver import TASK_VARIABLE
from swarm.runtime.processes import Process, kill_and_wait

_UNMOUNT_DETACH = 2
_KILL_TIMEOUT_S = 10.0
_THAW = {"freezer.state": "THAWED", "cgroup.freeze": "0"}
_HELPERS = {"swarmd", "swarm.daemon", "conmon", "crun", "runc", "shim.py", "haproxy"}

_libc = ctypes.CDLL(None, use_errno=True)


def find(plan: Plan) -> Sequence[str]:
    """Return a line for everything that is there of the cluster: empty when nothing is."""
    found = [f"process {pid}: {what}" for pid, what in _processes(plan)]
    found += [f"mount {path}" for path in _mounts(plan)]
    found += [f"folder {folder}" for folder in (plan.data, plan.run) if folder.exists()]
    if plan.isolated:
        found += [f"cgroup {path}" for path in _cgroups(plan)]
        found += [f"interface {plan.host_link}"] if _has_link(plan) else []
        found += [f"nft table {plan.table}"] if _has_table(plan) else []
    return found


def remove(plan: Plan) -> None:
    """Kill what still runs, unmount what is still mounted, remove cgroups and folders."""
    _kill_all(plan)
    if plan.isolated:
        with suppress(OSError):
            _remove_cgroups(plan)
        fabric.remove(plan)
    for path in _mounts(plan):
        _libc.umount2(os.fsencode(path), _UNMOUNT_DETACH)
    for folder in (plan.data, plan.run):
        if not any(path.is_relative_to(folder) for path in _mounts(plan)):
            shutil.rmtree(folder, ignore_errors=True)
    for parent in (plan.folders.data, plan.folders.run):
        _remove_parent(parent)


def _remove_parent(parent: Path) -> None:
    """Remove what clusters share, when this was the last one."""
    with suppress(OSError):
        if not any(path.is_dir() for path in parent.iterdir()):
            for name in (LOCK, fabric.FORWARDING):
                (parent / name).unlink(missing_ok=True)
            parent.rmdir()


def _kill_all(plan: Plan) -> None:
    """Kill in rounds: what is killed may have begun another process meanwhile."""
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while time.monotonic() < deadline:
        _thaw_all(plan)
        doomed = [process for pid, _ in _processes(plan) if (process := Process.open(pid)) is not None]
        if not doomed:
            return
        for process in doomed:
            kill_and_wait(process, timeout_s=1.0)
            process.close()


def _thaw_all(plan: Plan) -> None:
    """Let paused containers go on: where cgroups are of version 1, what stands still cannot be killed."""
    for root in _cgroups(plan) if plan.isolated else ():
        for name, text in _THAW.items():
            for path in root.rglob(name):
                with suppress(OSError):
                    path.write_text(text, "ascii")


def _processes(plan: Plan) -> Iterator[tuple[int, str]]:
    """Yield the processes of the cluster: in a namespace or cgroup of it, or naming its folders."""
    inodes = {namespaces.inode(path) for path in _all_namespaces(plan)}
    inside = set(_in_cgroups(plan))
    for pid, arguments in command_lines():
        if pid == os.getpid():
            continue
        known = pid in inside or _namespace_of(pid) in inodes
        if known or _is_helper(plan, arguments) or _is_task(plan, pid):
            yield pid, " ".join(arguments)[:120]


def _is_helper(plan: Plan, arguments: Sequence[str]) -> bool:
    """Return whether it is a daemon or shim of the cluster, and not somebody who reads its files."""
    if not any(Path(argument).name in _HELPERS for argument in arguments[:4]):
        return False
    return any(folder in argument for argument in arguments for folder in (f"{plan.run}/", f"{plan.data}/"))


def _is_task(plan: Plan, pid: int) -> bool:
    """Return whether it is a task that runs as a plain process: nothing but its environment tells."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{TASK_VARIABLE}=".encode() in variables and os.fsencode(f"{plan.data}/") in variables


def _all_namespaces(plan: Plan) -> Iterator[Path]:
    own = plan.switch.parent.glob("*")
    of_nodes = (
        path for folder in ("netns", "overlays", "bridges") for path in plan.run.glob(f"*/{folder}/*")
    )
    for path in (*own, *of_nodes):
        if namespaces.is_namespace(path):
            yield path


def _namespace_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


def _mounts(plan: Plan) -> Sequence[Path]:
    """Return the mount points in the cluster's folders, the deepest and latest first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = Path(line.split(" ")[4].replace("\\040", " "))
        if point.is_relative_to(plan.run) or point.is_relative_to(plan.data):
            points.append(point)
    return sorted(points, key=lambda path: len(path.parts), reverse=True)


def _cgroup(plan: Plan) -> Cgroup:
    mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    return Cgroup(parse_layout(mounts), f"/{plan.cgroup}")


def _cgroups(plan: Plan) -> Sequence[Path]:
    return [path for path in _cgroup(plan).directories() if path.is_dir()]


def _in_cgroups(plan: Plan) -> Sequence[int]:
    return _cgroup(plan).processes() if plan.isolated else ()


def _remove_cgroups(plan: Plan) -> None:
    cgroup = _cgroup(plan)
    cgroup.remove()
    for path in cgroup.directories():
        with suppress(OSError):  # other clusters are in it
            path.parent.rmdir()


def _has_link(plan: Plan) -> bool:
    with Netlink() as host:
        return links.find_link(host, plan.host_link) is not None


def _has_table(plan: Plan) -> bool:
    return nft.available() and f"table ip {plan.table}\n" in nft.run("list tables ip") + "\n"
