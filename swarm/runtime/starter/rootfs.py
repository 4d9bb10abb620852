"""Puts together what a container sees as its file system. Runs in the container's own namespaces.

Every target is opened as if the container's root were ours, so that no link in an image leads out of it, and
is then mounted on by its descriptor.
"""

import errno
import os
import stat
from contextlib import suppress
from typing import Any

from swarm.runtime.starter import cgroups, kernel

_FLAGS = {
    "ro": kernel.MS_RDONLY,
    "nosuid": kernel.MS_NOSUID,
    "nodev": kernel.MS_NODEV,
    "noexec": kernel.MS_NOEXEC,
    "sync": kernel.MS_SYNCHRONOUS,
    "noatime": kernel.MS_NOATIME,
    "nodiratime": kernel.MS_NODIRATIME,
    "relatime": kernel.MS_RELATIME,
    "strictatime": kernel.MS_STRICTATIME,
    "bind": kernel.MS_BIND,
    "rbind": kernel.MS_BIND | kernel.MS_REC,
}
_NO_FLAGS = frozenset(
    {"rw", "suid", "dev", "exec", "async", "atime", "diratime", "norelatime", "nostrictatime"}
)
_PROPAGATIONS = {
    f"{recursive}{name}": flag | (kernel.MS_REC if recursive else 0)
    for recursive in ("", "r")
    for name, flag in (
        ("private", kernel.MS_PRIVATE),
        ("slave", kernel.MS_SLAVE),
        ("shared", kernel.MS_SHARED),
    )
}
_KEPT_BY_A_REMOUNT = (
    (os.ST_NOSUID, kernel.MS_NOSUID),
    (os.ST_NODEV, kernel.MS_NODEV),
    (os.ST_NOEXEC, kernel.MS_NOEXEC),
    (os.ST_NOATIME, kernel.MS_NOATIME),
    (os.ST_RELATIME, kernel.MS_RELATIME),
)
_USUAL_FILES = (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9))
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_O_PATH = os.O_PATH
_IN_MEMORY = frozenset({"tmpfs", "devpts", "mqueue"})


def build(config: dict[str, Any]) -> None:
    """Mount everything and make it the root; raises OSError."""
    linux, root = config["linux"], config["root"]
    kernel.mount("", "/", "", kernel.MS_SLAVE | kernel.MS_REC)
    path = root["path"]
    kernel.mount(path, path, "", kernel.MS_BIND | kernel.MS_REC)
    # What becomes the root must not tell others.
    kernel.mount("", path, "", kernel.MS_PRIVATE)
    root_fd = os.open(path, _O_PATH | os.O_DIRECTORY)
    own_cgroups = any(one["type"] == "cgroup" for one in linux["namespaces"])
    for entry in config.get("mounts") or ():
        if entry["type"] == "cgroup":
            _mount_cgroups(root_fd, entry, own=own_cgroups)
        else:
            _mount(root_fd, entry, linux.get("mountLabel") or "")
    _make_devices(root_fd, linux.get("devices") or ())
    os.fchdir(root_fd)
    os.close(root_fd)
    kernel.pivot_root_here()
    kernel.unmount_lazily(".")
    os.chdir("/")


def finish(config: dict[str, Any]) -> None:
    """Hide and protect what the container has no business with; the root is the container's by now."""
    linux = config["linux"]
    for name, value in (linux.get("sysctl") or {}).items():
        with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
            file.write(value)
    for path in linux.get("readonlyPaths") or ():
        with suppress(FileNotFoundError):
            kernel.mount(path, path, "", kernel.MS_BIND | kernel.MS_REC)
            _remount(path, kernel.MS_RDONLY)
    for path in linux.get("maskedPaths") or ():
        _mask(path)
    propagation = linux.get("rootfsPropagation")
    if propagation:
        kernel.mount("", "/", "", _PROPAGATIONS[propagation])
    if config["root"].get("readonly"):
        _remount("/", kernel.MS_RDONLY)
    _make_below("/", config["process"]["cwd"])


