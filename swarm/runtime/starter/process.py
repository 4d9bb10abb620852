"""Turns this process into the one that a container's config.json describes. Runs inside of the container."""

import binascii
import fcntl
import os
import resource
import signal
import socket
import struct
import termios
from typing import Any

from swarm.runtime.starter import kernel, rootfs, seccomp

# In the order of their numbers.
# fmt: off
_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
    "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON",
    "BPF", "CHECKPOINT_RESTORE",
)
# fmt: on
_TIOCSPTLCK, _TIOCGPTN = 0x40045431, 0x80045430
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotRunnable(Exception):
    """There is no such program in the container, or it cannot be run."""


def set_oom_score(process: dict[str, Any]) -> None:
    """Set how soon the kernel ends us when memory is short; takes the privileges of the node's root."""
    if process.get("oomScoreAdj") is not None:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(process["oomScoreAdj"]))


def set_limits(process: dict[str, Any]) -> None:
    """Set the limits of a process."""
    for one in process.get("rlimits") or ():
        number = getattr(resource, one["type"])
        resource.setrlimit(number, (_limit(one["soft"]), _limit(one["hard"])))


def take_on(process: dict[str, Any], filter_program: bytes, *, limits: bool) -> str:
    """Become all but the program: profile, limits, user, privileges; return the path of the program.

    Raises NotRunnable, OSError.
    """
    confine(process)
    if limits:
        set_limits(process)
    become_user(process, filter_program)
    return find_program(process)


def _limit(value: int) -> int:
    return resource.RLIM_INFINITY if value >= 2**63 else value


def send_terminal(process: dict[str, Any], connection: socket.socket, *, console: bool) -> None:
    """Make a terminal in the container's /dev/pts, take it as ours, and send its other end."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(master, _TIOCGPTN, struct.pack("i", 0)))[0]
    name = f"/dev/pts/{number}"
    slave = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    size = process.get("consoleSize")
    if size:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size["height"], size["width"], 0, 0))
    if console:
        rootfs.mount_console(name)
    os.fchown(slave, process["user"]["uid"], -1)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.close(slave)
    socket.send_fds(connection, [b"/dev/console"], [master])
    os.close(master)


def become_user(process: dict[str, Any], filter_program: bytes) -> None:
    """Take on the identity, the capabilities and, unless it can wait, the filter of system calls."""
    if filter_program and not process.get("noNewPrivileges"):
        kernel.load_seccomp(filter_program)  # later there is no privilege for it
    sets = {name: _mask(names or ()) for name, names in (process.get("capabilities") or {}).items()}
    bounding = sets.get("bounding", 0)
    for number in range(64):
        try:
            kernel.prctl(kernel.PR_CAPBSET_READ, number)
        except OSError:  # the kernel knows no more
            break
        if not bounding >> number & 1:
            kernel.prctl(kernel.PR_CAPBSET_DROP, number)
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    user = process["user"]
    os.setgroups(user.get("additionalGids") or ())
    os.setresgid(user["gid"], user["gid"], user["gid"])
    os.setresuid(user["uid"], user["uid"], user["uid"])
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 0)
    os.umask(user.get("umask", 0o22))
    kernel.set_capabilities(sets.get("effective", 0), sets.get("permitted", 0), sets.get("inheritable", 0))
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(64):
        if sets.get("ambient", 0) >> number & 1:
            kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, number)
    if process.get("noNewPrivileges"):
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def confine(process: dict[str, Any]) -> None:
    """Ask the kernel's security modules for the profile or label, from the next program on."""
    profile, label = process.get("apparmorProfile"), process.get("selinuxLabel")
    if profile:
        path = "/proc/self/attr/apparmor/exec"
        _write(path if os.path.exists(path) else "/proc/self/attr/exec", f"exec {profile}")
    if label:
        _write("/proc/self/attr/exec", label)


def find_program(process: dict[str, Any]) -> str:
    """Return the path of the program to run, as the user that we are by now; raises NotRunnable."""
    name = process["args"][0]
    try:
        os.chdir(process["cwd"])
    except OSError as error:
        raise NotRunnable(f'chdir to cwd "{process["cwd"]}": {(error.strerror or "").lower()}') from None
    if "/" in name:
        return _checked(name, name)
    path = next((one[5:] for one in process.get("env") or () if one.startswith("PATH=")), DEFAULT_PATH)
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise NotRunnable(f'exec: "{name}": executable file not found in $PATH')


def _checked(path: str, name: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise NotRunnable(f'exec: "{name}": {(error.strerror or "").lower()}') from None
    if mode & 0o170000 == 0o040000 or not os.access(path, os.X_OK):
        raise NotRunnable(f'exec: "{name}": permission denied')
    return path


def run(process: dict[str, Any], program: str, filter_program: bytes) -> None:
    """Become the program; raises OSError when the kernel will not have it."""
    # What Python ignores, or who started us, would be inherited.
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    kernel.close_all_on_exec()
    environment = dict(one.partition("=")[::2] for one in process.get("env") or ())
    if filter_program and process.get("noNewPrivileges"):
        kernel.load_seccomp(filter_program)
    os.execve(program, process["args"], environment)  # noqa: S606 - the whole point


def filter_for(config: dict[str, Any]) -> bytes:
    """Return the program that filters system calls, empty for none; raises seccomp.Unsupported."""
    section = config["linux"].get("seccomp")
    if not section:
        return b""
    finished = (config.get("annotations") or {}).get(seccomp.PROGRAM_ANNOTATION)
    if finished:
        return binascii.a2b_base64(finished)
    machine = os.uname().machine
    return seccomp.compile_filter(section, machine, seccomp.syscall_numbers(machine))


def _mask(names: "list[str] | tuple[()]") -> int:
    return sum(1 << _CAPABILITIES.index(name.removeprefix("CAP_")) for name in set(names))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
