"""Mounts what the options of a `local` volume name: type, device and o, as in Docker. Blocks.

The program `mount` does it: it can be given up when a server does not answer, as a system call cannot.
"""

import ipaddress
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.oci.overlay import mounts_below, unmount

MOUNT_TIMEOUT_S = 45.0  # below what the creation of a container may take

_NETWORKED = frozenset({"nfs", "nfs4", "cifs", "smb3"})
_BINDS = frozenset({"bind", "rbind"})
_ADDRESS = re.compile(r"(?:^|(?<=,))addr=([^,]+)")


def mount_command(options: Mapping[str, str], target: Path) -> list[str]:
    """Return the command that mounts at `target`; the address of a server must be a number already."""
    given = options.get("o", "")
    kind = options["type"]
    if _BINDS & set(given.split(",")):
        kind = "none"
    more = ["-o", given] if given else []
    # -i: no helper of the type, which would want the device and the options in its own way.
    return ["mount", "-i", "-t", kind, *more, "--", options["device"], str(target)]


def mount_volume(name: str, options: Mapping[str, str], target: Path) -> None:
    """Mount a volume; raises TaskRejected with the reason when that cannot be."""
    try:
        command = mount_command(_with_number(options), target)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=MOUNT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise _refused(name, options, f"nothing came of it in {MOUNT_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise _refused(name, options, error.strerror or str(error)) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _refused(name, options, said[0] if said else f"mount ended with {done.returncode}")


def is_mounted(target: Path) -> bool:
    """Whether something is mounted at exactly this directory."""
    return Path(target.resolve()) in mounts_below(target)


def unmount_volume(target: Path) -> None:
    """Detach whatever is mounted at or below `target`; raises OSError when something stays."""
    for point in mounts_below(target):
        while unmount(point):
            pass


def _with_number(options: Mapping[str, str]) -> Mapping[str, str]:
    """Return options in which the server has its address: the kernel knows no names."""
    if options["type"] not in _NETWORKED or not (found := _ADDRESS.search(options.get("o", ""))):
        return options
    host = found.group(1)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
        return {**options, "o": _ADDRESS.sub(f"addr={address}", options["o"], count=1)}
    return options


def _refused(name: str, options: Mapping[str, str], reason: str) -> TaskRejected:
    return TaskRejected(
        f"cannot mount the volume {name} (type {options['type']}, device {options['device']}): {reason}"
    )