def mount_console(slave: str) -> None:
    """Let /dev/console be the container's terminal."""
    with suppress(FileExistsError):
        os.close(os.open("/dev/console", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    kernel.mount(slave, "/dev/console", "", kernel.MS_BIND)


def labelled(entry: dict[str, Any], label: str) -> list[str]:
    """Return the options of a mount, with the SELinux label of files that are made in memory. Pure."""
    options = list(entry.get("options") or ())
    return [*options, f'context="{label}"'] if label and entry["type"] in _IN_MEMORY else options


def _mount(root_fd: int, entry: dict[str, Any], label: str = "") -> None:
    flags, propagation, data = parse_options(labelled(entry, label))
    bind = bool(flags & kernel.MS_BIND) or entry["type"] == "bind"
    source = entry.get("source") or "none"
    with _Target(root_fd, entry["destination"], file=bind and not os.path.isdir(source)) as target:
        if bind:
            kernel.mount(source, target.path, "", kernel.MS_BIND | (flags & kernel.MS_REC))
        else:
            kernel.mount(source, target.path, entry["type"], flags, ",".join(data))
    # The descriptor is of what is under the mount; a new one is of the mount itself.
    rest = flags & ~(kernel.MS_BIND | kernel.MS_REC)
    if propagation or (bind and rest):
        with _Target(root_fd, entry["destination"], existing=True) as target:
            if propagation:
                kernel.mount("", target.path, "", propagation)
            if bind and rest:
                _remount(target.path, rest)


def parse_options(options: "list[str] | tuple[str, ...]") -> tuple[int, int, list[str]]:
    """Return the flags, the propagation and the file system's own options. Pure."""
    flags, propagation, data = 0, 0, []
    for option in options:
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option in _PROPAGATIONS:
            propagation = _PROPAGATIONS[option]
        elif option not in _NO_FLAGS:
            data.append(option)
    return flags, propagation, data


def _remount(path: str, flags: int) -> None:
    """Give a mount further flags; what it has already stays, as it must in a user namespace."""
    present = os.statvfs(path).f_flag
    kept = sum(ours for theirs, ours in _KEPT_BY_A_REMOUNT if present & theirs and not flags & ours)
    kernel.mount("", path, "", kernel.MS_REMOUNT | kernel.MS_BIND | flags | kept)


class _Target:
    """A place in the container, by its descriptor; what is missing of it is made."""

    def __init__(self, root_fd: int, name: str, *, file: bool = False, existing: bool = False) -> None:
        if not existing:
            _make(root_fd, name, file=file)
        self._fd = kernel.open_in_root(root_fd, name, _O_PATH)
        self.path = f"/proc/self/fd/{self._fd}"

    def __enter__(self) -> "_Target":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _make(root_fd: int, name: str, *, file: bool) -> None:
    """Make a directory or an empty file with all directories above, never outside of the root."""
    parts = [part for part in name.split("/") if part]
    for count in range(1, len(parts) + 1):
        part = "/".join(parts[:count])
        try:
            os.close(kernel.open_in_root(root_fd, part, _O_PATH))
            continue
        except FileNotFoundError:
            pass
        parent = kernel.open_in_root(root_fd, "/".join(parts[: count - 1]) or ".", _O_PATH | os.O_DIRECTORY)
        try:
            if file and count == len(parts):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
                os.close(os.open(parts[-1], flags, 0o755, dir_fd=parent))
            else:
                os.mkdir(parts[count - 1], 0o755, dir_fd=parent)
        finally:
            os.close(parent)


def _make_below(root: str, name: str) -> None:
    root_fd = os.open(root, _O_PATH | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a read-only root; whoever goes there will say so
            _make(root_fd, name, file=False)
    finally:
        os.close(root_fd)


def _mount_cgroups(root_fd: int, entry: dict[str, Any], *, own: bool) -> None:
    controllers, unified = cgroups.mounts()
    options = list(entry.get("options") or ())
    if not controllers:
        if own:
            try:
                _mount(root_fd, {**entry, "type": "cgroup2", "source": "cgroup2"})
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                # /sys is the node's and has the node's cgroups there: nothing is mounted right upon itself.
                between = {"type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec"]}
                _mount(root_fd, {"destination": entry["destination"], **between})
                _mount(root_fd, {**entry, "type": "cgroup2", "source": "cgroup2"})
        else:
            _mount(root_fd, {**entry, "type": "bind", "source": unified, "options": ["rbind", *options]})
        return
    place = entry["destination"]
    writable = [option for option in options if option != "ro"]
    _mount(
        root_fd,
        {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": [*writable, "mode=755"]},
    )
    together: dict[str, list[str]] = {}
    for controller, point in controllers.items():
        together.setdefault(point, []).append(controller)
    for point, names in together.items():
        target = f"{place}/{point.rsplit('/', 1)[-1]}"
        if own:
            source = {"type": "cgroup", "source": "cgroup", "options": [*options, *names]}
        else:
            source = {"type": "bind", "source": point, "options": ["rbind", *options]}
        _mount(root_fd, {"destination": target, **source})
    if "ro" in options:
        with _Target(root_fd, place, existing=True) as whole:
            _remount(whole.path, parse_options(options)[0])


def _make_devices(root_fd: int, wanted: "list[dict[str, Any]] | tuple[()]") -> None:
    usual = [
        {"path": f"/dev/{name}", "type": "c", "major": 1, "minor": minor} for name, minor in _USUAL_FILES
    ]
    usual.append({"path": "/dev/tty", "type": "c", "major": 5, "minor": 0})
    named = {one["path"]: one for one in [*usual, *wanted]}
    old_mask = os.umask(0)
    for device in named.values():
        _make_device(root_fd, device)
    os.umask(old_mask)
    dev = kernel.open_in_root(root_fd, "dev", _O_PATH | os.O_DIRECTORY)
    for name, leads_to in _LINKS:
        with suppress(FileExistsError):
            os.symlink(leads_to, name, dir_fd=dev)
    os.close(dev)


def _make_device(root_fd: int, device: dict[str, Any]) -> None:
    directory, _, name = device["path"].rpartition("/")
    _make(root_fd, directory, file=False)
    parent = kernel.open_in_root(root_fd, directory or ".", _O_PATH | os.O_DIRECTORY)
    try:
        kind = {"b": stat.S_IFBLK, "p": stat.S_IFIFO}.get(device["type"], stat.S_IFCHR)
        number = os.makedev(device.get("major") or 0, device.get("minor") or 0)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        os.mknod(name, kind | (device.get("fileMode") or 0o666) & 0o7777, number, dir_fd=parent)
        if device.get("uid") or device.get("gid"):
            os.chown(name, device.get("uid") or 0, device.get("gid") or 0, dir_fd=parent)
    except PermissionError:  # in a user namespace nobody makes devices
        _mount(root_fd, {"destination": device["path"], "type": "bind", "source": device["path"]})
    finally:
        os.close(parent)


def _mask(path: str) -> None:
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if is_directory:
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY)
    else:
        kernel.mount("/dev/null", path, "", kernel.MS_BIND)
