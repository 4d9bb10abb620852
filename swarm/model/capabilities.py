"""Which Linux capabilities are there, and which does a container end up with?"""

from collections.abc import Iterable, Iterator

ALL = "ALL"
# By their numbers: CAP_CHOWN is 0.
KNOWN = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
        "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
        "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
        "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
        "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
        "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    )
)  # fmt: skip


def normal(text: str) -> str:
    """Return a capability as it is stored: CAP_NET_ADMIN for `net_admin`, ALL for `all`."""
    name = text.strip().upper()
    return name if name == ALL or name.startswith("CAP_") else f"CAP_{name}"


def of_mask(mask: int) -> frozenset[str]:
    """Return the capabilities of a bit mask, as /proc/PID/status shows it."""
    return frozenset(name for number, name in enumerate(KNOWN) if mask >> number & 1)


def granted(add: Iterable[str], drop: Iterable[str], default: Iterable[str]) -> frozenset[str]:
    """Return what a container gets: what is added wins over what is dropped, unless that is named alone.

    `ALL` dropped leaves what is added by name; `ALL` added leaves out what is dropped by name.
    """
    more, less = frozenset(add), frozenset(drop)
    if ALL in more:
        base = frozenset(KNOWN) - less
    elif ALL in less:
        base = frozenset()
    else:
        base = frozenset(default) - less
    return base | (more - {ALL})


def capability_problems(what: str, names: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with a list of capabilities to add or drop."""
    seen: set[str] = set()
    for name in names:
        if name != ALL and name not in KNOWN:
            yield f'{what}: "{name}" is not a capability, such as CAP_NET_ADMIN, nor ALL'
        if name in seen:
            yield f"{what}: {name} is named twice"
        seen.add(name)
