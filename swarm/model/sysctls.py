"""Which kernel parameters may a container set? Only those that it has for itself."""

import re
from collections.abc import Iterator, Mapping

from swarm.api.v1.types_pb2 import Namespaces

NET_PREFIX = "net."

# The namespaces to which they belong.
_IPC = frozenset(
    {
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    }
)  # fmt: skip
_IPC_PREFIX = "fs.mqueue."
_UTS = frozenset({"kernel.domainname"})
_KEY = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_-]+)+")


def sysctl_problems(sysctls: Mapping[str, str], namespaces: Namespaces) -> Iterator[str]:
    """Yield what is wrong with the kernel parameters of a container that has these namespaces."""
    for key, value in sorted(sysctls.items()):
        if not _KEY.fullmatch(key):
            yield f'"{key}" is not a sysctl, such as net.core.somaxconn'
        elif key == "kernel.hostname":
            yield "the sysctl kernel.hostname is set by the hostname of the service"
        else:
            yield from _not_its_own(key, namespaces)
        if not value or "\0" in value or "\n" in value:
            yield f"the sysctl {key} needs a value of one line"


def _not_its_own(key: str, namespaces: Namespaces) -> Iterator[str]:
    if key in _IPC or key.startswith(_IPC_PREFIX):
        if namespaces.ipc == "host":
            yield f"the sysctl {key} with ipc host would change the node"
    elif key in _UTS:
        if namespaces.uts == "host":
            yield f"the sysctl {key} with uts host would change the node"
    elif not key.startswith(NET_PREFIX):
        yield f"the sysctl {key} is not of a container alone: it would change the node"
