"""System calls that Python does not offer. Each raises OSError.

As everything in this package: standard library only, and as little of that as possible, for a program starts
here for each container and each command in one.
"""

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT = 1, 2, 4, 8, 16, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 1 << 10, 1 << 11, 1 << 12, 1 << 14
MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_RELATIME, MS_STRICTATIME = 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 24
MNT_DETACH = 2

PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_KEEPCAPS = 23, 24, 8
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4

# The calls that libc has no function for; the first two differ between processors.
_NUMBERS = {"x86_64": (155, 321), "aarch64": (41, 280), "riscv64": (41, 280)}
_OPENAT2, _CLOSE_RANGE = 437, 436
_CLOSE_RANGE_CLOEXEC = 4
_RESOLVE_IN_ROOT = 0x10
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, about: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), about)
    return result


def _syscall(number: int, about: str, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), about)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2); an empty `kind` or `data` is none."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(result, target)


def unmount_lazily(target: str) -> None:
    """umount2(2) with MNT_DETACH."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), target)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def join_namespace(fd: int, kind: int = 0) -> None:
    """setns(2)."""
    _check(_libc.setns(fd, kind), "setns")


def pivot_root_here() -> None:
    """Make the working directory the root; the old one is mounted over it."""
    number = _NUMBERS[os.uname().machine][0]
    _syscall(number, "pivot_root", b".", b".")


def prctl(option: int, first: int = 0, second: int = 0) -> int:
    """prctl(2) with at most two arguments."""
    arguments = (ctypes.c_ulong(first), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return _check(_libc.prctl(option, *arguments), f"prctl {option}")


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) with masks."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    masks = (effective, permitted, inheritable)
    words = [mask & 0xFFFFFFFF for mask in masks] + [mask >> 32 for mask in masks]
    _check(_libc.capset(header, struct.pack("=6I", *words)), "capset")


def load_seccomp(program: bytes) -> None:
    """Filter all further system calls of this process by a program for the classic BPF machine."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    buffer = ctypes.create_string_buffer(program, len(program))
    whole = Program(len(program) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(whole))


def bpf(command: int, attributes: bytes) -> int:
    """bpf(2)."""
    number = _NUMBERS[os.uname().machine][1]
    size = ctypes.c_uint(len(attributes))
    return _syscall(number, "bpf", ctypes.c_int(command), ctypes.c_char_p(attributes), size)


def open_in_root(root_fd: int, path: str, flags: int) -> int:
    """Open `path` as if the directory `root_fd` were the root: no symbolic link leads out of it."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    size = ctypes.c_size_t(len(how))
    return _syscall(_OPENAT2, path, ctypes.c_int(root_fd), path.encode(), how, size)


def close_all_on_exec() -> None:
    """Let the next program inherit nothing but its standard streams."""
    first, last = ctypes.c_uint(3), ctypes.c_uint(2**32 - 1)
    if _libc.syscall(ctypes.c_long(_CLOSE_RANGE), first, last, ctypes.c_uint(_CLOSE_RANGE_CLOEXEC)) == 0:
        return
    for name in os.listdir("/proc/self/fd"):  # a kernel before 5.11
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:  # the directory itself, closed by now
                continue
